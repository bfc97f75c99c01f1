"""Pre-norm transformer encoder and decoder stacks; the decoder keeps its keys and values in an explicit state."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seamless_stream.nn.attention import KVState, MultiHeadAttention, key_mask
from seamless_stream.nn.conformer import FeedForward
from seamless_stream.nn.positions import sinusoidal_table
from seamless_stream.nn.state import State


@dataclass(frozen=True, eq=False)
class DecoderLayerState(State):
    """Own keys and values, which grow, and the source's, computed once per encoder output."""

    own: KVState
    source: KVState


@dataclass(frozen=True, eq=False)
class DecoderState(State):
    """What the decoder keeps of one hypothesis per row."""

    layers: tuple[DecoderLayerState, ...]
    source_lengths: Tensor  # [B] valid encoder positions
    length: Tensor  # [B] int64, tokens read so far


_tables: dict[
    tuple[int, int], Tensor
] = {}  # (width, padding) -> the longest table so far; a pure function's memory


def position_rows(count: int, width: int, padding_id: int) -> Tensor:
    """Sinusoidal rows of the positions after the padding row, [count, D] float32."""
    table = _tables.get((width, padding_id))
    needed = count + padding_id + 1
    if table is None or table.shape[0] < needed:
        table = sinusoidal_table(max(1024, 2 * needed), width, padding_id)
        _tables[(width, padding_id)] = table
    return table[padding_id + 1 : needed]


def embed(tokens: nn.Embedding, scale: float, padding_id: int, token_ids: Tensor, start: Tensor) -> Tensor:
    """Scaled token embeddings plus positions: token_ids [B, T], the first one start [B] tokens into its row.

    Positions are derived, not learned: they are not in a checkpoint and have no largest length.
    """
    index = start[:, None] + torch.arange(token_ids.shape[1], device=token_ids.device)  # [B, T]
    embedded = tokens(token_ids) * scale
    table = position_rows(int(index.max()) + 1, embedded.shape[2], padding_id).to(embedded)
    y: Tensor = embedded + table[index]
    return y


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each behind a layer norm."""

    def __init__(self, width: int, num_heads: int, inner: int, activation: str) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, num_heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, inner, activation)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x [B, T, D], mask [B, 1, 1, T]."""
        x = x + self.attention(self.attention_norm(x), mask)
        y: Tensor = x + self.ffn(self.ffn_norm(x))
        return y


class Encoder(nn.Module):
    """A stack over whole inputs: [B, T, D] with lengths [B] -> [B, T, D]."""

    def __init__(self, width: int, num_layers: int, num_heads: int, inner: int, activation: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(width, num_heads, inner, activation) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Bidirectional; padding is at the end of a row."""
        mask = key_mask(lengths, x.shape[1])
        for layer in self.layers:
            x = layer(x, mask)
        y: Tensor = self.norm(x)
        return y


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source, feed-forward, each behind a layer norm."""

    def __init__(self, width: int, num_heads: int, inner: int, activation: str) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, num_heads)
        self.source_norm = nn.LayerNorm(width)
        self.source_attention = MultiHeadAttention(width, num_heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, inner, activation)

    def forward(
        self, x: Tensor, state: DecoderLayerState, own_mask: Tensor | None, source_mask: Tensor | None
    ) -> tuple[Tensor, DecoderLayerState]:
        """x [B, T, D]; masks [B, 1, T, past + T] and [B, 1, 1, S]."""
        y = self.attention_norm(x)
        new = self.attention.memory(y)
        own = state.own.append(new.keys, new.values)
        x = x + self.attention.attend(y, own, own_mask)
        x = x + self.source_attention.attend(self.source_norm(x), state.source, source_mask)
        x = x + self.ffn(self.ffn_norm(x))
        return x, DecoderLayerState(own, state.source)


class Decoder(nn.Module):
    """An autoregressive stack: embeddings in, last hidden states out, keys and values in the state."""

    def __init__(self, width: int, num_layers: int, num_heads: int, inner: int, activation: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(width, num_heads, inner, activation) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def init_state(self, states: Tensor, lengths: Tensor) -> DecoderState:
        """Encoder states [B, S, D] with lengths [B]: their keys and values are computed here, once."""
        layers = []
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            source = layer.source_attention.memory(states)
            empty = source.keys[:, :, :0]
            layers.append(DecoderLayerState(KVState(empty, empty), source))
        return DecoderState(tuple(layers), lengths, torch.zeros_like(lengths))

    def own_mask(self, length: Tensor, num_past: int, num_new: int) -> Tensor | None:
        """[B, 1, T, past + T]: causal, and blind to the filling in front of rows that are shorter than the cache."""
        if num_new == 1 and bool((length == num_past).all()):
            return None
        keys = torch.arange(num_past + num_new, device=length.device)
        queries = torch.arange(num_new, device=length.device) + num_past
        causal = keys[None, :] <= queries[:, None]  # [T, past + T]
        filled = keys[None, :] >= (num_past - length)[:, None]  # [B, past + T]
        return (causal[None] & filled[:, None, :])[:, None]

    def forward(self, x: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Embedded tokens x [B, T, D], placed from `state.length` on -> hidden states [B, T, D], normalised."""
        num_past = state.layers[0].own.keys.shape[2]
        own_mask = self.own_mask(state.length, num_past, x.shape[1])
        source_mask = key_mask(state.source_lengths, state.layers[0].source.keys.shape[2])
        layers = []
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            x, new = layer(x, layer_state, own_mask, source_mask)
            layers.append(new)
        return self.norm(x), DecoderState(tuple(layers), state.source_lengths, state.length + x.shape[1])
