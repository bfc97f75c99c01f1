"""The listening side of the daemon: answers plain HTTP, refuses before the upgrade, starts connections, drains.

Knows paths, who may do what, and all connections; what a connection does is in `connection.py`, what an HTTP request
looks like in `http.py`, signals and systemd are in `process.py`.
"""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.datastructures import Headers
from websockets.http11 import Request as Upgrade
from websockets.http11 import Response
from websockets.typing import Subprotocol

from seamless_stream.engine.worker import Look
from seamless_stream.server import asyncapi, static
from seamless_stream.server.access import Access, Grant, Scope, token_of
from seamless_stream.server.changes import SecretRequest
from seamless_stream.server.configuration import apply, initial
from seamless_stream.server.connection import Connection
from seamless_stream.server.connection import refuse as refuse_socket
from seamless_stream.server.http import (
    Doors,
    Entrance,
    Request,
    Stream,
    peer_of,
    refuse,
    respond,
    respond_json,
)
from seamless_stream.server.listeners import Audience, run_listener, stream_events
from seamless_stream.server.messages import Dialect
from seamless_stream.server.metrics import CONTENT_TYPE
from seamless_stream.server.protocol import NATIVE, RETRY_S, TRY_LATER, ProtocolError, build, schema
from seamless_stream.server.seat import unknown_session
from seamless_stream.server.service import Service
from seamless_stream.server.sessions import Sessions
from seamless_stream.server.tokens import LIFETIME_S, MAX_LIFETIME_S, MIN_LIFETIME_S
from seamless_stream.settings import Readers

TRANSLATIONS: Final = "/v1/realtime/translations"
SECRETS: Final = f"{TRANSLATIONS}/client_secrets"
RETRY: Final = {"Retry-After": str(RETRY_S)}
LOOK_S: Final = 0.5  # to wait for the worker; then what it last said is shown
EVENT_STREAM: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "Connection": "close",
}
# What a page of another origin may do: its browser asks before it sends a key
# (https://fetch.spec.whatwg.org/#http-cors-protocol).
ALLOWED: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
    "Connection": "close",
}
LOOP_S: Final = 0.1  # between two looks at how late the event loop is
# What can be answered to a client that offers subprotocols: browsers give up when none is.
ANSWERS: Final = (NATIVE, "realtime", "bearer")


