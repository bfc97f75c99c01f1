"""Our own dialect over real sockets: audio up, captions and speech down, flow control, refusals, close codes."""

import asyncio
import json
import threading
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from seamless_stream.audio.pcm import from_bytes, to_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.engine.engine import Engine
from seamless_stream.events import Final, Speech
from seamless_stream.server import connection
from seamless_stream.server.protocol import HEADER, HEADER_BYTES, NATIVE
from seamless_stream.settings import EngineSettings
from tests.engine.test_engine import TALK, listen
from tests.fakes import FakeTranslator
from tests.server.serving import Server, running

PATIENCE_S = 20
FAST = {
    "type": "session.update",
    "session": {"audio": {"input": {"pacing": "fast"}, "output": {"language": "es"}}},
}


def native(server: Server, **options: Any) -> connect:
    return connect(server.url, subprotocols=[NATIVE], compression=None, **options)  # type: ignore[list-item]


async def send(socket: ClientConnection, *messages: dict[str, Any] | bytes) -> None:
    for message in messages:
        await socket.send(message if isinstance(message, bytes) else json.dumps(message))


async def until(socket: ClientConnection, kind: str) -> list[Any]:
    """Everything up to the first message of this type: objects and frames."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        while True:
            data = await socket.recv()
            found.append(data if isinstance(data, bytes) else json.loads(data))
            if isinstance(data, str) and found[-1]["type"] == kind:
                return found


async def close_code(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await socket.recv()
    return socket.close_code


def of(found: list[Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in found if isinstance(item, dict) and item["type"] == kind]


def change(**audio: Any) -> dict[str, Any]:
    return {"type": "session.update", "event_id": "c1", "session": {"audio": audio}}


async def talk(socket: ClientConnection, *configure: dict[str, Any], size: int = 1_000) -> list[Any]:
    await send(socket, *configure)
    pcm = to_bytes(TALK)
    for start in range(0, len(pcm), size):
        await socket.send(pcm[start : start + size])
    await send(socket, {"type": "session.close"})
    return await until(socket, "session.closed")


def test_a_whole_session_gives_what_the_engine_gives() -> None:
    async def scenario() -> tuple[list[Any], int | None]:
        async with running() as server, native(server) as socket:
            assert socket.subprotocol == NATIVE
            found = await talk(socket, FAST)
            return found, await close_code(socket)

    found, code = asyncio.run(scenario())
    expected = listen(Engine(FakeTranslator()), [from_bytes(to_bytes(TALK))])
    assert code == 1000
    finals = of(found, "segment.final")
    assert [f["text"] for f in finals] == [e.text for e in expected if isinstance(e, Final)]
    assert [f["start_ms"] for f in finals] == [
        round(e.start_s * 1000) for e in expected if isinstance(e, Final)
    ]
    assert {f["language"] for f in finals} == {"es"}  # as the client wrote it
    for final in finals:  # nothing is taken back
        updates = [u for u in of(found, "segment.updated") if u["segment_id"] == final["segment_id"]]
        assert "".join(u["append"] for u in updates) + final["append"] == final["text"]
    objects = [item for item in found if isinstance(item, dict)]
    assert [item["seq"] for item in objects] == list(range(len(objects)))
    frames = [item for item in found if isinstance(item, bytes)]
    headers = [HEADER.unpack(frame[:HEADER_BYTES]) for frame in frames]
    assert [header[3] for header in headers] == list(range(len(frames)))
    lengths = [header[6] // 2 for header in headers]
    assert [header[4] for header in headers] == [sum(lengths[:i]) for i in range(len(lengths))]
    pcm = b"".join(frame[HEADER_BYTES:] for frame in frames)
    wanted = np.concatenate([e.samples for e in expected if isinstance(e, Speech)])
    assert pcm == to_bytes(wanted)
    closed = found[-1]
    assert closed["usage"]["segments"] == len(finals) == 3
    assert closed["usage"]["audio_in_ms"] == len(TALK) // 16


@pytest.mark.parametrize(("encoding", "rate"), [("s16le", 48_000), ("f32le", 44_100), ("s16le", 8_000)])
def test_other_rates_and_encodings_find_the_same_segments(encoding: str, rate: int) -> None:
    resampler = Resampler(16_000, rate)
    samples = np.concatenate([resampler.push(TALK), resampler.flush()])
    data = samples.astype("<f4").tobytes() if encoding == "f32le" else to_bytes(samples)

    async def scenario() -> list[Any]:
        form = {"type": "audio/pcm", "encoding": encoding, "rate": rate, "channels": 1}
        async with running() as server, native(server) as socket:
            await send(socket, FAST, change(input={"format": form}, output={"format": {"rate": 24_000}}))
            await send(socket, *[data[i : i + 4_000] for i in range(0, len(data), 4_000)])
            await send(socket, {"type": "session.close"})
            return await until(socket, "session.closed")

    found = asyncio.run(scenario())
    starts = [f["start_ms"] for f in of(found, "segment.final")]
    expected = [e.start_s * 1000 for e in listen(Engine(FakeTranslator()), [TALK]) if isinstance(e, Final)]
    assert starts == pytest.approx(expected, abs=40)
    num_bytes = sum(len(item) - HEADER_BYTES for item in found if isinstance(item, bytes))
    assert found[-1]["usage"]["audio_out_ms"] == pytest.approx(num_bytes / 2 / 24, abs=1)


def test_flush_finishes_what_was_said_and_the_clock_goes_on() -> None:
    async def scenario() -> tuple[list[Any], list[Any]]:
        async with running() as server, native(server) as socket:
            await send(socket, FAST, to_bytes(TALK), {"type": "input_audio.flush", "marker": "m"})
            first = await until(socket, "input_audio.flushed")
            await send(socket, to_bytes(TALK), {"type": "session.close"})
            return first, await until(socket, "session.closed")

    first, second = asyncio.run(scenario())
    one, two = of(first, "segment.final"), of(second, "segment.final")
    assert first[-1]["marker"] == "m" and first[-1]["processed_ms"] == len(TALK) // 16
    assert [f["text"] for f in one] == [f["text"] for f in two] and len(one) == 3
    assert [f["segment_id"] for f in one + two] == [f"s{n}" for n in range(6)]
    assert [b["start_ms"] - a["start_ms"] for a, b in zip(one, two, strict=True)] == [len(TALK) // 16] * 3


def test_a_refused_change_changes_nothing_and_names_the_field() -> None:
    async def scenario() -> list[dict[str, Any]]:
        answers = []
        async with running() as server, native(server) as socket:
            await until(socket, "session.created")
            for audio in (
                {"input": {"format": {"rate": 96_000}}},
                {"input": {"format": {"encoding": "flac"}}},
                {"output": {"language": "klingon"}},
                {"output": {"language": "fr", "mode": "speech"}},  # French is mute here
                {"output": {"language": "es", "voice": 7}},
            ):
                await send(socket, change(**audio))
                answers += await until(socket, "error")
            await send(socket, to_bytes(TALK))
            answers += await until(socket, "error")
            await send(socket, change(output={"language": "fr"}))
            answers += await until(socket, "session.updated")
            await send(socket, to_bytes(TALK), change(input={"format": {"rate": 8_000}}))
            return answers + (await until(socket, "error"))

    answers = asyncio.run(scenario())
    errors = [a["error"] for a in answers if a["type"] == "error"]
    assert [(e["code"], e["param"]) for e in errors] == [
        ("invalid_value", "session.audio.input.format.rate"),
        ("invalid_value", "session.audio.input.format.encoding"),
        ("invalid_language", "session.audio.output.language"),
        ("invalid_language", "session.audio.output.language"),
        ("invalid_value", "session.audio.output.voice"),
        ("language_required", "session.audio.output.language"),
        ("immutable_field", "session.audio.input.format.rate"),
    ]
    assert [e["event_id"] for e in errors] == ["c1"] * 5 + [None, "c1"]
    assert all(e["recoverable"] for e in errors)
    updated = of(answers, "session.updated")[0]["session"]["audio"]
    assert updated["output"]["mode"] == "text" and updated["input"]["format"]["rate"] == 16_000


def test_the_language_changes_at_the_next_segment() -> None:
    async def scenario() -> list[Any]:
        async with running() as server, native(server) as socket:
            await send(socket, FAST, to_bytes(TALK), change(output={"language": "english"}))
            return await talk(socket)

    found = asyncio.run(scenario())
    # There is no pause between the two talks: their last and first sentence are one segment.
    assert [f["language"] for f in of(found, "segment.final")] == ["es"] * 3 + ["english"] * 2
    assert of(found, "segment.target_changed")[0]["language"] == "english"
    # What was still to be heard when the change came is spoken in the language that it began with.
    assert [done["language"] for done in of(found, "segment.audio_done")] == ["es"] * 3 + ["english"] * 2


def test_a_language_holds_for_what_comes_behind_it_though_a_flush_is_pending() -> None:
    async def scenario() -> list[Any]:
        async with running() as server, native(server) as socket:
            flush = {"type": "input_audio.flush", "marker": "m"}
            pcm, english = to_bytes(TALK), change(output={"language": "english"})
            await send(socket, FAST, pcm, flush, pcm, flush, english, pcm, {"type": "session.close"})
            return await until(socket, "session.closed")

    found = asyncio.run(scenario())
    assert [f["language"] for f in of(found, "segment.final")] == ["es"] * 6 + ["english"] * 3
    assert not of(found, "segment.target_changed")  # it began with the engine's third session


class StuckTranslator(FakeTranslator):
    """Works on its first segment until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.is_working = threading.Event()

    def listen(self, *arguments: Any) -> Any:
        self.is_working.set()
        assert self.gate.wait(PATIENCE_S)
        return super().listen(*arguments)


