"""The autoregressive text-to-unit model of v1: decoder states of a text to acoustic units, one after another.

An encoder-decoder of its own that reads the text decoder's hidden states. Repetitions are not among its units: how long
each lasts is the vocoder's matter. Knows neither texts nor the vocoder.
"""

from torch import Tensor, nn

from seamless_stream.models.base import EncoderOutput
from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.text_decoder import DecoderConfig, new_text_decoder
from seamless_stream.nn.transformer import Decoder, Encoder


class AutoregressiveTextToUnit(nn.Module):
    """An encoder of the text decoder's hidden states and a decoder of units."""

    def __init__(self, config: SeamlessM4TConfig) -> None:
        super().__init__()
        self.encoder = Encoder(
            config.hidden_size,
            config.t2u_encoder_layers,
            config.t2u_encoder_attention_heads,
            config.t2u_encoder_ffn_dim,
            config.activation_function,
        )
        facts = DecoderConfig(
            vocab_size=config.t2u_vocab_size,
            d_model=config.hidden_size,
            decoder_layers=config.t2u_decoder_layers,
            decoder_ffn_dim=config.t2u_decoder_ffn_dim,
            decoder_attention_heads=config.t2u_decoder_attention_heads,
            activation_function=config.activation_function,
            scale_embedding=config.scale_embedding,
            pad_token_id=config.t2u_pad_token_id,
            tie_word_embeddings=config.tie_word_embeddings,
        )
        self.decoder = new_text_decoder(facts, Decoder)  # `base.Decoder` of units

    def encode(self, hidden: Tensor, lengths: Tensor) -> EncoderOutput:
        """The text decoder's last hidden states [B, T, D] of whole texts -> what the units attend to."""
        return EncoderOutput(self.encoder(hidden, lengths), lengths)
