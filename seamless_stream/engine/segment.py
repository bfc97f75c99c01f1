"""One segment on its way through the engine: audio that waits, what the encoder has heard, and a line per language.

Knows the grid of source samples on which work is done. Knows no engine, no batch and no event's reader: what happened
is appended to `events`, and the session hands it out in the order of the segments.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from seamless_stream.audio.fbank import HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES
from seamless_stream.engine.alignment import Alignment
from seamless_stream.engine.decoding import Decoded
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.engine.policy import SPACELESS, Policy
from seamless_stream.events import Event
from seamless_stream.models.base import EncoderOutput, Listening, Prompt, TextTokenizer

# The last filterbank window of a step must be whole, so that a step of n ms gives n ms of new frames.
STEP_OFFSET_SAMPLES = WINDOW_SAMPLES - HOP_SAMPLES


def continues_word(piece: str) -> bool:
    """Whether a piece can only continue a word. Punctuation may stand behind a word without changing it."""
    is_special = piece.startswith("<") and piece.endswith(">")
    return not (is_special or piece.startswith("▁")) and any(map(str.isalnum, piece))


def inside_word(tokenizer: TextTokenizer, vocabulary_size: int) -> np.ndarray:
    """[V] bool: the tokens that can only continue a word."""
    # One by one: a neighbour in the vocabulary is no neighbour in a text, and Speech2Text2's pieces look at theirs.
    return np.array([continues_word(*tokenizer.pieces([token])) for token in range(vocabulary_size)])


@dataclass(eq=False)
class Line:
    """What is known of a segment's text in one language; committed tokens are only ever added to."""

    language: str
    prompt: Prompt  # without committed tokens
    context: tuple[int, ...] = ()  # tokens of the segment before, whose audio this one begins with
    committed: tuple[int, ...] = ()
    hypotheses: deque[Hypothesis] = field(default_factory=deque)  # as many as the policy remembers
    shown: tuple[str, str] = ("", "")  # committed and pending text of the last partial
    hidden: Tensor | None = (
        None  # [T, D] of the prompt and the committed tokens, the last row where it is known
    )
    score: float = 0.0  # of the last hypothesis
    is_final: bool = False
    is_ended: bool = False  # and the decoder said so itself
    is_spoken: bool = False

    @property
    def num_given(self) -> int:
        """Tokens before the first one of this segment."""
        return len(self.prompt.token_ids) + len(self.context)

    @property
    def pending(self) -> tuple[int, ...]:
        """What the last hypothesis said behind the committed tokens: likely to be said again."""
        return self.hypotheses[-1].token_ids[len(self.committed) :] if self.hypotheses else ()

    def full_prompt(self, inside_word: Tensor) -> Prompt:
        """The prompt of the next decode: what is committed is given, not found again.

        Whole words were committed, so no token that continues a word (`inside_word` [V]) may follow.
        """
        given = (*self.context, *self.committed)
        banned = inside_word if given and self.language not in SPACELESS else None
        token_ids = (*self.prompt.token_ids, *given)
        return replace(self.prompt, token_ids=token_ids, banned_next=banned)


# What a segment may take over from the one before: with `hard_max_ms` of 14 s it stays within the 16 s that M4T bears.
MAX_CARRY_SAMPLES = 2 * SAMPLE_RATE


@dataclass(frozen=True)
class Piece:
    """The next audio to hear: samples [n], and whether they are the last."""

    samples: np.ndarray
    is_last: bool


