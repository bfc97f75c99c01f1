"""The listening side of the daemon: answers plain HTTP, refuses before the upgrade, starts connections, drains.

Knows addresses, signals and TLS; what a connection does is in `connection.py`. The two are the only ones that
import asyncio.
"""

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from seamless_stream.errors import SettingsError
from seamless_stream.server.access import Access
from seamless_stream.server.connection import Connection, Service
from seamless_stream.server.messages import ErrorType
from seamless_stream.server.protocol import NATIVE, TRY_LATER, schema
from seamless_stream.settings import ServerSettings

TRANSLATIONS: Final = "/v1/realtime/translations"
RETRY_S: Final = 5
# What can be answered to a client that offers subprotocols: browsers give up when none is.
ANSWERS: Final = (NATIVE, "realtime", "bearer")


class App:
    """All connections of one server."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._connections: set[Connection] = set()
        self._is_draining = False

    # Before the upgrade.

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        """The HTTP answer to a request; None: it becomes a WebSocket."""
        url = urlsplit(request.path)
        if url.path == "/healthz":
            return _json(socket, *_health(self._service.worker.is_alive))
        if url.path == "/readyz":
            return _json(socket, *_health(self._is_ready))
        if url.path == "/v1/schema.json":
            return _json(socket, HTTPStatus.OK, schema())
        if url.path != TRANSLATIONS:
            return _refusal(socket, HTTPStatus.NOT_FOUND, "not_found", f"There is no {url.path}.")
        return self._refuse(socket, request, url.query)

    def _refuse(self, socket: ServerConnection, request: Request, query: str) -> Response | None:
        if not self._access.is_origin_allowed(_header(request, "Origin")):
            text = "Pages of this origin may not connect."
            return _refusal(socket, HTTPStatus.FORBIDDEN, "origin_not_allowed", text)
        owner = self._owner(request)
        if owner is None:
            text = "A valid API key must be given: `Authorization: Bearer KEY`."
            return _refusal(socket, HTTPStatus.UNAUTHORIZED, "invalid_api_key", text, "authentication_error")
        [model] = parse_qs(query).get("model", ["auto"])[-1:]
        if model not in ("auto", self._service.model):
            text = f"`model` must be auto or {self._service.model}."
            return _refusal(socket, HTTPStatus.NOT_FOUND, "model_not_found", text)
        if not self._is_ready:
            text = "The server is stopping."
            return _refusal(socket, HTTPStatus.SERVICE_UNAVAILABLE, "draining", text, "server_error")
        if not self._access.has_room(owner):
            text = "There are as many sessions as are allowed."
            return _refusal(
                socket, HTTPStatus.TOO_MANY_REQUESTS, "too_many_sessions", text, "rate_limit_error"
            )
        return None

    @property
    def _is_ready(self) -> bool:
        return self._service.worker.is_alive and not self._is_draining

    def _owner(self, request: Request) -> int | None:
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
        items = [item.strip() for item in offered]
        return self._access.owner(_header(request, "Authorization"), items)

    # After it.

    async def handle(self, socket: ServerConnection) -> None:
        """One connection from its first to its last message."""
        assert socket.request is not None
        owner = self._owner(socket.request)
        if owner is None or not self._access.has_room(owner):  # another one was quicker
            await socket.close(TRY_LATER)
            return
        connection = Connection(socket, self._service, "native" if socket.subprotocol == NATIVE else "openai")
        self._access.enter(owner)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._access.leave(owner)

    async def drain(self) -> None:
        """Take no more sessions and let the present ones finish, as long as the settings allow."""
        self._is_draining = True
        for connection in self._connections:
            connection.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._service.settings.drain_s):
                while self._connections:  # noqa: ASYNC110 - the set is small and this happens once
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def listening(service: Service, access: Access) -> AsyncIterator[tuple[App, int]]:
    """A server that answers, and its port."""
    app, settings = App(service, access), service.settings
    async with serve_websockets(
        app.handle,
        settings.host,
        settings.port,
        process_request=app.answer,
        select_subprotocol=_select,
        ssl=_tls(settings),
        compression=None,  # audio does not shrink, and captions are short
        ping_interval=None,  # connections ping on their own, and forgive late answers
        close_timeout=5,
        max_size=settings.max_message_bytes,
        server_header=None,
    ) as server:
        yield app, next(iter(server.sockets)).getsockname()[1]


def serve(service: Service, access: Access, started: Callable[[int], None]) -> None:
    """Until SIGTERM or Ctrl-C, which drain; a second one ends the process at once."""
    asyncio.run(_serve(service, access, started))


async def _serve(service: Service, access: Access, started: Callable[[int], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    async with listening(service, access) as (app, port):
        for number in signals:
            with suppress(NotImplementedError):  # Windows: Ctrl-C ends at once there
                loop.add_signal_handler(number, stop.set)
        started(port)
        await stop.wait()
        for number in signals:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
        await app.drain()


def _select(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((Subprotocol(answer) for answer in ANSWERS if answer in offered), None)


def _tls(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"`server.tls_certificate` and `server.tls_key` cannot be used: {error}."
        ) from error
    return context


def _header(request: Request, name: str) -> str | None:
    values = request.headers.get_all(name)
    return values[0] if values else None


def _health(is_fine: bool) -> tuple[HTTPStatus, dict[str, Any]]:
    status = HTTPStatus.OK if is_fine else HTTPStatus.SERVICE_UNAVAILABLE
    return status, {"status": "ok" if is_fine else "unavailable"}


def _refusal(
    socket: ServerConnection,
    status: HTTPStatus,
    code: str,
    text: str,
    kind: ErrorType = "invalid_request_error",
) -> Response:
    response = _json(socket, status, {"error": {"type": kind, "code": code, "message": text}})
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response.headers["Retry-After"] = str(RETRY_S)
    return response


def _json(socket: ServerConnection, status: HTTPStatus, body: dict[str, Any]) -> Response:
    response = socket.respond(status, json.dumps(body))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
