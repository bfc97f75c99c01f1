"""The same client for programs without asyncio: the session lives on a thread of its own, so that it stays alive.

Knows only how to ask `client.session` from another thread.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from seamless_stream.audio.pcm import Samples
from seamless_stream.client import session
from seamless_stream.client.wire import Incoming
from seamless_stream.server.commands import ClientMessage
from seamless_stream.sources import Source

T = TypeVar("T")


class Session:
    """As `client.session.Session`, but its methods wait. Any thread may call them, one at a time may iterate."""

    def __init__(self, inner: session.Session, loop: asyncio.AbstractEventLoop) -> None:
        self.info = inner.info
        self._inner, self._loop = inner, loop
        self._next: Future[Incoming | None] | None = None

    def send(self, samples: Samples) -> None:
        """Audio; waits while the server has no room for it."""
        self._run(self._inner.send(samples))

    def say(self, message: ClientMessage) -> None:
        """Any other message."""
        self._run(self._inner.say(message))

    def feed(self, source: Source, *, is_paced: bool = False) -> None:
        """Send all of a source meanwhile, then finish; raises SettingsError where it cannot be sent."""

        async def begin() -> None:
            self._inner.feed(source, is_paced=is_paced)

        self._run(begin())

    def stop_feeding(self) -> None:
        """Take no more from the source."""
        self._loop.call_soon_threadsafe(self._inner.stop_feeding)

    def finish(self) -> None:
        """No more audio will come."""
        self._run(self._inner.finish())

    def __iter__(self) -> Iterator[Incoming]:
        while True:
            # Kept over an interruption of the wait: no message is lost.
            self._next = self._next or asyncio.run_coroutine_threadsafe(self._after(), self._loop)
            message = self._next.result()
            self._next = None
            if message is None:
                return
            yield message

    async def _after(self) -> Incoming | None:
        return await anext(self._inner, None)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


@contextmanager
def connect(*arguments: Any, **options: Any) -> Iterator[Session]:
    """As `client.session.connect`, whose arguments it takes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="seamless-stream client", daemon=True)
    thread.start()
    try:
        manager = session.connect(*arguments, **options)
        inner = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result()
        failure: tuple[Any, Any, Any] = (None, None, None)
        try:
            yield Session(inner, loop)
        except BaseException as error:
            failure = (type(error), error, error.__traceback__)
            raise
        finally:
            asyncio.run_coroutine_threadsafe(manager.__aexit__(*failure), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
