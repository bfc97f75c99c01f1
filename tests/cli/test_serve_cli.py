"""What the command serve refuses before it listens; how it serves is tests/server/test_process.py."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from seamless_stream.cli import main, serve
from seamless_stream.engine.translator import Translator
from tests.fakes import FakeTranslator


@pytest.fixture(autouse=True)
def fake_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(FakeTranslator(), "fake, tones")
    monkeypatch.setattr(serve, "load_translator", lambda settings, tasks, notes: translator)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """The daemon takes the log of the process."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, ("seamless_stream", "seamless_stream.server", "websockets"))]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    yield
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def refusal(capsys: pytest.CaptureFixture[str], status: int, *words: object) -> str:
    """The one line that a call gives, which ends with this status."""
    assert main(["serve", *map(str, words)]) == status
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seamless-stream: ")]
    return line


def test_a_taken_port_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(capsys, 4, "--port", port)
    sentence = f"`server.port` must be free at 127.0.0.1, but {port} is not: it is taken."
    assert line == f"seamless-stream: {sentence}"


def test_languages_are_checked_before_anybody_connects(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, 4, "--port", 0, "--to", "klingon")
    assert "klingon" in line


def test_keys_are_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes(b"\xff\xfe\x00secret")
    assert "`server.keys_file` must be a text file, but is not: " in refusal(capsys, 4, "--keys-file", keys)
    assert "No such file" in refusal(capsys, 4, "--keys-file", tmp_path / "none")
