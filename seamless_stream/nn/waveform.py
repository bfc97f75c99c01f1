"""From samples to frames by convolutions alone, and positions by a convolution (wav2vec 2.0, arXiv:2006.11477)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.nn.conformer import ACTIVATIONS

Norm = Literal["group", "layer"]


class FrameConvolution(nn.Module):
    """One strided convolution without padding, a norm or none, an activation; [B, D, T] -> [B, D', T']."""

    def __init__(
        self,
        width_in: int,
        width: int,
        kernel: int,
        stride: int,
        *,
        bias: bool,
        norm: nn.Module | None,
        activation: str,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width_in, width, kernel, stride=stride, bias=bias)
        if norm is not None:
            self.norm = norm
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """A layer norm is over channels, a group norm here over the time of each channel."""
        x = self.conv(x)
        if hasattr(self, "norm"):
            x = self.norm(x) if isinstance(self.norm, nn.GroupNorm) else self.norm(x.mT).mT
        return self.activation(x)


class WaveformEncoder(nn.Module):
    """A stack of strided convolutions over samples.

    With `group` only the first convolution has a norm, over the whole time of each channel: a row's frames then
    depend on all of its samples, and padding would change them. Rows are therefore given one by one.
    """

    def __init__(
        self,
        widths: Sequence[int],
        kernels: Sequence[int],
        strides: Sequence[int],
        *,
        bias: bool,
        norm: Norm,
        activation: str,
    ) -> None:
        super().__init__()
        self.kernels, self.strides = tuple(kernels), tuple(strides)
        layers = []
        for index, width in enumerate(widths):
            own_norm: nn.Module | None = None
            if norm == "layer":
                own_norm = nn.LayerNorm(width)
            elif index == 0:
                own_norm = nn.GroupNorm(width, width)
            width_in = widths[index - 1] if index else 1
            layers.append(
                FrameConvolution(
                    width_in,
                    width,
                    kernels[index],
                    strides[index],
                    bias=bias,
                    norm=own_norm,
                    activation=activation,
                )
            )
        self.layers = nn.ModuleList(layers)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N] of one row -> frames [T, D]."""
        x = samples[None, None]  # [1, 1, N]
        for layer in self.layers:
            x = layer(x)
        return x[0].T


def num_frames(num_samples: int, kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Frames that the convolutions make of so many samples; 0 where these are too few."""
    for kernel, stride in zip(kernels, strides, strict=True):
        num_samples = max(0, (num_samples - kernel) // stride + 1)
    return num_samples


def least_samples(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """The fewest samples that make a frame."""
    needed = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        needed = (needed - 1) * stride + kernel
    return needed


class ConvolutionalPositions(nn.Module):
    """What a position's neighbourhood says of where it is: one wide grouped convolution with weight norm.

    The weight is `direction` scaled so that its norm at each of the kernel's places is that place's `magnitude`.
    """

    def __init__(self, width: int, kernel: int, groups: int, activation: str) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        self.magnitude = nn.Parameter(torch.ones(1, 1, kernel))
        self.direction = nn.Parameter(torch.ones(width, width // groups, kernel))
        self.bias = nn.Parameter(torch.zeros(width))
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D], zero behind each row's end -> [B, T, D], to be added to x."""
        norms = torch.linalg.vector_norm(self.direction, dim=(0, 1), keepdim=True)  # [1, 1, kernel]
        weight = self.direction * (self.magnitude / norms)
        y = F.conv1d(x.mT, weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        return self.activation(y[:, :, : x.shape[1]]).mT  # an even kernel gives one position more
