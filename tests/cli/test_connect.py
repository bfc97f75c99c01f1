"""`seamless-stream connect` against a server on another thread: captions, files, statuses, what is noted meanwhile."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from seamless_stream.audio.files import write_wav
from seamless_stream.cli import connect, main
from seamless_stream.client import sync
from seamless_stream.errors import RemoteError
from seamless_stream.server.app import App
from seamless_stream.server.messages import Warn, WarningCode
from tests.cli.calls import RATE, needs_full_disk
from tests.engine.test_engine import TALK
from tests.fakes import FakeTranslator, speech
from tests.server.proxy import Plan, bad_network
from tests.server.serving import on_a_thread, running

PATIENCE_S = 60

pytestmark = pytest.mark.usefixtures("level_vad")


class OneCut(Plan):
    """The first connection ends in the middle of the sound, the others live."""

    def __init__(self) -> None:
        super().__init__(random.Random(0), 0, 1, 1)
        self._cuts = [(60_000, 1 << 60, "cut")]

    def next(self) -> tuple[int, int, Any]:
        return self._cuts.pop() if self._cuts else super().next()


@dataclass(frozen=True)
class Server:
    """One on a thread of its own."""

    url: str
    app: App
    loop: asyncio.AbstractEventLoop


@asynccontextmanager
async def behind_a_plan(plan: Plan | None, **settings: Any) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(**settings))
        port = server.port
        if plan is not None:
            _, port = await stack.enter_async_context(bad_network(port, plan))
        yield Server(f"ws://127.0.0.1:{port}", server.app, asyncio.get_running_loop())


def serving(plan: Plan | None = None, **settings: Any) -> AbstractContextManager[Server]:
    """A server while the block runs, behind a bad network where there is a plan for one."""
    return on_a_thread(behind_a_plan(plan, **settings))


@pytest.fixture
def url() -> Iterator[str]:
    with serving(keys=("secret",)) as server:
        yield server.url


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAMLESS_STREAM_KEY", "secret")
    path = tmp_path / "talk.wav"
    write_wav(path, TALK)
    return path


def notes(err: str) -> list[str]:
    """What happened meanwhile."""
    start = "seamless-stream: note: "
    return [line.removeprefix(start) for line in err.splitlines() if line.startswith(start)]


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


@needs_full_disk
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
    words = ["connect", url, "--to", "es", "--to", "fr", "--source", str(talk), "--pace", "fast"]
    assert main([*words, "--sink", str(vtt)]) == 0
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


def test_a_full_server_is_its_own_status(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(max_sessions=1) as server, sync.connect(server.url, "es"):
        assert main(["connect", server.url, "--to", "es", "--source", str(talk)]) == 9
    err = capsys.readouterr().err
    assert err == "seamless-stream: There are as many sessions as are allowed.\n"


def test_a_segment_on_which_the_model_fails_is_told_and_is_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, captions = tmp_path / "sick.wav", tmp_path / "es.jsonl"
    pause, sick = np.zeros(RATE, np.float32), np.full(RATE // 4, 0.5, np.float32)
    write_wav(path, np.concatenate([speech(0, 0.3), pause, sick, pause, speech(0.4, 0.2), pause]))
    with serving(model=FakeTranslator(poison=0.5)) as server:
        words = ["connect", server.url, "--to", "es", "--source", str(path), "--pace", "fast"]
        assert main([*words, "--sink", str(captions)]) == 7
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "w39" in lines[0] and "w49" in lines[2]
    assert lines[1] == "segment 2 failed: The model failed: RuntimeError: poisoned"
    types = [json.loads(line)["type"] for line in captions.read_text(encoding="utf-8").splitlines()]
    assert [name for name in types if name in ("Final", "Failed")] == ["Final", "Failed", "Final"]


def test_a_connection_that_is_cut_is_told_and_costs_no_word(
    talk: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--to", "es", "--source", str(talk), "--pace", "fast"]
    assert main(["connect", url, *options]) == 0
    expected = capsys.readouterr().out.splitlines()
    with serving(OneCut()) as server:
        assert main(["connect", server.url, *options]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == expected and notes(err) == [
        "the connection is lost; trying again.",
        "connected again.",
    ]


class Microphone:
    """Says the talk, does `then` when its first words are translated, and hears silence until it is closed."""

    is_paced = is_endless = True

    def __init__(self, captions: Path, then: Callable[[], object]) -> None:
        self.warnings: list[str] = []
        self._captions, self._then, self.is_closed = captions, then, False

    def chunks(self) -> Iterator[np.ndarray]:
        yield TALK
        while '"Final"' not in self._captions.read_text(encoding="utf-8"):
            time.sleep(0.02)
        for number in count():
            if number == 10:  # the server has all of the talk
                self._then()
            if self.is_closed:
                return
            time.sleep(0.02)
            yield np.zeros(RATE // 50, np.float32)

    def close(self) -> None:
        self.is_closed = True


def press_ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """As in a terminal; a shell starts background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


