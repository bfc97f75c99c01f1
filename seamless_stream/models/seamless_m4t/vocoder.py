"""The code HiFi-GAN vocoder: units, a language and a speaker to samples at 16 kHz.

It has a duration predictor of its own, which the reference library always applies and Meta's translator switches off
for v2 (the T2U of v2 has durations already). The default here is the reference library's.
"""

import torch
from torch import Tensor, nn

from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.seamless_m4t.t2u_nar import DurationPredictor, to_durations
from seamless_stream.nn.attention import length_mask
from seamless_stream.nn.hifigan import HifiGan, reach


class Vocoder(nn.Module):
    """Rows of one batch are equally long: padding would leak into the ends of short rows."""

    def __init__(self, config: SeamlessM4TConfig) -> None:
        super().__init__()
        unit_width = config.unit_embed_dim
        self.units = nn.Embedding(config.unit_hifi_gan_vocab_size, unit_width)
        self.speakers = nn.Embedding(config.vocoder_num_spkrs, config.spkr_embed_dim)
        self.languages = nn.Embedding(config.vocoder_num_langs, config.lang_embed_dim)
        self.durations = DurationPredictor(unit_width, unit_width, config.variance_predictor_kernel_size)
        self.generator = HifiGan(
            config.lang_embed_dim + unit_width + config.spkr_embed_dim,
            config.upsample_initial_channel,
            config.upsample_rates,
            config.upsample_kernel_sizes,
            config.resblock_kernel_sizes,
            config.resblock_dilation_sizes,
            config.leaky_relu_slope,
        )

    def generate(self, embedded: Tensor, language: Tensor, speaker: Tensor) -> Tensor:
        """Unit embeddings [B, U, E], one language [B] and speaker [B] per row -> samples [B, N]."""
        count = embedded.shape[1]
        lang = self.languages(language)[:, None].expand(-1, count, -1)
        spkr = self.speakers(speaker)[:, None].expand(-1, count, -1)
        x = torch.cat([lang, embedded, spkr], dim=2).transpose(1, 2)  # [B, E', U]
        y: Tensor = self.generator(x)
        return y

    def repeats(self, unit_ids: Tensor, lengths: Tensor, factor: float = 1.0) -> Tensor:
        """unit_ids [B, U] -> how often the duration predictor says each of them [B, U], 0 behind a row's end.

        A `factor` below one speaks faster: the way of v1, whose units have no durations before they come here.
        """
        inside = length_mask(lengths, unit_ids.shape[1])
        embedded = self.units(unit_ids)  # [B, U, E]
        durations = to_durations(self.durations(embedded, inside[:, :, None].to(embedded.dtype)), factor)
        return durations * inside

    def forward(self, unit_ids: Tensor, language: int, speaker: int) -> Tensor:
        """unit_ids [B, U] of equal lengths, repeated, without the offset of special units -> samples [B, N]."""
        voice = torch.tensor([language, speaker], device=unit_ids.device)
        rows = unit_ids.shape[0]
        return self.generate(self.units(unit_ids), voice[:1].expand(rows), voice[1:].expand(rows))


def reach_units(config: SeamlessM4TConfig) -> int:
    """How far away, on one side, a unit can be and still change the samples of another."""
    return reach(
        config.upsample_rates,
        config.upsample_kernel_sizes,
        config.resblock_kernel_sizes,
        config.resblock_dilation_sizes,
    )
