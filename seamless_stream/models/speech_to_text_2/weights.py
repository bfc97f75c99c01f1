"""Names of a Hugging Face Speech2Text2 checkpoint and ours."""

from seamless_stream.models.naming import NameTable, under

_ENCODER_LAYER = [
    ("attention.q_proj", "attention.query"),
    ("attention.k_proj", "attention.key"),
    ("attention.v_proj", "attention.value"),
    ("attention.out_proj", "attention.output"),
    ("layer_norm", "attention_norm"),
    ("feed_forward.intermediate_dense", "ffn.inner"),
    ("feed_forward.output_dense", "ffn.outer"),
    ("final_layer_norm", "ffn_norm"),
]
_DECODER_LAYER = [
    ("self_attn.q_proj", "attention.query"),
    ("self_attn.k_proj", "attention.key"),
    ("self_attn.v_proj", "attention.value"),
    ("self_attn.out_proj", "attention.output"),
    ("self_attn_layer_norm", "attention_norm"),
    ("encoder_attn.q_proj", "source_attention.query"),
    ("encoder_attn.k_proj", "source_attention.key"),
    ("encoder_attn.v_proj", "source_attention.value"),
    ("encoder_attn.out_proj", "source_attention.output"),
    ("encoder_attn_layer_norm", "source_norm"),
    ("fc1", "ffn.inner"),
    ("fc2", "ffn.outer"),
    ("final_layer_norm", "ffn_norm"),
]
_POSITIONS = "encoder.encoder.pos_conv_embed.conv"
_TABLE = NameTable(
    [
        *under(
            "encoder.feature_extractor.conv_layers.{}",
            "encoder.frames.layers.{}",
            [("conv", "conv"), ("layer_norm", "norm")],
        ),
        ("encoder.feature_projection.layer_norm", "encoder.input_norm"),
        ("encoder.feature_projection.projection", "encoder.input_projection"),
        (f"{_POSITIONS}.parametrizations.weight.original0", "encoder.positions.magnitude"),
        (f"{_POSITIONS}.parametrizations.weight.original1", "encoder.positions.direction"),
        (f"{_POSITIONS}.bias", "encoder.positions.bias"),
        *under("encoder.encoder.layers.{}", "encoder.stack.layers.{}", _ENCODER_LAYER),
        ("encoder.encoder.layer_norm", "encoder.stack.norm"),
        ("enc_to_dec_proj", "encoder.output_projection"),
        ("decoder.model.decoder.embed_tokens", "decoder.tokens"),
        *under("decoder.model.decoder.layers.{}", "decoder.stack.layers.{}", _DECODER_LAYER),
        ("decoder.lm_head", "decoder.head"),
    ]
)
# Before torch 2.1 weight norm named its two parts otherwise.
_OLD_NAMES = {
    f"{_POSITIONS}.weight_g": f"{_POSITIONS}.parametrizations.weight.original0",
    f"{_POSITIONS}.weight_v": f"{_POSITIONS}.parametrizations.weight.original1",
}
# Sinusoids, and a vector that only masks frames in training.
_UNUSED = ("decoder.model.decoder.embed_positions.weights", "encoder.masked_spec_embed")


def to_ours(name: str) -> str | None:
    """Our name of a checkpoint's tensor; None for one that nothing needs; an unknown name stays as it is."""
    name = _OLD_NAMES.get(name, name)
    return None if name in _UNUSED else _TABLE.to_ours(name) or name


def to_theirs(name: str) -> str | None:
    """The checkpoint's name of one of our tensors: the inverse, for tools that write checkpoints."""
    return _TABLE.to_theirs(name)
