"""Write a checkpoint with random weights in Hugging Face layout: SeamlessM4T v1 or v2, or a tiny one that only writes.

    python -m tools.make_random_checkpoint --size tiny|v2-large|tiny-v1|tiny-speech2text... --output DIR [--seed N]

Shapes and names come from `transformers` on the meta device (a development dependency); weights are drawn and
written tensor by tensor, so that the full size needs the memory of one. The four tied names are left out, as
by `save_pretrained`. The tokenizer is trained here on a few made-up sentences; for v2-large it is filled up
to 256,000 pieces with Hangul pairs that never occur, so that ids and sizes are those of the real one. What
such a checkpoint says is noise: it is for tests of loading, speed and equality.
"""

import argparse
import io
import json
import math
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import sentencepiece
import torch
from torch import Tensor

from seamless_stream.models.languages import LANGUAGES, SPEECH_CODES
from tools.random_text_only import NAME_OF_SIZE, make_text_only

MAX_SHARD_BYTES = 5_000_000_000
SPECIAL_UNITS = 4  # unit ids 0..3 are bos, pad, eos, unk
COUNTER = ".num_batches_tracked"  # of a batch norm: the only tensors of integers
PROCESSOR = "SeamlessM4TProcessor"
NUM_DATA_TAGS = 3  # token ids after the languages

WORDS = """
where is the station please I would like a coffee with milk and two tickets to the museum tomorrow at seven
thirty how much does it cost thank you very much good morning my sister lost her passport don't it's well-known
"yes" (no) 12 345 ¿Dónde está la estación más cercana? Quisiera un café con leche, por favor. ¡Buenos días!
¿Cuánto cuesta? mañana niño où est la gare s'il vous plaît ? ça coûte cher, élève garçon Straße grüße schön müde
Wo ist der Bahnhof? где вокзал
спасибо доброе утро محطة القطار شكرا 駅はどこですか ありがとう 车站在哪里 谢谢 車站在哪裡 स्टेशन कहाँ है धन्यवाद
""".split()


@dataclass(frozen=True)
class Recipe:
    """One size: the configuration's differences from the family's large one, and what its tables hold."""

    config: dict[str, Any]
    languages: tuple[str, ...]
    unit_languages: tuple[str, ...]
    voices: tuple[str, ...]
    trained_pieces: int
    num_pieces: int
    num_chars: int  # of v2
    is_v1: bool = False


_TINY_LANGUAGES = ("cmn", "cmn_Hant", "deu", "eng", "fra", "spa", "tam")
_TINY_PIECES = 300
_TINY_CONFIG: dict[str, Any] = {
    "vocab_size": 1 + _TINY_PIECES + len(_TINY_LANGUAGES) + NUM_DATA_TAGS,
    "hidden_size": 32,
    "max_position_embeddings": 256,
    **{f"{part}_layers": 2 for part in ("encoder", "decoder", "speech_encoder", "t2u_encoder")},
    "t2u_decoder_layers": 2,
    **{f"{part}_attention_heads": 4 for part in ("encoder", "decoder", "speech_encoder")},
    **{f"t2u_{part}_attention_heads": 4 for part in ("encoder", "decoder")},
    **{f"{part}_ffn_dim": 48 for part in ("encoder", "decoder", "t2u_encoder", "t2u_decoder")},
    "speech_encoder_intermediate_size": 48,
    "t2u_max_position_embeddings": 512,
    "unit_hifi_gan_vocab_size": 50,
    "unit_embed_dim": 24,
    "lang_embed_dim": 8,
    "spkr_embed_dim": 8,
    "vocoder_num_langs": 5,
    "vocoder_num_spkrs": 3,
    "upsample_initial_channel": 64,
}
_TINY_CONFIG_V2 = {
    "t2u_vocab_size": 64,
    "speech_encoder_chunk_size": 16,
    "speech_encoder_left_chunk_num": 2,
    "left_max_position_embeddings": 16,
    "right_max_position_embeddings": 4,
    "t2u_variance_predictor_embed_dim": 32,
    "t2u_variance_predictor_hidden_dim": 16,
    "char_vocab_size": 160,
}
# Unit ids of the six languages are behind the units; what is said would not end by itself.
_TINY_CONFIG_V1 = {"t2u_vocab_size": 70, "t2u_max_new_tokens": 40}
_MEDIUM_CONFIG_V1 = {
    "vocab_size": 256_206,
    "max_position_embeddings": 4096,
    **{f"{part}_layers": 12 for part in ("encoder", "decoder", "speech_encoder")},
    **{f"{part}_ffn_dim": 4096 for part in ("encoder", "decoder")},
    **{f"t2u_{part}_layers": 4 for part in ("encoder", "decoder")},
}
RECIPES = {
    "tiny": Recipe(
        config=_TINY_CONFIG | _TINY_CONFIG_V2,
        languages=_TINY_LANGUAGES,
        unit_languages=("cmn", "deu", "eng", "fra", "spa", "tam"),
        voices=("cmn", "deu", "eng", "fra", "spa"),
        trained_pieces=_TINY_PIECES,
        num_pieces=_TINY_PIECES,
        num_chars=150,
    ),
    "v2-large": Recipe(
        config={},
        languages=tuple(row.code for row in LANGUAGES),
        unit_languages=tuple(sorted({*SPEECH_CODES, "kan", "tam"})),
        voices=SPEECH_CODES,
        trained_pieces=400,
        num_pieces=256_000,
        num_chars=10_904,
    ),
}
RECIPES["tiny-v1"] = replace(RECIPES["tiny"], config=_TINY_CONFIG | _TINY_CONFIG_V1, is_v1=True)
RECIPES["v1-large"] = replace(RECIPES["v2-large"], is_v1=True)
RECIPES["v1-medium"] = replace(RECIPES["v2-large"], config=_MEDIUM_CONFIG_V1, is_v1=True)


