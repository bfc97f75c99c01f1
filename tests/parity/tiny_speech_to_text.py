"""Small random Speech2Text checkpoints in Hugging Face layout, written by transformers itself.

Weights are far larger than an initialisation's, so that attention is peaked and answers end: a wrong formula shows.
A pad token never wins: the reference would then give it no position.
"""

import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch

from seamless_stream.models.registry import load_model
from tests.parity import tiny

BOS, PAD, EOS, UNKNOWN = 0, 1, 2, 3
TAGS = ("pt", "fr", "ru", "nl", "ro", "it", "es", "de")  # of MuST-C
NUM_PIECES = 90


@dataclass(frozen=True)
class Variant:
    """One configuration; `config` overrides SMALL."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    eos_boost: float = 2.0
    is_multilingual: bool = False
    shifted_by: int = 0  # of ids in vocab.json against those of sentencepiece, beyond the special ones
    is_upper_case: bool = False

    @property
    def languages(self) -> tuple[str, ...]:
        """What it writes, in our codes."""
        codes = {"pt": "por", "fr": "fra", "ru": "rus", "nl": "nld", "ro": "ron", "it": "ita"}
        return tuple(({**codes, "es": "spa", "de": "deu"})[tag] for tag in TAGS)


SMALL: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "conv_channels": 24,
    "max_source_positions": 64,
    "max_target_positions": 64,  # the reference fails beyond; ours has no end
}

VARIANTS = (
    Variant("s2t-tiny-librispeech-asr"),
    Variant("s2t-tiny-mustc-multilingual-st", is_multilingual=True),
    Variant(
        "s2t-untied-mustc-en-de-st",
        {"tie_word_embeddings": False, "conv_kernel_sizes": [3, 7], "encoder_layers": 3},
        eos_boost=3.0,
        shifted_by=5,
        is_upper_case=True,
    ),
    Variant(
        "s2t-unscaled-mustc-en-fr-st",
        {"scale_embedding": False, "activation_function": "gelu", "decoder_attention_heads": 1},
        eos_boost=1.0,
    ),
    Variant(
        "s2t-three-convolutions-mustc-en-es-st",
        {"num_conv_layers": 3, "conv_kernel_sizes": [5, 3, 1], "decoder_layers": 4, "conv_channels": 40},
        eos_boost=1.0,
    ),
    Variant(
        "s2t-wide-mustc-multilingual-st",
        {"d_model": 48, "encoder_attention_heads": 8, "decoder_attention_heads": 2, "num_conv_layers": 1}
        | {"conv_kernel_sizes": [5]},
        is_multilingual=True,
        eos_boost=1.6,
    ),
)


@cache
def tokenizer_model(is_multilingual: bool) -> bytes:
    """A sentencepiece BPE model with the special ids of fairseq."""
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(tiny.SENTENCES.lower().splitlines() * 20),
        model_writer=model,
        vocab_size=NUM_PIECES,
        model_type="bpe",
        bos_id=BOS,
        pad_id=PAD,
        eos_id=EOS,
        unk_id=UNKNOWN,
        user_defined_symbols=[f"<lang:{tag}>" for tag in TAGS] if is_multilingual else [],
        character_coverage=1.0,
        minloglevel=2,
    )
    return model.getvalue()


def vocabulary(variant: Variant) -> dict[str, int]:
    """vocab.json."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model(variant.is_multilingual))
    names = [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]
    first = UNKNOWN + 1
    rest = len(names) - first
    return {
        name: number if number < first else first + (number - first + variant.shifted_by) % rest
        for number, name in enumerate(names)
    }


def randomize(model: Any, variant: Variant, seed: int) -> None:
    """Weights that keep signals of order one through every layer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() >= 2:
                gain = 1.0 if "embed" in name or "lm_head" in name else tiny.GAIN
                parameter.copy_(gain / parameter[0].numel() ** 0.5 * noise)
            elif name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.2 * noise)
        if not model.config.scale_embedding:
            model.model.decoder.embed_tokens.weight *= model.config.d_model**0.5
        model.lm_head.weight[EOS] *= variant.eos_boost
        model.lm_head.weight[PAD] = 0


def save(variant: Variant, directory: Path, seed: int) -> None:
    """A complete checkpoint directory, as the hub would give it."""
    from transformers import (
        Speech2TextConfig,
        Speech2TextFeatureExtractor,
        Speech2TextForConditionalGeneration,
        Speech2TextTokenizer,
    )

    directory.mkdir()
    config = Speech2TextConfig(**(SMALL | {"vocab_size": NUM_PIECES} | variant.config))
    model = Speech2TextForConditionalGeneration(config)
    randomize(model, variant, seed)
    model.save_pretrained(directory)
    Speech2TextFeatureExtractor().save_pretrained(directory)
    (directory / "vocab.json").write_text(json.dumps(vocabulary(variant)))
    (directory / "sentencepiece.bpe.model").write_bytes(tokenizer_model(variant.is_multilingual))
    tokenizer = Speech2TextTokenizer(
        str(directory / "vocab.json"),
        str(directory / "sentencepiece.bpe.model"),
        do_upper_case=variant.is_upper_case,
        **({"lang_codes": "mustc", "tgt_lang": "pt"} if variant.is_multilingual else {}),
    )
    tokenizer.save_pretrained(directory)


def reference_features(samples: np.ndarray) -> torch.Tensor:
    """What transformers makes of one utterance, [1, T, 80]."""
    from transformers import Speech2TextFeatureExtractor

    extracted = Speech2TextFeatureExtractor()(samples, sampling_rate=16_000, return_tensors="pt")
    features: torch.Tensor = extracted["input_features"]
    return features


def load_reference(directory: Path, dtype: torch.dtype) -> Any:
    from transformers import Speech2TextForConditionalGeneration

    model = Speech2TextForConditionalGeneration.from_pretrained(directory, dtype=dtype).eval()
    if not model.config.tie_word_embeddings:
        assert not torch.equal(model.lm_head.weight, model.model.decoder.embed_tokens.weight)
    return model


@dataclass
class Pair:
    """Two implementations of one checkpoint; loaded when asked for."""

    variant: Variant
    directory: Path

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import Speech2TextTokenizer

        return Speech2TextTokenizer.from_pretrained(self.directory)

    @cache  # noqa: B019
    def both(self, dtype: torch.dtype) -> tuple[Any, Any]:
        """Theirs and ours."""
        ours = load_model(str(self.directory), device="cpu", dtype=dtype)
        return load_reference(self.directory, dtype), ours

    def __hash__(self) -> int:
        return hash(self.directory)
