"""Plain HTTP on the port of the WebSockets: tells the two apart by the head of a request, and answers the plain ones.

Knows bytes, limits and times; what is answered is the business of `app.py`. One request a connection. The library
behind the WebSockets reads GET alone, so that everything else is read here, by h11.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import parse_qs

import h11
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Response

from seamless_stream.server.messages import ErrorType

log = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 65_536
REQUEST_S: Final = 10.0  # from the first byte to the last one of a request
UNREAD_S: Final = 30.0  # for the client to take `UNREAD_BYTES` of what waits for it, or all
UNREAD_BYTES: Final = 16_384
LINGER_S: Final = 2.0  # for the client to read the answer before the connection is cut
MAX_DOORS: Final = 512  # connections that are no WebSocket, or not yet


@dataclass(frozen=True)
class Request:
    """A whole request; that of a WebSocket has no body."""

    method: str
    target: str  # path and query, as the client wrote them
    headers: Headers
    peer: str = ""  # the address it comes from; empty: a socket of this machine
    body: bytes = b""

    @property
    def path(self) -> str:
        """Without the query, and without the host where a proxy has written that too (RFC 9112, 3.2.2)."""
        path = self.target.partition("?")[0]
        return path if path.startswith("/") else "/" + path.partition("://")[2].partition("/")[2]

    def argument(self, name: str) -> str | None:
        """The last value of the query that has this name."""
        return parse_qs(self.target.partition("?")[2]).get(name, [None])[-1]

    def header(self, name: str) -> str | None:
        """The first one of this name, whatever its case."""
        values = self.headers.get_all(name)
        return values[0] if values else None


@dataclass(frozen=True)
class Stream:
    """An answer whose body is made while it is sent, until the chunks end or the client goes."""

    head: Response
    chunks: AsyncIterator[bytes]


Answer = Callable[[Request], Awaitable[Response | Stream]]


def respond(
    status: HTTPStatus, body: bytes, content_type: str, more: Mapping[str, str] | None = None
) -> Response:
    """An answer that ends its connection."""
    headers = Headers({"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"})
    for name, value in (more or {}).items():
        headers[name] = value
    return Response(status, status.phrase, headers, body)


def respond_json(status: HTTPStatus, body: Any, more: Mapping[str, str] | None = None) -> Response:
    """JSON."""
    return respond(status, json.dumps(body).encode(), "application/json", more)


def refuse(
    status: HTTPStatus,
    code: str,
    text: str,
    kind: ErrorType = "invalid_request_error",
    param: str | None = None,
    more: Mapping[str, str] | None = None,
) -> Response:
    """An error in the form that those of the WebSocket have."""
    error = {"type": kind, "code": code, "message": text, "param": param}
    return respond_json(status, {"error": error}, more)


class Doors:
    """All connections that are no WebSocket, or not yet."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.open: set[Door] = set()

    def close(self) -> None:
        """Nobody is answered any more."""
        for door in list(self.open):
            door.abort()


