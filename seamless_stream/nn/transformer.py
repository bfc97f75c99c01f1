"""Pre-norm transformer encoder and decoder stacks; the decoder keeps its keys and values in an explicit state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from seamless_stream.nn.attention import KVState, MultiHeadAttention, key_mask
from seamless_stream.nn.conformer import FeedForward
from seamless_stream.nn.positions import sinusoidal_table
from seamless_stream.nn.state import State, ending_at


@dataclass(frozen=True, eq=False)
class DecoderLayerState(State):
    """Own keys and values, which grow, and the source's, computed once per encoder output."""

    own: KVState
    source: KVState


@dataclass(frozen=True, eq=False)
class DecoderState(State):
    """What the decoder keeps of one hypothesis per row: own positions end, source positions begin together."""

    layers: tuple[DecoderLayerState, ...]
    source_lengths: Tensor  # [B] valid encoder positions
    length: Tensor  # [B] int64, tokens read so far

    @classmethod
    def stack(cls, states: Sequence[Self]) -> Self:
        """Rows of any lengths: shorter ones get filling in front of their own and behind their source's positions."""
        num_own = max(state._num_own for state in states)
        num_source = max(state._num_source for state in states)
        return super().stack([state._padded(num_own, num_source) for state in states])

    def reorder(self, rows: Tensor) -> Self:
        """As any state's; positions that are filling in all remaining rows are dropped."""
        picked = super().reorder(rows)
        num_own, num_source = int(picked.length.max()), int(picked.source_lengths.max())
        if num_own == picked._num_own and num_source == picked._num_source:
            return picked
        layers = tuple(
            DecoderLayerState(layer.own.last(num_own), layer.source.first(num_source))
            for layer in picked.layers
        )
        return type(self)(layers, picked.source_lengths, picked.length)

    def without_newest(self, counts: Tensor) -> Self:
        """As it was before the newest counts [B] tokens of each row were read."""
        length = self.length - counts
        ends, size = self._num_own - counts, int(length.max())
        layers = tuple(
            DecoderLayerState(
                KVState(ending_at(layer.own.keys, ends, size), ending_at(layer.own.values, ends, size)),
                layer.source,
            )
            for layer in self.layers
        )
        return type(self)(layers, self.source_lengths, length)

    @property
    def _num_own(self) -> int:
        return self.layers[0].own.keys.shape[2]

    @property
    def _num_source(self) -> int:
        return self.layers[0].source.keys.shape[2]

    def _padded(self, num_own: int, num_source: int) -> Self:
        front, back = num_own - self._num_own, num_source - self._num_source
        layers = tuple(
            DecoderLayerState(layer.own.padded(front, 0), layer.source.padded(0, back))
            for layer in self.layers
        )
        return type(self)(layers, self.source_lengths, self.length)


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

    Positions are derived, not learned: they are not in a checkpoint and have no largest length. A negative start
    is that of a row with filling in front.
    """
    index = start[:, None] + torch.arange(token_ids.shape[1], device=token_ids.device)  # [B, T]
    index = index.clamp(min=0)
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
        self,
        x: Tensor,
        state: DecoderLayerState,
        own_mask: Tensor | None,
        source_mask: Tensor | None,
        heads: list[int],
    ) -> tuple[Tensor, DecoderLayerState, Tensor | None]:
        """x [B, T, D]; masks [B, 1, T, past + T] and [B, 1, 1, S]; the source attention [B, A, T, S] of `heads`."""
        y = self.attention_norm(x)
        new = self.attention.memory(y)
        own = state.own.append(new.keys, new.values)
        x = x + self.attention.attend(y, own, own_mask)
        y = self.source_norm(x)
        looks = self.source_attention.weights(y, state.source, source_mask, heads) if heads else None
        x = x + self.source_attention.attend(y, state.source, source_mask)
        x = x + self.ffn(self.ffn_norm(x))
        return x, DecoderLayerState(own, state.source), looks


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
        """[B, 1, T, past + T]: causal, and blind to the filling in front; length [B] counts the new tokens too."""
        size = num_past + num_new
        if num_new == 1 and bool((length == size).all()):
            return None
        keys = torch.arange(size, device=length.device)
        queries = torch.arange(num_new, device=length.device) + num_past
        causal = keys[None, :] <= queries[:, None]  # [T, past + T]
        filled = keys[None, :] >= (size - length)[:, None]  # [B, past + T]
        return (causal[None] & filled[:, None, :])[:, None]

    def forward(
        self, x: Tensor, state: DecoderState, length: Tensor, heads: Sequence[tuple[int, int]] = ()
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Embedded tokens x [B, T, D] that bring their rows to length [B] -> hidden states [B, T, D], normalised.

        Rows may have filling in front of their first tokens, so only a first call may have rows of unequal length.
        The third result is the source attention [B, A, T, S] of the (layer, head) pairs in `heads`, sorted.
        """
        num_past = state.layers[0].own.keys.shape[2]
        own_mask = self.own_mask(length, num_past, x.shape[1])
        source_mask = key_mask(state.source_lengths, state.layers[0].source.keys.shape[2])
        layers, looks = [], []
        for index, (layer, layer_state) in enumerate(zip(self.layers, state.layers, strict=True)):
            watched = [head for at, head in heads if at == index]
            x, new, look = layer(x, layer_state, own_mask, source_mask, watched)
            layers.append(new)
            if look is not None:
                looks.append(look)
        attention = torch.cat(looks, dim=1) if looks else None  # [B, A, T, S]
        return self.norm(x), DecoderState(tuple(layers), state.source_lengths, length), attention
