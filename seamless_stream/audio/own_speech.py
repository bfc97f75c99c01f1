"""What we have said ourselves and when it sounds where the client is, on the clock of the input.

Knows what was sent, what the client tells of its loudspeaker, and half duplex, which is deaf meanwhile. Does not know
whether the microphone hears it: that is `echo.py`. All places are samples at 16 kHz.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.pcm import Samples, check_samples

LOW_RATE: Final = 4_000  # enough to know speech again, and it needs a quarter of the work
LOW_STEP: Final = SAMPLE_RATE // LOW_RATE
EDGE_SAMPLES: Final = 32  # that the low-pass filter looks to either side
_CUTOFF_HZ: Final = 1_800.0
JITTER_SAMPLES: Final = SAMPLE_RATE * 150 // 1000  # by which a client's word may differ and nothing is moved
MAX_KEPT_SAMPLES: Final = 60 * SAMPLE_RATE  # of speech that is not played yet
# A loudspeaker that nobody tells of may begin so late; one that does, so late after its own word.
UNTOLD_TAIL_SAMPLES: Final = SAMPLE_RATE
TOLD_TAIL_SAMPLES: Final = SAMPLE_RATE * 400 // 1000


def _taps() -> Samples:
    """A windowed sinc, [64]."""
    place = np.arange(2 * EDGE_SAMPLES) - EDGE_SAMPLES
    ratio = 2 * _CUTOFF_HZ / SAMPLE_RATE
    window = np.hanning(2 * EDGE_SAMPLES + 1)[:-1]
    taps: Samples = (ratio * np.sinc(ratio * place) * window).astype(np.float32)
    return taps


_TAPS: Final = np.ascontiguousarray(_taps().reshape(-1, LOW_STEP).T)  # [4, 16]


def lower(samples: Samples) -> Samples:
    """[n + 64] at 16 kHz -> [n / 4] at 4 kHz, the first of them at the place of sample 32; n a multiple of 4."""
    # Every four samples as each tap hears them.
    parts = samples.reshape(-1, LOW_STEP) @ _TAPS  # [n / 4 + 16, 16]
    num_taps = _TAPS.shape[1]
    low: Samples = parts[:-num_taps, 0].copy()
    for tap in range(1, num_taps):
        low += parts[tap : tap - num_taps, tap]
    return low


@dataclass(eq=False)
class _Piece:
    """Speech that was sent at once."""

    clock: int
    first: int  # on the output clock
    start: int  # when it sounds, on the input clock
    size: int
    low: Samples  # at 4 kHz, with what the filter smears over its ends

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def low_start(self) -> int:
        """The place of `low[0]`: pieces lie on the grid of the low rate, so that together they are the whole again."""
        return self.start - self.first % LOW_STEP - EDGE_SAMPLES


class OwnSpeech:
    """`say` what is sent and `played` what the client tells; then ask what sounds when.

    A client that does not tell plays each piece when it comes, or behind the one before. What several output clocks
    say is taken to sound together.
    """

    def __init__(self) -> None:
        self._pieces: deque[_Piece] = deque()
        self._said: Counter[int] = Counter()  # samples of each output clock
        self.is_told = False  # the client says what it has played
        self._up_to = 0  # on the first output clock, as it said

    def say(self, samples: Samples, now: int, clock: int = 0) -> None:
        """The next samples [n] of an output clock have been sent."""
        check_samples(samples)
        first = self._said[clock]
        self._said[clock] += len(samples)
        before = self._last(clock)
        start = now if before is None else max(now, before.end)
        ahead = 2 * EDGE_SAMPLES + first % LOW_STEP
        low = lower(np.pad(samples, (ahead, 2 * EDGE_SAMPLES + -(ahead + len(samples)) % LOW_STEP)))
        self._pieces.append(_Piece(clock, first, start, len(samples), low))
        while len(self._pieces) > 1 and sum(piece.size for piece in self._pieces) > MAX_KEPT_SAMPLES:
            self._pieces.popleft()

    def played(self, up_to: int, now: int) -> None:
        """The client has played the first output clock up to here."""
        self.is_told, self._up_to = True, up_to
        mine = [piece for piece in self._pieces if piece.clock == 0]
        following = [piece for piece in mine if piece.first + piece.size > up_to]
        if not following:
            return
        start = now - max(0, up_to - following[0].first)
        if up_to <= following[0].first:
            start = max(start, following[0].start)  # it has not begun, and begins now at the earliest
        if abs(start - following[0].start) <= JITTER_SAMPLES:
            return
        for piece in following:
            piece.start = start
            start = piece.end

    def clear(self, now: int) -> None:
        """What does not sound yet never will."""
        for piece in self._pieces:
            piece.size = max(0, min(piece.size, now - piece.start))
            piece.low = piece.low[: (piece.size + 2 * EDGE_SAMPLES) // LOW_STEP]
        self._pieces = deque(piece for piece in self._pieces if piece.size)

    def forget(self, before: int) -> None:
        """What sounded earlier is not asked for again."""
        while self._pieces and self._pieces[0].end < before:
            piece = self._pieces[0]
            if self.is_told and piece.clock == 0 and piece.first + piece.size > self._up_to:
                return  # the client may be late
            self._pieces.popleft()

    def sounds(self, start: int, stop: int) -> bool:
        """Whether anything was said there, its pauses included."""
        return any(piece.start < stop and piece.end > start for piece in self._pieces)

    def stretches(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Where, within these places."""
        found = ((max(start, piece.start), min(stop, piece.end)) for piece in self._pieces)
        return [(first, last) for first, last in found if first < last]

    def low(self, start: int, stop: int) -> Samples:
        """[(stop - start) / 4] at 4 kHz of what sounds there."""
        whole = np.zeros((stop - start) // LOW_STEP, np.float32)
        for piece in self._pieces:
            first = (piece.low_start - start) // LOW_STEP
            skipped, last = max(0, -first), min(len(whole), first + len(piece.low))
            if first + skipped < last:
                whole[first + skipped : last] += piece.low[skipped : last - first]
        return whole

    def _last(self, clock: int) -> _Piece | None:
        return next((piece for piece in reversed(self._pieces) if piece.clock == clock), None)


class HalfDuplex:
    """Hears silence while we speak, and for as long after it as the loudspeaker may be late."""

    def __init__(self) -> None:
        self.speech = OwnSpeech()
        self.now = 0  # samples pushed so far
        self.num_silenced = 0

    def push(self, samples: Samples) -> Samples:
        """Samples [n] -> as many."""
        check_samples(samples)
        start, self.now = self.now, self.now + len(samples)
        tail = TOLD_TAIL_SAMPLES if self.speech.is_told else UNTOLD_TAIL_SAMPLES
        found = self.speech.stretches(start - tail, self.now + JITTER_SAMPLES)
        self.speech.forget(start - 3 * SAMPLE_RATE)
        if not found:
            return samples
        is_deaf = np.zeros(len(samples), bool)
        for first, last in found:
            is_deaf[max(0, first - JITTER_SAMPLES - start) : max(0, last + tail - start)] = True
        self.num_silenced += int(np.count_nonzero(is_deaf))
        return np.where(is_deaf, np.float32(0), samples)

    def flush(self) -> Samples:
        """It holds nothing."""
        return np.zeros(0, np.float32)

    def skip(self, num_samples: int) -> None:
        """So many samples were not heard."""
        self.now += num_samples
