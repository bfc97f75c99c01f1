"""The speech encoder of Speech2Text: a gated convolutional subsampler and a pre-norm transformer; 40 ms a state."""

from collections.abc import Sequence

from torch import Tensor, nn

from seamless_stream.models.reencode import pad_rows
from seamless_stream.models.speech_to_text.config import SpeechToTextConfig
from seamless_stream.nn.subsampling import GatedSubsampler
from seamless_stream.nn.transformer import Encoder, position_rows


class SpeechEncoder(nn.Module):
    """Frames [T, 80] of each row -> states [B, S, D]."""

    def __init__(self, config: SpeechToTextConfig) -> None:
        super().__init__()
        self.scale = config.embedding_scale
        self.padding_id = config.pad_token_id
        self.subsampler = GatedSubsampler(
            config.input_feat_per_channel * config.input_channels,
            config.conv_channels,
            config.d_model,
            config.conv_kernel_sizes,
        )
        self.stack = Encoder(
            config.d_model,
            config.encoder_layers,
            config.encoder_attention_heads,
            config.encoder_ffn_dim,
            config.activation_function,
        )

    def forward(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """-> states [B, S, D] and lengths [B]; a row is what it is alone."""
        x, lengths = self.subsampler(*pad_rows(rows))
        positions = position_rows(x.shape[1], x.shape[2], self.padding_id).to(x)
        return self.stack(x * self.scale + positions, lengths), lengths
