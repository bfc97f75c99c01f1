"""Names of a Hugging Face Speech2Text checkpoint and ours."""

from seamless_stream.models.naming import NameTable, under

_SELF = [
    ("self_attn.q_proj", "attention.query"),
    ("self_attn.k_proj", "attention.key"),
    ("self_attn.v_proj", "attention.value"),
    ("self_attn.out_proj", "attention.output"),
    ("self_attn_layer_norm", "attention_norm"),
]
_FEED_FORWARD = [("fc1", "ffn.inner"), ("fc2", "ffn.outer"), ("final_layer_norm", "ffn_norm")]
_SOURCE = [
    ("encoder_attn.q_proj", "source_attention.query"),
    ("encoder_attn.k_proj", "source_attention.key"),
    ("encoder_attn.v_proj", "source_attention.value"),
    ("encoder_attn.out_proj", "source_attention.output"),
    ("encoder_attn_layer_norm", "source_norm"),
]
_TABLE = NameTable(
    [
        ("model.encoder.conv.conv_layers.{}", "encoder.subsampler.convolutions.{}"),
        *under("model.encoder.layers.{}", "encoder.stack.layers.{}", [*_SELF, *_FEED_FORWARD]),
        ("model.encoder.layer_norm", "encoder.stack.norm"),
        ("model.decoder.embed_tokens", "decoder.tokens"),
        *under("model.decoder.layers.{}", "decoder.stack.layers.{}", [*_SELF, *_SOURCE, *_FEED_FORWARD]),
        ("model.decoder.layer_norm", "decoder.stack.norm"),
        ("lm_head", "decoder.head"),
    ]
)
# Sinusoids, which older files spell out.
_DERIVED = ("model.encoder.embed_positions.weights", "model.decoder.embed_positions.weights")


def to_ours(name: str) -> str | None:
    """Our name of a checkpoint's tensor; None for one that nothing needs; an unknown name stays as it is."""
    return None if name in _DERIVED else _TABLE.to_ours(name) or name


def to_theirs(name: str) -> str | None:
    """The checkpoint's name of one of our tensors: the inverse, for tools that write checkpoints."""
    return _TABLE.to_theirs(name)
