"""Kaldi-compatible fbank: what transformers' `SeamlessM4TFeatureExtractor` has before it normalises.

Knows the steps from samples to raw [T, 80] frames, whole or incrementally. Does not normalise, pad or stack:
that depends on the segment so far and belongs to `models/*/features.py`.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from seamless_stream.audio.pcm import Samples, check_samples

SAMPLE_RATE: Final = 16_000
WINDOW_SAMPLES: Final = 400  # 25 ms
HOP_SAMPLES: Final = 160  # 10 ms
NUM_MEL_BINS: Final = 80

_FFT_SAMPLES: Final = 512
_NUM_FFT_BINS: Final = _FFT_SAMPLES // 2 + 1
_PCM_SCALE: Final = np.float32(2**15)  # Kaldi works on int16 values
_PREEMPHASIS: Final = 0.97
_MEL_FLOOR: Final = 1.192092955078125e-07
_LOW_HZ: Final = 20.0
_HIGH_HZ: Final = 8_000.0
_BLOCK_FRAMES: Final = 256  # keeps the float64 work of one block inside the L2 cache, whatever the length

Frames: TypeAlias = npt.NDArray[np.float32]  # [T, 80]
_Float64: TypeAlias = npt.NDArray[np.float64]


def _mel(hertz: _Float64) -> _Float64:
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def mel_filters() -> _Float64:
    """The [257, 80] filter matrix: triangles drawn in mel space, 20-8000 Hz, no area normalisation."""
    limits = _mel(np.array([_LOW_HZ, _HIGH_HZ]))
    edges: _Float64 = np.linspace(limits[0], limits[1], NUM_MEL_BINS + 2)
    bins = _mel(np.arange(_NUM_FFT_BINS, dtype=np.float64) * (SAMPLE_RATE / _FFT_SAMPLES))
    slopes = edges[None, :] - bins[:, None]  # [257, 82]
    widths = np.diff(edges)
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def _taps(filters: _Float64) -> list[tuple[npt.NDArray[np.intp], _Float64]]:
    """Tap k of every filter: (its bin in each of the 80 filters, its weights); 16 taps, not 257 bins."""
    first = np.argmax(filters > 0.0, axis=0)
    num_taps = int(np.max(np.count_nonzero(filters, axis=0)))
    columns = np.arange(NUM_MEL_BINS)
    taps = []
    for k in range(num_taps):
        index = np.minimum(first + k, _NUM_FFT_BINS - 1)
        inside = first + k < _NUM_FFT_BINS
        taps.append((index, np.where(inside, filters[index, columns], 0.0)))
    return taps


_TAPS: Final = _taps(mel_filters())
# Povey window: a symmetric Hann window to the power 0.85.
_WINDOW: Final[_Float64] = np.hanning(WINDOW_SAMPLES) ** 0.85


def _log_mel(windows: Samples) -> Frames:
    """[n, 400] scaled samples -> [n, 80].

    Each row must come out the same bits whatever n is (the chunking must not change the answer), therefore
    there is no matrix product here: BLAS orders its sums by the shape of the whole matrix.
    """
    x = windows.astype(np.float64)
    x -= x.mean(axis=1, keepdims=True)
    emphasized = np.empty_like(x)
    np.multiply(x[:, :-1], -_PREEMPHASIS, out=emphasized[:, 1:])
    emphasized[:, 1:] += x[:, 1:]
    emphasized[:, 0] = x[:, 0] * (1.0 - _PREEMPHASIS)
    emphasized *= _WINDOW
    # The reference rounds its spectrum to complex64, so we do too.
    spectrum = np.fft.rfft(emphasized, n=_FFT_SAMPLES).astype(np.complex64)  # [n, 257]
    power = np.square(spectrum.real, dtype=np.float64)
    power += np.square(spectrum.imag, dtype=np.float64)
    bins_first = np.ascontiguousarray(power.T)  # [257, n]: a tap then gathers whole rows
    mel = np.zeros((NUM_MEL_BINS, len(windows)))
    for index, weight in _TAPS:
        mel += bins_first[index] * weight[:, None]
    np.maximum(mel, _MEL_FLOOR, out=mel)
    return np.ascontiguousarray(np.log(mel).T, dtype=np.float32)


class Fbank:
    """Incremental fbank: all frames that the samples so far complete, bit-equal for any cuts of the input."""

    def __init__(self) -> None:
        self._tail: Samples = np.zeros(0, dtype=np.float32)

    def push(self, samples: Samples) -> Frames:
        """Samples [n] -> the frames [t, 80] that they complete. Raises AudioError unless 1-D float32."""
        check_samples(samples)
        x = np.concatenate((self._tail, samples * _PCM_SCALE))
        num_frames = max(0, 1 + (len(x) - WINDOW_SAMPLES) // HOP_SAMPLES)
        self._tail = x[num_frames * HOP_SAMPLES :].copy()  # a view would keep the whole chunk alive
        out = np.empty((num_frames, NUM_MEL_BINS), dtype=np.float32)
        if num_frames:
            windows = np.lib.stride_tricks.sliding_window_view(x, WINDOW_SAMPLES)[::HOP_SAMPLES]
            for start in range(0, num_frames, _BLOCK_FRAMES):
                stop = min(start + _BLOCK_FRAMES, num_frames)
                out[start:stop] = _log_mel(windows[start:stop])
        return out

    def flush(self) -> Frames:
        """Ends the stream; an unfinished window gives no frame (Kaldi's snip_edges): always [0, 80]."""
        self._tail = np.zeros(0, dtype=np.float32)
        return np.zeros((0, NUM_MEL_BINS), dtype=np.float32)


def fbank(samples: Samples) -> Frames:
    """Samples [N] of a whole utterance -> [1 + (N - 400) // 160, 80] log-mel frames; none below 400."""
    return Fbank().push(samples)
