"""What a vocoder in training is judged by: spectra at several resolutions and small discriminators.

Knows waveforms only; nothing of units, clips or optimizers.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tools.phrasebook.units import mel_matrix

_RESOLUTIONS: Final = ((256, 64), (512, 128), (1024, 256), (2048, 480))  # window and hop in samples
_MEL_RESOLUTION: Final = 2
_FLOOR: Final = 1e-3  # magnitudes below are not heard at the common level
_PERIODS: Final = (2, 3, 5)
_PERIOD_WIDTHS: Final = (8, 24, 48, 96)
_SPECTRUM_WIDTHS: Final = (8, 16, 24, 32)
_SLOPE: Final = 0.1

Judgement = tuple[Tensor, list[Tensor]]  # scores, inner features


class SpectralLoss(nn.Module):
    """L1 of log-mel (weight 45 as in HiFi-GAN) and, at four resolutions, of log and relative magnitudes."""

    def __init__(self) -> None:
        super().__init__()
        for index, (window, _) in enumerate(_RESOLUTIONS):
            self.register_buffer(f"window{index}", torch.hann_window(window))
        self.register_buffer(
            "mel", torch.from_numpy(mel_matrix(_RESOLUTIONS[_MEL_RESOLUTION][0] // 2 + 1, 80))
        )

    def _magnitudes(self, x: Tensor, index: int) -> Tensor:
        window, hop = _RESOLUTIONS[index]
        spectrum = torch.stft(x, window, hop, window=getattr(self, f"window{index}"), return_complex=True)
        return torch.view_as_real(spectrum).square().sum(-1).clamp(min=1e-8).sqrt()  # [B, bins, frames]

    def _log_mel(self, magnitudes: Tensor) -> Tensor:
        return (magnitudes.transpose(1, 2) @ self.mel).clamp(min=1e-3).log()

    def forward(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms [B, N] -> (whole loss, log-mel L1)."""
        total = made.new_zeros(())
        mel = made.new_zeros(())
        for index in range(len(_RESOLUTIONS)):
            a, b = self._magnitudes(made, index), self._magnitudes(real, index)
            total = total + F.l1_loss((a + _FLOOR).log(), (b + _FLOOR).log())
            total = total + (a - b).square().sum().sqrt() / (b.square().sum().sqrt() + 1e-3)
            if index == _MEL_RESOLUTION:
                mel = F.l1_loss(self._log_mel(a), self._log_mel(b))
        return 3 * total + 45 * mel, mel


class PeriodDiscriminator(nn.Module):
    """Looks at every p-th sample: pulses and their regularity."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, *_PERIOD_WIDTHS)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)))
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, x: Tensor) -> Judgement:
        """x [B, N]."""
        usable = x.shape[1] // self.period * self.period
        y = x[:, :usable].reshape(x.shape[0], 1, -1, self.period)
        return _through(self.layers, self.score, y)


class SpectrumDiscriminator(nn.Module):
    """Looks at log magnitudes as a picture: the texture of harmonics and noise."""

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("window", torch.hann_window(window))
        widths = (1, *_SPECTRUM_WIDTHS)
        strides = ((2, 1), (2, 1), (2, 2), (2, 1))  # frequency, time
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (7, 3), stride, (3, 1)))
            for a, b, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> Judgement:
        """x [B, N]."""
        size = self.window.shape[0]
        spectrum = torch.view_as_real(torch.stft(x, size, self.hop, window=self.window, return_complex=True))
        return _through(self.layers, self.score, (spectrum.square().sum(-1) + 1e-5).log()[:, None] * 0.2)


def _through(layers: nn.ModuleList, score: nn.Module, y: Tensor) -> Judgement:
    inner = []
    for layer in layers:
        y = F.leaky_relu(layer(y), _SLOPE)
        inner.append(y)
    return score(y), inner


class Discriminators(nn.Module):
    """All of them, on the same waveform."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(PeriodDiscriminator(period) for period in _PERIODS)
        self.parts.extend(SpectrumDiscriminator(window, hop) for window, hop in ((512, 128),))

    def forward(self, x: Tensor) -> list[Judgement]:
        """x [B, N]."""
        return [part(x) for part in self.parts]


def judge_loss(real: list[Judgement], made: list[Judgement]) -> Tensor:
    """Least squares: real is 1, made is 0."""
    total = torch.zeros(())
    for (a, _), (b, _) in zip(real, made, strict=True):
        total = total + (a - 1).square().mean() + b.square().mean()
    return total


def fool_loss(real: list[Judgement], made: list[Judgement]) -> tuple[Tensor, Tensor]:
    """For the generator: made should score 1, and its inner features should be those of the real one."""
    fooled, matched = torch.zeros(()), torch.zeros(())
    for (_, inner), (score, made_inner) in zip(real, made, strict=True):
        fooled = fooled + (score - 1).square().mean()
        for a, b in zip(inner, made_inner, strict=True):
            matched = matched + F.l1_loss(b, a.detach()) / (a.detach().abs().mean() + 1e-3)
    return fooled, matched
