"""Plain HTTP beside the WebSockets: methods, limits on size and time, broken requests, and both over TLS."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from seamless_stream.server import http
from seamless_stream.server.http import Door, Doors, Request, Stream, respond
from seamless_stream.server.protocol import NATIVE
from tests.server.serving import Server, running

PATIENCE_S = 20


async def ask(port: int, request: bytes, *, eof: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to these bytes; the server must end the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    if eof:
        writer.write_eof()
    async with asyncio.timeout(PATIENCE_S):
        data = await reader.read()
    writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body


def get(path: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode("latin-1")


def code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


def no_upgrade(transport: asyncio.Transport, data: bytes) -> None:
    raise AssertionError(data)


def test_paths_and_methods_have_their_answers() -> None:
    async def scenario() -> list[tuple[int, str]]:
        found = []
        async with running() as server:
            for request in (
                get("/nothing"),
                get("/v1/realtime/translations"),
                get("/v1/realtime/translations/client_secrets"),
                get("/healthz", "POST", "Content-Length: 0\r\n"),
                get("/healthz", "BREW"),
            ):
                status, headers, body = await ask(server.port, request)
                assert headers["connection"] == "close" and headers["content-type"] == "application/json"
                found.append((status, code(body)))
            status, headers, body = await ask(server.port, get("/healthz", "HEAD"))
            assert (status, headers["content-length"], body) == (200, "16", b"")
            status, _, body = await ask(server.port, get("/readyz"), eof=True)
            assert (status, json.loads(body)) == (200, {"status": "ok"})
        return found

    assert asyncio.run(scenario()) == [
        (404, "not_found"),
        (426, "no_websocket"),
        (405, "wrong_method"),
        (405, "wrong_method"),
        (405, "wrong_method"),
    ]


def test_what_is_no_request_is_refused() -> None:
    long = "X-Long: " + "a" * 20_000 + "\r\n"
    body = b"x" * (http.MAX_BODY_BYTES + 1)
    length = f"Content-Length: {len(body)}\r\n"

    async def scenario() -> list[int]:
        async with running() as server:
            requests = (
                b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",  # a TLS client
                b"GET / HTTP/1.1\r\n\r\n",  # no Host
                get("/", more=long),
                get("/healthz", "POST", length) + body,
                get("/healthz", "POST", "Transfer-Encoding: chunked\r\n") + b"zz\r\n",
            )
            return [(await ask(server.port, request))[0] for request in requests]

    assert asyncio.run(scenario()) == [400, 400, 431, 413, 400]


def test_addresses_that_are_none_have_an_answer() -> None:
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"

    async def scenario() -> list[tuple[int, str]]:
        found = []
        async with running() as server, connect(server.url, subprotocols=[NATIVE]) as owner:  # type: ignore[list-item]
            listen = json.loads(await owner.recv())["session"]["listen"]["path"]
            requests = (
                get("//["),
                get("//[", more=upgrade),
                get("/v1/realtime/translations", more="Origin: http://[\r\n"),
                get("/v1/realtime/translations", more=f"{upgrade}Origin: http://[\r\n"),
                get(listen, more=f"{upgrade}Authorization: Bearer \xff\r\n"),
            )
            for request in requests:
                status, _, body = await ask(server.port, request)
                found.append((status, code(body)))
            assert (await ask(server.port, get(f"http://127.0.0.1:{server.port}/healthz")))[0] == 200
        return found

    wrong = (403, "origin_not_allowed")
    unknown = (404, "unknown_session")
    assert asyncio.run(scenario()) == [(404, "not_found"), (404, "not_found"), wrong, wrong, unknown]


def test_a_request_in_pieces_is_one_and_a_slow_one_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> tuple[bytes, bytes]:
        async with running() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for byte in get("/healthz"):
                writer.write(bytes([byte]))
                await writer.drain()
            whole = await reader.read()
            writer.close()
            monkeypatch.setattr(http, "REQUEST_S", 0.2)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HT")
            slow = await reader.read()
            writer.close()
            return whole, slow

    whole, slow = asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert whole.startswith(b"HTTP/1.1 200") and slow.startswith(b"HTTP/1.1 408")


def test_a_websocket_whose_handshake_comes_in_pieces_opens() -> None:
    async def scenario() -> bytes:
        async with running() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            lines = ("Upgrade: WebSocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
            more = "\r\n".join([*lines, "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", ""])
            request = get("/v1/realtime/translations", more=more)
            for start in range(0, len(request), 40):
                writer.write(request[start : start + 40])
                await asyncio.sleep(0.005)
            head = await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
            return head

    assert asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S)).startswith(b"HTTP/1.1 101")


def test_a_stream_is_sent_as_it_is_made_and_ends_with_its_client() -> None:
    ended = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for number in range(10_000):
                yield f"data: {number}\n\n".encode()
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async def answer(request: Request) -> Stream:
        return Stream(_without_length(respond(HTTPStatus.OK, b"", "text/event-stream")), chunks())

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        doors = Doors(answer)
        server = await loop.create_server(lambda: Door(doors, no_upgrade), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(get("/"))
            assert b"data: 3" in await reader.readuntil(b"data: 3")
            writer.transport.abort()
            await ended.wait()
        assert not doors.open

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def _without_length(response: http.Response) -> http.Response:
    del response.headers["Content-Length"]
    return response


def test_whoever_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would hold a door for as long as it likes: one that is told without end, and one with a long answer."""
    monkeypatch.setattr(http, "UNREAD_S", 0.3)
    ended = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(100_000)
        finally:
            ended.set()

    async def answer(request: Request) -> http.Response | Stream:
        if request.path == "/stream":
            return Stream(_without_length(respond(HTTPStatus.OK, b"", "text/event-stream")), chunks())
        return respond(HTTPStatus.OK, bytes(40_000_000), "text/plain")

    async def scenario() -> None:
        doors = Doors(answer)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Door(doors, no_upgrade), "127.0.0.1", 0)
        async with server:
            for path in ("/stream", "/long"):
                with socket.create_connection(server.sockets[0].getsockname()) as silent:
                    silent.sendall(get(path))
                    await asyncio.sleep(0.1)
                    assert doors.open
                    while doors.open:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
        await ended.wait()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_a_fault_of_ours_is_500_and_says_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: Request) -> Stream:
        raise RuntimeError("secret")

    async def scenario() -> tuple[int, dict[str, str], bytes]:
        doors = Doors(answer)
        server = await asyncio.get_running_loop().create_server(
            lambda: Door(doors, no_upgrade), "127.0.0.1", 0
        )
        async with server:
            return await ask(server.sockets[0].getsockname()[1], get("/here?token=of-theirs"))

    status, _, body = asyncio.run(scenario())
    assert status == 500 and b"secret" not in body
    assert "GET /here could not" in caplog.text and "of-theirs" not in caplog.text


