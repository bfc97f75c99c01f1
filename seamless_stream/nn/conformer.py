"""The conformer sandwich of w2v-BERT 2.0 as SeamlessM4T v2 uses it: half feed-forward, chunked relative-key attention,
causal convolution, half feed-forward.

Streaming: a position sees its own chunk whole and `left_chunks` chunks before it, so pieces that end on chunk borders
(or with the segment) give exactly the states of the whole. The offline pass is one piece from the initial state.
A piece may be heard in part only: the state then stops before its end, and the rest is heard again with more behind it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.nn.attention import KVState, RelativeKeyAttention, length_mask
from seamless_stream.nn.convolution import CausalDepthwiseConv1d, ConvState
from seamless_stream.nn.state import State, ending_at

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "swish": F.silu,
    "silu": F.silu,
    "relu": F.relu,
    "gelu": F.gelu,
}


@dataclass(frozen=True, eq=False)
class ConformerLayerState(State):
    """What one layer keeps of earlier positions."""

    attention: KVState
    convolution: ConvState


@dataclass(frozen=True, eq=False)
class ConformerState(State):
    """What the stack keeps between pieces of a segment."""

    layers: tuple[ConformerLayerState, ...]
    position: Tensor  # [B] int64, positions heard so far

    @classmethod
    def stack(cls, states: Sequence["ConformerState"]) -> "ConformerState":
        """Rows of any lengths; the newest positions stand together, and the mask hides what fills the short rows."""
        if len(states) == 1:
            return states[0]
        size = max(state.num_cached for state in states)
        return super().stack([state.padded(size) for state in states])

    def split(self) -> list["ConformerState"]:
        """Rows without filling, in memory of their own: a view would keep the batch alive."""
        rows = []
        for row, position in enumerate(self.position.tolist()):
            kept = slice(max(0, self.num_cached - position), None)
            one = slice(row, row + 1)
            layers = tuple(
                ConformerLayerState(
                    KVState(
                        layer.attention.keys[one, :, kept].clone(),
                        layer.attention.values[one, :, kept].clone(),
                    ),
                    ConvState(layer.convolution.tail[one].clone()),
                )
                for layer in self.layers
            )
            rows.append(ConformerState(layers, self.position[one]))
        return rows

    @property
    def num_cached(self) -> int:
        """Positions whose keys and values are kept."""
        return self.layers[0].attention.keys.shape[2]

    def padded(self, size: int) -> "ConformerState":
        """With `size` cached positions, older ones made up."""
        front = size - self.num_cached
        if not front:
            return self

        def pad(x: Tensor) -> Tensor:
            return F.pad(x, (0, 0, front, 0))

        layers = tuple(
            ConformerLayerState(
                KVState(pad(layer.attention.keys), pad(layer.attention.values)), layer.convolution
            )
            for layer in self.layers
        )
        return ConformerState(layers, self.position)


class FeedForward(nn.Module):
    """Two linear maps with an activation between; [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Position-wise."""
        y: Tensor = self.outer(self.activation(self.inner(x)))
        return y


class ConvolutionModule(nn.Module):
    """Pointwise, gated, causal depthwise, pointwise; with layer norms instead of Conformer's batch norm."""

    def __init__(self, width: int, kernel: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.norm = nn.LayerNorm(width)
        # A kernel of one is a linear map: stored as such, it runs as one matrix product over [B, T, D].
        self.expand = nn.Linear(width, 2 * width, bias=False)
        self.depthwise = CausalDepthwiseConv1d(width, kernel)
        self.depthwise_norm = nn.LayerNorm(width)
        self.contract = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Tensor, valid: Tensor | None, state: ConvState, advance: Tensor | None
    ) -> tuple[Tensor, ConvState]:
        """x [B, T, D]; positions that are not valid [B, T, 1] are silenced before the convolution sees them."""
        x = self.norm(x)
        if valid is not None:
            x = x * valid
        x = F.glu(self.expand(x), dim=2).transpose(1, 2)  # [B, D, T]
        x, state = self.depthwise(x, state, advance)
        x = self.depthwise_norm(x.transpose(1, 2))  # [B, T, D]
        return self.contract(self.activation(x)), state


@dataclass(frozen=True, eq=False)
class _After:
    """Where the next state stands in the piece that is heard now."""

    advance: Tensor | None  # [B] positions of the piece that are heard for good; None: all
    num_cached: int  # of the state before
    num_kept: int  # of the next state

    def kept(self, memory: KVState) -> KVState:
        """What the next state keeps of keys and values [B, H, S, K]."""
        ends = None if self.advance is None else self.advance + self.num_cached
        return KVState(
            ending_at(memory.keys, ends, self.num_kept), ending_at(memory.values, ends, self.num_kept)
        )


class ConformerLayer(nn.Module):
    """One sandwich; all residual, pre-norm, with a closing layer norm."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        inner: int,
        kernel: int,
        max_left: int,
        max_right: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.ffn1_norm = nn.LayerNorm(width)
        self.ffn1 = FeedForward(width, inner, activation)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = RelativeKeyAttention(width, num_heads, max_left, max_right)
        self.convolution = ConvolutionModule(width, kernel, activation)
        self.ffn2_norm = nn.LayerNorm(width)
        self.ffn2 = FeedForward(width, inner, activation)
        self.final_norm = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, mask: Tensor | None, valid: Tensor | None, state: ConformerLayerState, after: _After
    ) -> tuple[Tensor, ConformerLayerState]:
        """x [B, T, D], mask [B, 1, T, S], valid [B, T, 1]."""
        x = x + 0.5 * self.ffn1(self.ffn1_norm(x))
        y = self.attention_norm(x)
        memory = self.attention.memory(y)
        memory = state.attention.append(memory.keys, memory.values)
        x = x + self.attention.attend(y, memory, mask)
        y, conv_state = self.convolution(x, valid, state.convolution, after.advance)
        x = x + y
        x = x + 0.5 * self.ffn2(self.ffn2_norm(x))
        return self.final_norm(x), ConformerLayerState(after.kept(memory), conv_state)


class Conformer(nn.Module):
    """A stack of sandwiches with one chunk mask."""

    def __init__(
        self,
        width: int,
        num_layers: int,
        num_heads: int,
        inner: int,
        kernel: int,
        max_left: int,
        max_right: int,
        activation: str,
        chunk_size: int,
        left_chunks: int,
    ) -> None:
        super().__init__()
        self.chunk_size = chunk_size
        self.left_chunks = left_chunks
        self.layers = nn.ModuleList(
            ConformerLayer(width, num_heads, inner, kernel, max_left, max_right, activation)
            for _ in range(num_layers)
        )

    def init_state(self, batch: int) -> ConformerState:
        """Nothing heard yet."""
        layers = []
        for layer in self.layers:
            assert isinstance(layer, ConformerLayer)
            empty = layer.attention.query.weight.new_zeros(
                batch, layer.attention.num_heads, 0, layer.attention.head_width
            )
            layers.append(
                ConformerLayerState(KVState(empty, empty), layer.convolution.depthwise.init_state(batch))
            )
        device = layers[0].attention.keys.device
        return ConformerState(tuple(layers), torch.zeros(batch, dtype=torch.int64, device=device))

    def chunk_mask(
        self, position: Tensor, lengths: Tensor, num_queries: int, num_cached: int
    ) -> Tensor | None:
        """[B, 1, T, S], or None where every query sees every key.

        Query i of a row stands at `position + i`, key j at `position - cached + j` of its segment.
        """
        keys = (
            torch.arange(num_cached + num_queries, device=position.device) - num_cached + position[:, None]
        )  # [B, S]
        heard = (keys >= 0) & (keys < (position + lengths)[:, None])  # [B, S]
        queries = torch.arange(num_queries, device=position.device) + position[:, None]  # [B, T]
        query_chunk = (queries // self.chunk_size)[:, :, None]
        key_chunk = torch.div(keys, self.chunk_size, rounding_mode="floor")[:, None, :]
        mask = (key_chunk <= query_chunk) & (key_chunk >= query_chunk - self.left_chunks) & heard[:, None, :]
        return None if bool(mask.all()) else mask[:, None]

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: ConformerState,
        *,
        advance: Tensor | None = None,
        keep: int | None = None,
    ) -> tuple[Tensor, ConformerState]:
        """x [B, T, D] with lengths [B] valid positions -> y [B, T, D]; rows are padded at their end only.

        The new state stands after `advance` [B] (default: all) valid positions and knows the last `keep` of them.
        """
        num_cached = state.num_cached
        mask = self.chunk_mask(state.position, lengths, x.shape[1], num_cached)
        advance = lengths if advance is None else advance
        valid = None
        if bool((lengths < x.shape[1]).any()):
            valid = length_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
        kept = self.chunk_size * self.left_chunks
        kept = min(kept if keep is None else keep, num_cached + x.shape[1])
        is_whole = bool((advance == x.shape[1]).all())
        after = _After(None if is_whole else advance, num_cached, kept)
        states = []
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            x, new = layer(x, mask, valid, layer_state, after)
            states.append(new)
        return x, ConformerState(tuple(states), state.position + advance)
