"""Write the small random Speech2Text2 checkpoints of the parity test, and what the reference makes of them.

Transformers 5 has lost this family. Run this in an environment of its own with the last release in which the family
works, from the root of the repository:

    pip install torch==2.13.0 transformers==4.50.3
    PYTHONPATH=. python tests/parity/make_speech_to_text_2.py

Weights are rounded to half precision, which halves the files; everything is computed in float64 from these. They are
far larger than an initialisation's, so that attention is peaked and answers end: a wrong formula shows.
"""

import copy
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import SpeechEncoderDecoderConfig, SpeechEncoderDecoderModel, Wav2Vec2Config
from transformers import Wav2Vec2FeatureExtractor as Extractor
from transformers.models.deprecated.speech_to_text_2 import Speech2Text2Config, Speech2Text2Tokenizer

from tools.tiny_bpe import train_bpe

DATA = Path(__file__).parent / "data" / "speech_to_text_2"
PAD, EOS = 1, 2
NUM_SAMPLES = (3_200, 6_007, 400)  # the last makes one frame
TARGETS = [2, 30, 10, 11, 40, 7, 3, 12]
MAX_NEW_TOKENS = 16
SENTENCES = """guten morgen , wie geht es ihnen ? der zug in die stadt geht um sieben von gleis zwei .
ein zimmer für drei nächte bitte ! wo ist die nächste apotheke ? zwei kaffee und ein tee .
das museum öffnet um neun und schließt um fünf . wie viel kostet die fahrkarte in die stadt ?"""
TEXTS = [
    "guten morgen , wie geht es",
    "Die Straße kostet zwei kaffee",
    "a",
    "",
    "wo  ist\tes ?",
    "öffnet um neun x1",
]


@dataclass(frozen=True)
class Variant:
    """One configuration: what differs from SMALL_ENCODER and SMALL_DECODER."""

    name: str
    encoder: dict[str, Any] = field(default_factory=dict)
    decoder: dict[str, Any] = field(default_factory=dict)
    eos_boost: float = 2.0
    is_normalised: bool = True
    is_old: bool = False  # a pickle with the names of before torch 2.1, and no merges