def test_more_connections_than_allowed_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_DOORS", 2)

    async def scenario() -> None:
        async with running() as server:
            idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            with pytest.raises((ConnectionError, IndexError)):
                await ask(server.port, get("/healthz"))
            for _, writer in idle:
                writer.close()
            found = 0
            while found != 200:
                with suppress(ConnectionError, IndexError):
                    found, _, _ = await ask(server.port, get("/healthz"))

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_our_own_page_may_connect_and_other_sites_may_not() -> None:
    async def status(server: Server, origin: str, host: str) -> int:
        lines = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        key = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
        head = "\r\n".join(["GET /v1/realtime/translations HTTP/1.1", f"Host: {host}", *lines, key])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"{head}\r\nOrigin: {origin}\r\n\r\n".encode())
        first = await reader.readline()
        writer.transport.abort()
        return int(first.split()[1])

    async def scenario() -> list[int]:
        async with running() as server:
            own = f"127.0.0.1:{server.port}"
            return [
                await status(server, f"http://{own}", own),
                await status(server, f"http://localhost:{server.port}", f"localhost:{server.port}"),
                await status(server, "http://127.0.0.1:1", own),
                await status(server, "null", own),
                # A name that its owner points to this machine: the browser takes both for one site.
                await status(server, "http://evil.example", "evil.example"),
            ]

    assert asyncio.run(scenario()) == [101, 101, 403, 403, 403]


def test_pages_that_may_connect_can_read_what_is_answered_and_others_cannot() -> None:
    """A browser gives a page of another origin only what names that origin, and asks before it sends a key."""
    good, evil = "https://good.example", "https://evil.example"

    async def scenario() -> None:
        async with running(allowed_origins=(good,), keys=("right",)) as server:
            more = {"Authorization": "Bearer right"}
            async with connect(server.url, subprotocols=[NATIVE], additional_headers=more) as owner:  # type: ignore[list-item]
                listen = json.loads(await owner.recv())["session"]["listen"]
                captions = asyncio.create_task(
                    ask(
                        server.port,
                        get(f"{listen['path']}?token={listen['token']}", more=f"Origin: {good}\r\n"),
                    )
                )
                [served] = list(server.app._sessions)
                while not len(served.audience):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                await owner.close()
                status, headers, body = await captions
                assert (status, headers["access-control-allow-origin"]) == (200, good)
                assert b"session.closed" in body and headers["vary"] == "Origin"
            for origin, answers in ((good, [401, 426, 204]), (evil, [403, 403, 403])):
                requests = [
                    get("/v1/realtime/translations", more=f"Origin: {origin}\r\n"),
                    get(
                        "/v1/realtime/translations",
                        more=f"Origin: {origin}\r\nAuthorization: Bearer right\r\n",
                    ),
                    get("/v1/realtime/translations", "OPTIONS", f"Origin: {origin}\r\n"),
                ]
                found = [await ask(server.port, request) for request in requests]
                assert [status for status, *_ in found] == answers
                allowed = [headers.get("access-control-allow-origin") for _, headers, _ in found]
                assert allowed == [good if origin == good else None] * 3
                asked = found[2][1].get("access-control-allow-headers", "")
                assert ("Authorization" in asked) == (origin == good)
            _, headers, _ = await ask(server.port, get("/metrics", more=f"Origin: {good}\r\n"))
            assert "access-control-allow-origin" not in headers

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_both_speak_tls(tmp_path: Path) -> None:
    from tests.server.certificates import make

    certificate, key = make(tmp_path, "127.0.0.1")

    async def scenario() -> tuple[bytes, str]:
        async with running(tls_certificate=str(certificate), tls_key=str(key)) as server:
            client = ssl.create_default_context(cafile=str(certificate))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client)
            writer.write(get("/healthz"))
            answer = await reader.read()
            writer.close()
            async with connect(server.url.replace("ws:", "wss:"), ssl=client) as socket:
                return answer, str(await socket.recv())

    answer, created = asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert answer.endswith(b'{"status": "ok"}') and "session.created" in created
