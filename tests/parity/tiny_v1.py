"""Small random SeamlessM4T v1 checkpoints in Hugging Face layout, written by transformers itself; see `tiny`.

Units that the reference cannot speak (reserved ones and languages) never win, nor does a pad, which it would give no
position.
"""

from pathlib import Path
from typing import Any

import torch

from tests.parity import tiny
from tests.parity.tiny import NUM_UNITS, Variant

UNIT_EOS, UNIT_PAD = 2, 1
NUM_UNIT_IDS = NUM_UNITS + 4 + len(tiny.LANGUAGES)
MAX_NEW_UNITS = 24

_V2_ONLY = ("char_vocab_size", "t2u_variance_predictor_embed_dim", "t2u_variance_predictor_hidden_dim")
SMALL: dict[str, Any] = {
    **{name: value for name, value in tiny.SMALL.items() if name not in _V2_ONLY},
    "t2u_vocab_size": NUM_UNIT_IDS,
    "t2u_max_new_tokens": MAX_NEW_UNITS,
    "vocoder_num_langs": len(tiny.LANGUAGES),
}

VARIANTS = (
    Variant("v1_like_large", eos_boost=1.6),  # adaptor 8/8, kernel 31: the released ratios
    Variant(
        "v1_like_medium",  # fewer layers everywhere, a narrower feed-forward
        {"encoder_layers": 1, "decoder_layers": 3, "t2u_encoder_layers": 1, "t2u_decoder_layers": 1}
        | {"encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "speech_encoder_layers": 3},
        eos_boost=3.0,
    ),
    Variant(
        "v1_untied_adaptor_5_4",
        {"tie_word_embeddings": False, "adaptor_kernel_size": 5, "adaptor_stride": 4}
        | {"conv_depthwise_kernel_size": 7},
        eos_boost=3.0,
    ),
    Variant(
        "v1_wide_two_adaptors",
        {"hidden_size": 48, "encoder_attention_heads": 1, "decoder_attention_heads": 8}
        | {"speech_encoder_attention_heads": 2, "t2u_encoder_attention_heads": 2}
        | {"t2u_decoder_attention_heads": 1, "layer_norm_eps": 1e-3}
        | {"adaptor_kernel_size": 3, "adaptor_stride": 2, "num_adapter_layers": 2},
    ),
    Variant(
        "v1_unscaled_gelu",
        {"scale_embedding": False, "activation_function": "gelu", "speech_encoder_hidden_act": "relu"}
        | {"adaptor_kernel_size": 7, "adaptor_stride": 6},
        eos_boost=4.0,
    ),
    Variant(
        "v1_short_tables_other_vocoder",  # positions beyond the tables' sizes must grow them
        {"hidden_size": 16, "max_position_embeddings": 6, "t2u_max_position_embeddings": 6}
        | {"max_source_positions": 4, "conv_depthwise_kernel_size": 1, "leaky_relu_slope": 0.2}
        | {"upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8], "resblock_kernel_sizes": [3, 5]}
        | {"resblock_dilation_sizes": [[1, 3], [1, 2]]},
    ),
)


def generation_tables() -> dict[str, Any]:
    """The tables of v1's `generation_config.json`; the reference wants a language in all three, for text too."""
    return {
        "text_decoder_lang_to_code_id": tiny.generation_tables()["text_decoder_lang_to_code_id"],
        "t2u_lang_code_to_id": {lang: NUM_UNITS + 4 + i for i, lang in enumerate(tiny.LANGUAGES)},
        "vocoder_lang_code_to_id": {lang: i for i, lang in enumerate(tiny.LANGUAGES)},
    }


def _make_usable(model: Any, normal: tiny.Normal, eos_boost: float) -> None:
    """Small but varied durations, units that have a sound, statistics of a trained batch norm, answers that end."""
    for layer in model.speech_encoder.encoder.layers:
        normal(layer.conv_module.batch_norm.running_mean, 0.0, 0.5)
        normal(layer.conv_module.batch_norm.running_var, 0.0, 0.5)
        layer.conv_module.batch_norm.running_var.exp_()
    predictor = model.vocoder.dur_predictor
    normal(predictor.proj.weight, 0.0, predictor.proj.in_features**-0.5)
    predictor.proj.bias.fill_(0.8)
    model.vocoder.hifi_gan.conv_post.weight *= 0.3  # tanh should not saturate
    decoder, head = model.t2u_model.model.decoder, model.t2u_model.lm_head
    if not model.config.scale_embedding:
        for weight in (model.shared.weight, decoder.embed_tokens.weight):
            weight *= model.config.hidden_size**0.5
    # One dimension only tells the units that cannot be spoken from the others: their logits are about -18.
    decoder.layer_norm.weight[0], decoder.layer_norm.bias[0] = 0.0, 12.0
    head.weight[:, 0] = 0.0
    head.weight[[0, UNIT_PAD, 3, *range(NUM_UNITS + 4, NUM_UNIT_IDS)], 0] = -1.5
    model.lm_head.weight[tiny.EOS] *= eos_boost
    model.lm_head.weight[tiny.PAD] = 0
    model.shared.weight[tiny.PAD] = 0
    model.text_encoder.embed_tokens.weight.copy_(model.shared.weight)
    model.text_decoder.embed_tokens.weight.copy_(model.shared.weight)


def save(variant: Variant, directory: Path, seed: int) -> None:
    """A complete checkpoint directory, as the hub would give it."""
    from transformers import (
        GenerationConfig,
        SeamlessM4TConfig,
        SeamlessM4TFeatureExtractor,
        SeamlessM4TModel,
    )

    config = SeamlessM4TConfig(**(SMALL | {"vocab_size": tiny.vocabulary_size()} | variant.config))
    model = SeamlessM4TModel(config)
    tiny.randomize(model, seed, lambda *args: _make_usable(*args, variant.eos_boost))
    ids = {"bos_token_id": 2, "decoder_start_token_id": tiny.EOS, "eos_token_id": tiny.EOS}
    model.generation_config = GenerationConfig(
        max_new_tokens=256, pad_token_id=tiny.PAD, **ids, **generation_tables()
    )
    model.save_pretrained(directory)
    SeamlessM4TFeatureExtractor().save_pretrained(directory)
    (directory / "sentencepiece.bpe.model").write_bytes(tiny.tokenizer_model())


class Pair(tiny.Pair):
    """Two implementations of one v1 checkpoint."""

    @staticmethod
    def load_reference(directory: Path, dtype: torch.dtype) -> Any:
        """The model of transformers."""
        from transformers import SeamlessM4TModel

        return SeamlessM4TModel.from_pretrained(directory, attn_implementation="sdpa", dtype=dtype).eval()
