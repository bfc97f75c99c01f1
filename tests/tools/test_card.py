"""The model card: it says what was measured, of the languages that were, and credits the voices that spoke."""

import json
from pathlib import Path

import numpy as np
import pytest

from tools.phrasebook.card import listed, write
from tools.phrasebook.run_log import RECORD_FILE, note_start, record
from tools.phrasebook.shards import ClipWriter


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.jsonl").write_text('{"key": "a"}\n')
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "log.csv").write_text("step,seconds\n10,3600\n20,7200\n")
    return tmp_path


def speak(work: Path, name: str, language: str, voice: str) -> None:
    with ClipWriter(work / "speech" / name / language) as writer:
        writer.append("a", voice, np.ones(16_000, np.int16), "A.")


def heard(language: str, **figures: float) -> dict[str, object]:
    return {
        "set": "seen",
        "source": language,
        "clips": 3,
        "asr_wer": 4.04,
        "language_right": 100.0,
        **figures,
    }


def test_a_checkpoint_of_two_languages_is_described_as_such(work: Path) -> None:
    speak(work, "train1", "eng", "pico-en-GB")
    rows = [heard("eng", s2tt_spa_bleu=87.3, s2tt_spa_exact=74.0, asr_beams_wer=3.06), heard("spa")]
    card = write(work, rows, record(work / "main", ["eng", "spa"]))
    assert "language: [en, es]" in card and "in English and Spanish:" in card
    assert "| seen | eng | spa | 87.3 | 74.0 | – | – |" in card
    assert "| seen | eng | 3 | 4.0 | 3.1 | 100.0 |" in card and "| seen | spa | 3 | 4.0 | – | 100.0 |" in card
    assert "Its two voices" in card and "Kokoro" not in card
    assert (
        "20 steps in 2.0 h in English and Spanish. Width" in card
        and "The options of the first 20 steps were not kept." in card
    )
    assert "`make phrasebook` trains English, Spanish, French and German together and from nothing" in card
    assert "not measured" not in card


def test_a_checkpoint_of_four_says_what_it_began_from_and_whose_voices_spoke(work: Path) -> None:
    speak(work, "train3", "fra", "kokoro-fr-ff_siwis")
    speak(work, "unseen", "deu", "kokoro-de-em_santa")
    run = {"languages": ["eng", "spa"], "steps": 13700, "seconds": 30960, "starts": []}
    (work / "main" / RECORD_FILE).write_text(json.dumps([run]))
    note_start(work / "main", 0, {"rate": 1.0}, "a GPU")
    rows = [heard(code) for code in ("deu", "eng", "fra", "spa")]
    first, second = runs = record(work / "main", ["eng", "spa", "fra", "deu"])
    assert first == run and (second["steps"], second["seconds"]) == (20, 7200)
    card = write(work, rows, runs)
    assert "in English, Spanish, French and German:" in card
    assert (
        "13700 steps in 8.6 h in English and Spanish; then 20 steps in 2.0 h in English, Spanish, French"
        in card
    )
    assert "The options of the first 13700 steps of run 1 were not kept." in card
    assert "| 2 | 0 | a GPU | `--rate 1.0` |" in card
    assert "Kokoro has no German voice" in card and "SIWIS" in card
    assert (
        "| unseen | deu | 1 | 0.00 |" in card and "| kokoro-de-em_santa | deu | Apache-2.0 | unseen |" in card
    )


def test_every_start_of_the_run_that_changed_something_is_in_the_table(work: Path) -> None:
    options = {"work": work, "steps": 9000, "favour": ["fra"], "start_from": None, "sets": "train1,train2:2"}
    note_start(work / "main", 0, options, "2 CPU threads")
    note_start(work / "main", 4, options, "2 CPU threads")  # only resumed
    note_start(work / "main", 10, options | {"favour": []}, "a GPU")
    note_start(work / "main", 20, options, "a GPU")
    card = write(work, [heard("eng"), heard("spa")], record(work / "main", ["eng", "spa"]))
    first, second = (line for line in card.splitlines() if line.startswith("| 1 |"))
    assert first == "| 1 | 0 | 2 CPU threads | `--steps 9000 --favour fra --sets train1,train2:2` |"
    assert second.startswith("| 1 | 10 | a GPU |") and "favour" not in second
    assert "not kept" not in card


def test_pairs_that_nobody_measured_are_named_and_what_is_known_of_the_words_of_people(work: Path) -> None:
    speak(work, "train1", "eng", "pico-en-GB")
    rows = [heard("eng", s2tt_spa_bleu=80.0, s2tt_fra_bleu=80.0), heard("spa"), heard("fra")]
    runs = record(work / "main", ["eng", "spa"])
    card = write(work, rows, runs)
    assert "Trained but not measured is translation between Spanish and French." in card
    assert "synthetic voices were" not in card
    spoken = {"set": "t2st", "target": "eng", "clips": 3, "speech_wer": 9.0, "voice_wer": 4.0}
    card = write(work, [*rows, heard("eng") | {"set": "human"}, spoken], runs)
    assert "the same words in synthetic voices were" in card and "so its errors of translation are" in card


def test_listed() -> None:
    assert [listed(list(words)) for words in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
