"""The conformer sandwich as w2v-BERT trained it first: Transformer-XL attention over the whole input and a convolution
that sees both sides, with batch norm (Gulati et al. 2020; Dai et al. 2019, section 3.3).

Every position sees every other, so there is nothing to keep between pieces: no state, and a longer input is heard again
from its start. The streaming sandwich is in `nn/conformer.py`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.nn.attention import MultiHeadAttention, key_mask, length_mask
from seamless_stream.nn.conformer import ACTIVATIONS, FeedForward
from seamless_stream.nn.convolution import depthwise
from seamless_stream.nn.positions import relative_table, spread_relative_scores


class RelativePositionAttention(MultiHeadAttention):
    """Self-attention that asks for content and for distance apart, each with a bias of its own on the query."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__(width, num_heads)
        self.distance = nn.Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(num_heads, self.head_width))
        self.distance_bias = nn.Parameter(torch.zeros(num_heads, self.head_width))

    def forward_relative(self, x: Tensor, table: Tensor, mask: Tensor | None) -> Tensor:
        """x [B, T, D] and the rows of all its distances [2 T - 1, D] -> [B, T, D]."""
        queries, memory = self.heads(self.query(x)), self.memory(x)  # [B, H, T, K]
        distances = self.heads(self.distance(table)[None])  # [1, H, 2 T - 1, K]
        scores = torch.matmul(queries + self.distance_bias[:, None], distances.transpose(2, 3))
        num_keys = x.shape[1]
        bias = spread_relative_scores(scores / math.sqrt(self.head_width), num_keys, num_keys - 1)
        if mask is not None:
            bias = bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
        y = F.scaled_dot_product_attention(
            queries + self.content_bias[:, None], memory.keys, memory.values, attn_mask=bias
        )
        z: Tensor = self.output(y.transpose(1, 2).flatten(2))  # [B, T, D]
        return z


class BatchNormConvolution(nn.Module):
    """Pointwise, gated, depthwise over both sides, batch norm, pointwise."""

    def __init__(self, width: int, kernel: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width, bias=False)
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width, bias=False)  # for `depthwise`
        self.batch_norm = nn.BatchNorm1d(width)
        self.contract = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """x [B, T, D]; positions that are not valid [B, T, 1] are silenced before the convolution sees them."""
        x = self.norm(x)
        if valid is not None:
            x = x * valid
        x = F.glu(self.expand(x), dim=2).transpose(1, 2)  # [B, D, T]
        x = depthwise(x, self.depthwise.weight, padding="same")
        x = self.batch_norm(x).transpose(1, 2)  # [B, T, D]
        y: Tensor = self.contract(self.activation(x))
        return y


class FullConformerLayer(nn.Module):
    """One sandwich; all residual, pre-norm, with a closing layer norm."""

    def __init__(self, width: int, num_heads: int, inner: int, kernel: int, activation: str) -> None:
        super().__init__()
        self.ffn1_norm = nn.LayerNorm(width)
        self.ffn1 = FeedForward(width, inner, activation)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = RelativePositionAttention(width, num_heads)
        self.convolution = BatchNormConvolution(width, kernel, activation)
        self.ffn2_norm = nn.LayerNorm(width)
        self.ffn2 = FeedForward(width, inner, activation)
        self.final_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor | None, valid: Tensor | None) -> Tensor:
        """x [B, T, D], table [2 T - 1, D], mask [B, 1, 1, T], valid [B, T, 1]."""
        x = x + 0.5 * self.ffn1(self.ffn1_norm(x))
        x = x + self.attention.forward_relative(self.attention_norm(x), table, mask)
        x = x + self.convolution(x, valid)
        x = x + 0.5 * self.ffn2(self.ffn2_norm(x))
        y: Tensor = self.final_norm(x)
        return y


class FullConformer(nn.Module):
    """A stack of such sandwiches over whole inputs."""

    def __init__(
        self, width: int, num_layers: int, num_heads: int, inner: int, kernel: int, activation: str
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            FullConformerLayer(width, num_heads, inner, kernel, activation) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [B, T, D] with lengths [B] valid positions -> y [B, T, D]; a row as if it were alone."""
        table = relative_table(x.shape[1], x.shape[2]).to(x)
        mask = key_mask(lengths, x.shape[1])
        valid = None if mask is None else length_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
        for layer in self.layers:
            x = layer(x, table, mask, valid)
        return x