class Door(asyncio.Protocol):
    """One connection, until its request is answered or `upgrade` gets it with what was read so far."""

    def __init__(self, doors: Doors, upgrade: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._doors = doors
        self._upgrade = upgrade
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._raw: list[bytes] = []  # for the WebSocket, which reads the request again
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._has_eof = self._is_answered = False
        self._can_write = asyncio.Event()
        self._can_write.set()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._doors.open) >= MAX_DOORS:
            self._transport.abort()
            return
        self._doors.open.add(self)
        self._transport.set_write_buffer_limits(high=0)  # it can be written to: all was taken
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(REQUEST_S, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._leave()
        self._can_write.set()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """A piece of the request; what comes after a whole one is ignored."""
        if self._task is not None or self not in self._doors.open:
            return
        if self._head is None:
            self._raw.append(data)
        try:
            self._http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            self._refuse(HTTPStatus(error.error_status_hint))

    def eof_received(self) -> bool:
        """Nothing more will come; an answer may still be on its way."""
        self._has_eof = True
        return self._task is not None and not self._is_answered

    def pause_writing(self) -> None:
        """The client does not read."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """It does."""
        self._can_write.set()

    def abort(self) -> None:
        """Cut it."""
        self._transport.abort()

    # Reading.

    def _read(self) -> None:
        while self._task is None and self in self._doors.open:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                return
            if isinstance(event, h11.Request):
                if sum(len(name) + len(value) for name, value in event.headers) > MAX_HEAD_BYTES:
                    self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                    return
                if _is_upgrade(event):
                    self._leave()
                    self._upgrade(self._transport, b"".join(self._raw))
                    return
                self._head = event
                self._raw.clear()
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY_BYTES:
                    self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            elif isinstance(event, h11.EndOfMessage):
                self._start(self._answer(self._request()))
            else:  # the client has closed before a request
                self._transport.close()
                return

    def _leave(self) -> None:
        if self in self._doors.open:
            self._doors.open.discard(self)
            self._timer.cancel()

    def _request(self) -> Request:
        assert self._head is not None
        headers = Headers()
        for name, value in self._head.headers:
            headers[name.decode("ascii")] = value.decode("latin-1")
        method, target = self._head.method.decode("ascii"), self._head.target.decode("ascii")
        return Request(method, target, headers, peer_of(self._transport), bytes(self._body))

    # Answering.

    def _start(self, work: Any) -> None:
        self._timer.cancel()
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._check)

    def _check(self, task: asyncio.Task[None]) -> None:
        """Whoever cannot be answered holds no door."""
        if task.cancelled() or task.exception() is None:
            return
        if not isinstance(task.exception(), TimeoutError):
            log.error("an answer could not be sent", exc_info=task.exception())
        self.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        """What is no request that could be answered."""
        if self._task is None:
            self._start(self._write(refuse(status, "bad_request", f"{status.phrase}."), is_head=False))

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._doors.answer(request)
        except Exception:
            log.exception("%s %s could not be answered", request.method, request.path)
            text = "The server has a fault."
            response = refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", text, "server_error")
        await self._write(response, is_head=request.method == "HEAD")

    async def _write(self, answer: Response | Stream, *, is_head: bool) -> None:
        response = answer.head if isinstance(answer, Stream) else answer
        headers, reason = list(response.headers.raw_items()), response.reason_phrase.encode()
        self._send(h11.Response(status_code=response.status_code, headers=headers, reason=reason))
        if response.body and not is_head:
            self._send(h11.Data(data=bytes(response.body)))
        if isinstance(answer, Stream) and not is_head:
            await self._stream(answer.chunks)
        self._send(h11.EndOfMessage())
        await self._taken()
        self._is_answered = True
        if self._transport.can_write_eof() and not self._has_eof:
            self._transport.write_eof()  # closing while the client still sends would take its answer away
            await asyncio.sleep(LINGER_S)
        self._transport.close()

    async def _stream(self, chunks: AsyncIterator[bytes]) -> None:
        async with aclosing(cast(Any, chunks)):
            async for chunk in chunks:
                await self._taken()
                self._send(h11.Data(data=chunk))

    async def _taken(self) -> None:
        """Until the client has what was sent; raises TimeoutError where it hardly reads."""
        while not self._can_write.is_set():
            before = self._transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(UNREAD_S):
                    await self._can_write.wait()
            except TimeoutError:
                if before - self._transport.get_write_buffer_size() < UNREAD_BYTES:
                    raise

    def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            self._transport.write(data)


class Entrance(ServerConnection):
    """For `create_connection` of websockets: a Door before the upgrade, a WebSocket after it."""

    def __init__(self, doors: Doors, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._door: Door | None = Door(doors, self._open)

    def _open(self, transport: asyncio.Transport, data: bytes) -> None:
        self._door = None
        super().connection_made(transport)
        super().data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first call of all."""
        assert self._door is not None
        self._door.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """To whoever it is by now, as all that follow."""
        cast(asyncio.Protocol, self._door or super()).data_received(data)

    def eof_received(self) -> None:
        """The client sends nothing more; True keeps the connection open."""
        return cast(None, cast(asyncio.Protocol, self._door or super()).eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """The last call."""
        cast(asyncio.Protocol, self._door or super()).connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read."""
        cast(asyncio.Protocol, self._door or super()).pause_writing()

    def resume_writing(self) -> None:
        """It does."""
        cast(asyncio.Protocol, self._door or super()).resume_writing()


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address of the other end; empty where it is no network's."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""


def _is_upgrade(request: h11.Request) -> bool:
    upgrades = [value.lower() for name, value in request.headers if name == b"upgrade"]
    return request.method == b"GET" and b"websocket" in upgrades
