"""Streaming sample-rate conversion by soxr.

Knows two rates and one mono stream. Holds back 10-30 ms of sound until `flush` (the filter's delay) but does
not drift: the output is the one-shot conversion of the whole stream, for any cuts.
"""

from typing import Final, Literal

import numpy as np
import soxr

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.pcm import Samples, check_samples
from seamless_stream.errors import AudioError

MIN_RATE: Final = 8_000
MAX_RATE: Final = 192_000

Quality = Literal["QQ", "LQ", "MQ", "HQ", "VHQ"]  # soxr's names; QQ has no delay, HQ is for recordings


class Resampler:
    """Mono `rate_in` -> mono `rate_out`; passes the samples through when the rates are equal."""

    def __init__(self, rate_in: int, rate_out: int = SAMPLE_RATE, quality: Quality = "HQ") -> None:
        for name, rate in (("rate_in", rate_in), ("rate_out", rate_out)):
            if not MIN_RATE <= rate <= MAX_RATE:
                raise AudioError(f"`{name}` must be {MIN_RATE} to {MAX_RATE} Hz, but is {rate}.")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._quality = quality
        self._stream = self._open()

    def _open(self) -> soxr.ResampleStream | None:
        if self.rate_in == self.rate_out:
            return None
        return soxr.ResampleStream(self.rate_in, self.rate_out, 1, dtype="float32", quality=self._quality)

    def push(self, samples: Samples) -> Samples:
        """Samples [n] at `rate_in` -> what is ready at `rate_out`, possibly nothing."""
        check_samples(samples)
        if self._stream is None or not len(samples):
            return samples
        ready: Samples = self._stream.resample_chunk(samples)
        return ready

    def flush(self) -> Samples:
        """The rest of the stream; the next push begins a new one."""
        if self._stream is None:
            return np.zeros(0, dtype=np.float32)
        rest: Samples = self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        self._stream = self._open()
        return rest


def resampled(samples: Samples, rate: int) -> Samples:
    """A whole sound at `rate`, at 16 kHz."""
    resampler = Resampler(rate)
    return np.concatenate([resampler.push(samples), resampler.flush()])
