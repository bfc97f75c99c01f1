"""What docs/clients.md shows is run: its Python, the openai package and the websockets command, against one server."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seamless_stream.audio.files import write_wav
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.cli.parser import parse
from tests.engine.test_engine import TALK
from tests.server.serving import on_a_thread, running

TEXT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with on_a_thread(running()) as server:
        yield server.port


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_wav(tmp_path / "talk.wav", TALK)
    resampler = Resampler(16_000, 24_000)
    audio = np.concatenate([resampler.push(TALK), resampler.flush()])
    (tmp_path / "talk.raw").write_bytes(to_bytes(audio))
    return tmp_path


def run(command: list[str], text: str, port: int, folder: Path) -> str:
    text = text.replace("127.0.0.1:8765", f"127.0.0.1:{port}").replace("sleep 20", "sleep 6")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [*command, text]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("number", "expected"), [(0, r"\d s: \S"), (1, "^$"), (2, r"\S")])
def test_the_python_examples_run(number: int, expected: str, port: int, folder: Path) -> None:
    if "openai" in PYTHON[number]:
        pytest.importorskip("openai")
    out = run([sys.executable, "-c"], PYTHON[number], port, folder)
    assert re.search(expected, out)
    if "SubtitleSink" in PYTHON[number]:
        assert "-->" in (folder / "es.srt").read_text(encoding="utf-8")
        assert (folder / "es.wav").stat().st_size > 10_000


@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("base64") is None, reason="needs a shell")
def test_the_wire_by_hand(port: int, folder: Path) -> None:
    [text] = [text for text in SHELL if "| websockets" in text]
    out = run(["bash", "-c"], text, port, folder)
    for kind in ("session.created", "session.updated", "session.output_transcript.delta", "session.closed"):
        assert kind in out


def test_the_commands_are_understood() -> None:
    lines = [line.split("#")[0].split() for text in SHELL for line in text.splitlines()]
    commands = [line[1:] for line in lines if line and line[0] == "seamless-stream"]
    assert {parse(words).command for words in commands} == {"connect", "conformance"}
