"""Convolutions over time. Inside these blocks tensors are [B, D, T]; at their borders [B, T, D]."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.nn.state import State, ending_at


def depthwise(x: Tensor, weight: Tensor, padding: str = "valid") -> Tensor:
    """x [B, D, T] with one filter [D, 1, K] per channel.

    Computed as a picture of height one: on a CPU, the kernels for these take a half to a quarter of the time.
    """
    return F.conv2d(x[:, :, None], weight[:, :, None], padding=padding, groups=len(weight))[:, :, 0]


def strided(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """x [B, T, D] -> [B, S, D']: a convolution without padding, as one product of its windows and its weights.

    Where windows overlap little they hold little more than x, and a product takes a third of the time that oneDNN needs
    for a wide one, which also compiles a kernel for each new length.
    """
    windows = x.unfold(1, conv.kernel_size[0], conv.stride[0])  # [B, S, D, K]
    return F.linear(windows.flatten(2), conv.weight.flatten(1), conv.bias)


@dataclass(frozen=True, eq=False)
class ConvState(State):
    """The last inputs of a causal convolution."""

    tail: Tensor  # [B, D, kernel - 1]


class CausalDepthwiseConv1d(nn.Module):
    """One filter per channel that sees the present and `kernel - 1` past positions; offline is one chunk from zeros."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.carry = kernel - 1
        self.conv = nn.Conv1d(width, width, kernel, groups=width, bias=False)

    def init_state(self, batch: int) -> ConvState:
        """Silence before the first position."""
        weight = self.conv.weight
        return ConvState(weight.new_zeros(batch, weight.shape[0], self.carry))

    def forward(self, x: Tensor, state: ConvState, advance: Tensor | None) -> tuple[Tensor, ConvState]:
        """x [B, D, T] -> y [B, D, T] and the state after the first `advance` [B] (None: all) positions of x."""
        x = torch.cat([state.tail, x], dim=2)  # [B, D, kernel - 1 + T]
        ends = None if advance is None else advance + self.carry
        return depthwise(x, self.conv.weight), ConvState(ending_at(x, ends, self.carry))


class SameConv1d(nn.Module):
    """A convolution over [B, T, D] that sees both sides (bounded windows only: not a streaming block)."""

    def __init__(self, width_in: int, width_out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width_in, width_out, kernel, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> y [B, T, D']."""
        y: Tensor = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return y
