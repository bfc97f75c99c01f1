"""Who reads the captions of a session without taking part: by WebSocket or by server-sent events.

A listener has an outbox of its own, so that a slow one is dropped and stops nobody. The transcript so far is kept for
those who come late, and for a client that has missed more than the session keeps of what it said.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from seamless_stream.server import commands, messages, protocol
from seamless_stream.server.messages import ServerMessage
from seamless_stream.server.outbox import Outbox
from seamless_stream.server.protocol import ProtocolError

MAX_CAPTIONS: Final = 500  # finished ones that are kept
MAX_UNSENT_BYTES: Final = 262_144
MAX_ASKED: Final = (
    1_024  # characters that a listener may say: a ping is short, and nobody bounds how many come
)
QUIET_S: Final = 15.0  # then a listener is told that the server still lives
CLOSE_S: Final = 10.0

# Of the segments, what listeners are not told.
PRIVATE: Final = (messages.SegmentAudioDone, messages.Skipped)


class Transcript:
    """The text of a session so far."""

    def __init__(self) -> None:
        self._finals: deque[messages.SegmentFinal] = deque(maxlen=MAX_CAPTIONS)
        self._open: dict[tuple[str, str], messages.SegmentUpdated] = {}  # by segment and language
        self._num_finals = 0

    def add(self, message: ServerMessage) -> None:
        """Take note of one."""
        if isinstance(message, messages.SegmentUpdated):
            self._open[message.segment_id, message.language] = message
        elif isinstance(message, messages.SegmentFinal):
            self._open.pop((message.segment_id, message.language), None)
            self._finals.append(message)
            self._num_finals += 1
        elif isinstance(message, messages.SegmentCancelled | messages.SegmentEnded):
            for key in [key for key in self._open if key[0] == message.segment_id]:
                del self._open[key]

    def snapshot(self, language: str | None = None) -> messages.TranscriptSnapshot:
        """All of it that is kept, or that of one language."""
        finals = [final for final in self._finals if language in (None, final.language)]
        updates = [update for update in self._open.values() if language in (None, update.language)]
        return messages.TranscriptSnapshot(finals, updates, self._num_finals <= MAX_CAPTIONS)


class Listener:
    """One of them, who first hears what was said; `language`: only captions of this one."""

    def __init__(self, transcript: Transcript, language: str | None = None) -> None:
        self.outbox = Outbox("native", MAX_UNSENT_BYTES, 0)
        self.outbox.welcome(transcript.snapshot(language))
        self.dropped = asyncio.Event()  # it reads too slowly
        self._language = language
        self._reader = self.outbox.begin()

    def tell(self, message: ServerMessage) -> None:
        """Put it where the listener takes it from."""
        if self.dropped.is_set():
            return
        if self._language is not None and getattr(message, "language", self._language) != self._language:
            return
        if not self.outbox.put(message):
            self.dropped.set()
            self.outbox.begin()  # this one gets nothing more

    def finish(self, last: messages.SessionClosed) -> None:
        """Tell it this, and nothing more."""
        self.tell(last)
        self.outbox.close()

    async def next(self) -> str | bytes | None:
        """What it is told next; None: nothing more."""
        return await self.outbox.next(self._reader)


class Audience:
    """All listeners of a session, and what those who come late should know."""

    def __init__(self, max_listeners: int) -> None:
        self.transcript = Transcript()
        self._max_listeners = max_listeners
        self._listeners: set[Listener] = set()
        self._last: messages.SessionClosed | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def has_room(self) -> bool:
        """For another one."""
        return len(self._listeners) < self._max_listeners

    def join(self, language: str | None) -> Listener:
        """A new one."""
        listener = Listener(self.transcript, language)
        if self._last is not None:
            listener.finish(self._last)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """It is gone."""
        self._listeners.discard(listener)

    def tell(self, message: ServerMessage) -> None:
        """One message of the session, before or after it was sent to its client."""
        if isinstance(message, messages.OfSegment) and not isinstance(message, PRIVATE):
            self.transcript.add(message)
            for listener in self._listeners:
                listener.tell(message)

    def close(self, last: messages.SessionClosed) -> None:
        """Nothing more will be told."""
        self._last = last
        for listener in self._listeners:
            listener.finish(last)


async def stream_events(audience: Audience, language: str | None) -> AsyncIterator[bytes]:
    """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    listener = audience.join(language)
    try:
        for seq in range(1 << 62):
            data = None
            while data is None:
                try:
                    async with asyncio.timeout(QUIET_S):
                        data = await listener.next()
                except TimeoutError:
                    yield b":\n\n"
                    continue
                if data is None:
                    return
            yield f"id: {seq}\ndata: {data!s}\n\n".encode()
    finally:
        audience.leave(listener)


async def run_listener(socket: ServerConnection, audience: Audience, language: str | None) -> None:
    """A WebSocket that only reads."""
    listener = audience.join(language)
    loops: list[Coroutine[Any, Any, Any]] = [
        _write(socket, listener),
        _answer(socket, listener),
        _ping(socket),
        listener.dropped.wait(),
    ]
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        audience.leave(listener)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await shut(socket, protocol.SLOW_READER if listener.dropped.is_set() else protocol.NORMAL)


async def _write(socket: ServerConnection, listener: Listener) -> None:
    with suppress(ConnectionClosed):
        while (data := await listener.next()) is not None:
            await socket.send(data)


async def _answer(socket: ServerConnection, listener: Listener) -> None:
    """Pings of those who cannot see the pings of WebSocket; whatever else is sent is ignored."""
    with suppress(ConnectionClosed):
        while True:
            data = await socket.recv()
            if isinstance(data, bytes) or len(data) > MAX_ASKED:
                continue
            with suppress(ProtocolError):
                message = protocol.parse(data)
                if isinstance(message, commands.Ping):
                    listener.tell(messages.Pong(message.id))


async def _ping(socket: ServerConnection) -> None:
    """Whoever does not answer within two of these is gone."""
    with suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(QUIET_S)
            answer = await socket.ping()
            async with asyncio.timeout(2 * QUIET_S):
                await answer


async def shut(socket: ServerConnection, code: int) -> None:
    """Close a socket, also one whose other end takes nothing any more."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code)
    except TimeoutError:
        socket.transport.abort()
