"""The worker's thread is dead: sessions hear it, late ones too, nobody is let in, and the probes say so."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from seamless_stream.audio.pcm import to_bytes
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.worker import Worker
from seamless_stream.errors import ModelError
from tests.engine.test_engine import S2ST, TALK
from tests.fakes import FakeTranslator
from tests.server.serving import running
from tests.server.test_http import ask, code, get
from tests.server.test_native import FAST, PATIENCE_S, close_code, native, send, until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """When it is set, the engine's next step with audio ends the thread: a fault that belongs to no segment."""
    fault, step = threading.Event(), Engine.step

    def fail(engine: Engine) -> bool:
        if fault.is_set() and engine._sessions:
            raise MemoryError("out of it")
        return step(engine)

    monkeypatch.setattr(Engine, "step", fail)
    yield fault


def test_sessions_hear_it_also_those_that_had_not_begun(broken: threading.Event) -> None:
    async def last(socket: ClientConnection) -> tuple[Any, int | None]:
        [*_, error] = await until(socket, "error")
        return error["error"], await close_code(socket)

    async def scenario() -> list[Any]:
        async with running() as server, native(server) as speaking, native(server) as silent:
            await send(speaking, FAST, to_bytes(TALK))
            await until(speaking, "segment.started")
            broken.set()
            await send(speaking, to_bytes(TALK))
            found = [await last(speaking)]
            for path in ("/healthz", "/readyz"):
                status, _, body = await ask(server.port, get(path))
                assert (status, body) == (503, b'{"status": "unavailable"}')
            with pytest.raises(InvalidStatus, match="503") as refused:
                async with native(server):
                    pass
            assert code(refused.value.response.body or b"") == "draining"
            await send(silent, FAST, to_bytes(TALK))
            return [*found, await last(silent)]

    for error, closed in asyncio.run(scenario()):
        assert closed == 4500 and error["code"] == "session_failed" and not error["recoverable"]
        assert error["message"] == "The worker has ended by an unexpected error."


def test_who_opens_a_session_afterwards_is_told_and_does_not_wait(broken: threading.Event) -> None:
    told: list[object] = []
    with Worker(Engine(FakeTranslator())) as worker:
        session = worker.open(S2ST, lambda events: None)
        broken.set()
        session.push(TALK)
        with pytest.raises(ModelError, match="unexpected error"):
            session.wait(PATIENCE_S)
        worker._thread.join(PATIENCE_S)
        with pytest.raises(ModelError, match="unexpected error"):
            worker.open(S2ST, lambda events: None)
        late = worker.open_later(S2ST, lambda events: None, told.append)
        with pytest.raises(ModelError, match="unexpected error"):
            late.push(TALK)
    assert [str(error) for error in told] == ["The worker has ended by an unexpected error."]
    with pytest.raises(ModelError, match="has stopped"), Worker(Engine(FakeTranslator())) as stopped:
        stopped.stop()
        stopped.open(S2ST, lambda events: None)