SMALL_ENCODER: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "conv_dim": (12,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
SMALL_DECODER: dict[str, Any] = {
    "d_model": 16,
    "decoder_layers": 2,
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 4,
    "max_target_positions": 32,
}
VARIANTS = (
    Variant("s2t-wav2vec2-like-large-en-de", decoder={"tie_word_embeddings": False}),
    Variant(
        "s2t-wav2vec2-like-base-en-ca",
        {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False},
        eos_boost=3.0,
    ),
    Variant(
        "s2t-wav2vec2-same-width-en-tr",
        {"hidden_size": 16, "do_stable_layer_norm": False, "num_attention_heads": 2},
        {"scale_embedding": False, "activation_function": "gelu", "decoder_attention_heads": 1},
        eos_boost=3.0,
    ),
    Variant(
        "s2t-wav2vec2-old-files-en-ar",
        {
            "conv_dim": (8, 12, 10, 12, 8),
            "conv_kernel": (10, 3, 3, 2, 2),
            "conv_stride": (5, 4, 2, 2, 2),
            "num_conv_pos_embeddings": 5,
            "num_conv_pos_embedding_groups": 1,
            "feat_extract_norm": "group",
        },
        is_old=True,
        eos_boost=3.0,
    ),
    Variant(
        "s2t-wav2vec2-raw-samples-en-de",
        {"num_hidden_layers": 3, "hidden_act": "relu", "feat_extract_activation": "gelu"},
        {"decoder_layers": 4, "decoder_attention_heads": 2},
        is_normalised=False,
        eos_boost=2.5,
    ),
)


def sound(num_samples: int, seed: int) -> np.ndarray:
    """Samples [N] int16: gliding tones over noise."""
    generator = np.random.default_rng(seed)
    time = np.arange(num_samples) / 16_000
    wave = 0.02 * generator.standard_normal(num_samples)
    for _ in range(4):
        start, slope = generator.uniform(100, 3000), generator.uniform(-2000, 2000)
        level = np.sin(2 * np.pi * generator.uniform(1, 9) * time) ** 2
        wave += 0.1 * level * np.sin(2 * np.pi * (start + slope * time) * time)
    return (wave * 32_767).clip(-32_768, 32_767).astype(np.int16)


def randomize(model: Any, variant: Variant, seed: int) -> None:
    """Weights that keep signals of order one through every layer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("embed_positions.weights"):
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("original0"):  # the norm of a place of a kernel
                parameter.copy_(2 + 0.5 * noise)
            elif parameter.dim() >= 2:
                gain = 1.0 if "embed_tokens" in name or "lm_head" in name else 1.6
                parameter.copy_(gain / parameter[0].numel() ** 0.5 * noise)
            elif name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.2 * noise)
        decoder = model.decoder
        if not decoder.config.scale_embedding:
            decoder.model.decoder.embed_tokens.weight *= decoder.config.d_model**0.5
        decoder.lm_head.weight[EOS] *= variant.eos_boost
        decoder.lm_head.weight[PAD] = 0
        for name, parameter in model.named_parameters():
            if not name.endswith("embed_positions.weights"):  # sinusoids, which nobody reads from the file
                parameter.copy_(parameter.half())


def save_weights(model: Any, directory: Path, variant: Variant) -> None:
    """config.json and the weights in half precision."""
    half = copy.deepcopy(model).half()
    half.save_pretrained(directory)
    if variant.is_old:
        old = {
            "parametrizations.weight.original0": "weight_g",
            "parametrizations.weight.original1": "weight_v",
        }
        state = half.state_dict()
        for new_name, old_name in old.items():
            state = {name.replace(new_name, old_name): value for name, value in state.items()}
        torch.save({name: value.clone() for name, value in state.items()}, directory / "pytorch_model.bin")
        (directory / "model.safetensors").unlink()


def build(variant: Variant, seed: int, vocab: dict[str, int], merges: list[str]) -> tuple[Any, Any]:
    """The reference's model in float64 and its tokenizer; writes the directory."""
    directory = DATA / variant.name
    directory.mkdir(parents=True)
    encoder = Wav2Vec2Config(**(SMALL_ENCODER | variant.encoder))
    decoder = Speech2Text2Config(**(SMALL_DECODER | {"vocab_size": len(vocab)} | variant.decoder))
    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = 2, EOS, PAD
    model = SpeechEncoderDecoderModel(config)
    randomize(model, variant, seed)
    save_weights(model, directory, variant)
    Extractor(do_normalize=variant.is_normalised).save_pretrained(directory)
    (directory / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    merges_file = directory / "merges.txt"
    if not variant.is_old:
        merges_file.write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    tokenizer = Speech2Text2Tokenizer(
        str(directory / "vocab.json"),
        merges_file=None if variant.is_old else str(merges_file),
        do_lower_case=not variant.is_old,
    )
    (directory / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": not variant.is_old}))
    return model.double().eval(), tokenizer


@torch.inference_mode()
def answers(
    model: Any, variant: Variant, samples: np.ndarray
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What the reference makes of one sound: tensors in float64, and lists of ids."""
    extractor = Extractor(do_normalize=variant.is_normalised)
    values = extractor(samples, sampling_rate=16_000, return_tensors="pt").input_values
    targets = torch.tensor([TARGETS])
    output = model(inputs=values.double(), decoder_input_ids=targets, output_attentions=True)
    layer = model.decoder.config.decoder_layers // 3
    tensors = {
        "features": values[0].float(),
        "states": output.encoder_last_hidden_state[0],
        "logits": output.logits[0],
        "attention": output.cross_attentions[layer][0],
    }
    options = {"max_new_tokens": MAX_NEW_TOKENS, "no_repeat_ngram_size": 2, "early_stopping": False}
    tokens = {
        f"beams_{beams}": model.generate(inputs=values.double(), num_beams=beams, **options)[0].tolist()
        for beams in (1, 5)
    }
    return tensors, tokens


def text_answers(tokenizer: Any, variant: Variant, num_ids: int) -> dict[str, Any]:
    """Ids of texts, and texts of ids."""
    generator = np.random.default_rng(0)
    rows = [generator.integers(0, num_ids, 8).tolist() for _ in range(8)]
    return {
        "encoded": {}
        if variant.is_old
        else {text: tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in TEXTS},
        "decoded": [[row, tokenizer.decode(row, skip_special_tokens=True)] for row in rows],
    }


def main() -> None:
    """Write everything anew."""
    shutil.rmtree(DATA, ignore_errors=True)
    vocab, merges = train_bpe(SENTENCES.splitlines(), 60)
    sounds = [sound(count, seed) for seed, count in enumerate(NUM_SAMPLES)]
    for seed, variant in enumerate(VARIANTS):
        model, tokenizer = build(variant, seed, vocab, merges)
        expected: dict[str, torch.Tensor] = {}
        tokens = []
        torch.set_default_dtype(torch.float64)  # the reference makes its masks of it
        for row, samples in enumerate(sounds):
            tensors, own = answers(model, variant, samples.astype(np.float32) / 32_768)
            if seed or not variant.is_normalised:
                del tensors["features"]  # once is enough
            expected |= {f"{name}_{row}": value.contiguous() for name, value in tensors.items()}
            tokens.append(own)
        torch.set_default_dtype(torch.float32)
        save_file(expected, DATA / variant.name / "expected.safetensors")
        texts = text_answers(tokenizer, variant, len(vocab))
        told = {"tokens": tokens, "targets": TARGETS, **texts}
        (DATA / variant.name / "expected.json").write_text(
            json.dumps(told, ensure_ascii=False), encoding="utf-8"
        )
        print(variant.name, [own["beams_1"] for own in tokens])
    save_file(
        {str(row): torch.from_numpy(samples) for row, samples in enumerate(sounds)},
        DATA / "sounds.safetensors",
    )


if __name__ == "__main__":
    main()
