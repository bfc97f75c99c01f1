"""The torch network of SeamlessM4T, built of the parts that the wanted tasks need."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seamless_stream.models.base import Task
from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.seamless_m4t.encoder import SpeechEncoder
from seamless_stream.models.seamless_m4t.t2u import AutoregressiveTextToUnit
from seamless_stream.models.seamless_m4t.t2u_nar import TextToUnit
from seamless_stream.models.seamless_m4t.vocoder import Vocoder
from seamless_stream.models.text_decoder import TextDecoder
from seamless_stream.nn.transformer import Decoder, DecoderState, Encoder, embed

PARTS_OF_TASK: dict[Task, frozenset[str]] = {
    "asr": frozenset({"speech_encoder", "text_decoder"}),
    "s2tt": frozenset({"speech_encoder", "text_decoder"}),
    "s2st": frozenset({"speech_encoder", "text_decoder", "t2u", "vocoder"}),
    "t2tt": frozenset({"text_encoder", "text_decoder"}),
    "t2st": frozenset({"text_encoder", "text_decoder", "t2u", "vocoder"}),
}
ALL_PARTS: frozenset[str] = frozenset().union(*PARTS_OF_TASK.values())


class Network(nn.Module):
    """The parts that the wanted tasks need; absent parts are not built and not loaded."""

    def __init__(self, config: SeamlessM4TConfig, parts: frozenset[str] = ALL_PARTS) -> None:
        super().__init__()
        width, activation = config.hidden_size, config.activation_function
        self.parts = parts
        self.tokens = nn.Embedding(config.vocab_size, width)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
        self.embedding_scale = config.embedding_scale
        self.padding_id = config.pad_token_id
        self.text_decoder = Decoder(
            width, config.decoder_layers, config.decoder_attention_heads, config.decoder_ffn_dim, activation
        )
        if "speech_encoder" in parts:
            self.speech_encoder = SpeechEncoder(config)
        if "text_encoder" in parts:
            self.text_encoder = Encoder(
                width,
                config.encoder_layers,
                config.encoder_attention_heads,
                config.encoder_ffn_dim,
                activation,
            )
        if "t2u" in parts:
            self.t2u = AutoregressiveTextToUnit(config) if config.is_v1 else TextToUnit(config)
        if "vocoder" in parts:
            self.vocoder = Vocoder(config)

    def embed(self, token_ids: Tensor, start: Tensor) -> Tensor:
        """token_ids [B, T] -> [B, T, D]; one table of tokens for encoder, decoder and, where tied, the head."""
        return embed(self.tokens, self.embedding_scale, self.padding_id, token_ids, start)

    def encode_text(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """token_ids [B, S] -> states [B, S, D]."""
        y: Tensor = self.text_encoder(self.embed(token_ids, torch.zeros_like(lengths)), lengths)
        return y

    def decoder(self, calibrated: Sequence[tuple[int, int]] = ()) -> TextDecoder:
        """The text decoder with its tokens and head, the same parameters; `calibrated`: its alignment heads."""
        return TextDecoder(
            self.tokens,
            self.text_decoder,
            self.lm_head if hasattr(self, "lm_head") else self.tokens,
            embedding_scale=self.embedding_scale,
            padding_id=self.padding_id,
            calibrated=calibrated,
        )

    def decode(
        self,
        token_ids: Tensor,
        state: DecoderState,
        counts: Tensor | None = None,
        heads: Sequence[tuple[int, int]] = (),
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """As `TextDecoder.read`, without logits: for training."""
        return self.decoder().read(token_ids, state, counts, heads)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [B, T, D] -> [B, T, V]."""
        return self.decoder().logits(hidden)
