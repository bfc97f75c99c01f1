"""How a family without a streaming encoder hears an open segment: all of it again, on a grid of source samples.

Exact for any encoder: what is heard at a grid point is what the offline model makes of the samples up to there. The
cost of a segment grows with the square of its length. Knows no features: a family gives one function from samples to
states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from seamless_stream.errors import AudioError, SettingsError
from seamless_stream.models.base import EncoderMode, EncoderOutput

STEP_SAMPLES = 5_120  # 320 ms

Encode = Callable[[Sequence[np.ndarray]], EncoderOutput]  # samples [N] of each row -> states [B, S, D]


@dataclass(frozen=True, eq=False)
class WholeSegment:
    """`base.Listening` that keeps the samples themselves."""

    mode: EncoderMode | None
    samples: np.ndarray  # [n] float32, all so far; none once the segment has ended
    heard_samples: int = 0
    encoded: EncoderOutput | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.samples.nbytes + (0 if self.encoded is None else self.encoded.nbytes)

    def end_samples(self, is_ended: bool) -> int:
        """How many samples should be heard by now."""
        if is_ended:
            return len(self.samples)
        return 0 if self.mode is None else len(self.samples) // STEP_SAMPLES * STEP_SAMPLES


def open_segment(mode: EncoderMode | None) -> WholeSegment:
    """Nothing heard yet; raises SettingsError for a mode that only other families have."""
    if mode not in (None, "reencode"):
        raise SettingsError(f"`encoder_mode` must be reencode for this family, but is {mode!r}.")
    return WholeSegment(mode, np.zeros(0, np.float32))


def listen(
    encode: Encode,
    least_samples: int,
    segments: Sequence[WholeSegment],
    samples: Sequence[np.ndarray],
    ended: Sequence[bool],
) -> list[WholeSegment]:
    """See `base.SpeechTranslator.listen`; an open segment below `least_samples` waits."""
    result = [
        replace(segment, samples=np.concatenate((segment.samples, new)))
        for segment, new in zip(segments, samples, strict=True)
    ]
    ends = [segment.end_samples(is_ended) for segment, is_ended in zip(result, ended, strict=True)]
    for end, is_ended in zip(ends, ended, strict=True):
        if is_ended and end < least_samples:
            raise AudioError(f"A segment must have at least {least_samples} samples, but has {end}.")
    rows = [
        row
        for row, (segment, end) in enumerate(zip(result, ends, strict=True))
        if end > segment.heard_samples and end >= least_samples
    ]
    if rows:
        encoded = encode([result[row].samples[: ends[row]] for row in rows])
        for index, row in enumerate(rows):
            length = int(encoded.lengths[index])
            own = EncoderOutput(
                encoded.states[index : index + 1, :length].clone(), encoded.lengths[index : index + 1].clone()
            )
            result[row] = replace(result[row], heard_samples=ends[row], encoded=own)
    nothing = np.zeros(0, np.float32)
    return [
        replace(segment, samples=nothing) if is_ended else segment
        for segment, is_ended in zip(result, ended, strict=True)
    ]


def pad_rows(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [T, ...] of any lengths -> [B, T, ...] with zeros behind, and their lengths [B]."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), lengths