Hear = Callable[[Server, Callable[[], object]], int]


@pytest.fixture
def hear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hear:
    """Connect with a microphone, and the status."""

    def run(server: Server, then: Callable[[], object]) -> int:
        captions = tmp_path / "es.jsonl"
        microphone = Microphone(captions, then)
        monkeypatch.setattr(connect, "open_source", lambda name: microphone)
        status = main(["connect", server.url, "--to", "es", "--source", "mic", "--sink", str(captions)])
        assert microphone.is_closed
        return status

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_at_a_microphone_translates_what_was_said(
    ctrl_c: None, hear: Hear, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(max_ahead_ms=10_000) as server:
        assert hear(server, press_ctrl_c) == 0
    out, err = capsys.readouterr()
    assert "no longer listening" in err and len(out.splitlines()) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_again_ends_it_at_once(
    ctrl_c: None, hear: Hear, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_heard = threading.Event()
    stop_feeding = sync.Session.stop_feeding

    def stop(session: sync.Session) -> None:
        stop_feeding(session)
        is_heard.set()

    def press_twice() -> None:
        press_ctrl_c()
        assert is_heard.wait(PATIENCE_S)
        press_ctrl_c()
        time.sleep(1)  # nothing more is heard meanwhile, so that the session cannot end by itself

    monkeypatch.setattr(sync.Session, "stop_feeding", stop)
    with serving(max_ahead_ms=10_000) as server:
        assert hear(server, press_twice) == 130
    assert "interrupted; what was translated is in the files." in capsys.readouterr().err


def test_a_server_that_stops_says_so_and_where_to_go_on(
    hear: Hear, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(max_ahead_ms=10_000, resume_url="wss://other.example") as server:
        drain = server.app.drain
        status = hear(server, lambda: asyncio.run_coroutine_threadsafe(drain(), server.loop))
    assert status == RemoteError.exit_status
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and notes(err) == [
        "the server stops; what was said is still translated. Begin again at wss://other.example."
    ]
    assert "The server has ended the session: drain." in err


@pytest.mark.parametrize(
    ("code", "detail", "text"),
    [
        ("audio_dropped", {"start_ms": 1_000, "end_ms": 2_500}, "the server has dropped 1.5 s of sound."),
        ("falling_behind", {"level": 2}, "the server cannot keep up."),
        ("falling_behind", {"level": 0}, "the server keeps up again."),
        ("speech_backlog", {"backlog_ms": 4_200}, "4.2 s of speech wait to be played."),
        ("no_speech", {"level_dbfs": -70}, "the sound is at -70 dBFS."),
        ("of_a_newer_server", {}, "the server warns: of_a_newer_server."),
    ],
)
def test_warnings_are_words(code: Any, detail: dict[str, int], text: str) -> None:
    assert connect._warning(Warn(code, detail)).endswith(text)


@pytest.mark.parametrize("code", get_args(WarningCode))
def test_every_warning_of_our_server_has_words(code: WarningCode) -> None:
    assert code not in connect._warning(Warn(code, {}))


def test_it_loads_no_torch() -> None:
    code = "import sys, seamless_stream.cli.connect; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
