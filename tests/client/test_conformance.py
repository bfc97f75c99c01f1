"""The checks of the protocol: our server keeps all promises, and a relay that breaks one is caught at that one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from seamless_stream.audio.files import write_wav
from seamless_stream.cli import main
from seamless_stream.client.conformance import CHECKS, Result, Target, examine
from seamless_stream.client.wire import read_frame
from seamless_stream.server.protocol import NATIVE
from tests.engine.test_engine import TALK
from tests.server.serving import on_a_thread, running

Spoil = Callable[[dict[str, Any] | bytes], dict[str, Any] | bytes | None]  # None: it is lost


@asynccontextmanager
async def relay(port: int, spoil: Spoil) -> AsyncIterator[int]:
    """A server that is ours but for one fault, and accepts whatever wants to connect."""

    async def handle(client: ServerConnection) -> None:
        assert client.request is not None
        offered = None if client.subprotocol is None else [client.subprotocol]
        async with connect(f"ws://127.0.0.1:{port}{client.request.path}", subprotocols=offered) as server:

            async def up() -> None:
                with suppress(ConnectionClosed):
                    async for data in client:
                        await server.send(data)
                server.transport.abort()

            upwards = asyncio.create_task(up())
            with suppress(ConnectionClosed):
                async for data in server:
                    spoilt = spoil(data if isinstance(data, bytes) else json.loads(data))
                    if spoilt is not None:
                        await client.send(spoilt if isinstance(spoilt, bytes) else json.dumps(spoilt))
            # First: left as it is, the connection to our server would be closed as by a client that is done.
            server.transport.abort()
            await client.close(server.close_code or 1011 if server.close_code != 1006 else 1011)
            upwards.cancel()

    def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return Subprotocol(NATIVE) if NATIVE in offered else None

    async with serve(handle, "127.0.0.1", 0, select_subprotocol=choose, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def ask(spoil: Spoil | None) -> dict[str, Result]:
    async def scenario() -> list[Result]:
        async with running(max_sessions=2) as server:
            if spoil is None:
                return await examine(Target(server.url, "es", TALK, patience_s=20), lambda result: None)
            async with relay(server.port, spoil) as port:
                return await examine(
                    Target(f"127.0.0.1:{port}", "es", TALK, patience_s=5), lambda result: None
                )

    return {result.name: result for result in asyncio.run(scenario())}


def test_our_server_keeps_its_promises() -> None:
    found = ask(None)
    assert {name: result.reason for name, result in found.items() if result.outcome != "pass"} == {}
    assert len(found) == len(CHECKS) > 15 and all(result.promise for result in found.values())


def change(kind: str, name: str, new: Callable[[Any], Any]) -> Spoil:
    """One field of one message."""

    def spoil(data: dict[str, Any] | bytes) -> dict[str, Any] | bytes:
        if isinstance(data, dict) and data["type"] == kind:
            data[name] = new(data[name])
        return data

    return spoil


def lose(kind: str) -> Spoil:
    """The first message of this type, in all connections together."""
    lost: list[object] = []

    def spoil(data: dict[str, Any] | bytes) -> dict[str, Any] | bytes | None:
        if not lost and isinstance(data, dict) and data["type"] == kind:
            lost.append(data)
            return None
        return data

    return spoil


def without_third_frame(data: dict[str, Any] | bytes) -> dict[str, Any] | bytes | None:
    """In every connection."""
    return None if isinstance(data, bytes) and read_frame(data).number == 2 else data


def without_flags(data: dict[str, Any] | bytes) -> dict[str, Any] | bytes:
    """As servers had it once."""
    return data[:2] + b"\0" + data[3:] if isinstance(data, bytes) else data


TOKEN = {"token": "rt_again", "grace_ms": 1_000}
RELAYED = {"refuses-before-the-upgrade", "tells-listeners"}  # what a relay cannot do, spoilt or not


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda data: data, set()),
        (lose("segment.started"), {"numbers-its-messages", "ends-what-it-starts"}),
        (
            without_third_frame,
            {"numbers-its-messages", "places-its-speech", "counts-what-it-used", "resumes"}
            | {"flags-its-frames"},
        ),
        (without_flags, {"flags-its-frames"}),
        (change("session.resumed", "session", lambda old: old | {"resume": TOKEN}), {"changes-its-tokens"}),
        (change("segment.final", "reason", lambda _: "hard_max"), {"says-why-a-segment-ends"}),
        (change("segment.final", "text", str.upper), {"takes-no-word-back", "writes-only-finals"}),
        (change("segment.final", "start_ms", str), {"keeps-to-its-types", "flushes"}),
        (change("session.closed", "usage", lambda usage: usage | {"segments": 99}), {"counts-what-it-used"}),
        (change("audio.ack", "message_seq", lambda number: number + 7), {"acknowledges"}),
        (change("segment.audio_done", "samples", lambda number: number - 1), {"places-its-speech"}),
        (
            change("segment.ended", "type", lambda _: "segment.over"),
            {"ends-what-it-starts", "cuts-as-asked", "says-why-a-segment-ends"},
        ),
        (change("error", "type", lambda _: "warning"), None),
    ],
)
def test_a_broken_promise_is_found(spoil: Spoil, expected: set[str] | None) -> None:
    found = ask(spoil)
    failed = {name for name, result in found.items() if result.outcome == "fail"}
    if expected is None:
        expected = {"refuses-and-names-the-field", "survives-nonsense", "closes-on-a-cut-sample"}
        expected |= {"guards-its-sessions", "keeps-what-is-fixed", "hears-told-silence"}
    assert failed - RELAYED == expected, {name: found[name].reason for name in failed}
    assert "refuses-before-the-upgrade" in failed


def test_the_command_examines_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "talk.wav"
    write_wav(path, TALK)
    with on_a_thread(running(max_sessions=2)) as server:
        status = main(["conformance", server.url, "--source", str(path)])
    found = capsys.readouterr()
    assert status == 0, found.out
    assert f"{len(CHECKS)} pass, 0 fail, 0 skipped" in found.out
    assert all(f" {name}: pass" in found.err for name in CHECKS)


def test_nobody_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "ws://127.0.0.1:1"]) == 10
    assert "cannot be reached" in capsys.readouterr().err


def test_the_table_shows_the_servers_words_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result("name", "a promise", "fail", "it said [/b] and [red]")
    monkeypatch.setattr("seamless_stream.cli.conformance.run_checks", lambda target, told: [result])
    assert main(["conformance", "ws://127.0.0.1:1"]) == 1
    assert "it said [/b] and [red]" in " ".join(capsys.readouterr().out.split())
