"""Quality with the tokenizer that a language needs, and word errors without case and punctuation."""

import importlib.util
import math

import numpy as np
import pytest

from seamless_stream.errors import SettingsError
from seamless_stream.evaluation import quality


def test_tokenizers_and_units() -> None:
    assert [quality.tokenizer_of(language) for language in ("spa", "cmn", "tha")] == ["13a", "zh", "char"]
    has_mecab = importlib.util.find_spec("MeCab") is not None
    assert quality.tokenizer_of("jpn") == ("ja-mecab" if has_mecab else "char")
    assert [quality.unit_of(language) for language in ("spa", "kor", "jpn")] == ["word", "word", "char"]


def test_scores_come_with_their_signature() -> None:
    scores = quality.score(["Hola a todos.", "Sí"], ["Hola a todos.", "No"], "spa")
    assert 0 < scores.bleu < 100
    assert "tok:13a" in scores.bleu_signature and "version:" in scores.chrf_signature
    assert scores.error_rate == 25
    assert "tok:zh" in quality.score(["你好"], ["你好"], "cmn").bleu_signature


def test_errors_do_not_count_case_and_punctuation() -> None:
    assert quality.error_rate(["hola TODOS"], ["¡Hola, todos!"], "word") == 0
    assert quality.error_rate(["你好"], ["你们好。"], "char") == pytest.approx(100 / 3)
    assert quality.error_rate(["我在 New York"], ["我 在 New York"], "char") == 0
    assert math.isnan(quality.error_rate(["x"], ["..."], "word"))


def test_speech_is_scored_without_case_and_punctuation() -> None:
    assert quality.score_speech(
        ["hola a todos amigos"], ["¡Hola a todos, amigos!"], "spa"
    ).bleu == pytest.approx(100)


def test_one_prediction_per_reference() -> None:
    with pytest.raises(SettingsError, match="equally many"):
        quality.score(["a"], [], "spa")


def test_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(quality.importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"seamless_stream\[eval\]"):
        quality.score(["a"], ["a"], "spa")


def test_recogniser_is_a_checkpoint_of_ours() -> None:
    listen = quality.open_recogniser("phrasebook", "eng")
    assert listen(np.zeros(16_000, np.float32)) == ""