class Segment:
    """Positions are samples since the stream began; `num_given` of its own samples were given to the encoder."""

    def __init__(
        self, number: int, start_samples: int, lines: Sequence[Line], text: str | None = None
    ) -> None:
        self.number = number
        self.start_samples = start_samples
        self.end_samples = start_samples
        self.reason = ""
        self.text = text  # instead of audio
        self.lines = {line.language: line for line in lines}
        self.listening: Listening | None = None
        self.encoded: EncoderOutput | None = None  # of a text
        self.num_given = 0
        self.has_ended = text is not None
        self.is_queued = False  # for hearing
        self.is_heard = False  # to its end
        self.is_failed = False
        self.is_closed = False  # SegmentEnded was said
        self.num_decoding = 0  # lines that the decoder works on
        self.compute_s = 0.0  # time that the model worked for it
        self.events: list[Event] = []
        self.goes_on = False  # it was cut without a pause: its last words may be halves
        self.tail = np.zeros(0, np.float32)  # its newest audio, [MAX_CARRY_SAMPLES] at most
        self.num_left = 0  # samples of it that are left to the next segment
        self._waiting: deque[np.ndarray] = deque()
        self.num_waiting = 0  # samples

    @property
    def start_s(self) -> float:
        """Where it begins in the stream."""
        return self.start_samples / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Where it ends in the stream, or has come to."""
        return self.end_samples / SAMPLE_RATE

    @property
    def is_text_done(self) -> bool:
        """No text will come any more."""
        return self.is_failed or all(line.is_final for line in self.lines.values())

    @property
    def nbytes(self) -> int:
        """Memory that it holds, audio and encoder states."""
        return 4 * self.num_waiting + (self.listening.nbytes if self.listening is not None else 0)

    def add(self, samples: np.ndarray) -> None:
        """More of its audio."""
        if not self.is_failed:
            self._waiting.append(samples)
            self.num_waiting += len(samples)
        self.end_samples += len(samples)

    def end(self, end_samples: int, reason: str) -> None:
        """All of its audio was added."""
        self.has_ended, self.end_samples, self.reason = True, end_samples, reason

    def fail(self) -> None:
        """Nothing more is done for it."""
        self.is_failed = True
        self.give_up()

    def give_up(self) -> None:
        """Nothing more of it is heard."""
        self.is_heard = True
        self._waiting.clear()
        self.num_waiting = 0
        self.listening = self.encoded = None

    def due_samples(self, step_samples: int, first_samples: int, *, skips: bool) -> int | None:
        """How many samples the next piece has: up to the next step of the grid, or all that is left at the end.

        `skips`: to the last step that there is audio for. None: nothing is due. 0 samples may be due at the end.
        """
        if self.is_failed or self.is_heard or self.num_decoding:
            return None
        available = self.num_given + self.num_waiting
        if step_samples and not (skips and self.has_ended):
            steps = -(-(max(first_samples, self.num_given + 1) - STEP_OFFSET_SAMPLES) // step_samples)
            if skips:
                steps = max(steps, (available - 1 - STEP_OFFSET_SAMPLES) // step_samples)
            place = max(1, steps) * step_samples + STEP_OFFSET_SAMPLES
            # Only where audio goes on behind it: a step at the very end is the end's, however the audio comes.
            if place < available:
                return place - self.num_given
        return self.num_waiting if self.has_ended else None

    def take(self, num_samples: int) -> Piece:
        """The next samples, out of those that wait."""
        parts, missing = [np.zeros(0, np.float32)], num_samples
        while missing:
            part = self._waiting.popleft()
            if len(part) > missing:
                self._waiting.appendleft(part[missing:])
                part = part[:missing]
            parts.append(part)
            missing -= len(part)
        self.num_waiting -= num_samples
        self.num_given += num_samples
        samples = np.concatenate(parts)
        self.tail = np.concatenate([self.tail, samples])[-MAX_CARRY_SAMPLES:]
        return Piece(samples, self.has_ended and not self.num_waiting)

    def begin_with(self, samples: np.ndarray) -> None:
        """Audio of the segment before, to be heard first."""
        self._waiting.appendleft(samples)
        self.num_waiting += len(samples)


class LineWatcher:
    """Turns a growing sentence into hypotheses for the policy; `decoding.Watcher`."""

    def __init__(
        self,
        line: Line,
        segment: Segment,
        policy: Policy,
        tokenizer: TextTokenizer,
        encoded: EncoderOutput,
        *,
        is_last: bool = False,
    ) -> None:
        self._line = line
        self._policy = policy
        self._tokenizer = tokenizer
        self._tokens: tuple[int, ...] = ()  # of the last hypothesis
        self._starts_word: list[bool] = []  # whether a word begins with each of them
        self._is_last = is_last  # nothing is held any more
        self._num_frames = int(encoded.lengths[0])
        self._heard_samples = segment.listening.heard_samples if segment.listening is not None else 0
        self._alignment = Alignment(line.num_given) if policy.wants_attention else None

    def watch(self, attention: np.ndarray) -> None:
        """Rows [A, T, S]; S may have filling behind this segment's states."""
        if self._alignment is not None:
            self._alignment.push(attention[:, :, : self._num_frames])

    def stops(self, token_ids: Sequence[int], probabilities: Sequence[float]) -> bool:
        """The policy's word on the sentence so far."""
        return not self._is_last and self._policy.stops(
            self.hypothesis(token_ids, probabilities, 0.0, is_complete=False)
        )

    def hypothesis(
        self, token_ids: Sequence[int], probabilities: Sequence[float], score: float, *, is_complete: bool
    ) -> Hypothesis:
        """Free tokens behind the committed ones -> the whole hypothesis."""
        tokens = (*self._line.committed, *token_ids)
        frames = self._alignment.frames()[: len(tokens)] if self._alignment is not None else ()
        self._read(tokens)
        return Hypothesis(
            self._line.language,
            tokens,
            score,
            is_complete,
            len(self._line.committed),
            tuple(self._starts_word),
            frames,
            self._num_frames,
            self._heard_samples,
            (*[1.0] * len(self._line.committed), *probabilities),
        )

    def _read(self, tokens: tuple[int, ...]) -> None:
        """Look at the tokens that are new; whether one begins a word may depend on the one before it."""
        num_known = len(self._tokens)
        if tokens[:num_known] != self._tokens:
            num_known = 0
        del self._starts_word[num_known:]
        first = max(0, num_known - 1)
        pieces = self._tokenizer.pieces(list(tokens[first:]))[num_known - first :]
        self._starts_word += [not continues_word(piece) for piece in pieces]
        self._tokens = tokens

    def answer(self, decoded: Decoded) -> Hypothesis:
        """The hypothesis of a sentence that is over."""
        known = self._line.num_given + len(self._line.committed)
        return self.hypothesis(
            decoded.token_ids[known:], decoded.probabilities, decoded.score, is_complete=decoded.finished
        )
