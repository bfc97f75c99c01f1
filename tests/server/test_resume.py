"""Sessions that outlive their connections: nothing lost and nothing twice on a bad network, honest gaps, take-over."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from seamless_stream.audio.pcm import to_bytes
from seamless_stream.server.messages import Gap, Pong
from seamless_stream.server.outbox import Outbox
from seamless_stream.server.protocol import HEADER, HEADER_BYTES, NATIVE, REPLAYED, ProtocolError
from tests.engine.test_engine import TALK
from tests.server.proxy import Plan, bad_network
from tests.server.serving import Server, running
from tests.server.test_native import FAST, PATIENCE_S, change, close_code, native, of, send, until

PCM = to_bytes(TALK)
SCRIPT: list[str | bytes] = [
    json.dumps(FAST),
    *[PCM[i : i + 640] for i in range(0, len(PCM), 640)],
    json.dumps({"type": "input_audio.flush", "marker": "m"}),
    *[PCM[i : i + 1_280] for i in range(0, len(PCM), 1_280)],
    json.dumps({"type": "session.close"}),
]


class Client:
    """Says the script and hears everything once, over as many connections as it takes; as docs/protocol.md tells."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.texts: list[dict[str, Any]] = []  # by seq
        self.frames: list[bytes] = []
        self.resumed: list[dict[str, Any]] = []
        self.session: dict[str, Any] | None = None

    async def run(self) -> None:
        while not self.texts or self.texts[-1]["type"] != "session.closed":
            with suppress(ConnectionClosed, OSError, InvalidHandshake, EOFError, TimeoutError):
                await self._connect()

    async def _connect(self) -> None:
        query = "" if self.session is None else f"?resume={self.session['id']}"
        url = self.url + query
        async with connect(url, subprotocols=[NATIVE], compression=None, close_timeout=0.2) as socket:  # type: ignore[list-item]
            first = 0
            if self.session is not None:
                hello = {"type": "session.resume", "token": self.session["resume"]["token"]}
                numbers = {"last_seq": len(self.texts) - 1, "last_frame": len(self.frames) - 1}
                await socket.send(json.dumps(hello | numbers))
                answer = json.loads(await socket.recv())
                assert answer["type"] == "session.resumed" and answer["gap"] is None and "seq" not in answer
                self.resumed.append(answer)
                self.session |= answer["session"]  # with the next token
                first = answer["message_seq"]
            sending = asyncio.create_task(self._speak(socket, first))
            try:
                await self._hear(socket)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _speak(self, socket: ClientConnection, first: int) -> None:
        for message in SCRIPT[first:]:
            await socket.send(message)

    async def _hear(self, socket: ClientConnection) -> None:
        async for data in socket:
            if isinstance(data, bytes):
                assert HEADER.unpack(data[:HEADER_BYTES])[3] == len(self.frames)  # none twice, none missing
                self.frames.append(data)
                continue
            message = json.loads(data)
            assert message["seq"] == len(self.texts)
            self.texts.append(message)
            if message["type"] == "session.created":
                self.session = message["session"]

    @property
    def result(self) -> tuple[list[Any], bytes, dict[str, int]]:
        """Captions, speech and usage: what must not depend on the network."""
        finals = [
            (f["segment_id"], f["text"], f["start_ms"], f["end_ms"]) for f in of(self.texts, "segment.final")
        ]
        speech = b"".join(frame[HEADER_BYTES:] for frame in self.frames)
        return finals, speech, self.texts[-1]["usage"]


def test_two_hundred_cuts_lose_nothing_and_double_nothing() -> None:
    """8 sessions of 25 cuts, at random bytes of either direction."""

    async def session(server: Server, cuts: int, seed: int) -> tuple[Any, int, int, int]:
        plan = Plan(random.Random(seed), cuts, 12_000, 4_000)  # twice what a greeting has
        async with bad_network(server.port, plan) as (proxy, port):
            client = Client(server.url.replace(str(server.port), str(port)))
            async with asyncio.timeout(3 * PATIENCE_S):
                await client.run()
            num_replayed = sum(frame[2] & REPLAYED > 0 for frame in client.frames)
            return client.result, proxy.num_cuts, len(client.resumed), num_replayed

    async def scenario() -> tuple[list[Any], Any]:
        async with running(resume_grace_s=20) as server:
            uncut, *_ = await session(server, 0, 0)
            return await asyncio.gather(*[session(server, 25, seed) for seed in range(8)]), uncut

    found, uncut = asyncio.run(scenario())
    finals, speech, usage = uncut
    assert len(finals) == 6 and len(speech) > 10_000 and usage["dropped_ms"] == 0
    for result, *_ in found:
        assert result == uncut
    assert sum(cuts for _, cuts, _, _ in found) == 200
    assert sum(replayed for *_, replayed in found) > 0
    assert sum(resumed for _, _, resumed, _ in found) >= 100  # others cut a handshake, or what had not begun