# --- tokenizer


def made_up_sentences(count: int, seed: int) -> list[str]:
    """Sentences of random words in several scripts."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(2, 12))) for _ in range(count)]


def train_tokenizer(file: Path, *, trained_pieces: int, num_pieces: int, seed: int) -> list[str]:
    """Write a sentencepiece BPE model of `num_pieces` pieces and return them; fills up what is not trained."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(made_up_sentences(500, seed)),
        model_writer=model,
        model_type="bpe",
        vocab_size=trained_pieces,
        character_coverage=1.0,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        minloglevel=2,
    )
    fillers = b"".join(_piece_message(i, trained_pieces + i) for i in range(num_pieces - trained_pieces))
    file.write_bytes(model.getvalue() + fillers)  # repeated fields of a protocol buffer may be appended
    processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]


def _piece_message(index: int, rank: int) -> bytes:
    """A serialized piece of a word mark and two Hangul syllables, which no merge reaches."""
    text = ("▁" + chr(0xAC00 + index // 1000) + chr(0xAC00 + index % 1000)).encode()
    body = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", -float(rank))
    return b"\x0a" + bytes([len(body)]) + body


def _write_tokenizer(output: Path, recipe: Recipe, seed: int) -> dict[int, str]:
    """Write the tokenizer's files; returns what each token id means."""
    pieces = train_tokenizer(
        output / "sentencepiece.bpe.model",
        trained_pieces=recipe.trained_pieces,
        num_pieces=recipe.num_pieces,
        seed=seed,
    )
    languages = [f"__{code}__" for code in recipe.languages]
    first = 1 + len(pieces)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    special |= {"cls_token": "<s>", "sep_token": "</s>"}
    extra: dict[str, Any] = {"additional_special_tokens": languages}
    names = {"tokenizer_class": "SeamlessM4TTokenizer", "processor_class": PROCESSOR}
    _write_json(output / "special_tokens_map.json", special | extra)
    _write_json(output / "added_tokens.json", {name: first + i for i, name in enumerate(languages)})
    _write_json(
        output / "tokenizer_config.json",
        names | {"src_lang": "__eng__", "tgt_lang": "__fra__"} | special | extra,
    )
    tags = [f"<data_{i}>" for i in range(NUM_DATA_TAGS)]
    return dict(enumerate(["<pad>", "<unk>", "<s>", "</s>", *pieces[3:], *languages, *tags]))


# --- weights


def draw_tensor(name: str, shape: torch.Size, seed: int, num_units: int) -> Tensor:
    """Random values that keep activations near one: by fan-in for weights, near the identity for norms."""
    if name.endswith(COUNTER):
        return torch.zeros(shape, dtype=torch.int64)
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
    values = torch.randn(shape, generator=generator)
    if name.split(".")[-1].startswith("pos_emb_alpha"):
        return torch.ones(shape)
    if name.endswith((".bias", ".running_mean")):
        return values.mul_(0.02)
    if len(shape) == 1:  # the weight or the variance of a norm
        return values.mul_(0.02).add_(1)
    is_embedding = "embed" in name or name.startswith("shared")
    fan_in = shape[1] if is_embedding else math.prod(shape[1:])
    if "upsampler" in name:  # transposed: [in, out, kernel], of which each output sees half of two inputs
        fan_in = 2 * shape[0]
    values.mul_(fan_in**-0.5)
    if name == "t2u_model.model.decoder.embed_tokens.weight":  # tied to the head
        values[:SPECIAL_UNITS] = (
            0  # never the best unit: the reference's vocoder fails on ids without a sound
        )
        values[SPECIAL_UNITS + num_units :] = 0
    return values


def _nbytes(name: str, shape: torch.Size) -> int:
    return (8 if name.endswith(COUNTER) else 4) * math.prod(shape)


def _shards(shapes: dict[str, torch.Size], max_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    size = 0
    for name, shape in shapes.items():
        nbytes = _nbytes(name, shape)
        if shards[-1] and size + nbytes > max_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += nbytes
    return shards


def _header(names: list[str], shapes: dict[str, torch.Size]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in names:
        stop = start + _nbytes(name, shapes[name])
        dtype = "I64" if name.endswith(COUNTER) else "F32"
        header[name] = {"dtype": dtype, "shape": list(shapes[name]), "data_offsets": [start, stop]}
        start = stop
    body = json.dumps(header).encode()
    body += b" " * (-len(body) % 8)
    return struct.pack("<Q", len(body)) + body


def _write_shard(stream: BinaryIO, header: bytes, tensors: Iterator[Tensor]) -> None:
    stream.write(header)
    for tensor in tensors:
        stream.write(tensor.reshape(-1).view(torch.uint8).numpy().data)


def _write_weights(
    output: Path, shapes: dict[str, torch.Size], seed: int, num_units: int, max_bytes: int
) -> None:
    shards = _shards(shapes, max_bytes)
    weight_map = {}
    for number, names in enumerate(shards, 1):
        file = (
            "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        )
        weight_map.update(dict.fromkeys(names, file))
        with (output / file).open("wb") as stream:
            tensors = (draw_tensor(name, shapes[name], seed, num_units) for name in names)
            _write_shard(stream, _header(names, shapes), tensors)
    if len(shards) > 1:
        total = sum(_nbytes(name, shape) for name, shape in shapes.items())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        _write_json(output / "model.safetensors.index.json", index)


# --- the whole


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tables(recipe: Recipe, num_units: int, id_to_text: dict[int, str]) -> dict[str, Any]:
    """What the reference's conversion script adds to generation_config.json."""
    chars = ["<pad>", "<unk>", "<s>", "</s>"]
    chars += sorted({char for text in id_to_text.values() for char in text})[: recipe.num_chars - len(chars)]
    first_language = 1 + recipe.num_pieces
    first_unit_language = num_units + 5 + len(recipe.unit_languages)
    tables: dict[str, Any] = {
        "text_decoder_lang_to_code_id": {code: first_language + i for i, code in enumerate(recipe.languages)},
        "t2u_lang_code_to_id": {
            code: first_unit_language + i for i, code in enumerate(recipe.unit_languages)
        },
        "vocoder_lang_code_to_id": {code: i for i, code in enumerate(recipe.voices)},
    }
    if not recipe.is_v1:
        tables["id_to_text"] = {str(number): text for number, text in id_to_text.items()}
        tables["char_to_id"] = {char: i for i, char in enumerate(chars)}
    return tables


def _reference_model(recipe: Recipe) -> Any:
    from transformers import SeamlessM4TConfig, SeamlessM4TModel, SeamlessM4Tv2Config, SeamlessM4Tv2Model

    if recipe.is_v1:
        return SeamlessM4TModel(SeamlessM4TConfig(**recipe.config))
    return SeamlessM4Tv2Model(SeamlessM4Tv2Config(**recipe.config))


def make_checkpoint(
    output: Path, size: str, *, seed: int = 0, max_shard_bytes: int = MAX_SHARD_BYTES
) -> None:
    """Write all files of one checkpoint into `output`, which is created."""
    if size in NAME_OF_SIZE:
        make_text_only(output, size, made_up_sentences(500, seed), seed=seed)
        return
    from transformers import SeamlessM4TFeatureExtractor

    recipe = RECIPES[size]
    with torch.device("meta"):
        model = _reference_model(recipe)
    config = model.config
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for tied in model.all_tied_weights_keys:
        del shapes[tied]
    output.mkdir(parents=True, exist_ok=True)
    id_to_text = _write_tokenizer(output, recipe, seed)
    config.architectures = [type(model).__name__]
    config.save_pretrained(output)
    ids = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "max_new_tokens", "pad_token_id")
    tables = _tables(recipe, config.unit_hifi_gan_vocab_size, id_to_text)
    _write_json(output / "generation_config.json", {name: getattr(config, name) for name in ids} | tables)
    extractor = SeamlessM4TFeatureExtractor()  # type: ignore[no-untyped-call]
    preprocessor = extractor.to_dict() | {"processor_class": PROCESSOR}
    _write_json(output / "preprocessor_config.json", preprocessor)
    _write_weights(output, shapes, seed, config.unit_hifi_gan_vocab_size, max_shard_bytes)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=sorted([*RECIPES, *NAME_OF_SIZE]), required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    make_checkpoint(arguments.output, arguments.size, seed=arguments.seed)
    print(arguments.output)


if __name__ == "__main__":
    main()