def test_a_long_step_of_the_model_stops_nothing_else() -> None:
    model = StuckTranslator()

    async def scenario() -> tuple[list[Any], list[Any]]:
        async with running(model=model, max_ahead_ms=2_000) as server, native(server) as socket:
            try:
                await send(socket, change(output={"language": "es"}))
                for _ in range(3):
                    await send(socket, to_bytes(TALK))
                while not model.is_working.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await send(socket, {"type": "ping", "id": "still there?"})
                found = await until(socket, "pong")
                found += await until(socket, "audio.ack")
                while "audio_dropped" not in [warning["code"] for warning in of(found, "warning")]:
                    found += await until(socket, "warning")
                async with asyncio.timeout(PATIENCE_S / 2):  # the gate waits longer
                    await (await socket.ping())
                async with native(server) as other:  # and others can come
                    await send(other, FAST, to_bytes(TALK), {"type": "ping"})
                    await until(other, "pong")
                    model.gate.set()
                    await send(other, {"type": "session.close"})
                    return found, await until(other, "session.closed")
            finally:
                model.gate.set()

    found, other = asyncio.run(scenario())
    ack = of(found, "audio.ack")[-1]
    [warning] = [item for item in of(found, "warning") if item["code"] == "audio_dropped"]
    assert ack["received_ms"] == 3 * len(TALK) // 16 and ack["credit_ms"] == 0
    assert warning["detail"]["end_ms"] - warning["detail"]["start_ms"] == ack["dropped_ms"] > 0
    assert len(of(other, "segment.final")) == 3


