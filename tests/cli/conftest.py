"""Calls of the command line in this process, with a tiny random checkpoint and recordings for it.

What such a checkpoint says is noise; that the right words come out is tested with the bundled checkpoint.
"""

from pathlib import Path

import numpy as np
import pytest

from seamless_stream.audio.files import write_wav
from seamless_stream.cli import live, main, translate
from seamless_stream.engine.engine import VADS
from seamless_stream.engine.translator import Translator
from tests.cli.calls import RATE, Call, Result, voice
from tests.fakes import FakeTranslator, LevelVad, speech


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    write_wav(path, np.concatenate([voice(1.2), np.zeros(RATE, np.float32), voice(1.0, 1)]))
    return path


@pytest.fixture
def call(tiny: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command with the tiny checkpoint: (status, stdout, stderr)."""

    def run(*arguments: object, model: object = tiny) -> Result:
        words = [str(argument) for argument in arguments]
        if words[0] in ("translate", "live"):
            options = ["--model", str(model), "--vad", "webrtc", "--max-new-tokens", "6", "--device", "cpu"]
            words[1:1] = options  # what a test says comes later and wins
        try:
            status = main(words)
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run


@pytest.fixture
def bad(tmp_path: Path, talk: Path) -> dict[str, Path]:
    """A folder of recordings that are none."""
    made = {
        name: tmp_path / f"{name}.wav" for name in ("missing", "noise", "empty", "silence", "cut", "clipped")
    }
    made["noise"].write_bytes(bytes(range(256)) * 40)
    made["empty"].touch()
    write_wav(made["silence"], np.zeros(5 * RATE, np.float32))
    made["cut"].write_bytes(talk.read_bytes()[:60_000])
    write_wav(made["clipped"], np.clip(30 * voice(2), -1, 1))
    return made


@pytest.fixture
def level_vad(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the fake model, which speaks tones."""
    monkeypatch.setitem(VADS, "silero", LevelVad)


@pytest.fixture
def poisoned(level_vad: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three segments; the model fails on the second one."""
    translator = Translator(FakeTranslator(poison=0.5), "fake, tones")
    for command in (live, translate):
        monkeypatch.setattr(command, "load_translator", lambda settings, tasks, notes: translator)
    pause, sick = np.zeros(RATE, np.float32), np.full(RATE // 4, 0.5, np.float32)
    rest = np.zeros(14 * RATE, np.float32)  # a recording that is shorter is one segment for `translate`
    path = tmp_path / "poisoned.wav"
    write_wav(path, np.concatenate([speech(0, 0.3), pause, sick, pause, speech(0.4, 0.2), rest]))
    return path
