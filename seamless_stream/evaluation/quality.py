"""Translation quality: BLEU and chrF through sacrebleu with their signatures, word errors through jiwer.

Knows texts, a language's tokenizer, and recognisers that turn synthesized speech into text. The libraries come with
`pip install seamless_stream[eval]` and are imported when a score is asked for. Knows no times.
"""

import importlib
import importlib.util
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.policy import SPACELESS
from seamless_stream.engine.translator import load
from seamless_stream.errors import SettingsError
from seamless_stream.models.languages import LANGUAGES
from seamless_stream.settings import DecodingSettings

Unit = Literal["word", "char"]
Recogniser = Callable[[np.ndarray], str]  # samples [N] at 16 kHz -> text

CHINESE = frozenset({"cmn", "cmn_Hans", "cmn_Hant", "yue"})
# Languages whose words a program must find: sacrebleu's tokenizer and the module that it needs.
BY_DICTIONARY = {"jpn": ("ja-mecab", "MeCab"), "kor": ("ko-mecab", "mecab_ko")}
EXTRA = "pip install 'seamless_stream[eval]'"


@dataclass(frozen=True)
class Quality:
    """Corpus scores of one run; a signature says how to compute the same number again."""

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    error_rate: float  # word errors (character errors where words have no spaces) per reference unit, percent


def unit_of(language: str) -> Unit:
    """What latency is counted in: characters where a language has no spaces."""
    return "char" if language in SPACELESS else "word"


def tokenizer_of(language: str) -> str:
    """sacrebleu's tokenizer for a language; characters where the one with a dictionary is not installed."""
    if language in CHINESE:
        return "zh"
    if language in BY_DICTIONARY:
        name, module = BY_DICTIONARY[language]
        return name if importlib.util.find_spec(module) else "char"
    return "char" if language in SPACELESS else "13a"


def score(predictions: Sequence[str], references: Sequence[str], language: str) -> Quality:
    """Scores of a corpus, one reference each; raises SettingsError where the libraries are missing."""
    if len(predictions) != len(references) or not references:
        raise SettingsError(
            f"Predictions and references must be equally many, but are {len(predictions)} and {len(references)}."
        )
    metrics = _library("sacrebleu").metrics
    bleu, chrf = metrics.BLEU(tokenize=tokenizer_of(language)), metrics.CHRF()
    bleu_score = bleu.corpus_score(list(predictions), [list(references)]).score
    chrf_score = chrf.corpus_score(list(predictions), [list(references)]).score
    return Quality(
        float(bleu_score),
        str(bleu.get_signature()),
        float(chrf_score),
        str(chrf.get_signature()),
        error_rate(predictions, references, unit_of(language)),
    )


def error_rate(predictions: Sequence[str], references: Sequence[str], unit: Unit) -> float:
    """Errors per 100 reference units over the corpus; nan without references.

    Case and punctuation do not count, nor do spaces between characters.
    """
    pairs = [(plain(a), plain(b)) for a, b in zip(predictions, references, strict=True)]
    if unit == "char":
        pairs = [(a.replace(" ", ""), b.replace(" ", "")) for a, b in pairs]
    pairs = [pair for pair in pairs if pair[1]]  # jiwer refuses an empty reference
    if not pairs:
        return float("nan")
    jiwer = _library("jiwer")
    count = jiwer.wer if unit == "word" else jiwer.cer
    return 100 * float(count([reference for _, reference in pairs], [prediction for prediction, _ in pairs]))


def plain(text: str) -> str:
    """Lower case, without punctuation, one space between words: what recognisers are compared in."""
    letters = unicodedata.normalize("NFKC", text).lower()
    kept = ["" if unicodedata.category(letter).startswith("P") else letter for letter in letters]
    return " ".join("".join(kept).split())


def score_speech(texts: Sequence[str], references: Sequence[str], language: str) -> Quality:
    """ASR-BLEU and its kin: recognised speech against references, both in lower case without punctuation."""
    return score([plain(text) for text in texts], [plain(reference) for reference in references], language)


def open_recogniser(name: str, language: str) -> Recogniser:
    """What the user names: a directory with a `transformers` Whisper, or any checkpoint of this package.

    Raises SettingsError or CheckpointError where it cannot be loaded.
    """
    path = Path(name)
    if path.is_dir() and (path / "config.json").is_file() and _is_whisper(path):
        return _whisper(path, language)
    translator = load(name, tasks=["asr"])
    return lambda samples: (
        translator.translate(
            samples, task="asr", source_language=language, decoding=DecodingSettings(beams=1)
        ).text
    )


def _is_whisper(path: Path) -> bool:
    return '"whisper"' in (path / "config.json").read_text(encoding="utf-8")


def _whisper(path: Path, language: str) -> Recogniser:
    """Greedy, as Seamless' own ASR-BLEU: temperature 0."""
    transformers: Any = _library("transformers", "pip install transformers")
    recognise = transformers.pipeline("automatic-speech-recognition", model=str(path))
    tag = next((row.tag for row in LANGUAGES if row.code == language), language).partition("-")[0]
    options = {"language": tag, "task": "transcribe", "num_beams": 1, "do_sample": False}

    def run(samples: np.ndarray) -> str:
        found = recognise(
            {"raw": samples, "sampling_rate": SAMPLE_RATE}, generate_kwargs=options, return_timestamps=True
        )
        return str(found["text"]).strip()

    return run


def _library(name: str, command: str = EXTRA) -> Any:
    """An optional library, or a sentence that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(f"This score needs the library `{name}`: {command}.") from error
