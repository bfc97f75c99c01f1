"""Small random SeamlessM4T v2 checkpoints in Hugging Face layout, written by transformers itself.

Weights are far larger than an initialisation's, so that attention is peaked, durations vary and answers end: a
wrong formula shows. Two tricks keep the reference alive: the reserved units 0 and 3 (which its vocoder cannot
take) never win, and a pad token never wins in the text.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch

from seamless_stream.models.registry import load_model

EOS, PAD, UNKNOWN = 3, 0, 1
LANGUAGES = ("eng", "spa", "fra", "deu", "cmn", "cat")  # the last has no units, the one before no voice
RESERVED_UNITS = (0, 3)
NUM_UNITS = 40
NUM_CHARACTERS = 45
GAIN = 1.6  # of a layer's signal over its input's; weaker layers leave every answer a copy of the last token
EMBEDDING_GAIN = 1.0
SENTENCES = """Good morning, how are you? The train to the city leaves at seven, from platform two.
I would like a room for three nights, please! Buenos dias, quisiera una mesa para dos. ¿Cuanto cuesta el billete?
Where is the nearest pharmacy? El museo abre a las nueve y cierra a las cinco. Two coffees and one tea."""


@dataclass(frozen=True)
class Variant:
    """One configuration; `config` overrides SMALL."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    eos_boost: float = 2.5


SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "t2u_vocab_size": NUM_UNITS + 4,
    "char_vocab_size": NUM_CHARACTERS,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "speech_encoder_layers": 2,
    "speech_encoder_attention_heads": 4,
    "speech_encoder_intermediate_size": 48,
    "t2u_encoder_layers": 2,
    "t2u_decoder_layers": 2,
    "t2u_encoder_ffn_dim": 48,
    "t2u_decoder_ffn_dim": 48,
    "t2u_encoder_attention_heads": 4,
    "t2u_decoder_attention_heads": 4,
    "t2u_variance_predictor_embed_dim": 32,
    "t2u_variance_predictor_hidden_dim": 24,
    "max_position_embeddings": 64,
    "t2u_max_position_embeddings": 64,
    "upsample_initial_channel": 32,
    "unit_hifi_gan_vocab_size": NUM_UNITS,
    "unit_embed_dim": 24,
    "lang_embed_dim": 8,
    "spkr_embed_dim": 8,
    "vocoder_num_langs": 4,
    "vocoder_num_spkrs": 6,
}

VARIANTS = (
    Variant(
        "like_large", eos_boost=1.6
    ),  # chunk of 20000, adaptor 8/8, kernel 31, 64 left and 8 right: the released ratios
    Variant(
        "chunk_8_left_2",
        {
            "speech_encoder_chunk_size": 8,
            "speech_encoder_left_chunk_num": 2,
            "conv_depthwise_kernel_size": 7,
            "left_max_position_embeddings": 6,
            "right_max_position_embeddings": 3,
        },
        eos_boost=5.0,
    ),
    Variant(
        "chunk_5_left_1_adaptor_5_4",
        {
            "speech_encoder_chunk_size": 5,
            "speech_encoder_left_chunk_num": 1,
            "adaptor_kernel_size": 5,
            "adaptor_stride": 4,
            "speech_encoder_layers": 3,
        },
        eos_boost=3.5,
    ),
    Variant(
        "chunk_16_left_0_two_adaptors",
        {
            "speech_encoder_chunk_size": 16,
            "speech_encoder_left_chunk_num": 0,
            "adaptor_kernel_size": 3,
            "adaptor_stride": 2,
            "num_adapter_layers": 2,
        },
    ),
    Variant(
        "untied",
        {
            "tie_word_embeddings": False,
            "adaptor_kernel_size": 4,
            "adaptor_stride": 4,
            "speech_encoder_chunk_size": 12,
            "speech_encoder_left_chunk_num": 3,
        },
        eos_boost=3.0,
    ),
    Variant(
        "wide_one_head",
        {
            "hidden_size": 48,
            "encoder_attention_heads": 1,
            "decoder_attention_heads": 8,
            "speech_encoder_attention_heads": 2,
            "t2u_encoder_attention_heads": 2,
            "t2u_decoder_attention_heads": 1,
            "t2u_variance_predictor_embed_dim": 48,
            "t2u_variance_predictor_kernel_size": 5,
            "layer_norm_eps": 1e-3,
        },
    ),
    Variant(
        "deep_narrow_other_vocoder",
        {
            "hidden_size": 16,
            "encoder_layers": 4,
            "decoder_layers": 5,
            "speech_encoder_layers": 1,
            "t2u_encoder_layers": 1,
            "t2u_decoder_layers": 3,
            "t2u_variance_predictor_embed_dim": 16,
            "upsample_rates": [4, 4],
            "upsample_kernel_sizes": [8, 8],
            "resblock_kernel_sizes": [3, 5],
            "resblock_dilation_sizes": [[1, 3], [1, 2]],
            "leaky_relu_slope": 0.2,
        },
    ),
    Variant(
        "unscaled_gelu_no_right_context",
        {
            "scale_embedding": False,
            "activation_function": "gelu",
            "speech_encoder_hidden_act": "relu",
            "left_max_position_embeddings": 9,
            "right_max_position_embeddings": 0,
            "speech_encoder_chunk_size": 24,
            "speech_encoder_left_chunk_num": 1,
            "adaptor_kernel_size": 7,
            "adaptor_stride": 6,
        },
        eos_boost=4.0,
    ),
    Variant(
        "untied_short_tables",  # positions beyond `max_position_embeddings` must grow the table
        {
            "tie_word_embeddings": False,
            "max_position_embeddings": 6,
            "t2u_max_position_embeddings": 6,
            "conv_depthwise_kernel_size": 1,
            "variance_predictor_kernel_size": 5,
        },
    ),
)


