"""Token embeddings, a transformer decoder and its head: `base.Decoder` for families that only write.

Knows no vocabulary and no prompt.
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.models.base import DecoderStep, EncoderOutput
from seamless_stream.nn.state import State
from seamless_stream.nn.transformer import Decoder, DecoderState, embed


class DecoderFacts(Protocol):
    """What a family's configuration says of its decoder."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def d_model(self) -> int: ...
    @property
    def decoder_layers(self) -> int: ...
    @property
    def decoder_attention_heads(self) -> int: ...
    @property
    def decoder_ffn_dim(self) -> int: ...
    @property
    def activation_function(self) -> str: ...
    @property
    def scale_embedding(self) -> bool: ...
    @property
    def pad_token_id(self) -> int: ...
    @property
    def tie_word_embeddings(self) -> bool: ...


class TextDecoder(nn.Module):
    """`base.Decoder`; `stack` is pre-norm or post-norm."""

    def __init__(self, facts: DecoderFacts, stack: type[Decoder]) -> None:
        super().__init__()
        self.vocabulary_size = facts.vocab_size
        self.padding_id = facts.pad_token_id
        self.embedding_scale = facts.d_model**0.5 if facts.scale_embedding else 1.0
        self.tokens = nn.Embedding(facts.vocab_size, facts.d_model)
        self.stack = stack(
            facts.d_model,
            facts.decoder_layers,
            facts.decoder_attention_heads,
            facts.decoder_ffn_dim,
            facts.activation_function,
        )
        self.head = nn.Linear(facts.d_model, facts.vocab_size, bias=False)
        if facts.tie_word_embeddings:
            self.head.weight = self.tokens.weight
        # Where nothing is calibrated: all heads of one layer a third up the stack.
        layer = facts.decoder_layers // 3
        self.alignment_heads = tuple((layer, head) for head in range(facts.decoder_attention_heads))

    def init_state(self, encoded: EncoderOutput) -> DecoderState:
        """Cross-attention keys and values are computed here, once."""
        return self.stack.init_state(encoded.states, encoded.lengths)

    def step(
        self,
        token_ids: Tensor,
        state: State,
        *,
        counts: Tensor | None = None,
        with_attention: bool = False,
    ) -> DecoderStep:
        """See `base.Decoder`."""
        assert isinstance(state, DecoderState)
        num_new = token_ids.shape[1]
        length = state.length + (num_new if counts is None else counts)
        x = embed(self.tokens, self.embedding_scale, self.padding_id, token_ids, length - num_new)
        heads = self.alignment_heads if with_attention else ()
        hidden, new, attention = self.stack(x, state, length, heads)
        return DecoderStep(F.linear(hidden, self.head.weight), hidden, new, attention)