def test_another_connection_takes_over() -> None:
    async def scenario() -> tuple[int | None, list[Any], list[Any]]:
        async with running() as server, native(server) as first:
            await send(first, FAST, PCM)
            [created, *_] = await until(first, "session.updated")
            session = created["session"]
            hello = {"type": "session.resume", "token": session["resume"]["token"]}
            async with connect(f"{server.url}?resume={session['id']}", subprotocols=[NATIVE]) as second:  # type: ignore[list-item]
                await send(second, hello | {"last_seq": -1, "last_frame": -1})
                [resumed] = await until(second, "session.resumed")
                code = await close_code(first)
                await send(second, {"type": "session.close"})
                return code, resumed, await until(second, "session.closed")

    code, resumed, found = asyncio.run(scenario())
    assert code == 4409
    assert (resumed["message_seq"], resumed["audio_seq"], resumed["epoch"]) == (2, 1, 2)
    assert resumed["received_samples"] == len(TALK)
    assert [item["seq"] for item in found if isinstance(item, dict)][:2] == [0, 1]
    assert len(of(found, "segment.final")) == 3


def test_who_may_not_resume() -> None:
    async def attempt(server: Server, session_id: str, **hello: Any) -> tuple[str, int | None]:
        async with connect(f"{server.url}?resume={session_id}", subprotocols=[NATIVE]) as socket:  # type: ignore[list-item]
            with suppress(ConnectionClosed):
                await send(socket, {"type": "session.resume", "last_seq": -1, "last_frame": -1} | hello)
            [*_, error] = await until(socket, "error")
            return error["error"]["code"], await close_code(socket)

    async def scenario() -> list[Any]:
        async with running(resume_grace_s=0.2) as server:
            async with native(server) as socket:
                [created] = await until(socket, "session.created")
                session = created["session"]
                token = session["resume"]["token"]
                found = [
                    await attempt(server, "sess_0", token=token),
                    await attempt(server, session["id"], token="rt_wrong"),
                    await attempt(server, session["id"], token=token, last_seq=99),
                ]
                socket.transport.abort()
            await asyncio.sleep(0.6)
            found.append(await attempt(server, session["id"], token=token))
            async with native(server) as socket:  # it leaves properly
                session = (await until(socket, "session.created"))[0]["session"]
            found.append(await attempt(server, session["id"], token=session["resume"]["token"]))
            return found

    unknown = ("unknown_session", 4404)
    assert asyncio.run(scenario()) == [unknown, unknown, ("invalid_value", 4400), unknown, unknown]


def test_a_broken_session_gives_way_to_its_owners_next_and_to_nobody_elses() -> None:
    async def scenario() -> list[Any]:
        async with running(keys=("mine", "theirs"), max_sessions=1) as server:
            mine, theirs = (
                {"additional_headers": {"Authorization": f"Bearer {key}"}} for key in ("mine", "theirs")
            )
            async with native(server, **mine) as socket:
                old = (await until(socket, "session.created"))[0]["session"]
                with pytest.raises(InvalidStatus, match="429"):  # it is not broken yet
                    await native(server, **mine)
                socket.transport.abort()
            [served] = list(server.app._sessions)
            while served.seat.is_taken:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            with pytest.raises(InvalidStatus, match="429"):
                await native(server, **theirs)
            async with native(server, **mine) as socket:
                new = (await until(socket, "session.created"))[0]["session"]
                async with connect(f"{server.url}?resume={old['id']}", subprotocols=[NATIVE]) as late:  # type: ignore[list-item]
                    [error] = await until(late, "error")
                return [error["error"]["code"], old["id"] != new["id"], server.app._access.num_sessions]

    assert asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S)) == ["unknown_session", True, 1]


def test_a_token_is_good_until_the_client_shows_that_it_has_the_next() -> None:
    async def scenario() -> tuple[list[Any], list[Any]]:
        async with running() as server, native(server) as first:
            session = (await until(first, "session.created"))[0]["session"]
            address = f"{server.url}?resume={session['id']}"

            @asynccontextmanager
            async def resumed(token: str) -> AsyncIterator[tuple[ClientConnection, Any]]:
                async with connect(address, subprotocols=[NATIVE]) as socket:  # type: ignore[list-item]
                    hello = {"type": "session.resume", "token": token}
                    await send(socket, hello | {"last_seq": 0, "last_frame": -1})
                    yield socket, json.loads(await socket.recv())
                    socket.transport.abort()  # a close would end the session

            tokens, codes = [session["resume"]["token"]], []
            for _ in range(3):  # the answer is lost each time
                async with resumed(tokens[0]) as (_, answer):
                    tokens.append(answer["session"]["resume"]["token"])
            for token in (tokens[2], tokens[3]):  # only the newest, and the one that got it
                async with resumed(token) as (socket, answer):
                    codes.append(answer.get("error", answer).get("code"))
                    if answer["type"] == "session.resumed":
                        tokens.append(answer["session"]["resume"]["token"])
                        await send(socket, {"type": "ping"})
                        await until(socket, "pong")
            for token in (tokens[0], tokens[3], tokens[4]):
                async with resumed(token) as (_, answer):
                    codes.append(answer.get("error", answer).get("code"))
            return tokens, codes

    tokens, codes = asyncio.run(scenario())
    assert len(set(tokens)) == 5
    unknown = "unknown_session"
    assert codes == [unknown, None, unknown, unknown, None]