@cache
def tokenizer_model() -> bytes:
    """A sentencepiece BPE model; unk, s and /s are 0, 1 and 2, as in the released one."""
    from io import BytesIO

    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES.splitlines() * 20),
        model_writer=model,
        vocab_size=90,
        model_type="bpe",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        add_dummy_prefix=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    return model.getvalue()


@cache
def generation_tables() -> dict[str, Any]:
    """The tables of `generation_config.json`; piece 20 has no text and a few characters have no id, on purpose."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model())
    num_pieces = pieces.get_piece_size() + 1
    id_to_text = {str(i + 1): pieces.id_to_piece(i) for i in range(num_pieces - 1)}
    id_to_text[str(PAD)] = "<pad>"
    for number, language in enumerate(LANGUAGES):
        id_to_text[str(num_pieces + number)] = f"__{language}__"
    del id_to_text["20"]
    characters = sorted({c for text in id_to_text.values() for c in text})
    return {
        "text_decoder_lang_to_code_id": {lang: num_pieces + i for i, lang in enumerate(LANGUAGES)},
        "t2u_lang_code_to_id": {lang: i + NUM_UNITS for i, lang in enumerate(LANGUAGES[:-1])},
        "vocoder_lang_code_to_id": {lang: i for i, lang in enumerate(LANGUAGES[:-2])},
        "id_to_text": id_to_text,
        "char_to_id": {c: i + 4 for i, c in enumerate(characters[: NUM_CHARACTERS - 4])},
    }


def vocabulary_size() -> int:
    """Pieces, languages and three ids that mean nothing, as the released checkpoint has them."""
    return max(generation_tables()["text_decoder_lang_to_code_id"].values()) + 1 + 3


Normal = Callable[[torch.Tensor, float, float], None]  # fills a tensor with a mean and a deviation


def randomize(model: Any, seed: int, make_usable: Callable[[Any, Normal], None]) -> None:
    """Weights that keep signals of order one through every layer."""
    generator = torch.Generator().manual_seed(seed)

    def normal(parameter: torch.Tensor, mean: float, std: float) -> None:
        parameter.copy_(mean + std * torch.randn(parameter.shape, generator=generator))

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                transposed = "upsampler" in name
                fan_in = parameter[:, 0].numel() if transposed else parameter[0].numel()
                gain = (
                    EMBEDDING_GAIN if "embed" in name or name in ("shared.weight", "lm_head.weight") else GAIN
                )
                normal(parameter, 0.0, gain / fan_in**0.5)
            elif "alpha" in name:
                normal(parameter, 1.0, 0.3)
            elif name.endswith("norm.weight") or ".ln" in name and name.endswith("weight"):
                normal(parameter, 1.0, 0.2)
            else:
                normal(parameter, 0.0, 0.2)
        make_usable(model, normal)


def _make_usable(model: Any, normal: Normal, eos_boost: float) -> None:
    """Small but varied durations, no reserved units, no pads in text, some answers that end."""
    for predictor, bias in (
        (model.t2u_model.model.decoder.duration_predictor, 0.8),
        (model.vocoder.dur_predictor, 0.3),
    ):
        normal(predictor.proj.weight, 0.0, 0.5 / predictor.proj.in_features**0.5)
        predictor.proj.bias.fill_(bias)
    model.vocoder.hifi_gan.conv_post.weight *= 0.3  # tanh should not saturate
    embeddings = [model.shared.weight, model.t2u_model.model.decoder.embed_char.weight]
    if not model.config.scale_embedding:
        for weight in embeddings:
            weight *= model.config.hidden_size**0.5
    embeddings[1] *= 3  # characters should be told apart by their units
    norm, head = model.t2u_model.model.decoder.layer_norm, model.t2u_model.lm_head
    normal(norm.bias, 0.0, 0.5)
    for unit in RESERVED_UNITS:
        head.weight[unit] = -4 * norm.bias  # its logit is about -4 |bias|^2
    model.lm_head.weight[EOS] *= eos_boost
    model.lm_head.weight[PAD] = 0
    model.shared.weight[PAD] = 0
    # Untied heads are one thing; this family has one table of input embeddings all the same.
    model.text_encoder.embed_tokens.weight.copy_(model.shared.weight)
    model.text_decoder.embed_tokens.weight.copy_(model.shared.weight)


def save(variant: Variant, directory: Path, seed: int) -> None:
    """A complete checkpoint directory, as the hub would give it."""
    from transformers import (
        GenerationConfig,
        SeamlessM4TFeatureExtractor,
        SeamlessM4Tv2Config,
        SeamlessM4Tv2Model,
    )

    config = SeamlessM4Tv2Config(**(SMALL | {"vocab_size": vocabulary_size()} | variant.config))
    model = SeamlessM4Tv2Model(config)
    randomize(model, seed, lambda *args: _make_usable(*args, variant.eos_boost))
    # A fresh one: what comes from the model's config loses its tables when it is loaded again.
    ids = {"bos_token_id": 2, "decoder_start_token_id": EOS, "eos_token_id": EOS, "pad_token_id": PAD}
    model.generation_config = GenerationConfig(max_new_tokens=256, **ids, **generation_tables())
    model.save_pretrained(directory)
    SeamlessM4TFeatureExtractor().save_pretrained(directory)
    (directory / "sentencepiece.bpe.model").write_bytes(tokenizer_model())


def speech(num_samples: int, seed: int) -> np.ndarray:
    """Samples [N] float32: a few gliding tones that come and go over noise."""
    generator = np.random.default_rng(seed)
    time = np.arange(num_samples) / 16_000
    sound = 0.02 * generator.standard_normal(num_samples)
    for _ in range(4):
        start, slope, phase = (
            generator.uniform(100, 3000),
            generator.uniform(-500, 500),
            generator.uniform(0, 6),
        )
        level = np.sin(2 * np.pi * generator.uniform(1, 5) * time + phase) ** 2
        sound += 0.1 * level * np.sin(2 * np.pi * (start + slope * time) * time)
    return sound.astype(np.float32)


# Odd and even numbers of frames; 35 ms, the least; one a few samples beyond a frame.
SPEECH_SAMPLES = (16_160, 9_600, 20_000, 560, 12_345)


def texts() -> list[str]:
    """Source sentences of different lengths."""
    return [
        "Good morning, how are you?",
        "El museo abre a las nueve.",
        "Two",
        "Where is the train? I would like coffee.",
    ]


def describe(directory: Path) -> dict[str, Any]:
    """The parsed config.json."""
    parsed: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return parsed


def sounds() -> list[np.ndarray]:
    """One sound of each length."""
    return [speech(count, seed) for seed, count in enumerate(SPEECH_SAMPLES)]


def reference_features(samples: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """What transformers makes of one utterance: values [1, T, 160] and mask [1, T]."""
    return _reference_features(samples.tobytes())


@cache
def _reference_features(samples: bytes) -> tuple[torch.Tensor, torch.Tensor]:
    from transformers import SeamlessM4TFeatureExtractor

    heard = np.frombuffer(samples, np.float32)
    extracted = SeamlessM4TFeatureExtractor()(heard, sampling_rate=16_000, return_tensors="pt")
    return extracted["input_features"], extracted["attention_mask"]


@dataclass
class Pair:
    """Two implementations of one checkpoint; loaded when asked for."""

    variant: Variant
    directory: Path

    @staticmethod
    def load_reference(directory: Path, dtype: torch.dtype) -> Any:
        """The model of transformers. Its eager attention ignores the chunk mask of v2, hence sdpa."""
        from transformers import SeamlessM4Tv2Model

        model = SeamlessM4Tv2Model.from_pretrained(directory, attn_implementation="sdpa", dtype=dtype).eval()
        if not model.config.tie_word_embeddings:
            assert not torch.equal(model.lm_head.weight, model.shared.weight)
        return model

    @cached_property
    def reference(self) -> Any:
        return self.load_reference(self.directory, torch.float32)

    @cached_property
    def reference64(self) -> Any:
        return self.load_reference(self.directory, torch.float64)

    @cached_property
    def ours(self) -> Any:
        return load_model(str(self.directory), device="cpu", dtype=torch.float32)

    @cached_property
    def ours64(self) -> Any:
        return load_model(str(self.directory), device="cpu", dtype=torch.float64)

    def both(self, dtype: torch.dtype) -> tuple[Any, Any]:
        """Theirs and ours."""
        if dtype == torch.float64:
            return self.reference64, self.ours64
        return self.reference, self.ours