@pytest.mark.parametrize(
    ("message", "code", "recoverable"),
    [
        (b"odd", "misframed_audio", False),
        ("{", "invalid_json", True),
        ("[]", "invalid_json", True),
        ('{"type":"nothing"}', "unknown_type", True),
        ('{"type":"session.update"}', "missing_field", True),
        ('{"type":"session.update","session":{"audio":{"output":{"language":5}}}}', "invalid_type", True),
        (
            '{"type":"session.update","session":{"audio":{"output":{"language":"\\ud800"}}}}',
            "invalid_value",
            True,
        ),
        ('{"type":"session.input_audio_buffer.append","audio":"*"}', "invalid_base64", True),
        ('{"a":' * 50_000, "invalid_json", True),
    ],
)
def test_wrong_messages_get_their_error(message: str | bytes, code: str, recoverable: bool) -> None:
    async def scenario() -> tuple[dict[str, Any], int | None]:
        async with running() as server, native(server) as socket:
            await send(socket, FAST)
            await socket.send(message)
            [*_, error] = await until(socket, "error")
            await send(socket, {"type": "ping"}) if recoverable else None
            return error["error"], None if recoverable and await until(socket, "pong") else await close_code(
                socket
            )

    error, closed = asyncio.run(scenario())
    assert error["code"] == code and error["recoverable"] == recoverable
    assert closed == (None if recoverable else 4400)


def test_limits_close_with_their_codes() -> None:
    async def ended_by(*messages: dict[str, Any] | bytes, **settings: Any) -> int | None:
        async with running(**settings) as server, native(server) as socket:
            await send(socket, *messages)
            return await close_code(socket)

    async def scenario() -> list[int | None]:
        return [
            await ended_by(bytes(4_000), max_message_bytes=2_000),
            await ended_by(*[{"type": "ping"}] * 30, max_messages_per_s=10),
            await ended_by(idle_timeout_s=0.3),
            await ended_by(max_session_s=1),
        ]

    assert asyncio.run(scenario()) == [1009, 4429, 4408, 4413]


def test_a_client_that_says_nothing_but_answers_pings_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_S", 0.1)

    async def scenario() -> None:
        async with running(idle_timeout_s=1.0) as server, native(server) as socket:
            await until(socket, "session.created")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.5):
                    await until(socket, "error")
            await send(socket, {"type": "ping"})
            await until(socket, "pong")

    asyncio.run(scenario())