def test_what_is_no_longer_kept_is_a_gap_and_the_text_comes_as_a_whole() -> None:
    async def scenario() -> tuple[Any, Any, list[Any]]:
        async with running(replay_bytes=600) as server:
            async with native(server) as socket:
                await send(socket, FAST, PCM, {"type": "input_audio.flush", "marker": "m"})
                found = await until(socket, "input_audio.flushed")
                session = found[0]["session"]
                socket.transport.abort()
            async with connect(f"{server.url}?resume={session['id']}", subprotocols=[NATIVE]) as socket:  # type: ignore[list-item]
                hello = {"type": "session.resume", "token": session["resume"]["token"]}
                await send(socket, hello | {"last_seq": 0, "last_frame": -1})
                [resumed, snapshot] = await until(socket, "transcript.snapshot")
                await send(socket, {"type": "session.close"})
                return resumed, snapshot, found + await until(socket, "session.closed")

    resumed, snapshot, found = asyncio.run(scenario())
    gap = resumed["gap"]
    before = [item for item in found if isinstance(item, dict)]
    assert gap["from_seq"] == 1 and gap["from_frame"] == 0 and gap["to_seq"] > 1
    again = before.index(of(before, "input_audio.flushed")[0]) + 1
    assert before[again]["seq"] == gap["to_seq"] + 1  # the replay begins behind the gap
    assert [s["text"] for s in snapshot["segments"]] == [
        f["text"] for f in of(before[:again], "segment.final")
    ]
    assert snapshot["is_whole"] and not snapshot["open"]


@pytest.mark.parametrize("before", [bytes(3_200), None], ids=["behind audio", "before all audio"])
def test_what_a_live_client_sends_again_is_not_dropped(before: bytes | None) -> None:
    """Four seconds of silence that could not be sent come at once, where one second is all that is held."""

    async def scenario() -> list[Any]:
        async with running(max_ahead_ms=1_000) as server:
            async with native(server) as socket:
                await send(socket, change(output={"language": "es"}), *([] if before is None else [before]))
                session = (await until(socket, "session.updated"))[0]["session"]
                socket.transport.abort()
            async with connect(f"{server.url}?resume={session['id']}", subprotocols=[NATIVE]) as socket:  # type: ignore[list-item]
                hello = {"type": "session.resume", "token": session["resume"]["token"]}
                await send(socket, hello | {"last_seq": 1, "last_frame": -1})
                await until(socket, "session.resumed")
                await send(socket, *[bytes(3_200)] * 40)
                return await until(socket, "audio.ack")

    found = asyncio.run(scenario())
    assert not of(found, "warning") and found[-1]["dropped_ms"] == 0


@pytest.mark.parametrize("seed", range(20))
def test_an_outbox_goes_back_to_any_point(seed: int) -> None:
    chance = random.Random(seed)
    outbox, put = Outbox("native", 1 << 20, 1 << 20), []

    async def scenario() -> None:
        reader, taken = outbox.begin(), 0
        for _ in range(60):
            for _ in range(chance.randrange(4)):
                put.append(chance.random() < 0.5)
                assert outbox.put(b"frame" if put[-1] else Pong(str(len(put))))
            for _ in range(chance.randrange(len(put) - taken + 1)):
                data = await outbox.next(reader)
                assert isinstance(data, bytes) == put[taken]
                taken += 1
            if chance.random() < 0.2:
                place = chance.randrange(taken + 1)
                num_frames = sum(put[:place])
                assert outbox.rewind(place - num_frames - 1, num_frames - 1) is None
                old, reader, taken = reader, outbox.begin(), place
                assert await outbox.next(old) is None

    asyncio.run(scenario())


def test_an_outbox_keeps_the_newest_and_names_the_rest() -> None:
    outbox = Outbox("native", 1 << 20, 250)
    for _ in range(3):
        outbox.put(bytes(100))
    outbox.put(Pong("x"))

    async def take() -> None:
        reader = outbox.begin()
        for _ in range(4):
            await outbox.next(reader)

    asyncio.run(take())
    assert outbox.rewind(-1, 0) == Gap(0, -1, 1, 1)  # of the frames 1 and 2 the last is kept
    with pytest.raises(ProtocolError, match="last_frame"):
        outbox.rewind(-1, 3)
