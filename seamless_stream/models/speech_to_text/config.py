"""Facts of a Speech2Text checkpoint, from its `config.json` and `preprocessor_config.json`; never choices of a run.

Field names are those of the file; the defaults are those of facebook/s2t-small-librispeech-asr. What only matters in
training is accepted and dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seamless_stream.audio.fbank import NUM_MEL_BINS, SAMPLE_RATE
from seamless_stream.models.facts import read_facts, refuse
from seamless_stream.models.text_decoder import DecoderConfig, decoder_problems

_IGNORED = frozenset(
    "dropout attention_dropout activation_dropout encoder_layerdrop decoder_layerdrop init_std "
    "num_attention_heads hidden_size max_source_positions max_target_positions".split()
)


@dataclass(frozen=True)
class SpeechToTextConfig(DecoderConfig):
    """Architecture of Speech2Text; `embedding_scale` is also that of what the subsampler gives."""

    encoder_layers: int = 12
    encoder_ffn_dim: int = 2048
    encoder_attention_heads: int = 4
    num_conv_layers: int = 2
    conv_kernel_sizes: tuple[int, ...] = (5, 5)
    conv_channels: int = 1024
    input_feat_per_channel: int = NUM_MEL_BINS
    input_channels: int = 1


def parse_config(raw: Mapping[str, Any]) -> SpeechToTextConfig:
    """Check and freeze a parsed `config.json`; raises CheckpointError with every problem."""
    config = read_facts(raw, SpeechToTextConfig, _IGNORED, where="config.json")
    problems = decoder_problems(config)
    if config.pad_token_id != 1:
        # The reference feeds its padding mask (0 and 1) to the positions as if it were token ids.
        problems.append(f"`pad_token_id` must be 1, but is {config.pad_token_id}")
    if config.input_feat_per_channel * config.input_channels != NUM_MEL_BINS:
        problems.append(
            f"`input_feat_per_channel` must be {NUM_MEL_BINS}, but is {config.input_feat_per_channel}"
        )
    if len(config.conv_kernel_sizes) != config.num_conv_layers:
        problems.append(f"`conv_kernel_sizes` must be {config.num_conv_layers} numbers")
    if any(kernel % 2 == 0 for kernel in config.conv_kernel_sizes):
        problems.append(f"`conv_kernel_sizes` must be odd, but are {list(config.conv_kernel_sizes)}")
    if config.d_model % config.encoder_attention_heads:
        heads = config.encoder_attention_heads
        problems.append(f"`d_model` must be a multiple of `encoder_attention_heads` = {heads}")
    refuse(problems, where="config.json")
    return config


# What the features here are; a file may say so again or say nothing.
_FEATURES: dict[str, Any] = {
    "feature_size": NUM_MEL_BINS,
    "num_mel_bins": NUM_MEL_BINS,
    "sampling_rate": SAMPLE_RATE,
    "dither": 0.0,
    "do_ceptral_normalize": True,
    "normalize_means": True,
    "normalize_vars": True,
}


def check_preprocessor(raw: Mapping[str, Any]) -> None:
    """Raise CheckpointError where a `preprocessor_config.json` asks for other features than those that are here."""
    problems = [
        f"`{name}` must be {wanted!r}, but is {raw[name]!r}"
        for name, wanted in _FEATURES.items()
        if raw.get(name, wanted) != wanted
    ]
    refuse(problems, where="preprocessor_config.json")
