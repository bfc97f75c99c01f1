"""PCM values: integer and float conversions, mix-down to mono, clipping.

Knows one array at a time; knows no rates, files or streams. All that comes after is float32 mono in [-1, 1].
"""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from seamless_stream.errors import AudioError

Samples: TypeAlias = npt.NDArray[np.float32]  # [N] mono, or [N, C] before the mix-down
Int16: TypeAlias = npt.NDArray[np.int16]

_FULL_SCALE: Final = (
    32_767 / 32_768
)  # the largest int16 value; a value at or above it has probably been cut off


def check_samples(samples: npt.NDArray[Any]) -> None:
    """Raises AudioError unless `samples` is a 1-D float32 array; int16 would be 32768 times too loud."""
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise AudioError(f"`samples` must be 1-D float32, but is {samples.ndim}-D {samples.dtype}.")


def to_float32(pcm: npt.NDArray[Any]) -> Samples:
    """Any PCM type (uint8, int16, int32, float32, float64) to float32 in [-1, 1]; keeps the shape."""
    if pcm.dtype == np.float32:
        return pcm
    if pcm.dtype == np.float64:
        return pcm.astype(np.float32)
    if pcm.dtype == np.int16:
        return pcm.astype(np.float32) * np.float32(2.0**-15)
    if pcm.dtype == np.int32:
        return (pcm * 2.0**-31).astype(np.float32)
    if pcm.dtype == np.uint8:  # 8-bit WAV is the unsigned one
        return (pcm.astype(np.float32) - 128) * np.float32(2.0**-7)
    raise AudioError(f"`pcm` must be uint8, int16, int32, float32 or float64, but is {pcm.dtype}.")


def silence_broken(samples: Samples) -> tuple[Samples, int]:
    """Samples of any shape with silence for what is no number (NaN, infinite), and how many values that were.

    One of them in a model's caches would spoil all that comes after it.
    """
    broken = ~np.isfinite(samples)
    count = int(np.count_nonzero(broken))
    return (np.where(broken, np.float32(0), samples) if count else samples), count


def to_int16(samples: Samples) -> Int16:
    """Float samples to int16, rounded and clipped; exactly undoes `to_float32` of int16."""
    scaled = np.rint(samples * np.float32(2.0**15))
    pcm: Int16 = np.clip(scaled, -32_768, 32_767).astype(np.int16)
    return pcm


def from_bytes(data: bytes) -> Samples:
    """Little-endian int16 bytes, as pipes carry them, to samples [N]; an odd count is an AudioError."""
    if len(data) % 2:
        raise AudioError(f"`data` must be whole 16-bit samples, but is {len(data)} bytes.")
    return to_float32(np.frombuffer(data, dtype="<i2").astype(np.int16))


def to_bytes(samples: Samples) -> bytes:
    """Samples to little-endian int16 bytes."""
    return to_int16(samples).astype("<i2").tobytes()


def mix_down(samples: Samples) -> Samples:
    """[N, C] -> [N]: the mean of the channels. [N] comes back as it is."""
    if samples.ndim == 1:
        return samples
    # Channel by channel: numpy may add a short last axis in another order when N differs.
    total = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        total += samples[:, channel]
    return total / np.float32(samples.shape[1])


def count_clipped(samples: Samples) -> int:
    """How many values are at or beyond full scale."""
    return int(np.count_nonzero(np.abs(samples) >= _FULL_SCALE))
