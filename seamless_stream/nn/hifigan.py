"""The HiFi-GAN generator (Kong et al. 2020): a row of embeddings in, samples out; fully convolutional.

Weight norm is folded into the weights: released checkpoints store it so.
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


class ResidualBlock(nn.Module):
    """Pairs of dilated and plain convolutions around a residual path; [B, D, T] -> [B, D, T]."""

    def __init__(self, width: int, kernel: int, dilations: Sequence[int], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, width, kernel, dilation=d, padding=(kernel - 1) * d // 2) for d in dilations
        )
        self.plain = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )

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
        self.pre = nn.Conv1d(width_in, width, END_KERNEL, padding=END_KERNEL // 2)
        widths = [width // 2**stage for stage in range(len(rates) + 1)]
        self.upsamplers = nn.ModuleList(
            nn.ConvTranspose1d(widths[i], widths[i + 1], kernel, stride=rate, padding=(kernel - rate) // 2)
            for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True))
        )
        self.blocks = nn.ModuleList(
            ResidualBlock(widths[i + 1], kernel, dilations, slope)
            for i in range(len(rates))
            for kernel, dilations in zip(block_kernels, block_dilations, strict=True)
        )
        self.post = nn.Conv1d(widths[-1], 1, END_KERNEL, padding=END_KERNEL // 2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D, U] -> samples [B, U * product of rates] in (-1, 1)."""
        x = self.pre(x)
        for stage, upsampler in enumerate(self.upsamplers):
            x = upsampler(F.leaky_relu(x, self.slope))
            first = stage * self.num_blocks
            y = self.blocks[first](x)
            for block in list(self.blocks)[first + 1 : first + self.num_blocks]:
                y = y + block(x)
            x = y / self.num_blocks
        x = self.post(F.leaky_relu(x, POST_SLOPE))  # [B, 1, N]
        return torch.tanh(x).squeeze(1)
