"""What a session is warned of: by the clock alone, and over real sockets."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.engine.engine import VADS
from seamless_stream.models.vad import SileroVad
from seamless_stream.server import pulse
from seamless_stream.server.alarms import Alarms
from seamless_stream.server.arrivals import Arrivals
from seamless_stream.settings import SessionSettings, SpeechSettings
from tests.engine.test_engine import TALK
from tests.server.serving import running
from tests.server.test_native import FAST, PATIENCE_S, StuckTranslator, change, native, of, send, until

LIVE = change(output={"language": "es"})


def told(alarms: Alarms) -> list[tuple[str, dict[str, int]]]:
    return [(warning.code, warning.detail) for warning in alarms.news()]


def test_a_warning_comes_once_and_again_when_it_was_over_for_long() -> None:
    alarms = Alarms()
    for now_s in range(10):
        alarms.see("audio_too_fast", True, now_s, ahead_ms=now_s)
    assert told(alarms) == [("audio_too_fast", {"ahead_ms": 0})]
    alarms.see("audio_too_fast", False, 10)
    alarms.see("audio_too_fast", True, 20, ahead_ms=20)  # it comes and goes: that is known
    assert told(alarms) == []
    for now_s in (21, 51, 60):
        alarms.see("audio_too_fast", now_s == 60, now_s, ahead_ms=now_s)
    assert told(alarms) == [("audio_too_fast", {"ahead_ms": 60})]


def test_to_fall_behind_must_last_and_its_end_is_told() -> None:
    alarms = Alarms()
    levels = [1, 0, 1, 1, 2, 2, 0, 1, 0, 0, 0, 0]
    for now_s, level in enumerate(levels):
        alarms.see("falling_behind", level > 0, now_s, level=level)
    assert told(alarms) == [("falling_behind", {"level": 2}), ("falling_behind", {"level": 0})]


def test_arrivals_tell_haste_and_silence() -> None:
    arrivals = Arrivals(0.0)
    for number in range(100):  # 20 ms each 20 ms
        arrivals.came(20, 20 * (number + 1), 0.02 * (number + 1))
    assert arrivals.ahead_ms(2.0) == pytest.approx(20) and arrivals.stalled_ms(2.0) == 0
    assert arrivals.stalled_ms(5.0) == pytest.approx(3_000)
    arrivals.was_silent(3_000, 5_000, 5.0)  # told when it is over
    arrivals.came(20, 5_020, 8.0)
    assert arrivals.stalled_ms(8.0) == 0 and arrivals.ahead_ms(8.0) == pytest.approx(20)
    arrivals.was_silent(10_000, 15_020, 8.0)  # told when it begins
    assert arrivals.stalled_ms(17.0) == 0 and arrivals.stalled_ms(20.0) == pytest.approx(2_000)
    arrivals.paused()
    assert arrivals.stalled_ms(60.0) == 0
    arrivals.came(6_000, 21_020, 60.0)
    assert arrivals.ahead_ms(61.0) == pytest.approx(5_000)
    arrivals.forgive(61.0)
    assert arrivals.ahead_ms(61.0) == 0


def test_arrivals_tell_how_old_a_place_is() -> None:
    arrivals = Arrivals(0.0)
    for number in range(3_000):  # a minute, in real time
        arrivals.came(20, 20 * (number + 1), 0.02 * (number + 1))
    assert arrivals.age_ms(59_000, 61.0) == pytest.approx(2_000, abs=100)
    assert arrivals.age_ms(10_010, 61.0) == pytest.approx(51_000, abs=100)
    assert arrivals.age_ms(60_000, 60.0) == pytest.approx(0, abs=1)


def warnings(found: list[Any]) -> list[tuple[str, dict[str, int]]]:
    return [(warning["code"], warning["detail"]) for warning in of(found, "warning")]


def test_a_file_that_is_sent_as_if_it_were_live_is_too_fast() -> None:
    async def scenario(first: dict[str, Any]) -> list[Any]:
        async with running(max_ahead_ms=60_000) as server, native(server) as socket:
            await send(socket, first, *[to_bytes(TALK)] * 10)
            found = await until(socket, "audio.ack")
            return found + await until(socket, "audio.ack")

    found, calm = asyncio.run(scenario(LIVE)), asyncio.run(scenario(FAST))
    assert [code for code, _ in warnings(found)] == ["audio_too_fast"]
    assert warnings(found)[0][1]["ahead_ms"] > 30_000 and warnings(calm) == []


def test_audio_that_stops_is_told_unless_the_client_has_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "STALLED_MS", 1_000)

    async def scenario(*last: dict[str, Any]) -> list[Any]:
        async with running() as server, native(server) as socket:
            await send(socket, LIVE, bytes(3_200), *last)
            found = [] if last else await until(socket, "warning")
            await asyncio.sleep(1.5)
            await send(socket, {"type": "ping"})
            found += await until(socket, "pong")
            await send(socket, bytes(3_200), {"type": "session.close"})
            return found + await until(socket, "session.closed")

    async def scenarios() -> list[list[Any]]:
        silence = {"type": "session.input_audio_buffer.silence", "duration_ms": 5_000}
        flush = {"type": "input_audio.flush", "marker": "m"}
        return await asyncio.gather(scenario(), scenario(silence), scenario(flush))

    stalled, silent, flushed = asyncio.run(scenarios())
    [(code, detail)] = warnings(stalled)
    assert code == "audio_stalled" and detail["received_ms"] == 100 and detail["stalled_ms"] > 1_000
    assert warnings(silent) == warnings(flushed) == []
    assert silent[-1]["usage"]["audio_in_ms"] == 5_200


def test_a_model_that_is_stuck_falls_behind_and_comes_back() -> None:
    model = StuckTranslator()

    async def scenario() -> list[Any]:
        async with running(model=model) as server, native(server) as socket:
            try:
                await send(socket, LIVE)
                found: list[Any] = []
                async with asyncio.timeout(PATIENCE_S):
                    while not of(found, "warning"):
                        await send(socket, to_bytes(TALK[:16_000]))
                        await asyncio.sleep(0.9)
                        await send(socket, {"type": "ping"})
                        found += await until(socket, "pong")
                    model.gate.set()
                    while len(of(found, "warning")) < 2:
                        await send(socket, bytes(3_200))
                        await asyncio.sleep(0.1)
                        await send(socket, {"type": "ping"})
                        found += await until(socket, "pong")
                return found
            finally:
                model.gate.set()

    (first, behind), (second, over) = warnings(asyncio.run(scenario()))
    assert first == second == "falling_behind"
    assert behind["level"] >= 1 and behind["lag_ms"] > 1_000 and over["level"] == 0


def test_a_heartbeat_tells_what_a_second_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "HEARTBEAT_S", 0.2)
    ticks = 0

    def clock() -> float:  # 0.1 s pass between the beginning and the end of whatever the model does
        nonlocal ticks
        ticks += 1
        time.sleep(0.02)  # so that other heartbeats come in the middle of the work
        return 0.1 * ticks

    async def scenario() -> Any:
        async with running() as server, native(server) as socket:
            monkeypatch.setattr(server.app._service.worker._engine._runner, "_clock", clock)
            flush = {"type": "input_audio.flush", "marker": "m"}  # the next engine session is counted too
            await send(socket, FAST, to_bytes(TALK), flush, to_bytes(TALK), flush)
            for _ in range(2):
                await until(socket, "input_audio.flushed")
            return (await until(socket, "heartbeat"))[-1]

    beat = asyncio.run(scenario())
    assert ticks > 20
    assert beat["realtime_factor"] == pytest.approx(0.1 * ticks / 2 / (2 * len(TALK) / 16_000), abs=0.001)


def test_speech_that_is_not_played_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real speech, in real time, to a client that plays nothing."""
    monkeypatch.setitem(VADS, "silero", SileroVad)
    model = seamless_stream.load("phrasebook", device="cpu").model
    english = read(Path(seamless_stream.__file__).parent / "checkpoints" / "samples" / "english.flac")
    short = SessionSettings(speech=SpeechSettings(target_backlog_s=0, max_backlog_s=1))

    async def scenario() -> list[Any]:
        async with running(model=model, session=short) as server, native(server) as socket:
            await send(socket, LIVE, {"type": "output_audio.played", "up_to_sample": 0})
            pcm = to_bytes(english[: 8 * 16_000])
            await send(socket, *[pcm[i : i + 3_200] for i in range(0, len(pcm), 3_200)])
            found: list[Any] = []
            while "speech_backlog" not in [code for code, _ in warnings(found)]:
                found += await until(socket, "warning")
            return found

    code, detail = warnings(asyncio.run(scenario()))[-1]
    assert code == "speech_backlog" and detail["max_ms"] == 1_000 < detail["backlog_ms"]
