"""Silero VAD, run by our own torch code; the weights (MIT) are beside the bundled checkpoint.

Knows the network, its explicit state, and the detector that lets it sleep while a cheap one hears nothing.
The windows and the detector's form are `audio/vad.py`.
"""

from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from seamless_stream.audio.pcm import Samples
from seamless_stream.audio.vad import WebrtcVad, Windows
from seamless_stream.errors import CheckpointError
from seamless_stream.nn.state import State

_CONTEXT_SAMPLES: Final = 64  # of the window before, in front of each window
_STFT_SAMPLES: Final = 256
_STFT_HOP_SAMPLES: Final = 128
_NUM_BINS: Final = _STFT_SAMPLES // 2 + 1
_WIDTH: Final = 128

_GATE_MODE: Final = 0  # webrtc's most open mode: it misses almost nothing, and the network corrects the rest
_HOLD_WINDOWS: Final = 32  # about 1 s: the network stays awake after the last window that webrtc let through
_WARM_UP_WINDOWS: Final = 16  # about 0.5 s that the network hears again when it wakes up
_WEIGHTS: Final = Path(__file__).parents[1] / "checkpoints" / "silero_vad_16k.safetensors"


@dataclass(frozen=True, eq=False)
class SileroState(State):
    """The stream so far: LSTM state h and c [B, 128], the last samples of the window before [B, 64]."""

    h: Tensor
    c: Tensor
    context: Tensor


class SileroNetwork(nn.Module):
    """Window -> magnitude spectrum -> four convolutions -> LSTM cell -> probability."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _NUM_BINS, _STFT_SAMPLES, _STFT_HOP_SAMPLES, bias=False)
        self.conv1 = nn.Conv1d(_NUM_BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, _WIDTH, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(_WIDTH, _WIDTH)
        self.final_conv = nn.Conv1d(_WIDTH, 1, 1)

    def init_state(self, batch: int) -> SileroState:
        """The state before the first window."""
        return SileroState(
            torch.zeros(batch, _WIDTH), torch.zeros(batch, _WIDTH), torch.zeros(batch, _CONTEXT_SAMPLES)
        )

    def forward(self, windows: Tensor, state: SileroState) -> tuple[Tensor, SileroState]:
        """Windows [B, 512] -> probabilities of speech [B]."""
        x = torch.cat((state.context, windows), dim=1)  # [B, 576]
        x = functional.pad(x.unsqueeze(1), (0, _CONTEXT_SAMPLES), mode="reflect")  # [B, 1, 640]
        spectrum = self.stft_conv(x)  # [B, 258, 4]
        x = (spectrum[:, :_NUM_BINS].square() + spectrum[:, _NUM_BINS:].square()).sqrt()
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = functional.relu(convolution(x))
        h, c = self.lstm_cell(x.squeeze(-1), (state.h, state.c))  # four frames have become one: [B, 128, 1]
        logits = self.final_conv(functional.relu(h).unsqueeze(-1))  # [B, 1, 1]
        return logits.sigmoid().flatten(), SileroState(h, c, windows[:, -_CONTEXT_SAMPLES:])


@cache
def load_silero() -> SileroNetwork:
    """The network, one for all sessions. Raises CheckpointError when its weights are missing or other."""
    network = SileroNetwork()
    try:
        network.load_state_dict(load_file(_WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"`{_WEIGHTS}` must hold the weights of Silero VAD, but does not: {error}"
        ) from error
    return network.eval().requires_grad_(False)


class SileroVad:
    """The Silero detector of one stream, asleep (probability 0) while webrtc hears nothing for a second.

    It is woken up with the half second before, so that it does not begin in the middle of a word. Every window goes
    through alone: in a batch the last bits could depend on the chunks. `gate=False` never sleeps.
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
            self._state = self._network.init_state(1)
            while self._missed:
                self._run(self._state, self._missed.popleft())
        elif self._state is not None and self._num_quiet > _HOLD_WINDOWS:
            self._state = None
        if self._state is None:
            self._missed.append(window.copy())
            return 0.0
        return self._run(self._state, window)

    def _run(self, state: SileroState, window: Samples) -> float:
        with torch.inference_mode():
            probability, self._state = self._network(torch.tensor(window).unsqueeze(0), state)
        return float(probability)