def test_a_reader_that_does_not_read_is_closed() -> None:
    async def scenario() -> int | None:
        async with running(max_unsent_bytes=65_536, max_messages_per_s=100_000) as server:
            async with native(server, max_queue=1) as socket:
                for _ in range(400):  # answers of 250 characters and more, nobody reads them
                    await send(socket, *[{"type": "ping", "id": "x" * 250}] * 50)
                return await close_code(socket)

    async def cut() -> int | None:
        try:
            return await scenario()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None

    assert asyncio.run(cut()) == 4410


def test_refusals_before_the_upgrade() -> None:
    async def status(server: Server, query: str = "", **options: Any) -> tuple[int, dict[str, Any]]:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(server.url + query, **options):
                pass
        response = refused.value.response
        return response.status_code, json.loads(response.body or b"{}")["error"]["code"]

    async def scenario() -> list[Any]:
        good = {"Authorization": "Bearer right"}
        async with running(
            keys=("right", "other"), max_sessions=1, allowed_origins=("https://a.org",)
        ) as server:
            found = [
                await status(server),
                await status(server, additional_headers={"Authorization": "Bearer wrong"}),
                await status(server, additional_headers=good, origin="https://b.org"),
                await status(server, "?model=gpt", additional_headers=good),
            ]
            token = "openai-insecure-api-key.right"
            async with connect(
                server.url, subprotocols=["realtime", token], origin="https://a.org"
            ) as socket:  # type: ignore
                assert socket.subprotocol == "realtime"
                found.append(await status(server, additional_headers=good))
            return found

    assert asyncio.run(scenario()) == [
        (401, "invalid_api_key"),
        (401, "invalid_api_key"),
        (403, "origin_not_allowed"),
        (404, "model_not_found"),
        (429, "too_many_sessions"),
    ]


def test_drain_finishes_what_was_said() -> None:
    async def scenario() -> tuple[list[Any], int | None]:
        async with running(resume_url="wss://elsewhere.org") as server, native(server) as socket:
            await send(socket, FAST, to_bytes(TALK), {"type": "ping"})
            found = await until(socket, "pong")
            draining = asyncio.create_task(server.app.drain())
            found += await until(socket, "session.closed")
            code = await close_code(socket)
            await draining
            with pytest.raises(InvalidStatus, match="503"):
                async with native(server):
                    pass
            return found, code

    found, code = asyncio.run(scenario())
    assert len(of(found, "segment.final")) == 3
    [away] = of(found, "session.go_away")
    assert (away["reason"], away["resume_url"]) == ("drain", "wss://elsewhere.org")
    assert of(found, "segment.final")[-1]["reason"] == of(found, "segment.ended")[-1]["reason"] == "drain"
    assert found[-1]["reason"] == "drain" and code == 1012


def test_what_is_on_its_way_when_the_server_drains_is_not_counted_as_taken() -> None:
    """The client keeps it for its next session."""
    model = StuckTranslator()

    async def scenario() -> tuple[list[Any], Any]:
        async with running(model=model) as server, native(server) as socket:
            try:
                await send(socket, FAST, to_bytes(TALK), {"type": "ping"})
                await until(socket, "pong")
                draining = asyncio.create_task(server.app.drain())
                await until(socket, "session.go_away")
                await send(socket, *[bytes(3_200)] * 3, {"type": "ping"})
                found = await until(socket, "pong")
                [*_, ack] = await until(socket, "audio.ack")
            finally:
                model.gate.set()
            await until(socket, "session.closed")
            await draining
            return found, ack

    found, ack = asyncio.run(scenario())
    assert [error["error"]["code"] for error in of(found, "error")] == ["session_closing"] * 3
    assert (ack["message_seq"], ack["audio_seq"], ack["received_ms"]) == (3, 1, len(TALK) // 16)


def test_an_engine_without_room_closes_with_try_later() -> None:
    async def scenario() -> tuple[list[Any], int | None]:
        async with running(engine=EngineSettings(max_sessions=1)) as server:
            async with native(server) as first, native(server) as second:
                await send(first, FAST, to_bytes(TALK))
                await until(first, "segment.started")
                await send(second, FAST, to_bytes(TALK))
                return await until(second, "error"), await close_code(second)

    found, code = asyncio.run(scenario())
    assert found[-1]["error"]["code"] == "server_full" and code == 1013
    assert found[-1]["error"]["retry_after_ms"] == 5_000
