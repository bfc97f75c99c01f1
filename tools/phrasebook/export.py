"""Write the trained parts as one checkpoint in Hugging Face layout.

    python -m tools.phrasebook.export --work DIR --output seamless_stream/checkpoints/phrasebook

Takes `main/weights.safetensors`, `t2u/t2u.safetensors` and `vocoder/vocoder.safetensors`. Weights are stored as float16
(half the size); `config.json` says float32, which is what both loaders then compute in. With `--text-only` it takes the
first alone: what the main network has learnt can be measured, kept and gone on from before it can speak. Where
the bundled checkpoint is written, the inventories of its units are kept, too (`units`).
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from seamless_stream.models.checkpoint import ALIGNMENT_FILE, PHRASEBOOK_DIRECTORY
from seamless_stream.models.seamless_m4t.config import ONLY_V1, SPECIAL_UNITS, SeamlessM4TConfig
from seamless_stream.models.seamless_m4t.network import Network
from seamless_stream.models.seamless_m4t.weights import to_theirs
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.prefixes import HEADS
from tools.phrasebook.recipe import CONFIG, LANGUAGES, OFFSET, Text, with_speech
from tools.phrasebook.run_log import RECORD_FILE, record
from tools.phrasebook.train_vocoder import SPEAKER
from tools.phrasebook.units import keep

POINTWISE = (
    "pointwise_conv1.weight",
    "pointwise_conv2.weight",
)  # stored as convolutions with a kernel of one
SPEECH_PARTS = ("t2u", "vocoder")
LEAST_LOG_PROB = -0.45  # chosen by tools/measure_doubt.py; what it costs is in docs/performance.md
SPEAKERS = "vocoder.speakers.weight"


def collect(work: Path, speech_parts: Sequence[str]) -> dict[str, Tensor]:
    """All trained tensors by our names."""
    tensors = dict(load_file(work / "main" / "weights.safetensors"))
    for part in speech_parts:
        trained = load_file(work / part / f"{part}.safetensors")
        tensors |= {
            name if name.startswith(f"{part}.") else f"{part}.{name}": t for name, t in trained.items()
        }
    return tensors


def with_one_voice(
    config: SeamlessM4TConfig, tensors: dict[str, Tensor]
) -> tuple[SeamlessM4TConfig, dict[str, Tensor]]:
    """The vocoder's table has room for more speakers than it has learnt: nobody should be able to choose the others."""
    learnt = tensors[SPEAKERS][SPEAKER : SPEAKER + 1]
    return replace(config, vocoder_num_spkrs=len(learnt)), tensors | {SPEAKERS: learnt}


