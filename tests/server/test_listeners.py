"""Listeners of a session: captions by WebSocket and by server-sent events, late, filtered, slow, and unwanted."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from seamless_stream.audio.pcm import to_bytes
from seamless_stream.server import listeners
from seamless_stream.server.listeners import MAX_CAPTIONS, MAX_UNSENT_BYTES, Listener, Transcript
from seamless_stream.server.messages import SegmentFinal, SegmentUpdated
from tests.engine.test_engine import PAUSE, TALK
from tests.fakes import FakeTranslator, speech
from tests.server.serving import Server, running
from tests.server.test_native import FAST, PATIENCE_S, close_code, native, of, send, until

FLUSH = {"type": "input_audio.flush", "marker": "m"}


def place(server: Server, session: dict[str, Any], token: str | None = None) -> str:
    return f"{server.url}/{session['id']}/captions?token={token or session['listen']['token']}"


async def events(server: Server, session: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    """What a browser's EventSource would hear, until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    path = f"{session['listen']['path']}?token={session['listen']['token']}{query}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE_S):
        answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200") and "text/event-stream" in head
    found = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    ids = [int(line[4:]) for line in body.splitlines() if line.startswith("id: ")]
    assert ids == [item["seq"] for item in found] == list(range(len(found)))
    return found


async def heard_by(server: Server, num_listeners: int) -> None:
    """Wait until its session has so many."""
    [served] = list(server.app._sessions)
    async with asyncio.timeout(PATIENCE_S):
        while len(served.audience) != num_listeners:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def test_early_and_late_listeners_read_the_same_captions() -> None:
    async def scenario() -> tuple[list[Any], ...]:
        async with running(keys=("right",)) as server:
            async with native(server, additional_headers={"Authorization": "Bearer right"}) as socket:
                session = (await until(socket, "session.created"))[0]["session"]
                async with connect(place(server, session)) as early:
                    await send(socket, FAST, to_bytes(TALK), FLUSH)
                    owner = await until(socket, "input_audio.flushed")
                    async with connect(place(server, session)) as late:
                        served = asyncio.create_task(events(server, session))
                        await heard_by(server, 3)
                        await send(socket, to_bytes(TALK), {"type": "session.close"})
                        owner += await until(socket, "session.closed")
                        found = [await until(each, "session.closed") for each in (early, late)]
                        assert await close_code(late) == 1000
                        return owner, *found, await served

    owner, early, late, served = asyncio.run(scenario())
    finals = [final["text"] for final in of(owner, "segment.final")]
    assert len(finals) == 6
    assert [final["text"] for final in of(early, "segment.final")] == finals
    assert early[0]["type"] == "transcript.snapshot" and early[0]["segments"] == []
    for found in (late, served):
        assert [final["text"] for final in found[0]["segments"]] == finals[:3] and found[0]["is_whole"]
        assert [final["text"] for final in of(found, "segment.final")] == finals[3:]
    kinds = {item["type"] for item in early}
    assert {"segment.started", "segment.final", "segment.ended"} <= kinds
    assert not kinds & {"audio.ack", "session.created", "segment.audio_done", "input_audio.flushed"}
    assert [item["seq"] for item in early] == list(range(len(early)))


def test_who_comes_late_to_a_long_session_reads_all_of_it() -> None:
    """The snapshot is more than may wait for a slow reader, who is not slow at all."""
    final = SegmentFinal("s0", "es", "target", 1, "x" * 600, "x" * 600, 0, 1_000, "silence", 0)
    size = MAX_CAPTIONS * 1_200
    assert size > MAX_UNSENT_BYTES

    async def scenario() -> tuple[list[Any], list[Any]]:
        async with running() as server, native(server) as socket:
            session = (await until(socket, "session.created"))[0]["session"]
            [served] = list(server.app._sessions)
            for _ in range(MAX_CAPTIONS):
                served.audience.tell(final)
            async with connect(place(server, session)) as late:
                reading = asyncio.create_task(events(server, session))
                await heard_by(server, 2)
                await send(socket, FAST, to_bytes(TALK), {"type": "session.close"})
                await until(socket, "session.closed")
                return await until(late, "session.closed"), await reading

    for found in asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S)):
        assert len(found[0]["segments"]) == MAX_CAPTIONS and len(of(found, "segment.final")) == 3


def test_a_segment_that_fails_is_cancelled_for_everybody_and_leaves_no_open_caption() -> None:
    poison = 0.90625  # no sample of the talk, and the same as a 16-bit one
    begin, rest = speech(0, 0, 0.11, *PAUSE, *[0.33, 0.44, 0.55] * 5), speech(*PAUSE, 0.77, 0.88)
    rest[0] = poison

    async def scenario() -> tuple[list[Any], ...]:
        async with running(model=FakeTranslator(poison)) as server, native(server) as socket:
            session = (await until(socket, "session.created"))[0]["session"]
            async with connect(place(server, session)) as listener:
                await send(socket, FAST, to_bytes(begin))
                owner: list[Any] = []
                while not any(update["segment_id"] == "s1" for update in of(owner, "segment.updated")):
                    owner += await until(socket, "segment.updated")
                await send(socket, to_bytes(rest), FLUSH)
                owner += await until(socket, "input_audio.flushed")
                async with connect(place(server, session)) as late:
                    await send(socket, {"type": "session.close"})
                    found = [await until(each, "session.closed") for each in (listener, late)]
                    return owner, *found

    owner, listener, late = asyncio.run(scenario())
    for found in (owner, listener):
        assert [final["segment_id"] for final in of(found, "segment.final")] == ["s0", "s2"]
        [cancelled] = of(found, "segment.cancelled")
        assert cancelled["segment_id"] == "s1" and "poisoned" in cancelled["message"]
        assert [ended["segment_id"] for ended in of(found, "segment.ended")] == ["s0", "s1", "s2"]
    snapshot = late[0]
    assert [final["segment_id"] for final in snapshot["segments"]] == ["s0", "s2"] and not snapshot["open"]