class App:
    """All connections of one server."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._metrics = service.metrics
        self._sessions = Sessions(service, access)
        self._is_draining = False
        self._look = Look([], 0.0)

    # Plain HTTP.

    async def answer(self, request: Request) -> Response | Stream:
        """To a request that is no WebSocket's; pages that may connect can read what is said about that."""
        found = await self._answer(request)
        if request.path.startswith(TRANSLATIONS):
            headers = (found.head if isinstance(found, Stream) else found).headers
            headers["Vary"] = "Origin"
            origin = request.header("Origin")
            if origin is not None and self._access.is_origin_allowed(origin, request.header("Host")):
                headers["Access-Control-Allow-Origin"] = origin
        return found

    async def _answer(self, request: Request) -> Response | Stream:
        if request.method not in ("GET", "HEAD"):
            return self._change(request)
        if request.path == "/healthz":
            return _health(self._service.worker.is_alive)
        if request.path == "/readyz":
            return _health(self._is_ready)
        if request.path == "/v1/schema.json":
            return respond_json(HTTPStatus.OK, schema())
        if request.path == "/v1/asyncapi.json":
            return respond_json(HTTPStatus.OK, asyncapi.document())
        if request.path == "/metrics":
            return await self._measure(request)
        if _session_of(request.path) is not None:
            audience = self._audience(request)
            if not isinstance(audience, Audience):
                return audience
            head = Response(HTTPStatus.OK, HTTPStatus.OK.phrase, Headers(EVENT_STREAM))
            return Stream(head, stream_events(audience, request.argument("language")))
        if request.path == TRANSLATIONS:
            status, text = HTTPStatus.UPGRADE_REQUIRED, "This is a WebSocket."
            # A browser does not tell its page why a handshake was refused: it asks again in this way.
            return self._check(request) or refuse(status, "no_websocket", text, more={"Upgrade": "websocket"})
        if request.path == SECRETS:
            return self._wrong_method("POST")
        page = static.answer(request.path, request.headers)
        if page is not None:
            return page
        return self._refuse(HTTPStatus.NOT_FOUND, "not_found", f"There is no {request.path[:100]}.")

    def _change(self, request: Request) -> Response:
        """To anything that is not GET."""
        if request.method == "OPTIONS" and request.path.startswith(TRANSLATIONS):
            status = HTTPStatus.NO_CONTENT
            return self._wrong_origin(request) or Response(status, status.phrase, Headers(ALLOWED))
        if request.path != SECRETS:
            return self._wrong_method("GET")
        if request.method != "POST":
            return self._wrong_method("POST")
        grant = self._grant(request, "secrets")
        if isinstance(grant, Response):
            return grant
        try:
            return self._create_secret(grant, request.body)
        except ProtocolError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, error.code, str(error), param=error.param)

    def _create_secret(self, grant: Grant, body: bytes) -> Response:
        """As `client.realtime.translations.client_secrets.create` of the openai package wants it."""
        service, wanted = self._service, _secret_request(body)
        if (wanted.session.model or "auto") not in ("auto", service.model):
            return self._unknown_model()
        lifetime_s = LIFETIME_S
        if wanted.expires_after is not None and wanted.expires_after.seconds is not None:
            lifetime_s = wanted.expires_after.seconds
        if not MIN_LIFETIME_S <= lifetime_s <= MAX_LIFETIME_S:
            text = f"`expires_after.seconds` must be {MIN_LIFETIME_S} to {MAX_LIFETIME_S}."
            raise ProtocolError("invalid_value", text, param="expires_after.seconds")
        blank = initial("openai", service.session, service.capabilities)
        config = apply(blank, wanted.session, service.session, service.capabilities, is_open=False)
        made = self._access.secrets.create(grant.owner, wanted.session, lifetime_s, time.time())
        if made is None:
            text = "There are too many client secrets that are still valid."
            return self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "too_many_secrets", text)
        value, expires_at = made
        session = {
            "id": f"sess_{value.split('_')[1]}",
            "object": "realtime.translation_session",
            "type": "translation",
            "model": service.model,
            "expires_at": expires_at + service.settings.max_session_s,
            "audio": config.describe(service.session, service.capabilities)["audio"],
        }
        answer = {"value": value, "expires_at": expires_at, "session": session}
        return respond_json(HTTPStatus.OK, answer, {"Cache-Control": "no-store"})

    async def _measure(self, request: Request) -> Response:
        if not self._may_read(self._service.settings.metrics_readers, request):
            text = "The metrics are for others: see `server.metrics_readers`."
            return self._refuse(HTTPStatus.FORBIDDEN, "metrics_not_allowed", text)
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(LOOK_S):
                self._look = await asyncio.wrap_future(self._service.worker.look())
        waiting = [(session.waiting_ms, session.outbox.unsent_bytes) for session in self._sessions]
        body = self._metrics.write(self._look, self._access.num_sessions, waiting)
        return respond(HTTPStatus.OK, body, CONTENT_TYPE)

    def _may_read(self, rule: Readers, request: Request) -> bool:
        is_forwarded = any(request.header(name) for name in ("X-Forwarded-For", "Forwarded"))
        grant = self._access.grant(request.header("Authorization"), (), time.time())
        return self._access.may_read(rule, request.peer, is_forwarded, grant)

    # Before the upgrade.

    def admit(self, socket: ServerConnection, upgrade: Upgrade) -> Response | None:
        """The refusal of a WebSocket; None: it begins."""
        request = Request("GET", upgrade.path, upgrade.headers, peer_of(socket.transport))
        if _session_of(request.path) is not None:
            audience = self._audience(request)
            return None if isinstance(audience, Audience) else audience
        if request.path != TRANSLATIONS:
            text = f"There is no WebSocket at {request.path[:100]}."
            return self._refuse(HTTPStatus.NOT_FOUND, "not_found", text)
        return self._check(request)

    def _check(self, request: Request) -> Response | None:
        """Why there can be no session now."""
        if not self._service.worker.is_alive:
            return self._stopping()
        if request.argument("resume") is not None:
            return self._wrong_origin(request)  # the session has a token of its own
        grant = self._grant(request, "translate")
        if isinstance(grant, Response):
            return grant
        if (request.argument("model") or "auto") not in ("auto", self._service.model):
            return self._unknown_model()
        if self._is_draining:
            return self._stopping()
        if not self._sessions.has_room(grant.owner):
            text = "There are as many sessions as are allowed."
            return self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "too_many_sessions", text)
        return None

    def _audience(self, request: Request) -> Audience | Response:
        """Of the session whose captions are asked for, or why they are not told."""
        refusal = self._wrong_origin(request)
        if refusal is not None:
            return refusal
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
        token = token_of(request.header("Authorization"), [item.strip() for item in offered])
        token = request.argument("token") or token
        session = self._sessions.heard_with(_session_of(request.path) or "", token)
        if session is None:
            text = "There is no such session, or the token is another one's."
            return self._refuse(HTTPStatus.NOT_FOUND, "unknown_session", text)
        if not session.audience.has_room:
            text = "There are as many listeners as are allowed."
            return self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "too_many_listeners", text)
        return session.audience

    def _grant(self, request: Request, scope: Scope) -> Grant | Response:
        """Whose the request is, or why it may not do this."""
        refusal = self._wrong_origin(request)
        if refusal is not None:
            return refusal
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
        items = [item.strip() for item in offered]
        grant = self._access.grant(request.header("Authorization"), items, time.time())
        if grant is None:
            text = "A valid API key must be given: `Authorization: Bearer KEY`."
            return self._refuse(HTTPStatus.UNAUTHORIZED, "invalid_api_key", text)
        if scope not in grant.scopes:
            has = ", ".join(sorted(grant.scopes))
            text = f"This key or client secret must have the scope `{scope}`, but has {has}."
            return self._refuse(HTTPStatus.FORBIDDEN, "insufficient_scope", text)
        return grant

    def _wrong_origin(self, request: Request) -> Response | None:
        if self._access.is_origin_allowed(request.header("Origin"), request.header("Host")):
            return None
        text = "Pages of this origin may not connect."
        return self._refuse(HTTPStatus.FORBIDDEN, "origin_not_allowed", text)

    def _stopping(self) -> Response:
        text = "The server is stopping."
        return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "draining", text)

    @property
    def _is_ready(self) -> bool:
        return self._service.worker.is_alive and not self._is_draining

    def _unknown_model(self) -> Response:
        text = f"`model` must be auto or {self._service.model}."
        return self._refuse(HTTPStatus.NOT_FOUND, "model_not_found", text, param="model")

    def _wrong_method(self, right: str) -> Response:
        text = f"The method must be {right}."
        response = self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "wrong_method", text)
        response.headers["Allow"] = right
        return response

    def _refuse(self, status: HTTPStatus, code: str, text: str, param: str | None = None) -> Response:
        self._metrics.refused(code)
        if status is HTTPStatus.UNAUTHORIZED:
            return refuse(status, code, text, "authentication_error", param, {"WWW-Authenticate": "Bearer"})
        if status is HTTPStatus.TOO_MANY_REQUESTS:
            return refuse(status, code, text, "rate_limit_error", param, RETRY)
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            return refuse(status, code, text, "server_error", param, RETRY)
        return refuse(status, code, text, param=param)

    # After it.

    async def handle(self, socket: ServerConnection) -> None:
        """One connection from its first to its last message."""
        assert socket.request is not None
        request = Request("GET", socket.request.path, socket.request.headers)
        resumed = request.argument("resume")
        try:
            if _session_of(request.path) is not None:
                await self._listen(socket, request)
            elif resumed is None:
                await self._begin(socket, request)
            elif (session := self._sessions.find(resumed)) is None:
                await refuse_socket(socket, unknown_session())
            else:
                await Connection(socket, session).resume()
        finally:
            self._metrics.closed(socket.close_code or 0)

    async def _listen(self, socket: ServerConnection, request: Request) -> None:
        audience = self._audience(request)
        if isinstance(audience, Audience):
            await run_listener(socket, audience, request.argument("language"))
        else:
            await socket.close(TRY_LATER)

    async def _begin(self, socket: ServerConnection, request: Request) -> None:
        grant = self._grant(request, "translate")
        if isinstance(grant, Response) or not self._sessions.has_room(grant.owner):
            await socket.close(TRY_LATER)  # another one was quicker
            return
        self._sessions.make_room(grant.owner)
        dialect: Dialect = "native" if socket.subprotocol == NATIVE else "openai"
        session = self._sessions.open(grant.owner, dialect, grant.change)
        await Connection(socket, session).run()

    async def drain(self) -> None:
        """Take no more sessions and let the present ones finish, as long as the settings allow."""
        self._is_draining = True
        await self._sessions.drain()

    def close(self) -> None:
        """Forget the sessions that wait for a client to come back."""
        self._sessions.close()

    async def watch_loop(self) -> None:
        """For ever: how late the event loop wakes is how late everybody is answered."""
        loop = asyncio.get_running_loop()
        while True:
            asked_s = loop.time()
            await asyncio.sleep(LOOP_S)
            self._metrics.looped(max(0.0, loop.time() - asked_s - LOOP_S))


