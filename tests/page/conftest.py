"""A real browser, a real daemon with the bundled checkpoint, and one with the fake model that answers at once."""

import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile

from seamless_stream.engine.engine import VADS
from tests.fakes import LevelVad
from tests.page.browser import PACKAGES, Browser, browsing, program
from tests.server.proxy import Plan, bad_network
from tests.server.serving import on_a_thread, running

SPEECH = Path(__file__).parents[2] / "seamless_stream" / "checkpoints" / "samples" / "english.flac"
RATE = 16_000
COMMAND = [sys.executable, "-m", "seamless_stream", "serve", "--port", "0", "--model", "phrasebook"]


@pytest.fixture(scope="session")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shipped sentence with a silence after it."""
    samples, rate = soundfile.read(SPEECH, frames=round(4.8 * RATE), dtype="float32")
    assert rate == RATE
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    soundfile.write(path, np.concatenate([samples[RATE:], np.zeros(2 * RATE, np.float32)]), RATE)
    return path


@pytest.fixture(scope="session")
def browser(sentence: Path) -> Iterator[Browser]:
    """Chromium, whose microphone hears the sentence once."""
    if program() is None:
        pytest.skip(f"needs a browser: {PACKAGES}")
    with browsing(f"{sentence}%noloop") as found:
        yield found


@pytest.fixture(scope="session")
def daemon() -> Iterator[str]:
    """Where `seamless-stream serve` has its page, with the bundled checkpoint."""
    if program() is None:
        pytest.skip(f"needs a browser: {PACKAGES}")
    with subprocess.Popen([*COMMAND, "--device", "cpu"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if line.startswith("listening: "))
            threading.Thread(target=process.stderr.read, daemon=True).start()  # it must not wait for a reader
            found = re.search(r"//([^/]+)/", line)
            assert found is not None
            yield f"http://{found[1]}/"
        finally:
            process.terminate()
            process.wait(30)


@dataclass
class Hosted:
    """A daemon with the fake model behind a proxy that can cut its connections."""

    url: str
    plan: Plan


Host = Callable[..., AbstractContextManager[Hosted]]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Makes such daemons; takes the settings of a server."""
    monkeypatch.setitem(VADS, "silero", LevelVad)  # the fake model speaks tones

    @asynccontextmanager
    async def behind_a_proxy(**settings: object) -> AsyncIterator[Hosted]:
        plan = Plan(Random(1), 0, 60_000, 60_000)
        async with running(**settings) as server, bad_network(server.port, plan) as (_, port):  # type: ignore[arg-type]
            yield Hosted(f"http://127.0.0.1:{port}/", plan)

    return lambda **settings: on_a_thread(behind_a_proxy(**settings))
