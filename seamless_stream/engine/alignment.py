"""Where each token was said: from the decoder's cross-attention to one encoder state ("frame") per token.

The mathematics of AlignAtt (Papi et al. 2023, arXiv 2305.11408) on plain arrays. Knows no model, policy or text.
"""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Which row of the attention belongs to a token: the one that predicted it, as in fairseq and SimulStreaming, or the
# one that was given it, as in SimulSeamless.
Row = Literal["predicted", "given"]
ROW: Final[Row] = "predicted"
MEDIAN_FRAMES: Final = 0  # width of the median filter; 0: none
_MIN_ROWS: Final = 3  # fewer have no deviation worth dividing by


def standardise(attention: Array) -> Array:
    """Rows [A, T, S] -> the same, with mean 0 and deviation 1 over the tokens for each head and frame.

    It takes away the frames that every token looks at. With fewer than 3 rows the result is the input.
    """
    if attention.shape[1] < _MIN_ROWS:
        return attention
    mean = attention.mean(axis=1, keepdims=True)
    deviation = attention.std(axis=1, keepdims=True)
    standard: Array = (attention - mean) / np.where(deviation > 0, deviation, 1)
    return standard


def median(attention: Array, width: int) -> Array:
    """Median over `width` (odd) frames around each one; beyond the edges, the frames are mirrored."""
    if width < 2 or attention.shape[-1] <= width // 2:
        return attention
    edges = [(0, 0)] * (attention.ndim - 1) + [(width // 2, width // 2)]
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(attention, edges, mode="reflect"), width, axis=-1
    )
    filtered: Array = np.median(windows, axis=-1)
    return filtered


class Alignment:
    """The frames of one hypothesis, while the decoder extends it.

    It is given every row of attention in order, the prompt's and the committed tokens' included.
    """

    def __init__(self, num_prompt: int, row: Row = ROW, median_frames: int = MEDIAN_FRAMES) -> None:
        self._first_row = num_prompt - (row == "predicted")
        self._median_frames = median_frames
        self._rows: Array | None = None  # [A, T, S]

    def push(self, attention: Array) -> None:
        """The next rows [A, T, S] of softmax weights; S must be the same each time."""
        parts = [attention] if self._rows is None else [self._rows, attention]
        self._rows = np.concatenate(parts, axis=1)

    @property
    def num_tokens(self) -> int:
        """Free tokens whose frame is known; with "predicted" the one that the newest row predicts is among them."""
        return 0 if self._rows is None else max(0, self._rows.shape[1] - self._first_row)

    def frames(self) -> tuple[int, ...]:
        """The frame of each of the first `num_tokens` tokens."""
        if self._rows is None:
            return ()
        attention = standardise(self._rows)[:, self._first_row :]
        scores = median(attention, self._median_frames).mean(axis=0)  # [T, S]
        return tuple(scores.argmax(axis=1).tolist())


def first_frame_of(frames: Sequence[int], starts_word: Sequence[bool], num_words: int) -> tuple[int, int]:
    """How to shorten a segment without a pause: keep the last words of its committed tokens, and the audio from the
    earliest frame that one of these looks at: StreamAtt (Papi et al. 2024, arXiv 2406.06097).

    Committed tokens' frames, whether each begins a word (without spaces: all do), words to keep -> first token and
    first frame that stay.
    """
    starts = [place for place, begins in enumerate(starts_word) if begins]
    first = starts[-num_words] if len(starts) > num_words else 0
    return first, min(frames[first:], default=0)


def carry_over(
    frames: Sequence[int], starts_word: Sequence[bool], num_frames: int, max_frames: int, num_words: int = 4
) -> tuple[int, int]:
    """What a segment that was cut without a pause leaves to the next one: its last words and their audio, as
    `first_frame_of`, but no more than `max_frames`; where no word fits, the audio behind the last token alone.
    """
    earliest = num_frames - max_frames
    for count in range(num_words, 0, -1):
        first, frame = first_frame_of(frames, starts_word, count)
        if first < len(frames) and frame >= earliest:
            return first, frame
    behind = max(frames, default=-1) + 1
    return len(frames), min(max(behind, earliest), num_frames)
