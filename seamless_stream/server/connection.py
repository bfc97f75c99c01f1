"""One socket of a session: hands over what the client sends, sends what the session says, and watches whether the other
end is still there. What becomes of the session when the socket ends is the session's business (`served.py`).
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from seamless_stream.server import protocol
from seamless_stream.server.commands import SessionResume
from seamless_stream.server.listeners import shut
from seamless_stream.server.protocol import ProtocolError
from seamless_stream.server.seat import unknown_session
from seamless_stream.server.served import ServedSession

log = logging.getLogger(__name__)

TICK_S: Final = 0.1
PING_S: Final = 20.0
LAST_WORDS_S: Final = 5.0  # to send what is unsent before the socket is closed
RESUME_S: Final = 10.0  # for the first message of a connection that resumes
# With these a client leaves; whatever else ends a socket, it may come back.
LEAVING: Final = (protocol.NORMAL, 1001, 1005)


class Connection:
    """`run` until either side ends it."""

    def __init__(self, socket: ServerConnection, session: ServedSession) -> None:
        self._socket = socket
        self._session = session
        self._code: int | None = None  # why this side ends it
        self._over = asyncio.Event()
        self._alive_s = self._message_s = time.monotonic()
        self._message_allowance = float(session.settings.max_messages_per_s)

    async def run(self) -> None:
        """The first one of a session."""
        self._session.attach(self)
        await self._run([])

    async def resume(self) -> None:
        """One that takes the place of another."""
        session, first = self._session, []
        try:
            async with asyncio.timeout(RESUME_S):
                message = protocol.parse(str(await self._socket.recv()))
            if not isinstance(message, SessionResume):
                raise unknown_session()
            # What the client could not send in the meantime may come at once.
            silent_s = time.monotonic() - session.heard_s
            self._message_allowance += silent_s * session.settings.max_messages_per_s
            first = session.resume(self, message)
        except TimeoutError:
            await shut(self._socket, protocol.UNKNOWN)
        except ConnectionClosed:
            pass
        except ProtocolError as error:
            await refuse(self._socket, error)
        else:
            await self._run(first)

    def end(self, code: int) -> None:
        """Close the socket; the session goes on."""
        if not self._over.is_set():
            self._code = code
            self._over.set()

    async def _run(self, first: list[str]) -> None:
        session = self._session
        writer = asyncio.create_task(self._write(first, session.outbox.begin()))
        loops: list[Coroutine[Any, Any, Any]] = [
            self._read(),
            self._watch(),
            self._over.wait(),
            session.finished.wait(),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait([writer, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is not None:
                    log.error("connection failed", exc_info=task.exception(), extra={"session": session.id})
                    session.finish(protocol.INTERNAL, "internal")
            if session.finished.is_set() and not self._over.is_set():
                await asyncio.wait([writer], timeout=LAST_WORDS_S)
            writer.cancel()  # it may wait for a client that reads nothing
            await shut(self._socket, session.close_code if self._code is None else self._code)
        finally:
            self._over.set()
            for task in (writer, *tasks):
                task.cancel()
            await asyncio.gather(writer, *tasks, return_exceptions=True)
            session.detach(self, is_left=self._is_left)

    @property
    def _is_left(self) -> bool:
        """Whether the client has left, or knows that the session is over."""
        said = self._socket.protocol
        if said.close_rcvd is None:
            return False
        if said.close_rcvd_then_sent:
            return said.close_rcvd.code in LEAVING
        return self._code is None and self._session.outbox.is_empty

    # Reading.

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                data = await self._socket.recv()
                if self._over.is_set():
                    continue  # another connection has taken over; whoever still sends should come to read our close
                self._alive()
                try:
                    self._limit_messages()
                except ProtocolError as error:
                    self._session.refuse(error)
                    return
                self._session.take(data)
                # Nothing is dropped: the socket is not read, so that TCP holds the sender back.
                while not self._session.has_room:
                    self._alive()
                    await asyncio.sleep(TICK_S / 2)
        await self._socket.wait_closed()

    def _limit_messages(self) -> None:
        limit, now_s = self._session.settings.max_messages_per_s, time.monotonic()
        earned = (now_s - self._message_s) * limit
        most = max(limit, self._message_allowance)
        self._message_allowance, self._message_s = min(most, self._message_allowance + earned) - 1, now_s
        if self._message_allowance < 0:
            raise ProtocolError(
                "too_many_messages",
                f"At most {limit} messages a second are taken.",
                close_code=protocol.TOO_FAST,
                kind="rate_limit_error",
            )

    # Writing.

    async def _write(self, first: list[str], reader: int) -> None:
        outbox = self._session.outbox
        with suppress(ConnectionClosed):
            for text in first:
                await self._socket.send(text)
            while (data := await outbox.next(reader)) is not None:
                await self._socket.send(data)
        if not self._session.finished.is_set():
            await self._socket.wait_closed()

    # The clock.

    def _alive(self) -> None:
        self._alive_s = time.monotonic()

    async def _watch(self) -> None:
        pinged_s = time.monotonic()
        idle_s = self._session.settings.idle_timeout_s
        while not self._over.is_set():
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            if now_s - self._alive_s > idle_s:
                text = f"Nothing was heard of the client for {idle_s:g} s."
                self._session.note(ProtocolError("idle_timeout", text, close_code=protocol.IDLE))
                await asyncio.sleep(TICK_S)  # for it to be sent
                self.end(protocol.IDLE)
            if now_s - pinged_s >= PING_S:
                pinged_s = now_s
                await self._ping()

    async def _ping(self) -> None:
        """Whoever answers is alive, however late."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(TICK_S):  # the socket may be full
                answer = asyncio.ensure_future(await self._socket.ping())
                answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[float]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._alive()


async def refuse(socket: ServerConnection, error: ProtocolError) -> None:
    """Say what was wrong on a socket that has no session, and close it."""
    # The message tells by the code that this is the end.
    error.close_code = error.close_code or protocol.BAD_MESSAGE
    with suppress(ConnectionClosed):
        await socket.send(protocol.write(error.message(), 0, with_seq=False))
    await shut(socket, error.close_code)
