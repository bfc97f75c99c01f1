"""A server on a free port of this machine, with the fake model."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from seamless_stream.engine.engine import Engine
from seamless_stream.engine.worker import Observer, Worker
from seamless_stream.server.access import Access, Key
from seamless_stream.server.app import App, listening
from seamless_stream.server.metrics import Metrics
from seamless_stream.server.process import load_tls
from seamless_stream.server.service import Service
from seamless_stream.settings import EngineSettings, ServerSettings, SessionSettings
from tests.fakes import FakeTranslator

PATIENCE_S: Final = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """Where it is."""

    app: App
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime/translations"


@asynccontextmanager
async def running(
    *,
    model: FakeTranslator | None = None,
    keys: tuple[str, ...] = (),
    session: SessionSettings | None = None,
    engine: EngineSettings | None = None,
    observers: tuple[Observer, ...] = (),
    **settings: object,
) -> AsyncIterator[Server]:
    """A server while the block runs."""
    model = model or FakeTranslator()
    server = ServerSettings(port=0, **settings)  # type: ignore[arg-type]
    metrics = Metrics()
    with Worker(Engine(model, engine), (metrics, *observers)) as worker:
        service = Service(worker, model.capabilities, "fake", session or SessionSettings(), server, metrics)
        async with listening(service, Access(server, [Key.of(key) for key in keys]), load_tls(server)) as (
            app,
            port,
        ):
            yield Server(app, port)


@contextmanager
def on_a_thread(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """What it gives, while the block runs: on a loop and a thread of its own, for clients that block."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    entered: Future[T] = Future()

    async def serve() -> None:
        try:
            async with manager as found:
                entered.set_result(found)
                await stop.wait()
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield entered.result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        loop.close()
