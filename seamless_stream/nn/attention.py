"""Multi-head attention in three forms: plain, cached (decoder), and with relative keys (speech encoder).

Masks are boolean, True where a key may be seen. A query that may see nothing attends to all keys evenly, as the
reference does (its mask is the most negative finite number, not -inf); such rows are padding and never read, but the
adaptor's convolution can look at one of them, so the value matters.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.nn.positions import spread_relative_scores
from seamless_stream.nn.state import State


@dataclass(frozen=True, eq=False)
class KVState(State):
    """Keys and values of earlier positions, the newest last."""

    keys: Tensor  # [B, H, S, K]
    values: Tensor  # [B, H, S, K]

    def append(self, keys: Tensor, values: Tensor) -> "KVState":
        """Grow by new positions; returns a new state."""
        if self.keys.shape[2] == 0:
            return KVState(keys, values)
        return KVState(torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2))

    def padded(self, front: int, back: int) -> "KVState":
        """With positions of zeros before and behind; masks must hide them."""
        if not front and not back:
            return self
        return KVState(F.pad(self.keys, (0, 0, front, back)), F.pad(self.values, (0, 0, front, back)))

    def first(self, count: int) -> "KVState":
        """Only the oldest `count` positions."""
        return KVState(self.keys[:, :, :count], self.values[:, :, :count])

    def last(self, count: int) -> "KVState":
        """Only the newest `count` positions."""
        if self.keys.shape[2] <= count:
            return self
        start = self.keys.shape[2] - count
        return KVState(self.keys[:, :, start:], self.values[:, :, start:])


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Lengths [B] -> mask [B, S], True on valid positions."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def key_mask(lengths: Tensor, size: int) -> Tensor | None:
    """Mask [B, 1, 1, S] for attention, or None where every key is valid."""
    mask = length_mask(lengths, size)
    return None if bool(mask.all()) else mask[:, None, None, :]


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if mask is None:
        return None
    zero = torch.zeros((), dtype=dtype, device=mask.device)
    return torch.where(mask, zero, torch.finfo(dtype).min)


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention; `query_width` may differ from the memory's only through the projections."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_width = width // num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def heads(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, H, T, K]."""
        return x.view(x.shape[0], x.shape[1], self.num_heads, self.head_width).transpose(1, 2)

    def memory(self, x: Tensor) -> KVState:
        """Keys and values of x [B, S, D], computed once for as many queries as follow."""
        return KVState(self.heads(self.key(x)), self.heads(self.value(x)))

    def attend(self, x: Tensor, memory: KVState, mask: Tensor | None) -> Tensor:
        """Queries x [B, T, D] over a memory; mask broadcasts to [B, H, T, S]."""
        queries = self.heads(self.query(x))  # [B, H, T, K]
        y = F.scaled_dot_product_attention(
            queries, memory.keys, memory.values, attn_mask=_additive(mask, queries.dtype)
        )
        z: Tensor = self.output(y.transpose(1, 2).flatten(2))  # [B, T, D]
        return z

    def weights(self, x: Tensor, memory: KVState, mask: Tensor | None, heads: list[int]) -> Tensor:
        """Where queries x [B, T, D] look, of a few heads only: [B, len(heads), T, S], summing to one over S."""
        rows = self.query.weight.view(self.num_heads, self.head_width, -1)[heads].flatten(0, 1)
        bias = self.query.bias.view(self.num_heads, self.head_width)[heads].flatten()
        queries = F.linear(x, rows, bias).view(*x.shape[:2], len(heads), self.head_width).transpose(1, 2)
        scores = torch.matmul(queries, memory.keys[:, heads].transpose(2, 3)) / math.sqrt(self.head_width)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return scores.float().softmax(3)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Self-attention of x [B, T, D] in both directions."""
        return self.attend(x, self.memory(x), mask)


class RelativeKeyAttention(MultiHeadAttention):
    """Self-attention with Shaw's relative keys (no relative values), distances clipped on both sides.

    The bias is `(q @ E.T)[distance]`: R = max_left + 1 + max_right columns per query instead of a [T, S, K] tensor of
    embeddings, which at 10 s of speech and 64 wide heads is 64 MB per layer in the reference.
    """

    def __init__(self, width: int, num_heads: int, max_left: int, max_right: int) -> None:
        super().__init__(width, num_heads)
        self.max_left = max_left
        self.distance = nn.Embedding(max_left + max_right + 1, self.head_width)

    def attend(self, x: Tensor, memory: KVState, mask: Tensor | None) -> Tensor:
        """As above; queries are the newest positions of the memory."""
        queries = self.heads(self.query(x))  # [B, H, T, K]
        scores = torch.matmul(queries, self.distance.weight.T)  # [B, H, T, R]
        bias = spread_relative_scores(
            scores / math.sqrt(self.head_width), memory.keys.shape[2], self.max_left
        )
        if mask is not None:
            bias = bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
        y = F.scaled_dot_product_attention(queries, memory.keys, memory.values, attn_mask=bias)
        z: Tensor = self.output(y.transpose(1, 2).flatten(2))  # [B, T, D]
        return z
