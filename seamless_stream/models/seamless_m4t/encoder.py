"""The speech encoder of SeamlessM4T: projection, conformer, half feed-forward, length adaptor.

The conformer of v1 hears whole segments only; that of v2 streams (explicit state). So do the first convolutions of the
adaptor, whose outputs are final a few frames later; its attention sees the whole segment and is computed again, cheap
because it is `adaptor_stride` times shorter. Nothing here knows of audio or of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.nn.attention import MultiHeadAttention, key_mask, length_mask
from seamless_stream.nn.conformer import Conformer, ConformerState, FeedForward
from seamless_stream.nn.convolution import strided
from seamless_stream.nn.full_conformer import FullConformer
from seamless_stream.nn.state import State


@dataclass(frozen=True, eq=False)
class AdaptorState(State):
    """What the adaptor keeps of one open segment, batch 1."""

    frames: Tensor  # [1, P, D] conformer frames that outputs to come still look at
    residual: (
        Tensor  # [1, S, D] outputs of the first layer's two convolutions that no frame can change any more
    )
    hidden: Tensor  # [1, S, D]


@dataclass(frozen=True, eq=False)
class _Window:
    """The end of an open segment as the adaptor's convolutions see it."""

    frames: Tensor  # [W, D] with zeros outside of the segment
    left: int  # real frames begin ...
    end: int  # ... and end
    num_frames: int  # of the segment so far


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
        self.padding = self.stride // 2  # zeros on both sides of a segment
        self.residual_norm = nn.LayerNorm(width)
        self.residual_conv = nn.Conv1d(width, 2 * width, self.kernel, stride=self.stride)
        self.attention_norm = nn.LayerNorm(width)
        self.attention_conv = nn.Conv1d(width, 2 * width, self.kernel, stride=self.stride)
        self.attention = MultiHeadAttention(width, config.speech_encoder_attention_heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, config.speech_encoder_intermediate_size, "relu")

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Valid output frames per row, by the reference's formula (it pads by half the kernel, not half the stride)."""
        padding = self.kernel // 2
        return torch.div(lengths + 2 * padding - self.kernel, self.stride, rounding_mode="floor") + 1

    def output_sizes(self, sizes: Tensor) -> Tensor:
        """Output frames per row, padding included."""
        return torch.div(sizes + 2 * self.padding - self.kernel, self.stride, rounding_mode="floor") + 1

    def num_final(self, num_frames: int) -> int:
        """Outputs that depend on the first `num_frames` frames only, those of the left padding among them."""
        whole = (num_frames - self.kernel) // self.stride + 1
        return max(0, min(whole, num_frames // self.stride))

    def shorten(self, x: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor]:
        """Padded frames [B, T, D], of which those `inside` [B, T, 1] are real -> residual and hidden [B, S, D]."""

        def path(norm: nn.Module, conv: nn.Conv1d) -> Tensor:
            y = norm(x)
            if inside is not None:
                y = y * inside
            return F.glu(strided(y, conv), dim=2)

        return path(self.residual_norm, self.residual_conv), path(self.attention_norm, self.attention_conv)

    def window(self, frames: Tensor, state: AdaptorState) -> _Window:
        """What the outputs after those of `state` look at when the frames [T, D] follow."""
        known = state.residual.shape[1]
        left = 0 if known else self.padding
        kept = state.frames.shape[1] + len(frames)
        start = known * self.stride - self.padding if known else 0
        padded = F.pad(torch.cat([state.frames[0], frames]), (0, 0, left, self.padding))
        return _Window(padded, left, left + kept, start + kept)

    def mix(self, residual: Tensor, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Outputs of the convolutions [B, S, D] with valid lengths [B] -> [B, S, D]."""
        x = residual + self.attention(hidden, key_mask(lengths, hidden.shape[1]))
        y: Tensor = x + self.ffn(self.ffn_norm(x))
        return y

    def forward(self, x: Tensor, lengths: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, D], valid lengths [B] and sizes [B] with a row's own padding -> the same three, shortened."""
        places = torch.arange(-self.padding, x.shape[1] + self.padding, device=x.device)
        inside = ((places >= 0) & (places < sizes[:, None]))[:, :, None].to(x.dtype)  # [B, T, 1]
        residual, hidden = self.shorten(F.pad(x, (0, 0, self.padding, self.padding)), inside)
        sizes = self.output_sizes(sizes)
        lengths = torch.minimum(self.output_lengths(lengths), sizes)
        return self.mix(residual, hidden, lengths), lengths, sizes


def _conformer(config: SeamlessM4TConfig) -> Conformer | FullConformer:
    shape = (
        config.hidden_size,
        config.speech_encoder_layers,
        config.speech_encoder_attention_heads,
        config.speech_encoder_intermediate_size,
        config.conv_depthwise_kernel_size,
    )
    activation = config.speech_encoder_hidden_act
    if config.is_v1:
        return FullConformer(*shape, activation)
    left = config.speech_encoder_left_chunk_num
    return Conformer(
        *shape,
        config.left_max_position_embeddings,
        config.right_max_position_embeddings,
        activation,
        config.speech_encoder_chunk_size,
        left if left >= 0 else config.max_position_embeddings,  # negative: no limit on the left
    )


class SpeechEncoder(nn.Module):
    """Stacked fbank features to the states that the text decoder attends to."""

    def __init__(self, config: SeamlessM4TConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.input_norm = nn.LayerNorm(config.feature_projection_input_dim, eps=config.layer_norm_eps)
        self.input_projection = nn.Linear(config.feature_projection_input_dim, width)
        self.conformer = _conformer(config)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.ffn = FeedForward(width, config.speech_encoder_intermediate_size, "relu")
        self.adaptor = nn.ModuleList(AdaptorLayer(config) for _ in range(config.num_adapter_layers))
        self.output_norm = nn.LayerNorm(width)

    @property
    def streaming(self) -> Conformer:
        """The conformer of v2."""
        assert isinstance(self.conformer, Conformer)
        return self.conformer

    def init_state(self, batch: int) -> ConformerState:
        """Nothing heard yet."""
        return self.streaming.init_state(batch)

    def init_adaptor_state(self) -> AdaptorState:
        """Nothing heard yet."""
        empty = self.norm.weight.new_zeros(1, 0, self.norm.weight.shape[0])
        return AdaptorState(empty, empty, empty)

    def stream(
        self,
        features: Tensor,
        lengths: Tensor,
        state: ConformerState,
        *,
        advance: Tensor | None = None,
        keep: int | None = None,
    ) -> tuple[Tensor, ConformerState]:
        """Next stacked frames [B, T, F], lengths [B] valid -> conformer frames [B, T, D] before the adaptor.

        `advance` and `keep` are the conformer's: how far the new state goes and how much it knows.
        """
        x, state = self.streaming(
            self._project(features, lengths), lengths, state, advance=advance, keep=keep
        )
        return self._finish(x), state

    def _project(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features [B, T, F] -> [B, T, D], zeros beyond a row's valid positions."""
        x: Tensor = self.input_projection(self.input_norm(features.to(self.input_norm.weight.dtype)))
        if bool((lengths < x.shape[1]).any()):
            x = x * length_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
        return x

    def _finish(self, x: Tensor) -> Tensor:
        """What the conformer gave [B, T, D] -> frames for the adaptor."""
        x = self.norm(x)
        y: Tensor = x + 0.5 * self.ffn(x)
        return y

    def adapt_stream(
        self, frames: Sequence[Tensor], advance: Sequence[int], states: Sequence[AdaptorState]
    ) -> tuple[Tensor, list[int], list[AdaptorState]]:
        """Next conformer frames [T, D] of open segments -> encoder states [B, S, D] so far and their numbers.

        They are the states of `adapt` on all frames so far. A new state knows the first `advance` frames of a row.
        """
        first = self.adaptor[0]
        assert isinstance(first, AdaptorLayer)
        windows = [first.window(*row) for row in zip(frames, states, strict=True)]
        x = pad_sequence([window.frames for window in windows], batch_first=True)  # [B, T, D]
        x = F.pad(x, (0, 0, 0, max(0, first.kernel - x.shape[1])))
        places = torch.arange(x.shape[1], device=x.device)
        limits = torch.tensor([(window.left, window.end) for window in windows], device=x.device)
        inside = ((places >= limits[:, :1]) & (places < limits[:, 1:]))[:, :, None].to(x.dtype)
        new = first.shorten(x, inside)
        rows = []
        for row, (state, window) in enumerate(zip(states, windows, strict=True)):
            num_new = max(0, (len(window.frames) - first.kernel) // first.stride + 1)
            residual = torch.cat([state.residual, new[0][row : row + 1, :num_new]], dim=1)
            hidden = torch.cat([state.hidden, new[1][row : row + 1, :num_new]], dim=1)
            settled = window.end - len(frames[row]) + advance[row]
            num_final = first.num_final(settled)
            tail = window.frames[None, max(window.left, num_final * first.stride) : settled].clone()
            known = state.residual.shape[1] + num_final
            rows.append((residual, hidden, AdaptorState(tail, residual[:, :known], hidden[:, :known])))
        sizes = torch.tensor([residual.shape[1] for residual, _, _ in rows], device=x.device)
        numbers = torch.tensor([window.num_frames for window in windows], device=x.device)
        lengths = torch.minimum(first.output_lengths(numbers), sizes)
        residuals = pad_sequence([residual[0] for residual, _, _ in rows], batch_first=True)  # [B, S, D]
        hiddens = pad_sequence([hidden[0] for _, hidden, _ in rows], batch_first=True)
        x = first.mix(residuals, hiddens, lengths)
        for layer in self.adaptor[1:]:
            x, lengths, sizes = layer(x, lengths, sizes)
        return self.output_norm(x), lengths.tolist(), [state for _, _, state in rows]

    def adapt(self, frames: Tensor, lengths: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Conformer frames of whole segments [B, T, D] -> encoder states [B, S, D] with lengths [B]."""
        for layer in self.adaptor:
            frames, lengths, sizes = layer(frames, lengths, sizes)
        return self.output_norm(frames), lengths

    def forward(self, features: Tensor, lengths: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Whole segments: features [B, T, F], lengths [B] valid, sizes [B] with a row's own padding."""
        if isinstance(self.conformer, FullConformer):
            frames = self._finish(self.conformer(self._project(features, lengths), lengths))
        else:
            frames, _ = self.stream(features, lengths, self.init_state(features.shape[0]), keep=0)
        return self.adapt(frames, lengths, sizes)
