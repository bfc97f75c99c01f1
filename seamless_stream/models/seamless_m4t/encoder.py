"""The speech encoder of SeamlessM4T v2: projection, chunked conformer, half feed-forward, length adaptor.

The conformer streams (explicit state). The adaptor does not: its convolutions look ahead and its attention sees the
whole segment, so it is a plain function over the conformer's output, cheap because its output is `adaptor_stride` times
shorter. Nothing here knows of audio or of text.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.nn.attention import MultiHeadAttention, key_mask, length_mask
from seamless_stream.nn.conformer import Conformer, ConformerState, FeedForward


class AdaptorLayer(nn.Module):
    """Strided convolutions on a residual and on an attention path, then attention and feed-forward on the short output.

    The reference does not mask these convolutions: the last frame of a row reads up to `stride / 2` positions behind
    its end, which in a batch are whatever padding became in the conformer. Here each row sees zeros behind its own
    size, so a row alone and a row in company give the same states; alone, both are equal to the reference.
    """

    def __init__(self, config: SeamlessM4TConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.kernel = config.adaptor_kernel_size
        self.stride = config.adaptor_stride
        self.residual_norm = nn.LayerNorm(width)
        self.residual_conv = nn.Conv1d(
            width, 2 * width, self.kernel, stride=self.stride, padding=self.stride // 2
        )
        self.attention_norm = nn.LayerNorm(width)
        self.attention_conv = nn.Conv1d(
            width, 2 * width, self.kernel, stride=self.stride, padding=self.stride // 2
        )
        self.attention = MultiHeadAttention(width, config.speech_encoder_attention_heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, config.speech_encoder_intermediate_size, "relu")

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Valid output frames per row, by the reference's formula (it pads by half the kernel, not half the stride)."""
        padding = self.kernel // 2
        return torch.div(lengths + 2 * padding - self.kernel, self.stride, rounding_mode="floor") + 1

    def output_sizes(self, sizes: Tensor) -> Tensor:
        """Output frames per row, padding included."""
        return torch.div(sizes + 2 * (self.stride // 2) - self.kernel, self.stride, rounding_mode="floor") + 1

    def shorten(self, x: Tensor, norm: nn.Module, conv: nn.Module, inside: Tensor | None) -> Tensor:
        """[B, T, D] -> [B, S, D]."""
        x = norm(x)
        if inside is not None:
            x = x * inside
        y: Tensor = F.glu(conv(x.transpose(1, 2)), dim=1).transpose(1, 2)
        return y

    def forward(self, x: Tensor, lengths: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, D], valid lengths [B] and sizes [B] with a row's own padding -> the same three, shortened."""
        inside = None
        if bool((sizes < x.shape[1]).any()):
            inside = length_mask(sizes, x.shape[1])[:, :, None].to(x.dtype)  # [B, T, 1]
        residual = self.shorten(x, self.residual_norm, self.residual_conv, inside)
        x = self.shorten(x, self.attention_norm, self.attention_conv, inside)
        sizes = self.output_sizes(sizes)
        lengths = torch.minimum(self.output_lengths(lengths), sizes)
        x = residual + self.attention(x, key_mask(lengths, x.shape[1]))
        return x + self.ffn(self.ffn_norm(x)), lengths, sizes


class SpeechEncoder(nn.Module):
    """Stacked fbank features to the states that the text decoder attends to."""

    def __init__(self, config: SeamlessM4TConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.input_norm = nn.LayerNorm(config.feature_projection_input_dim, eps=config.layer_norm_eps)
        self.input_projection = nn.Linear(config.feature_projection_input_dim, width)
        left = config.speech_encoder_left_chunk_num
        self.conformer = Conformer(
            width,
            config.speech_encoder_layers,
            config.speech_encoder_attention_heads,
            config.speech_encoder_intermediate_size,
            config.conv_depthwise_kernel_size,
            config.left_max_position_embeddings,
            config.right_max_position_embeddings,
            config.speech_encoder_hidden_act,
            config.speech_encoder_chunk_size,
            left if left >= 0 else config.max_position_embeddings,  # negative: no limit on the left
        )
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.ffn = FeedForward(width, config.speech_encoder_intermediate_size, "relu")
        self.adaptor = nn.ModuleList(AdaptorLayer(config) for _ in range(config.num_adapter_layers))
        self.output_norm = nn.LayerNorm(width)

    def init_state(self, batch: int) -> ConformerState:
        """Nothing heard yet."""
        return self.conformer.init_state(batch)

    def stream(
        self, features: Tensor, lengths: Tensor, state: ConformerState
    ) -> tuple[Tensor, ConformerState]:
        """Next stacked frames [B, T, F], lengths [B] valid -> conformer frames [B, T, D] before the adaptor."""
        x = self.input_projection(self.input_norm(features.to(self.input_norm.weight.dtype)))
        if bool((lengths < x.shape[1]).any()):
            x = x * length_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
        x, state = self.conformer(x, lengths, state)
        x = self.norm(x)
        return x + 0.5 * self.ffn(x), state

    def adapt(self, frames: Tensor, lengths: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Conformer frames of whole segments [B, T, D] -> encoder states [B, S, D] with lengths [B]."""
        for layer in self.adaptor:
            frames, lengths, sizes = layer(frames, lengths, sizes)
        return self.output_norm(frames), lengths

    def forward(self, features: Tensor, lengths: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Whole segments: features [B, T, F], lengths [B] valid, sizes [B] with a row's own padding."""
        frames, _ = self.stream(features, lengths, self.init_state(features.shape[0]))
        return self.adapt(frames, lengths, sizes)
