"""Transformer stacks whose layer norms come after the sums, as in Vaswani et al. 2017; else as `nn.transformer`.

The parameters and the decoder's state are those of the pre-norm stacks; only the order of work differs. An encoder
norms what comes in, and neither stack norms what goes out: the last layer did.
"""

from torch import Tensor, nn

from seamless_stream.nn.attention import key_mask
from seamless_stream.nn.transformer import (
    Decoder,
    DecoderLayer,
    DecoderLayerState,
    Encoder,
    EncoderLayer,
)


class PostNormEncoderLayer(EncoderLayer):
    """Self-attention and feed-forward, a layer norm behind each sum."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x [B, T, D], mask [B, 1, 1, T]."""
        x = self.attention_norm(x + self.attention(x, mask))
        y: Tensor = self.ffn_norm(x + self.ffn(x))
        return y


class PostNormEncoder(Encoder):
    """A stack over whole inputs: [B, T, D] with lengths [B] -> [B, T, D]."""

    def __init__(self, width: int, num_layers: int, num_heads: int, inner: int, activation: str) -> None:
        super().__init__(width, 0, num_heads, inner, activation)
        self.layers = nn.ModuleList(
            PostNormEncoderLayer(width, num_heads, inner, activation) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Bidirectional; padding is at the end of a row."""
        mask = key_mask(lengths, x.shape[1])
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return x


class PostNormDecoderLayer(DecoderLayer):
    """Causal self-attention, attention to the source, feed-forward, a layer norm behind each sum."""

    def forward(
        self,
        x: Tensor,
        state: DecoderLayerState,
        own_mask: Tensor | None,
        source_mask: Tensor | None,
        heads: list[int],
    ) -> tuple[Tensor, DecoderLayerState, Tensor | None]:
        """x [B, T, D]; masks [B, 1, T, past + T] and [B, 1, 1, S]; the source attention [B, A, T, S] of `heads`."""
        new = self.attention.memory(x)
        own = state.own.append(new.keys, new.values)
        x = self.attention_norm(x + self.attention.attend(x, own, own_mask))
        looks = self.source_attention.weights(x, state.source, source_mask, heads) if heads else None
        x = self.source_norm(x + self.source_attention.attend(x, state.source, source_mask))
        x = self.ffn_norm(x + self.ffn(x))
        return x, DecoderLayerState(own, state.source), looks


class PostNormDecoder(Decoder):
    """An autoregressive stack: embeddings in, last hidden states out, keys and values in the state."""

    def __init__(self, width: int, num_layers: int, num_heads: int, inner: int, activation: str) -> None:
        super().__init__(width, 0, num_heads, inner, activation)
        self.layers = nn.ModuleList(
            PostNormDecoderLayer(width, num_heads, inner, activation) for _ in range(num_layers)
        )
        self.norm = nn.Identity()  # type: ignore[assignment]