def check_complete(
    tensors: dict[str, Tensor], config: SeamlessM4TConfig, speech_parts: Sequence[str]
) -> None:
    """Every parameter of the architecture is there with its shape, and nothing else."""
    parts = frozenset({"speech_encoder", "text_encoder", "text_decoder", *speech_parts})
    with torch.device("meta"):
        wanted = {name: tuple(p.shape) for name, p in Network(config, parts).named_parameters()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        listed = ", ".join(f"{name} {found.get(name)} for {wanted.get(name)}" for name in wrong[:8])
        raise SystemExit(f"{len(wrong)} tensors do not fit the architecture: {listed}")


def to_checkpoint(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their names and shapes, float16; tied names as the reference library saves them."""
    out = {}
    for name, tensor in tensors.items():
        theirs = to_theirs(name)
        assert theirs is not None, name
        if theirs == "t2u_model.lm_head.weight":
            theirs = "t2u_model.model.decoder.embed_tokens.weight"
        if theirs.endswith(POINTWISE):
            tensor = tensor[:, :, None]
        out[theirs] = tensor.to(torch.float16).contiguous()
    return out


def config_json(config: SeamlessM4TConfig) -> dict[str, Any]:
    """All fields of the architecture, as the reference library reads them."""
    head = {"architectures": ["SeamlessM4Tv2Model"], "model_type": "seamless_m4t_v2", "dtype": "float32"}
    return head | {key: value for key, value in asdict(config).items() if key not in ONLY_V1}


def generation_json(text: Text, char_to_id: dict[str, int] | None) -> dict[str, Any]:
    """Language, piece and character tables; the ids of the released checkpoint's specials. Without characters there
    are no tables of speech."""
    speech = {
        "t2u_lang_code_to_id": {lang: SPECIAL_UNITS + i for i, lang in enumerate(LANGUAGES)},
        "vocoder_lang_code_to_id": {lang: i for i, lang in enumerate(LANGUAGES)},
        "char_to_id": char_to_id,
    }
    pieces = {OFFSET + i: text.pieces.id_to_piece(i) for i in range(len(text.pieces))}
    pieces |= {0: "<pad>", 1: "<unk>", 2: "<s>", 3: "</s>"}
    pieces |= {text.language_id(lang): f"__{lang}__" for lang in LANGUAGES}
    return {
        "bos_token_id": 2,
        "decoder_start_token_id": CONFIG.decoder_start_token_id,
        "eos_token_id": 3,
        "pad_token_id": 0,
        "max_new_tokens": 64,
        "text_decoder_lang_to_code_id": {lang: text.language_id(lang) for lang in LANGUAGES},
        "decoder_least_log_prob": LEAST_LOG_PROB,  # this one and the next: see `Capabilities`
        "decoder_names_source": True,
        "id_to_text": {str(i): piece for i, piece in sorted(pieces.items())},
        **(speech if char_to_id is not None else {}),
    }


def tokenizer_json() -> dict[str, Any]:
    """What the reference library's tokenizer needs beside the sentencepiece model."""
    codes = [f"__{lang}__" for lang in LANGUAGES]
    return {
        "tokenizer_class": "SeamlessM4TTokenizer",
        "additional_special_tokens": codes,
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "src_lang": LANGUAGES[0],
        "tgt_lang": LANGUAGES[1],
    }


PREPROCESSOR: dict[str, Any] = {
    "feature_extractor_type": "SeamlessM4TFeatureExtractor",
    "processor_class": "SeamlessM4TProcessor",
    "feature_size": 80,
    "num_mel_bins": 80,
    "sampling_rate": 16000,
    "stride": 2,
    "padding_value": 0.0,
    "padding_side": "right",
    "return_attention_mask": True,
}


def write(output: Path, work: Path, *, text_only: bool = False) -> None:
    """The whole directory; the model card and other files that are already there stay."""
    output.mkdir(parents=True, exist_ok=True)
    speech_parts = () if text_only else SPEECH_PARTS
    config, tensors, char_to_id = CONFIG, collect(work, speech_parts), None
    if not text_only:
        config, tensors = with_one_voice(with_speech(CONFIG, work), tensors)
        char_to_id = json.loads((work / "t2u" / "char_to_id.json").read_text(encoding="utf-8"))
    check_complete(tensors, config, speech_parts)
    text = Text(work / "main" / "sentencepiece.bpe.model")
    save_file(to_checkpoint(tensors), output / "model.safetensors", metadata={"format": "pt"})
    documents = {
        "config.json": config_json(config),
        "generation_config.json": generation_json(text, char_to_id),
        "preprocessor_config.json": PREPROCESSOR,
        "tokenizer_config.json": tokenizer_json(),
        ALIGNMENT_FILE: {"heads": HEADS, "source": "trained so: tools/phrasebook/prefixes.py"},
    }
    for name, content in documents.items():
        (output / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copy(work / "main" / "sentencepiece.bpe.model", output / "sentencepiece.bpe.model")
    runs = json.dumps(record(work / "main", LANGUAGES), indent=1)
    (output / RECORD_FILE).write_text(f"{runs}\n", encoding="utf-8")
    names = [*documents, "model.safetensors", "sentencepiece.bpe.model"]
    sums = [f"{hashlib.sha256((output / n).read_bytes()).hexdigest()}  {n}\n" for n in sorted(names)]
    (output / "SHA256SUMS").write_text("".join(sums))
    (output / "model.safetensors").chmod(0o644)
    size = sum((output / n).stat().st_size for n in names)
    count = sum(t.numel() for t in tensors.values())
    print(f"{output}: {count / 1e6:.2f} M parameters, {size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--text-only", action="store_true", help="the main network alone")
    options = parser.parse_args()
    write(options.output, options.work, text_only=options.text_only)
    if options.output.resolve() == PHRASEBOOK_DIRECTORY.resolve() and not options.text_only:
        keep(options.work)


if __name__ == "__main__":
    main()
