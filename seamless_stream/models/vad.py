"""Silero VAD, computed with numpy; the weights (MIT) are beside the bundled checkpoint.

Knows the network, its explicit state, and the detector that lets it sleep while a cheap one hears nothing.
Its layers are so small that torch would spend most of the time on calling them: one window costs a quarter this way.
The windows and the detector's form are `audio/vad.py`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from seamless_stream.audio.pcm import Samples
from seamless_stream.audio.vad import WebrtcVad, Windows
from seamless_stream.errors import CheckpointError

_CONTEXT_SAMPLES: Final = 64  # of the window before, in front of each window
_STFT_SAMPLES: Final = 256
_STFT_HOP_SAMPLES: Final = 128
_NUM_BINS: Final = _STFT_SAMPLES // 2 + 1
_NUM_FRAMES: Final = 4  # of the spectrum
_WIDTH: Final = 128

_GATE_MODE: Final = 0  # webrtc's most open mode: it misses almost nothing, and the network corrects the rest
_HOLD_WINDOWS: Final = 32  # about 1 s: the network stays awake after the last window that webrtc let through
_WARM_UP_WINDOWS: Final = 16  # about 0.5 s that the network hears again when it wakes up
_WEIGHTS: Final = Path(__file__).parents[1] / "checkpoints" / "silero_vad_16k.safetensors"


@dataclass(frozen=True, eq=False)
class SileroState:
    """The stream so far: LSTM state h and c [..., 128], the last samples of the window before [..., 64]."""

    h: Samples
    c: Samples
    context: Samples


def _frames(x: Samples, size: int, step: int) -> Samples:
    """Every `step` values of x [..., N] the next `size` ones: [..., T, size]."""
    shape = (*x.shape[:-1], (x.shape[-1] - size) // step + 1, size)
    # A copy: numpy multiplies rows that overlap in memory without BLAS.
    return np.ndarray(shape, x.dtype, x, 0, (*x.strides[:-1], step * x.itemsize, x.itemsize)).copy()


def _dense(kernel: Samples, num_frames: int, stride: int) -> Samples:
    """A convolution [O, C, 3] with padding 1 over so many frames as one matrix [outputs * O, frames * C].

    For the few frames of a window that is fewer numbers, and one call instead of six.
    """
    out_channels, in_channels, taps = kernel.shape
    num_outputs = (num_frames - 1) // stride + 1
    matrix = np.zeros((num_outputs, out_channels, num_frames, in_channels), np.float32)
    for output in range(num_outputs):
        for tap in range(taps):
            frame = output * stride + tap - 1
            if 0 <= frame < num_frames:
                matrix[output, :, frame] = kernel[:, :, tap]
    return matrix.reshape(num_outputs * out_channels, num_frames * in_channels)


class SileroNetwork:
    """Window -> magnitude spectrum -> four convolutions -> LSTM cell -> probability.

    One window has no dimension for a batch: BLAS multiplies with a vector faster than with a matrix of one row.
    """

    def __init__(self, weights: Mapping[str, Samples]) -> None:
        self._basis = np.ascontiguousarray(weights["stft_conv.weight"][:, 0].T)  # [256, 2 * bins]
        # [O, C, 3] -> [3 * C, O]: over four frames, a convolution is one product with the rows that it looks at.
        first = weights["conv1.weight"]
        self._first = first.transpose(2, 1, 0).reshape(-1, len(first))
        self._first_bias = weights["conv1.bias"]
        self._rest = []
        num_frames = _NUM_FRAMES
        for i, stride in ((2, 2), (3, 2), (4, 1)):
            matrix = _dense(weights[f"conv{i}.weight"], num_frames, stride)
            num_frames = (num_frames - 1) // stride + 1
            self._rest.append((matrix, np.tile(weights[f"conv{i}.bias"], num_frames)))
        # A sigmoid is a tanh of half its input, so that all four gates are one call; the third is a tanh itself.
        self._scale = np.array([0.5, 0.5, 1, 0.5], np.float32)[:, None]
        self._shift = np.array([0.5, 0.5, 0, 0.5], np.float32)[:, None]
        scale = self._scale.repeat(_WIDTH)  # [4 * 128]
        gates = np.concatenate((weights["lstm_cell.weight_ih"], weights["lstm_cell.weight_hh"]), axis=1)
        self._gates = gates * scale[:, None]  # [4 * 128, 2 * 128]
        self._gate_bias = (weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]) * scale
        self._last = weights["final_conv.weight"].reshape(_WIDTH)
        self._last_bias = weights["final_conv.bias"].item()

    def init_state(self, *batch: int) -> SileroState:
        """The state before the first window."""
        h = np.zeros((*batch, _WIDTH), np.float32)
        return SileroState(h, h, np.zeros((*batch, _CONTEXT_SAMPLES), np.float32))

    def __call__(self, windows: Samples, state: SileroState) -> tuple[Samples, SileroState]:
        """Windows [..., 512] -> probabilities of speech [...]."""
        features = self.features(np.concatenate((state.context, windows), axis=-1))
        probabilities, h, c = self.cell(features, state.h, state.c)
        return probabilities, SileroState(h, c, windows[..., -_CONTEXT_SAMPLES:].copy())

    def features(self, x: Samples) -> Samples:
        """Windows with their context [..., 576] -> what the LSTM reads [..., 128]."""
        x = np.concatenate(
            (x, x[..., -2 : -2 - _CONTEXT_SAMPLES : -1]), axis=-1
        )  # [..., 640], its end mirrored
        spectrum = _frames(x, _STFT_SAMPLES, _STFT_HOP_SAMPLES) @ self._basis  # [..., 4, 258]
        spectrum *= spectrum
        batch = x.shape[:-1]
        padded = np.zeros((*batch, _NUM_FRAMES + 2, _NUM_BINS), np.float32)
        np.sqrt(spectrum[..., :_NUM_BINS] + spectrum[..., _NUM_BINS:], out=padded[..., 1:-1, :])
        first = _frames(padded.reshape(*batch, -1), 3 * _NUM_BINS, _NUM_BINS) @ self._first + self._first_bias
        y: Samples = np.maximum(first, 0).reshape(*batch, -1)
        for matrix, bias in self._rest:
            y = np.maximum(y @ matrix.T + bias, 0)
        return y  # four frames have become one

    def cell(self, features: Samples, h: Samples, c: Samples) -> tuple[Samples, Samples, Samples]:
        """Features, h and c, all [..., 128] -> probabilities [...] and the new h and c."""
        gates = np.concatenate((features, h), axis=-1) @ self._gates.T + self._gate_bias  # [..., 4 * 128]
        gates = np.tanh(gates).reshape(*h.shape[:-1], 4, _WIDTH) * self._scale + self._shift
        enter, keep, new, leave = (gates[..., gate, :] for gate in range(4))
        c = keep * c + enter * new
        h = leave * np.tanh(c)
        # By tanh, which does not overflow.
        probabilities: Samples = 0.5 + 0.5 * np.tanh(0.5 * (np.maximum(h, 0) @ self._last + self._last_bias))
        return probabilities, h, c


@cache
def load_silero() -> SileroNetwork:
    """The network, one for all sessions. Raises CheckpointError when its weights are missing or other."""
    try:
        return SileroNetwork(load_file(_WEIGHTS))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"`{_WEIGHTS}` must hold the weights of Silero VAD, but does not: {error}"
        ) from error


class SileroVad:
    """The Silero detector of one stream, asleep (probability 0) while webrtc hears nothing for a second.

    It is woken up with the half second before, so that it does not begin in the middle of a word. `gate=False` never
    sleeps.
    """

    def __init__(self, gate: bool = True) -> None:
        self._network = load_silero()
        self._gate = WebrtcVad(_GATE_MODE) if gate else None
        self.reset()

    def reset(self) -> None:
        if self._gate is not None:
            self._gate.reset()
        self._windows = Windows()
        self._state: SileroState | None = None  # None: asleep
        self._missed: deque[Samples] = deque(maxlen=_WARM_UP_WINDOWS)
        self._num_quiet = 0  # windows since webrtc heard something

    def push(self, samples: Samples) -> list[float]:
        windows = self._windows.push(samples)
        heard = [1.0] * len(windows) if self._gate is None else self._gate.push(samples)
        return [self._probability(window, bool(gate)) for window, gate in zip(windows, heard, strict=True)]

    def _probability(self, window: Samples, is_heard: bool) -> float:
        self._num_quiet = 0 if is_heard else self._num_quiet + 1
        if self._state is None and is_heard:
            self._state = self._network.init_state()
            while self._missed:
                self._run(self._state, self._missed.popleft())
        elif self._state is not None and self._num_quiet > _HOLD_WINDOWS:
            self._state = None
        if self._state is None:
            self._missed.append(window.copy())
            return 0.0
        return self._run(self._state, window)

    def _run(self, state: SileroState, window: Samples) -> float:
        probability, self._state = self._network(window, state)
        return float(probability)
