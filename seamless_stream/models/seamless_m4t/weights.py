"""Names of a Hugging Face SeamlessM4T v2 checkpoint and ours, as one table that reads both ways.

A `{}` stands for a layer number; what follows the listed name (`.weight`, `.bias`) is kept.
"""

import re
from collections.abc import Iterable

_ATTENTION = [
    ("self_attn.q_proj", "attention.query"),
    ("self_attn.k_proj", "attention.key"),
    ("self_attn.v_proj", "attention.value"),
    ("self_attn.out_proj", "attention.output"),
    ("self_attn_layer_norm", "attention_norm"),
]
_FEED_FORWARD = [
    ("ffn.fc1", "ffn.inner"),
    ("ffn.fc2", "ffn.outer"),
    ("ffn_layer_norm", "ffn_norm"),
]
_SOURCE_ATTENTION = [
    ("cross_attention.q_proj", "source_attention.query"),
    ("cross_attention.k_proj", "source_attention.key"),
    ("cross_attention.v_proj", "source_attention.value"),
    ("cross_attention.out_proj", "source_attention.output"),
    ("cross_attention_layer_norm", "source_norm"),
]
_LINEAR_ATTENTION = [
    ("self_attn.linear_q", "attention.query"),
    ("self_attn.linear_k", "attention.key"),
    ("self_attn.linear_v", "attention.value"),
    ("self_attn.linear_out", "attention.output"),
]
_CONFORMER = [
    ("ffn1_layer_norm", "ffn1_norm"),
    ("ffn1.intermediate_dense", "ffn1.inner"),
    ("ffn1.output_dense", "ffn1.outer"),
    ("self_attn_layer_norm", "attention_norm"),
    *_LINEAR_ATTENTION,
    ("self_attn.distance_embedding", "attention.distance"),
    ("conv_module.layer_norm", "convolution.norm"),
    ("conv_module.pointwise_conv1", "convolution.expand"),
    ("conv_module.depthwise_conv", "convolution.depthwise.conv"),
    ("conv_module.depthwise_layer_norm", "convolution.depthwise_norm"),
    ("conv_module.pointwise_conv2", "convolution.contract"),
    ("ffn2_layer_norm", "ffn2_norm"),
    ("ffn2.intermediate_dense", "ffn2.inner"),
    ("ffn2.output_dense", "ffn2.outer"),
    ("final_layer_norm", "final_norm"),
]
_ADAPTOR = [
    ("residual_layer_norm", "residual_norm"),
    ("residual_conv", "residual_conv"),
    ("self_attn_layer_norm", "attention_norm"),
    ("self_attn_conv", "attention_conv"),
    *_LINEAR_ATTENTION,
    ("ffn_layer_norm", "ffn_norm"),
    ("ffn.intermediate_dense", "ffn.inner"),
    ("ffn.output_dense", "ffn.outer"),
]
_UNIT_LAYER = [
    *_ATTENTION,
    ("conv1", "conv1.conv"),
    ("conv2", "conv2.conv"),
    ("conv_layer_norm", "conv_norm"),
]
_DURATIONS = [
    ("conv1", "conv1.conv"),
    ("ln1", "norm1"),
    ("conv2", "conv2.conv"),
    ("ln2", "norm2"),
    ("proj", "projection"),
]


def _under(theirs: str, ours: str, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"{theirs}.{their}", f"{ours}.{our}") for their, our in pairs]


