"""A fake model that speaks tones, recordings of tones with references, and their log."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from seamless_stream.audio.files import read, write_wav
from seamless_stream.engine.engine import VADS, Engine
from seamless_stream.events import Final
from seamless_stream.settings import PolicySettings, SessionSettings
from tests.fakes import FakeTranslator, LevelVad, speech

PAUSE = (0.0,) * 8
TALKS = {
    "one": [(0.11, 0.22, 0.33, 0.44, 0.55, 0.66, 0.77), (0.44, 0.55)],
    "two": [(0.66, 0.77, 0.88)],
}
POLICY = PolicySettings(name="hold-n", hold_n=1, first_decode_ms=320, decode_every_ms=320)
SETTINGS = SessionSettings(target_languages=("spa",), task="s2tt", policy=POLICY)


@pytest.fixture(autouse=True)
def level_vad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", LevelVad)


@pytest.fixture
def engine() -> Engine:
    return Engine(FakeTranslator())


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    return write_talks(tmp_path)


def write_talks(folder: Path) -> Path:
    """A list of two recordings, three segments; the reference is what the model says to a whole segment."""
    engine, rows = Engine(FakeTranslator()), []
    for name, sentences in TALKS.items():
        parts = [speech(0, 0)]
        places = []
        for levels in sentences:
            places.append((sum(map(len, parts)), len(speech(*levels))))
            parts += [speech(*levels), speech(*PAUSE)]
        wav = folder / f"{name}.wav"
        write_wav(wav, np.concatenate(parts))
        for (start, length), text in zip(places, whole_answers(engine, read(wav)), strict=True):
            place = {"offset": start / 16_000, "duration": length / 16_000}
            rows.append({"wav": f"{name}.wav", **place, "reference": text})
    path = folder / "talks.yaml"
    path.write_text(yaml.safe_dump(rows), encoding="utf-8")
    return path


def whole_answers(engine: Engine, samples: np.ndarray) -> list[str]:
    """The final texts with the policy that waits for the end of a segment."""
    session = engine.open(replace(SETTINGS, policy=PolicySettings(name="segment")))
    session.push(samples)
    session.finish()
    while engine.step():
        pass
    texts = [event.text for event in session.events() if isinstance(event, Final)]
    engine.close(session)
    return texts
