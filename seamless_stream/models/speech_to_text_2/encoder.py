"""The speech encoder of Speech2Text2, wav2vec 2.0: convolutions over samples, then a transformer; 20 ms a state."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from seamless_stream.models.reencode import pad_rows
from seamless_stream.models.speech_to_text_2.config import WaveformEncoderConfig
from seamless_stream.nn.post_norm import PostNormEncoder
from seamless_stream.nn.transformer import Encoder
from seamless_stream.nn.waveform import ConvolutionalPositions, Norm, WaveformEncoder


class SpeechEncoder(nn.Module):
    """Samples [N] of each row -> states [B, S, D] of the decoder's width."""

    def __init__(self, config: WaveformEncoderConfig, decoder_width: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.frames = WaveformEncoder(
            config.conv_dim,
            config.conv_kernel,
            config.conv_stride,
            bias=config.conv_bias,
            norm=cast(Norm, config.feat_extract_norm),
            activation=config.feat_extract_activation,
        )
        self.input_norm = nn.LayerNorm(config.conv_dim[-1])
        self.input_projection = nn.Linear(config.conv_dim[-1], width)
        self.positions = ConvolutionalPositions(
            width,
            config.num_conv_pos_embeddings,
            config.num_conv_pos_embedding_groups,
            config.feat_extract_activation,
        )
        stack = Encoder if config.do_stable_layer_norm else PostNormEncoder
        self.stack = stack(
            width,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_act,
        )
        if width != decoder_width:
            self.output_projection = nn.Linear(width, decoder_width)

    def forward(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """-> states [B, S, D] and lengths [B]; a row is what it is alone."""
        frames = [self.input_projection(self.input_norm(self.frames(row))) for row in rows]
        x, lengths = pad_rows(frames)  # zeros behind a row's end, which the positions look at
        x = self.stack(x + self.positions(x), lengths)
        return (self.output_projection(x) if hasattr(self, "output_projection") else x), lengths
