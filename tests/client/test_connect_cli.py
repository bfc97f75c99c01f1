"""`seamless-stream connect` against a server on another thread: captions, files, statuses, one line of error."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seamless_stream.audio.files import write_wav
from seamless_stream.cli import main
from tests.engine.test_engine import TALK
from tests.server.serving import running

PATIENCE_S = 60


@pytest.fixture
def url() -> Iterator[str]:
    ready, done = threading.Event(), threading.Event()
    place: list[str] = []

    async def scenario() -> None:
        async with running(keys=("secret",)) as server:
            place.append(f"ws://127.0.0.1:{server.port}")
            ready.set()
            await asyncio.to_thread(done.wait, PATIENCE_S)

    thread = threading.Thread(target=lambda: asyncio.run(scenario()))
    thread.start()
    assert ready.wait(PATIENCE_S)
    yield place[0]
    done.set()
    thread.join()


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAMLESS_STREAM_KEY", "secret")
    path = tmp_path / "talk.wav"
    write_wav(path, TALK)
    return path


def test_a_file_becomes_captions_and_speech(url: str, talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sinks = [talk.with_name(name) for name in ("es.srt", "es.wav", "events.jsonl")]
    words = ["connect", url, "--to", "es", "--source", str(talk), "--pace", "fast"]
    status = main([*words, *[word for sink in sinks for word in ("--sink", str(sink))]])
    found = capsys.readouterr()
    assert status == 0, found.err
    lines = found.out.splitlines()
    assert len(lines) == 3 and lines[0].startswith("[0:00.") and " w" in lines[0]
    assert "server: seamless_stream" in found.err and f"captions: {sinks[0]}" in found.err
    assert sinks[0].read_text(encoding="utf-8").count("-->") == 3
    assert sinks[1].stat().st_size > 10_000
    rows = [json.loads(line) for line in sinks[2].read_text(encoding="utf-8").splitlines()]
    assert rows[0]["model"] == "fake" and [row["type"] for row in rows].count("Final") == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
@pytest.mark.parametrize(("suffix", "expected"), [(".wav", 3), (".srt", 4)])
def test_a_full_disk_ends_it_with_one_sentence(
    url: str, talk: Path, suffix: str, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    full = talk.with_name(f"full{suffix}")
    full.symlink_to("/dev/full")
    words = ["connect", url, "--to", "es", "--source", str(talk), "--pace", "fast", "--sink", str(full)]
    assert main(words) == expected
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seamless-stream: ")]
    assert f"full{suffix}` cannot be written: No space left on device." in line


def test_several_languages_have_names_and_files(
    url: str, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vtt = talk.with_name("out.vtt")
    words = [
        "connect",
        url,
        "--to",
        "es",
        "--to",
        "fr",
        "--source",
        str(talk),
        "--pace",
        "fast",
        "--sink",
        str(vtt),
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.count("es: ") == 3 and out.count("fr: ") == 3
    assert {path.name for path in talk.parent.glob("*.vtt")} == {"out.es.vtt", "out.fr.vtt"}


def test_the_spoken_language_is_one_of_several(
    url: str, talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["connect", url, "--to", "es", "--from", "en", "--from", "fr", "--transcribe"]
    assert main([*words, "--latency", "low", "--source", str(talk), "--pace", "fast"]) == 0
    out = capsys.readouterr().out
    assert out.count("es: ") == out.count("en: ") == 3


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        (["--to", "klingon"], 5, "klingon"),
        (["--to", "es", "--key", "wrong"], 10, "key"),
        (["--to", "es", "--pace", "fast", "--sink", "speaker"], 4, "real-time"),
        (["--to", "es", "--transcribe"], 4, "--from"),
        (["--to", "es", "--sink", "out.doc"], 4, "out.doc"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_status(
    url: str, talk: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, part: str
) -> None:
    assert main(["connect", url, "--source", str(talk), *words]) == status
    err = capsys.readouterr().err
    assert err.startswith("seamless-stream: ") and part in err and err.count("\n") == 1


def test_nobody_there(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "ws://127.0.0.1:1", "--to", "es", "--source", str(talk)]) == 10
    assert "cannot be reached" in capsys.readouterr().err
    assert main(["connect", "ws://127.0.0.1:1", "--to", "es", "--source", "nowhere.wav"]) == 3


def test_it_loads_no_torch() -> None:
    code = "import sys, seamless_stream.cli.connect; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
