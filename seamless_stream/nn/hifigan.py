"""The HiFi-GAN generator (Kong et al. 2020): a row of embeddings in, samples out; fully convolutional.

Weight norm is folded into the weights: released checkpoints store it so. Inside, a row is an image of height 1: a CPU
takes 0.7 of the time (v2-large: 0.9) where the channels of a place lie side by side, which torch can for images only.
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

END_KERNEL = 7  # of the first and the last convolution
POST_SLOPE = (
    0.01  # before the last convolution the reference uses torch's default slope, not the configured one
)


def reach(
    rates: Sequence[int],
    kernels: Sequence[int],
    block_kernels: Sequence[int],
    block_dilations: Sequence[Sequence[int]],
) -> int:
    """Inputs on one side of an input that its samples depend on: one-sided receptive field, exact."""
    blocks = (
        sum((kernel - 1) * (dilation + 1) // 2 for dilation in dilations)
        for kernel, dilations in zip(block_kernels, block_dilations, strict=True)
    )
    widest = max(blocks)
    first, last = -(END_KERNEL // 2), prod(rates) - 1 + END_KERNEL // 2  # read for the samples of input 0
    for rate, kernel in zip(reversed(rates), reversed(kernels), strict=True):
        first, last = first - widest, last + widest
        trim = (kernel - rate) // 2
        # A transposed convolution puts input i at outputs i * rate - trim + (0 .. kernel - 1).
        first, last = -((kernel - 1 - trim - first) // rate), (last + trim) // rate
    return max(END_KERNEL // 2 - first, END_KERNEL // 2 + last)


class Convolution(nn.Conv1d):
    """The weights of a Conv1d; [B, D, 1, T] of the same length out."""

    def forward(self, x: Tensor) -> Tensor:
        """Padded on both sides."""
        dilation, padding = self.dilation[0], self.dilation[0] * (self.kernel_size[0] - 1) // 2
        kernel = self.weight.unsqueeze(2)
        return F.conv2d(x, kernel, self.bias, dilation=(1, dilation), padding=(0, padding))


class Upsampler(nn.ConvTranspose1d):
    """The weights of a ConvTranspose1d; [B, D, 1, T] -> [B, D', 1, T * stride]."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Trimmed on both sides."""
        rate, trim = self.stride[0], (self.kernel_size[0] - self.stride[0]) // 2
        return F.conv_transpose2d(x, self.weight.unsqueeze(2), self.bias, stride=(1, rate), padding=(0, trim))


class ResidualBlock(nn.Module):
    """Pairs of dilated and plain convolutions around a residual path; [B, D, 1, T] -> [B, D, 1, T]."""

    def __init__(self, width: int, kernel: int, dilations: Sequence[int], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.dilated = nn.ModuleList(
            Convolution(width, width, kernel, dilation=dilation) for dilation in dilations
        )
        self.plain = nn.ModuleList(Convolution(width, width, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Same length."""
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            y = dilated(F.leaky_relu(x, self.slope))
            x = x + plain(F.leaky_relu(y, self.slope))
        return x


class HifiGan(nn.Module):
    """Upsampling by transposed convolutions, each followed by the mean of residual blocks of several kernels."""

    def __init__(
        self,
        width_in: int,
        width: int,
        rates: Sequence[int],
        kernels: Sequence[int],
        block_kernels: Sequence[int],
        block_dilations: Sequence[Sequence[int]],
        slope: float,
    ) -> None:
        super().__init__()
        self.slope = slope
        self.num_blocks = len(block_kernels)
        self.pre = Convolution(width_in, width, END_KERNEL)
        widths = [width // 2**stage for stage in range(len(rates) + 1)]
        self.upsamplers = nn.ModuleList(
            Upsampler(widths[i], widths[i + 1], kernel, stride=rate)
            for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True))
        )
        self.blocks = nn.ModuleList(
            ResidualBlock(widths[i + 1], kernel, dilations, slope)
            for i in range(len(rates))
            for kernel, dilations in zip(block_kernels, block_dilations, strict=True)
        )
        self.post = Convolution(widths[-1], 1, END_KERNEL)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D, U] -> samples [B, U * product of rates] in (-1, 1)."""
        x = self.pre(x.unsqueeze(2))
        for stage, upsampler in enumerate(self.upsamplers):
            x = upsampler(F.leaky_relu(x, self.slope))
            if (
                x.device.type == "cpu"
            ):  # not before: with few places it takes longer to lay out the weights too
                x = x.contiguous(memory_format=torch.channels_last)
            first = stage * self.num_blocks
            y = self.blocks[first](x)
            for block in list(self.blocks)[first + 1 : first + self.num_blocks]:
                y = y + block(x)
            x = y / self.num_blocks
        x = self.post(F.leaky_relu(x, POST_SLOPE))  # [B, 1, 1, N]
        return torch.tanh(x).flatten(1)