TABLE: list[tuple[str, str]] = [
    ("shared", "tokens"),
    ("lm_head", "lm_head"),
    ("speech_encoder.feature_projection.layer_norm", "speech_encoder.input_norm"),
    ("speech_encoder.feature_projection.projection", "speech_encoder.input_projection"),
    *_under("speech_encoder.encoder.layers.{}", "speech_encoder.conformer.layers.{}", _CONFORMER),
    ("speech_encoder.encoder.layer_norm", "speech_encoder.norm"),
    ("speech_encoder.intermediate_ffn.intermediate_dense", "speech_encoder.ffn.inner"),
    ("speech_encoder.intermediate_ffn.output_dense", "speech_encoder.ffn.outer"),
    *_under("speech_encoder.adapter.layers.{}", "speech_encoder.adaptor.{}", _ADAPTOR),
    ("speech_encoder.inner_layer_norm", "speech_encoder.output_norm"),
    *_under("text_encoder.layers.{}", "text_encoder.layers.{}", [*_ATTENTION, *_FEED_FORWARD]),
    ("text_encoder.layer_norm", "text_encoder.norm"),
    *_under(
        "text_decoder.layers.{}", "text_decoder.layers.{}", [*_ATTENTION, *_SOURCE_ATTENTION, *_FEED_FORWARD]
    ),
    ("text_decoder.layer_norm", "text_decoder.norm"),
    *_under("t2u_model.model.encoder.layers.{}", "t2u.encoder.layers.{}", [*_ATTENTION, *_FEED_FORWARD]),
    ("t2u_model.model.encoder.layer_norm", "t2u.encoder.norm"),
    ("t2u_model.model.decoder.embed_char", "t2u.characters"),
    ("t2u_model.model.decoder.pos_emb_alpha_char", "t2u.character_alpha"),
    ("t2u_model.model.decoder.pos_emb_alpha", "t2u.unit_alpha"),
    *_under("t2u_model.model.decoder.duration_predictor", "t2u.durations", _DURATIONS),
    *_under("t2u_model.model.decoder.layers.{}", "t2u.layers.{}", _UNIT_LAYER),
    ("t2u_model.model.decoder.layer_norm", "t2u.norm"),
    ("t2u_model.lm_head", "t2u.head"),
    ("vocoder.unit_embedding", "vocoder.units"),
    ("vocoder.speaker_embedding", "vocoder.speakers"),
    ("vocoder.language_embedding", "vocoder.languages"),
    *_under("vocoder.dur_predictor", "vocoder.durations", _DURATIONS),
    ("vocoder.hifi_gan.conv_pre", "vocoder.generator.pre"),
    ("vocoder.hifi_gan.upsampler.{}", "vocoder.generator.upsamplers.{}"),
    ("vocoder.hifi_gan.resblocks.{}.convs1.{}", "vocoder.generator.blocks.{}.dilated.{}"),
    ("vocoder.hifi_gan.resblocks.{}.convs2.{}", "vocoder.generator.blocks.{}.plain.{}"),
    ("vocoder.hifi_gan.conv_post", "vocoder.generator.post"),
]

# Other names of a tensor that one of the names above has too; a file may hold any of them.
ALIASES = {
    "text_encoder.embed_tokens.weight": "shared.weight",
    "text_decoder.embed_tokens.weight": "shared.weight",
}
TIED_ALIASES = {
    "lm_head.weight": "shared.weight",
    "t2u_model.model.decoder.embed_tokens.weight": "t2u_model.lm_head.weight",
}
UNUSED = "t2u_model.model.decoder.embed_tokens.weight"  # as an input embedding; v2's T2U has no unit inputs


def _compile(pairs: Iterable[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    compiled = []
    for source, target in pairs:
        pattern = re.escape(source).replace(r"\{\}", r"(\d+)")
        first, *rest = target.split("{}")
        replacement = first + "".join(f"\\{number}{part}" for number, part in enumerate(rest, 1))
        compiled.append((re.compile(rf"^{pattern}(?=\.weight$|\.bias$|$)"), replacement))
    return compiled


_TO_OURS = _compile(TABLE)
_TO_THEIRS = _compile((ours, theirs) for theirs, ours in TABLE)


def _translate(name: str, table: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, replacement in table:
        if pattern.match(name):
            return pattern.sub(replacement, name, count=1)
    return None


def to_ours(name: str, *, tied: bool) -> str | None:
    """Our name of a checkpoint's tensor; None for a name that this architecture does not have."""
    name = ALIASES.get(name, name)
    if tied:
        name = TIED_ALIASES.get(name, name)
    return _translate(name, _TO_OURS)


def to_theirs(name: str) -> str | None:
    """The checkpoint's name of one of our tensors: the inverse, for tools that write checkpoints."""
    return _translate(name, _TO_THEIRS)


def is_unused(name: str, *, tied: bool) -> bool:
    """A tensor that a file may hold although nothing reads it."""
    return name == UNUSED and not tied
