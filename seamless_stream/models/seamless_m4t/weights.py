"""Names of a Hugging Face SeamlessM4T checkpoint and ours: a table for v1 and one for v2 that read both ways.

They differ in the conformer's attention and convolution and in the text-to-unit model.
"""

from seamless_stream.models.naming import NameTable, Pairs, under
from seamless_stream.models.seamless_m4t.config import V1, V2

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
_BATCH_NORM = ("", ".running_mean", ".running_var", ".num_batches_tracked")
_CONFORMER = [
    ("ffn1_layer_norm", "ffn1_norm"),
    ("ffn1.intermediate_dense", "ffn1.inner"),
    ("ffn1.output_dense", "ffn1.outer"),
    ("self_attn_layer_norm", "attention_norm"),
    *_LINEAR_ATTENTION,
    ("conv_module.layer_norm", "convolution.norm"),
    ("conv_module.pointwise_conv1", "convolution.expand"),
    ("conv_module.pointwise_conv2", "convolution.contract"),
    ("ffn2_layer_norm", "ffn2_norm"),
    ("ffn2.intermediate_dense", "ffn2.inner"),
    ("ffn2.output_dense", "ffn2.outer"),
    ("final_layer_norm", "final_norm"),
]
_CONFORMER_V1 = [
    *_CONFORMER,
    ("self_attn.linear_pos", "attention.distance"),
    ("self_attn.pos_bias_u", "attention.content_bias"),
    ("self_attn.pos_bias_v", "attention.distance_bias"),
    ("conv_module.depthwise_conv", "convolution.depthwise"),
    *((f"conv_module.batch_norm{part}", f"convolution.batch_norm{part}") for part in _BATCH_NORM),
]
_CONFORMER_V2 = [
    *_CONFORMER,
    ("self_attn.distance_embedding", "attention.distance"),
    ("conv_module.depthwise_conv", "convolution.depthwise.conv"),
    ("conv_module.depthwise_layer_norm", "convolution.depthwise_norm"),
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


_COMMON: Pairs = [
    ("shared", "tokens"),
    ("lm_head", "lm_head"),
    ("speech_encoder.feature_projection.layer_norm", "speech_encoder.input_norm"),
    ("speech_encoder.feature_projection.projection", "speech_encoder.input_projection"),
    ("speech_encoder.encoder.layer_norm", "speech_encoder.norm"),
    ("speech_encoder.intermediate_ffn.intermediate_dense", "speech_encoder.ffn.inner"),
    ("speech_encoder.intermediate_ffn.output_dense", "speech_encoder.ffn.outer"),
    *under("speech_encoder.adapter.layers.{}", "speech_encoder.adaptor.{}", _ADAPTOR),
    ("speech_encoder.inner_layer_norm", "speech_encoder.output_norm"),
    *under("text_encoder.layers.{}", "text_encoder.layers.{}", [*_ATTENTION, *_FEED_FORWARD]),
    ("text_encoder.layer_norm", "text_encoder.norm"),
    *under(
        "text_decoder.layers.{}", "text_decoder.layers.{}", [*_ATTENTION, *_SOURCE_ATTENTION, *_FEED_FORWARD]
    ),
    ("text_decoder.layer_norm", "text_decoder.norm"),
    *under("t2u_model.model.encoder.layers.{}", "t2u.encoder.layers.{}", [*_ATTENTION, *_FEED_FORWARD]),
    ("t2u_model.model.encoder.layer_norm", "t2u.encoder.norm"),
    ("vocoder.unit_embedding", "vocoder.units"),
    ("vocoder.speaker_embedding", "vocoder.speakers"),
    ("vocoder.language_embedding", "vocoder.languages"),
    *under("vocoder.dur_predictor", "vocoder.durations", _DURATIONS),
    ("vocoder.hifi_gan.conv_pre", "vocoder.generator.pre"),
    ("vocoder.hifi_gan.upsampler.{}", "vocoder.generator.upsamplers.{}"),
    ("vocoder.hifi_gan.resblocks.{}.convs1.{}", "vocoder.generator.blocks.{}.dilated.{}"),
    ("vocoder.hifi_gan.resblocks.{}.convs2.{}", "vocoder.generator.blocks.{}.plain.{}"),
    ("vocoder.hifi_gan.conv_post", "vocoder.generator.post"),
]

_T2U_V1: Pairs = [
    ("t2u_model.model.decoder.embed_tokens", "t2u.decoder.tokens"),
    *under(
        "t2u_model.model.decoder.layers.{}",
        "t2u.decoder.stack.layers.{}",
        [*_ATTENTION, *_SOURCE_ATTENTION, *_FEED_FORWARD],
    ),
    ("t2u_model.model.decoder.layer_norm", "t2u.decoder.stack.norm"),
    ("t2u_model.lm_head", "t2u.decoder.head"),
]

_T2U_V2: Pairs = [
    ("t2u_model.model.decoder.embed_char", "t2u.characters"),
    ("t2u_model.model.decoder.pos_emb_alpha_char", "t2u.character_alpha"),
    ("t2u_model.model.decoder.pos_emb_alpha", "t2u.unit_alpha"),
    *under("t2u_model.model.decoder.duration_predictor", "t2u.durations", _DURATIONS),
    *under("t2u_model.model.decoder.layers.{}", "t2u.layers.{}", _UNIT_LAYER),
    ("t2u_model.model.decoder.layer_norm", "t2u.norm"),
    ("t2u_model.lm_head", "t2u.head"),
]
_LAYERS = ("speech_encoder.encoder.layers.{}", "speech_encoder.conformer.layers.{}")
TABLES = {
    V1: NameTable([*_COMMON, *under(*_LAYERS, _CONFORMER_V1), *_T2U_V1]),
    V2: NameTable([*_COMMON, *under(*_LAYERS, _CONFORMER_V2), *_T2U_V2]),
}

# Other names of a tensor that one of the names above has too; a file may hold any of them.
ALIASES = {
    "text_encoder.embed_tokens.weight": "shared.weight",
    "text_decoder.embed_tokens.weight": "shared.weight",
}
TIED_ALIASES = {
    "lm_head.weight": "shared.weight",
    "t2u_model.model.decoder.embed_tokens.weight": "t2u_model.lm_head.weight",
}
UNUSED_V2 = (
    "t2u_model.model.decoder.embed_tokens.weight"  # as an input embedding: v2's T2U has no unit inputs
)


def to_ours(name: str, *, tied: bool, family: str = V2) -> str | None:
    """Our name of a checkpoint's tensor; None for a name that this architecture does not have."""
    name = ALIASES.get(name, name)
    if tied:
        name = TIED_ALIASES.get(name, name)
    return TABLES[family].to_ours(name)


def to_theirs(name: str, *, family: str = V2) -> str | None:
    """The checkpoint's name of one of our tensors: the inverse, for tools that write checkpoints."""
    return TABLES[family].to_theirs(name)


def is_unused(name: str, *, tied: bool, family: str = V2) -> bool:
    """A tensor that a file may hold although nothing reads it."""
    return name == UNUSED_V2 and not tied and family == V2
