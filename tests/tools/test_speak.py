"""Casting and finishing of clips, without any speech engine."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from tools.phrasebook import speak
from tools.phrasebook.engines import german_r
from tools.phrasebook.recipe import LANGUAGES
from tools.phrasebook.shards import SAMPLE_RATE, ClipWriter, read_index
from tools.phrasebook.speak import RECIPES, Job, Made, failing, plan, problem_of, speak_set, trim
from tools.phrasebook.voices import CASTS, VOICES


def speaker(voice_name: str) -> str:
    """Who lent the voice: Kokoro's people speak several languages."""
    voice = VOICES[voice_name]
    person = voice.model.split(":")[-1]
    return person if voice.engine in ("kokoro", "festival", "flite") else f"{voice.engine}/{voice.model}"


def test_every_cast_uses_voices_of_its_language() -> None:
    for cast in CASTS.values():
        for language, roles in cast.items():
            assert {VOICES[role.voice].language for role in roles} == {language}


def test_nobody_of_the_unseen_set_speaks_in_training() -> None:
    heard = [cast for name, casts in CASTS.items() if name != "unseen" for cast in casts.values()]
    train = {speaker(role.voice) for cast in heard for role in cast}
    unseen = {speaker(role.voice) for cast in CASTS["unseen"].values() for role in cast}
    assert not train & unseen


def test_every_recipe_has_a_cast() -> None:
    assert set(RECIPES) == set(CASTS)
    assert all(set(LANGUAGES) == set(cast) for cast in CASTS.values())


def test_german_r_is_no_tap() -> None:
    assert german_r("fɛɾbˈant fyːɾ ɡɾˈoːsfɑːtɜ?") == "fɛɐbˈant fyːɐ ɡʁˈoːsfɑːtɐ?"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    rows = [
        {"key": f"k{n}", "domain": "d", "text": {"eng": f"Hello {n}.", "spa": f"Hola {n}."}}
        for n in range(300)
    ]
    for name in ("train", "seen", "unseen"):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "corpus" / f"{name}.jsonl").write_text(lines, "utf-8")
    return tmp_path


def test_a_plan_is_fixed_and_says_every_phrase_once(work: Path) -> None:
    jobs = plan(work, "train2", "eng")
    assert jobs == plan(work, "train2", "eng")
    assert sorted(job.key for job in jobs) == sorted(f"k{n}" for n in range(300))
    assert len({job.role.voice for job in jobs}) > 5


def test_the_slowest_engine_comes_last(work: Path) -> None:
    engines = [VOICES[job.role.voice].engine for job in plan(work, "unseen", "eng")]
    first = engines.index("kokoro")
    assert first > 0
    assert set(engines[first:]) == {"kokoro"}


def burst(before_s: float, after_s: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """One second of a loud tone between silences."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    return np.pad(tone, (int(before_s * SAMPLE_RATE), int(after_s * SAMPLE_RATE))).astype(np.float32)


@pytest.mark.parametrize(("before_s", "after_s"), [(1.0, 1.0), (0.0, 0.0), (0.03, 2.0)])
def test_trim_leaves_exactly_the_asked_silence(before_s: float, after_s: float) -> None:
    out = trim(burst(before_s, after_s), 0.1, 0.2)
    assert len(out) == pytest.approx(1.3 * SAMPLE_RATE, abs=160)
    assert not out[: int(0.098 * SAMPLE_RATE)].any()
    assert np.abs(out[int(0.12 * SAMPLE_RATE) : int(1.08 * SAMPLE_RATE)]).max() > 0.49


def test_trim_of_silence_is_empty() -> None:
    assert len(trim(np.zeros(8_000, np.float32), 0.1, 0.1)) == 0


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros(0, np.float32), "silent"),
        (np.full(16_000, 1e-5, np.float32), "silent"),
        (np.full(3_200, 0.5, np.float32), "too short"),
        (np.full(16_000 * 12, 0.5, np.float32), "too long"),
        (np.full(16_000, np.nan, np.float32), "not finite"),
        (np.full(16_000, 0.5, np.float32), ""),
    ],
)
def test_absurd_audio_is_found(samples: np.ndarray[tuple[int], np.dtype[np.float32]], problem: str) -> None:
    assert problem_of(samples, "Where is it?") == problem


def some_made(job: Job) -> Made:
    return Made(job, np.full(100, 9, np.int16)) if job.key != "k7" else Made(job, None, "silent")


def test_a_set_is_not_begun_where_a_voice_cannot_speak(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def voiced(job: Job, rng: object) -> None:
        if job.role.voice.startswith("flite"):
            raise FileNotFoundError("flite")

    monkeypatch.setattr(speak, "voiced", voiced)
    monkeypatch.setattr(speak, "make", some_made)
    with pytest.raises(SystemExit, match="`flite-slt` cannot speak: FileNotFoundError: flite"):
        speak_set(work, "train1", "eng", None, num_jobs=1)
    assert read_index(work / "speech/train1/eng") == []
    jobs = plan(work, "train1", "eng")
    with ClipWriter(work / "speech/train1/eng") as writer:  # who has spoken already is not tried again
        for voice in {job.role.voice: job for job in jobs}.values():
            writer.append(voice.key, voice.role.voice, np.full(100, 9, np.int16), voice.text)
    speak_set(work, "train1", "eng", None, num_jobs=1)  # one clip that fails stops nothing
    assert len(read_index(work / "speech/train1/eng")) == len(jobs) - 1


def test_a_corrected_sentence_is_spoken_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speak, "voiced", lambda job, rng: None)
    monkeypatch.setattr(speak, "make", some_made)
    speak_set(work, "train1", "spa", None, num_jobs=1)
    before = read_index(work / "speech/train1/spa")
    path = work / "corpus/train.jsonl"
    path.write_text(path.read_text("utf-8").replace("Hola 5.", "Buenas 5."), "utf-8")
    speak_set(work, "train1", "spa", None, num_jobs=1)
    [again] = read_index(work / "speech/train1/spa")[len(before) :]
    assert again.key == "k5" and again.says("Buenas 5.") and not again.says("Hola 5.")


def test_a_voice_that_fails_too_often_is_named(work: Path) -> None:
    jobs = plan(work, "train1", "eng")
    present = {(job.key, job.role.voice) for job in jobs}
    own = [(job.key, job.role.voice) for job in jobs if job.role.voice == "flite-rms"]
    assert failing(jobs, present - set(own[:2])) == []
    [problem] = failing(jobs, present - set(own[:9]))
    assert f"`flite-rms` failed in 9 of {len(own)} clips" in problem


def killed(job: Job) -> None:
    os._exit(9)


def test_a_killed_process_does_not_stop_the_set_for_ever(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speak, "_PATIENCE_S", 0.5)
    with pytest.raises(multiprocessing.TimeoutError):
        list(speak._mapped(killed, plan(work, "train1", "eng")[:1], work, num_jobs=2))