@asynccontextmanager
async def listening(
    service: Service,
    access: Access,
    tls: ssl.SSLContext | None = None,
    sock: socket.socket | None = None,
) -> AsyncIterator[tuple[App, int]]:
    """A server that answers, and its port; with `sock` at that socket, else where the settings say."""
    app, settings = App(service, access), service.settings
    doors = Doors(app.answer)
    place: dict[str, Any] = {"host": settings.host, "port": settings.port} if sock is None else {"sock": sock}
    watching = asyncio.create_task(app.watch_loop())
    try:
        async with serve_websockets(
            app.handle,
            **place,
            process_request=app.admit,
            select_subprotocol=_select,
            ssl=tls,
            compression=None,  # audio does not shrink, and captions are short
            ping_interval=None,  # connections ping on their own, and forgive late answers
            close_timeout=5,
            max_size=settings.max_message_bytes,
            server_header=None,
            create_connection=partial(Entrance, doors),  # type: ignore[arg-type]
        ) as server:
            try:
                name = next(iter(server.sockets)).getsockname()
                yield app, name[1] if isinstance(name, tuple) else 0
            finally:
                doors.close()
    finally:
        watching.cancel()
        app.close()


def _session_of(path: str) -> str | None:
    """The id in the path of a session's captions."""
    if path.startswith(f"{TRANSLATIONS}/") and path.endswith("/captions"):
        return path[len(TRANSLATIONS) + 1 : -len("/captions")]
    return None


def _select(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((Subprotocol(answer) for answer in ANSWERS if answer in offered), None)


def _health(is_fine: bool) -> Response:
    status = HTTPStatus.OK if is_fine else HTTPStatus.SERVICE_UNAVAILABLE
    return respond_json(status, {"status": "ok" if is_fine else "unavailable"})


def _secret_request(body: bytes) -> SecretRequest:
    """Raises ProtocolError."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError("invalid_json", "The body must be JSON, but is not.") from None
    wanted: SecretRequest = build(SecretRequest, tree, "")
    return wanted
