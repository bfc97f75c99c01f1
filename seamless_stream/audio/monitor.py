"""What is wrong with a sound itself: it is cut off at full scale, or nobody speaks in it.

Knows samples at the source's own rate, and is told where the detector has found speech. Does not know who is warned,
nor how the samples came.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from seamless_stream.audio.pcm import Samples, check_samples

# mu-law ends at 0.98. Speech whose highest peak is at full scale is there for 0.03 % of its loudest second, speech that
# is 6 dB too loud for 1 % to 8 %.
FULL_SCALE: Final = 0.98
MIN_CLIPPED: Final = 0.01  # part of a second
CLIPPED_AGAIN_S: Final = 60  # without a clipped second before it is told again
NO_SPEECH_MS: Final = 30_000
_KEPT_S: Final = 120
SILENCE_DBFS: Final = -120  # told of nothing but zeros


@dataclass(frozen=True)
class Clipped:
    """This second was cut off at full scale: which percent of its samples."""

    start_ms: int
    end_ms: int
    percent: int


@dataclass(frozen=True)
class NoSpeech:
    """Nobody spoke for so long; the level is the mean power in dB below full scale, `SILENCE_DBFS` of zeros."""

    start_ms: int
    end_ms: int
    level_dbfs: int


class SoundMonitor:
    """`push` samples at `rate` and say where it `spoke`; each trouble is told once until it was over."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._num_samples = 0
        self._num_clipped = 0  # of the present second
        self._left = rate  # samples of it to come
        self._quiet_s = CLIPPED_AGAIN_S  # seconds since the last one that was clipped
        self._spoke_ms = 0
        self._energy = 0.0  # of the present second
        # Where each second ended, ms, and its power.
        self._powers: deque[tuple[int, float]] = deque(maxlen=_KEPT_S)
        self._is_told = False  # that nobody speaks
        self._clipped: list[Clipped] = []

    def push(self, samples: Samples) -> None:
        """Samples [n] of any length."""
        check_samples(samples)
        while len(samples):
            part, samples = samples[: self._left], samples[self._left :]
            self._num_clipped += int(np.count_nonzero(np.abs(part) >= FULL_SCALE))
            self._energy += float(np.dot(part, part))
            self._num_samples += len(part)
            self._left -= len(part)
            if not self._left:
                self._end_second()

    def skip(self, num_samples: int) -> None:
        """So many samples were left out: the clock goes on."""
        self._num_samples += num_samples

    def spoke(self, until_ms: int) -> None:
        """The detector has found speech up to there."""
        if until_ms > self._spoke_ms:
            self._spoke_ms = until_ms
            self._is_told = False

    def clipped(self) -> list[Clipped]:
        """What is new."""
        clipped, self._clipped = self._clipped, []
        return clipped

    def no_speech(self, heard_ms: int) -> NoSpeech | None:
        """Whether nobody spoke for long in what the detector has heard, up to `heard_ms`."""
        if self._is_told or heard_ms - self._spoke_ms < NO_SPEECH_MS:
            return None
        powers = [power for end_ms, power in self._powers if end_ms >= self._spoke_ms + 1000]
        if not powers:
            return None  # nothing has come of it
        self._is_told = True
        power = sum(powers) / len(powers)
        level = round(10 * np.log10(power)) if power > 0 else SILENCE_DBFS
        return NoSpeech(self._spoke_ms, heard_ms, max(SILENCE_DBFS, level))

    def _end_second(self) -> None:
        end_ms = self._num_samples * 1000 // self._rate
        self._powers.append((end_ms, self._energy / self._rate))
        part = self._num_clipped / self._rate
        if part < MIN_CLIPPED:
            self._quiet_s += 1
        else:
            if self._quiet_s >= CLIPPED_AGAIN_S:
                self._clipped.append(Clipped(max(0, end_ms - 1000), end_ms, round(100 * part)))
            self._quiet_s = 0
        self._num_clipped, self._energy, self._left = 0, 0.0, self._rate
