"""Token embeddings, a transformer decoder and its head: `base.Decoder` of every family, for texts and for v1's units.

Knows no vocabulary and no prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.errors import CheckpointError
from seamless_stream.models.base import DecoderStep, EncoderOutput
from seamless_stream.nn.state import State
from seamless_stream.nn.transformer import Decoder, DecoderLayer, DecoderState, embed

Heads = tuple[tuple[int, int], ...]  # (layer, head) pairs


@dataclass(frozen=True)
class DecoderConfig:
    """What a checkpoint says of its decoder, in the words of transformers; the defaults are those of Speech2Text."""

    vocab_size: int = 10_000
    d_model: int = 256
    decoder_layers: int = 6
    decoder_ffn_dim: int = 2048
    decoder_attention_heads: int = 4
    activation_function: str = "relu"
    scale_embedding: bool = True
    bos_token_id: int = 0
    pad_token_id: int = 1
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    tie_word_embeddings: bool = True

    @property
    def embedding_scale(self) -> float:
        """Factor on token embeddings."""
        return float(self.d_model**0.5) if self.scale_embedding else 1.0


def decoder_problems(config: DecoderConfig) -> list[str]:
    """What does not fit together in it."""
    problems = []
    if config.d_model % config.decoder_attention_heads:
        heads = config.decoder_attention_heads
        problems.append(f"`d_model` must be a multiple of `decoder_attention_heads` = {heads}")
    for name in ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id"):
        number = getattr(config, name)
        if not 0 <= number < config.vocab_size:
            problems.append(f"`{name}` must be from 0 to {config.vocab_size - 1}, but is {number}")
    return problems


def alignment_heads(stack: Decoder, calibrated: Sequence[tuple[int, int]] = ()) -> Heads:
    """The heads that say where a token was said, sorted; where none are calibrated, all of one layer a third up.

    Raises CheckpointError for one that the stack does not have.
    """
    sizes = []
    for layer in stack.layers:
        assert isinstance(layer, DecoderLayer)
        sizes.append(layer.source_attention.num_heads)
    if not calibrated:
        middle = len(sizes) // 3
        return tuple((middle, head) for head in range(sizes[middle]))
    for at, head in calibrated:
        if not (0 <= at < len(sizes) and 0 <= head < sizes[at]):
            raise CheckpointError(f"alignment_heads.json: the decoder has no layer and head {(at, head)}.")
    return tuple(sorted(calibrated))


class TextDecoder(nn.Module):
    """`base.Decoder` over a table of tokens, a stack (pre-norm or post-norm) and a head, which may be the table."""

    def __init__(
        self,
        tokens: nn.Embedding,
        stack: Decoder,
        head: nn.Embedding | nn.Linear,
        *,
        embedding_scale: float,
        padding_id: int,
        calibrated: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self.vocabulary_size = tokens.num_embeddings
        self.embedding_scale = embedding_scale
        self.padding_id = padding_id
        self.tokens = tokens
        self.stack = stack
        self.head = head
        self.alignment_heads = alignment_heads(stack, calibrated)

    def init_state(self, encoded: EncoderOutput) -> DecoderState:
        """Cross-attention keys and values are computed here, once."""
        return self.stack.init_state(encoded.states, encoded.lengths)

    def read(
        self,
        token_ids: Tensor,
        state: DecoderState,
        counts: Tensor | None = None,
        heads: Sequence[tuple[int, int]] = (),
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """The next tokens [B, T], of each row its last counts [B] -> hidden [B, T, D], state, attention of `heads`."""
        num_new = token_ids.shape[1]
        length = state.length + (num_new if counts is None else counts)
        x = embed(self.tokens, self.embedding_scale, self.padding_id, token_ids, length - num_new)
        hidden: Tensor
        attention: Tensor | None
        hidden, state, attention = self.stack(x, state, length, heads)
        return hidden, state, attention

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [B, T, D] -> [B, T, V]."""
        return F.linear(hidden, self.head.weight)

    def step(
        self,
        token_ids: Tensor,
        state: State,
        *,
        counts: Tensor | None = None,
        num_logits: int = 1,
        with_attention: bool = False,
    ) -> DecoderStep:
        """See `base.Decoder`."""
        assert isinstance(state, DecoderState)
        heads = self.alignment_heads if with_attention else ()
        hidden, state, attention = self.read(token_ids, state, counts, heads)
        return DecoderStep(self.logits(hidden[:, -num_logits:]), hidden, state, attention)

    def forget(self, state: State, counts: Tensor) -> DecoderState:
        """See `base.Decoder`."""
        assert isinstance(state, DecoderState)
        return state.without_newest(counts)


def new_text_decoder(
    config: DecoderConfig, stack: type[Decoder], calibrated: Sequence[tuple[int, int]] = ()
) -> TextDecoder:
    """A decoder with parameters of its own, not yet loaded."""
    tokens = nn.Embedding(config.vocab_size, config.d_model)
    head = nn.Linear(config.d_model, config.vocab_size, bias=False)
    if config.tie_word_embeddings:
        head.weight = tokens.weight
    return TextDecoder(
        tokens,
        stack(
            config.d_model,
            config.decoder_layers,
            config.decoder_attention_heads,
            config.decoder_ffn_dim,
            config.activation_function,
        ),
        head,
        embedding_scale=config.embedding_scale,
        padding_id=config.pad_token_id,
        calibrated=calibrated,
    )
