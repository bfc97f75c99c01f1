"""Facts of a Speech2Text2 checkpoint (wav2vec 2.0 encoder, decoder-only Speech2Text2) from its two files of facts.

Field names are those of `config.json`, which nests the two halves; the defaults are those of
facebook/s2t-wav2vec2-large-en-de as far as they are known. What only matters in training is accepted and dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.errors import CheckpointError
from seamless_stream.models.facts import read_facts, refuse
from seamless_stream.models.text_decoder import DecoderConfig, decoder_problems

_IGNORED_OUTSIDE = frozenset("encoder decoder tie_word_embeddings max_length".split())
_IGNORED_IN_ENCODER = frozenset(
    "vocab_size hidden_dropout activation_dropout attention_dropout feat_proj_dropout feat_quantizer_dropout "
    "final_dropout layerdrop initializer_range num_feat_extract_layers apply_spec_augment mask_time_prob "
    "mask_time_length mask_time_min_masks mask_feature_prob mask_feature_length mask_feature_min_masks "
    "mask_channel_prob mask_channel_length mask_channel_min_space mask_channel_other mask_channel_selection "
    "mask_time_min_space mask_time_other mask_time_selection feat_extract_dropout hidden_dropout_prob "
    "gradient_checkpointing num_codevectors_per_group num_codevector_groups contrastive_logits_temperature "
    "num_negatives codevector_dim proj_codevector_dim diversity_loss_weight ctc_loss_reduction "
    "ctc_zero_infinity use_weighted_layer_sum classifier_proj_size tdnn_dim tdnn_kernel tdnn_dilation "
    "xvector_output_dim pad_token_id bos_token_id eos_token_id adapter_kernel_size adapter_stride "
    "num_adapter_layers adapter_attn_dim output_hidden_size tie_word_embeddings decoder_start_token_id".split()
)
_IGNORED_IN_DECODER = frozenset(
    "dropout attention_dropout activation_dropout decoder_layerdrop init_std num_attention_heads hidden_size "
    "max_source_positions max_target_positions do_stable_layer_norm".split()
)
_LAYER_NORM_EPS = 1e-5
_ABSENT = -1  # of a token id that the file leaves to the decoder's own table


@dataclass(frozen=True)
class WaveformEncoderConfig:
    """wav2vec 2.0."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    layer_norm_eps: float = _LAYER_NORM_EPS
    feat_extract_norm: str = "layer"
    feat_extract_activation: str = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = True
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = True
    add_adapter: bool = False


@dataclass(frozen=True)
class _OwnIds:
    """Ids on the outside of the two halves; generation reads these first."""

    bos_token_id: int = _ABSENT
    pad_token_id: int = _ABSENT
    eos_token_id: int = _ABSENT
    decoder_start_token_id: int = _ABSENT


@dataclass(frozen=True)
class SpeechToText2Config:
    """Both halves, and how a hypothesis starts and ends."""

    encoder: WaveformEncoderConfig
    decoder: DecoderConfig
    decoder_start_token_id: int
    eos_token_id: int


def _half(raw: Mapping[str, Any], name: str, model_type: str) -> Mapping[str, Any]:
    half = raw.get(name)
    if not isinstance(half, dict):
        raise CheckpointError(f"config.json: `{name}` must be a table, but is {half!r}.")
    if half.get("model_type") != model_type:
        raise CheckpointError(
            f"config.json: `{name}.model_type` must be {model_type!r}, but is {half.get('model_type')!r}."
        )
    # Files spell out many fields that are not set.
    return {key: value for key, value in half.items() if value is not None}


def parse_config(raw: Mapping[str, Any]) -> SpeechToText2Config:
    """Check and freeze a parsed `config.json`; raises CheckpointError with every problem of a half."""
    outside = {key: value for key, value in raw.items() if value is not None}
    own = read_facts(outside, _OwnIds, _IGNORED_OUTSIDE, where="config.json")
    raw_decoder = _half(raw, "decoder", "speech_to_text_2")
    encoder = read_facts(
        _half(raw, "encoder", "wav2vec2"),
        WaveformEncoderConfig,
        _IGNORED_IN_ENCODER,
        where="config.json: encoder",
    )
    decoder = read_facts(raw_decoder, DecoderConfig, _IGNORED_IN_DECODER, where="config.json: decoder")
    _check_encoder(encoder)
    _check_decoder(decoder, raw_decoder)
    start, end = own.decoder_start_token_id, own.eos_token_id
    return SpeechToText2Config(
        encoder,
        decoder,
        decoder.decoder_start_token_id if start == _ABSENT else start,
        decoder.eos_token_id if end == _ABSENT else end,
    )


def _check_encoder(config: WaveformEncoderConfig) -> None:
    problems = []
    if config.add_adapter:
        problems.append("`add_adapter` must be false, but is true")
    if config.feat_extract_norm not in ("group", "layer"):
        problems.append(f"`feat_extract_norm` must be group or layer, but is {config.feat_extract_norm}")
    if config.layer_norm_eps != _LAYER_NORM_EPS:
        problems.append(f"`layer_norm_eps` must be {_LAYER_NORM_EPS}, but is {config.layer_norm_eps}")
    if not len(config.conv_dim) == len(config.conv_kernel) == len(config.conv_stride):
        problems.append("`conv_dim`, `conv_kernel` and `conv_stride` must be equally long")
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if config.hidden_size % getattr(config, name):
            problems.append(f"`hidden_size` must be a multiple of `{name}` = {getattr(config, name)}")
    refuse(problems, where="config.json: encoder")


def _check_decoder(config: DecoderConfig, raw: Mapping[str, Any]) -> None:
    problems = decoder_problems(config)
    if raw.get("cross_attention_hidden_size") is not None:
        # The decoder's attention cannot read another width than its own.
        problems.append("`cross_attention_hidden_size` must be absent, but is not")
    refuse(problems, where="config.json: decoder")


def parse_preprocessor(raw: Mapping[str, Any]) -> bool:
    """Whether samples are normalised, of a `preprocessor_config.json`; raises CheckpointError."""
    rate, is_normalised = raw.get("sampling_rate", SAMPLE_RATE), raw.get("do_normalize", True)
    problems = []
    if rate != SAMPLE_RATE:
        problems.append(f"`sampling_rate` must be {SAMPLE_RATE}, but is {rate!r}")
    if not isinstance(is_normalised, bool):
        problems.append(f"`do_normalize` must be true or false, but is {is_normalised!r}")
    refuse(problems, where="preprocessor_config.json")
    return bool(is_normalised)