def test_who_listens_hears_that_the_server_lives_and_who_does_not_answer_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listeners, "QUIET_S", 0.2)
    monkeypatch.setattr(listeners, "CLOSE_S", 0.2)

    async def scenario() -> None:
        async with running() as server, native(server) as socket:
            session = (await until(socket, "session.created"))[0]["session"]
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            path = f"{session['listen']['path']}?token={session['listen']['token']}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            for _ in range(2):
                await reader.readuntil(b"\n:\n\n")  # a comment, which an EventSource does not show
            writer.transport.abort()
            async with connect(place(server, session)) as there, connect(place(server, session)) as gone:
                await heard_by(server, 2)
                gone.transport.pause_reading()
                await heard_by(server, 1)
                await send(there, {"type": "ping"})
                await until(there, "pong")
                gone.transport.abort()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_who_may_not_listen() -> None:
    async def status(address: str) -> tuple[int, str]:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(address):
                pass
        response = refused.value.response
        return response.status_code, json.loads(response.body or b"{}")["error"]["code"]

    async def scenario() -> list[Any]:
        async with running(max_listeners=1) as server, native(server) as socket:
            session = (await until(socket, "session.created"))[0]["session"]
            found = [
                await status(place(server, session, "lt_wrong")),
                await status(place(server, session | {"id": "sess_0"})),
                await status(place(server, session, session["resume"]["token"])),
            ]
            async with connect(place(server, session)) as listener:
                await until(listener, "transcript.snapshot")
                return [*found, await status(place(server, session))]

    unknown = (404, "unknown_session")
    assert asyncio.run(scenario()) == [unknown, unknown, unknown, (429, "too_many_listeners")]


@pytest.mark.parametrize("reason", ["client", "lost", "session_expired", "misframed_audio"])
def test_listeners_hear_that_the_session_is_over_however_it_ends(reason: str) -> None:
    settings: dict[str, Any] = {"resume_grace_s": 0.2}
    if reason == "session_expired":
        settings |= {"max_session_s": 1}

    async def scenario() -> tuple[list[Any], list[Any], int | None]:
        async with running(**settings) as server, native(server) as socket:
            session = (await until(socket, "session.created"))[0]["session"]
            async with connect(place(server, session)) as listener:
                reading = asyncio.create_task(events(server, session))
                await heard_by(server, 2)
                await send(socket, FAST, bytes(3_200))
                if reason == "client":
                    await socket.close(1001)  # as a tab that is closed
                elif reason == "lost":
                    socket.transport.abort()
                elif reason == "misframed_audio":
                    await send(socket, b"x")
                found = await until(listener, "session.closed")
                return found, await reading, await close_code(listener)

    found, read, code = asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
    assert code == 1000
    for last in (found[-1], read[-1]):
        assert (last["type"], last["reason"]) == ("session.closed", reason)
        assert last["usage"]["audio_in_ms"] == 100


def test_a_slow_listener_is_closed_and_one_that_goes_is_forgotten() -> None:
    async def scenario() -> int | None:
        async with running() as server, native(server) as socket:
            session = (await until(socket, "session.created"))[0]["session"]
            [served] = list(server.app._sessions)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            path = f"{session['listen']['path']}?token={session['listen']['token']}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            await reader.readuntil(b"data: ")
            assert len(served.audience) == 1
            writer.transport.abort()
            async with connect(place(server, session)) as slow:
                await until(slow, "transcript.snapshot")
                for _ in range(400):  # at once, so that nothing can be sent between
                    served.audience.tell(SegmentUpdated("s0", "es", "target", 1, "x" * 1_000, "x", ""))
                code = await close_code(slow)
            await send(socket, {"type": "ping"})
            await until(socket, "pong")
            await heard_by(server, 0)
            return code

    assert asyncio.run(scenario()) == 4410


def test_a_listener_is_answered_what_is_short_alone() -> None:
    async def scenario() -> list[Any]:
        async with running() as server, native(server) as socket:
            session = (await until(socket, "session.created"))[0]["session"]
            async with connect(place(server, session)) as listener:
                await send(listener, {"type": "ping", "id": "long", "more": [0] * 100_000})
                await send(listener, {"type": "ping", "id": "short"})
                return of(await until(listener, "pong"), "pong")

    assert [pong["id"] for pong in asyncio.run(scenario())] == ["short"]


def test_one_language_and_no_other() -> None:
    listener = Listener(Transcript(), "fr")
    for language in ("fr", "es"):
        listener.tell(SegmentUpdated("s0", language, "target", 1, "a", "a", ""))
    listener.outbox.close()

    async def scenario() -> list[Any]:
        found = []
        while (data := await listener.next()) is not None:
            found.append(json.loads(data).get("language"))
        return found

    assert asyncio.run(scenario()) == [None, "fr"]  # the snapshot comes first


def test_a_slow_listener_is_dropped_and_holds_no_memory() -> None:
    listener = Listener(Transcript())
    update = SegmentUpdated("s0", "es", "target", 1, "x" * 1_000, "x" * 1_000, "")
    for _ in range(1_000):
        listener.tell(update)
    assert listener.dropped.is_set()
    assert listener.outbox.unsent_bytes < MAX_UNSENT_BYTES + 4_000

    async def scenario() -> object:
        return await listener.next()

    assert asyncio.run(scenario()) is None
