"""Duplex and warnings of the sound, over real sockets: a client whose loudspeaker its microphone hears."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection

from seamless_stream.audio import echo
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import Samples, from_bytes, to_bytes
from seamless_stream.models.base import Units, UnitSearch
from seamless_stream.server.changes import Duplex
from seamless_stream.server.configuration import initial
from seamless_stream.server.protocol import HEADER_BYTES
from seamless_stream.settings import SessionSettings
from tests.fakes import FRAME, FakeTranslator, speech
from tests.server.serving import Server, running
from tests.server.test_native import FAST, native, of, send, until

RECORDING = read(Path(echo.__file__).parents[1] / "checkpoints" / "samples" / "english.flac")
UNITS_PER_WORD = 40
RATE = 16_000
CHUNK = 320
DELAY = 1_600  # from the loudspeaker to the microphone


class Reader(FakeTranslator):
    """Reads a recording aloud, 0.8 s a word: what it says sounds like somebody."""

    def units(
        self, token_ids: list[list[int]], hidden: Any, language: str, **_: float | UnitSearch | None
    ) -> list[Units]:
        rows = [[1] * UNITS_PER_WORD * len(ids[2:]) for ids in token_ids]
        counts = [[UNITS_PER_WORD] * len(ids[2:]) for ids in token_ids]
        return [Units(row, count, [1] * len(row)) for row, count in zip(rows, counts, strict=True)]

    def vocode(self, unit_ids: list[list[int]], language: str, speaker: int) -> list[np.ndarray]:
        return [RECORDING[21_000 : 21_000 + FRAME * len(row)] for row in unit_ids]


async def in_a_room(
    server: Server, duplex: dict[str, str], duration_s: float, *, tells: bool = True
) -> list[Any]:
    """Somebody says one sentence; what comes back is played and heard again."""
    found: list[Any] = []
    to_play: Samples = np.zeros(0, np.float32)
    num_played = 0
    room: Samples = np.random.default_rng(1).normal(0, 3e-4, int((duration_s + 1) * RATE)).astype(np.float32)
    sentence = speech(0.2, 0.3, 0.4, 0.3)
    room[RATE // 2 : RATE // 2 + len(sentence)] += sentence

    async def listen(socket: ClientConnection) -> None:
        nonlocal to_play
        while True:
            data = await socket.recv()
            found.append(data if isinstance(data, bytes) else json.loads(data))
            if isinstance(data, bytes):
                to_play = np.concatenate([to_play, from_bytes(data[HEADER_BYTES:])])

    async with native(server) as socket:
        await until(socket, "session.created")
        session = {"audio": {"output": {"language": "es"}}, "duplex": duplex}
        await send(socket, {"type": "session.update", "session": session})
        found += await until(socket, "session.updated")
        listener = asyncio.create_task(listen(socket))
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for place in range(0, int(duration_s * RATE), CHUNK):
            await asyncio.sleep(max(0.0, start_s + (place + CHUNK) / RATE - loop.time()))
            part, to_play = to_play[:CHUNK], to_play[CHUNK:]
            num_played += len(part)
            room[place + DELAY : place + DELAY + len(part)] += 0.3 * part
            await socket.send(to_bytes(room[place : place + CHUNK]))
            if tells and place % (10 * CHUNK) == 0:
                await send(socket, {"type": "output_audio.played", "up_to_sample": num_played})
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        await send(socket, {"type": "session.close"})
        return found + await until(socket, "session.closed")


def echoes(found: list[Any]) -> list[dict[str, int]]:
    """What was told of them."""
    return [item["detail"] for item in of(found, "warning") if item["code"] == "echo_suspected"]


def test_what_we_say_ourselves_is_not_translated() -> None:
    async def scenario() -> list[list[Any]]:
        async with running(model=Reader()) as server:
            wishes = [
                {"echo_guard": "off"},
                {"echo_guard": "on"},
                {},
                {"mode": "half"},
            ]
            rooms = [in_a_room(server, wish, 9.0) for wish in wishes]
            return await asyncio.gather(*rooms, in_a_room(server, {"echo_guard": "on"}, 9.0, tells=False))

    off, on, auto, half, untold = asyncio.run(scenario())
    assert len(of(off, "segment.final")) > 1  # it translates itself
    assert not echoes(off)
    for found in (on, untold):
        assert len(of(found, "segment.final")) == 1
        assert echoes(found)
        for detail in echoes(found):
            assert 0 < detail["silenced_ms"] <= detail["end_ms"] - detail["start_ms"]
    assert of(auto, "session.updated")[0]["session"]["duplex"] == {"mode": "full", "echo_guard": "auto"}
    assert echoes(auto) and len(of(auto, "segment.final")) <= 3
    assert len(of(half, "segment.final")) == 1 and not echoes(half)
    times = [of(found, "segment.final")[0]["start_ms"] for found in (off, on, auto, half)]
    assert max(times) - min(times) <= 40
    assert len({found[-1]["usage"]["audio_in_ms"] for found in (off, on, auto, half)}) == 1


def test_a_file_is_heard_with_nobody_in_it_and_too_loud() -> None:
    """Half a minute of nothing, then a tone that is cut off for 3 s, then half a minute of hiss."""
    tone = speech(*[3.0] * 20).clip(-1, 1)
    hiss = np.random.default_rng(1).normal(0, 0.001, 31 * RATE).astype(np.float32)
    parts = [np.zeros(31 * RATE, np.float32), tone, hiss]

    async def scenario() -> list[Any]:
        found = []
        async with running() as server, native(server) as socket:
            await send(socket, FAST)
            for part in parts:
                pcm = to_bytes(part)
                for start in range(0, len(pcm), RATE):
                    await socket.send(pcm[start : start + RATE])
                found += await until(socket, "warning")
            await send(socket, {"type": "session.close"})
            return found + await until(socket, "session.closed")

    found = of(asyncio.run(scenario()), "warning")
    assert [warning["code"] for warning in found if warning["code"] == "no_speech"] == ["no_speech"] * 2
    dead, quiet = (warning["detail"] for warning in found if warning["code"] == "no_speech")
    assert dead["level_dbfs"] == -120 and 30_000 <= dead["end_ms"] - dead["start_ms"]
    assert quiet["level_dbfs"] == -60 and quiet["start_ms"] > 31_000
    [clipping] = [warning["detail"] for warning in found if warning["code"] == "clipping"]
    assert 31_000 <= clipping["start_ms"] <= 33_000 and clipping["clipped_percent"] > 50


def test_a_client_of_the_openai_dialect_is_not_guarded_unasked() -> None:
    base = SessionSettings(target_languages=("spa",))
    capabilities = FakeTranslator.capabilities
    assert initial("openai", base, capabilities).duplex == Duplex("full", "off")
    assert initial("native", base, capabilities).duplex == Duplex("full", "auto")


def test_duplex_is_fixed_with_the_first_audio() -> None:
    async def scenario() -> list[Any]:
        async with running() as server, native(server) as socket:
            wish = {"type": "session.update", "session": {"duplex": {"mode": "half"}}}
            await send(socket, FAST, wish, bytes(3_200), wish)
            found = await until(socket, "session.updated") + await until(socket, "session.updated")
            found += await until(socket, "session.updated")
            await send(socket, {"type": "session.update", "session": {"duplex": {"echo_guard": "on"}}})
            found += await until(socket, "error")
            await send(socket, {"type": "session.update", "session": {"duplex": {"mode": "quarter"}}})
            return found + await until(socket, "error")

    found = asyncio.run(scenario())
    assert of(found, "session.updated")[-1]["session"]["duplex"] == {"mode": "half", "echo_guard": "auto"}
    errors = [item["error"] for item in of(found, "error")]
    assert [(error["code"], error["param"]) for error in errors] == [
        ("immutable_field", "session.duplex.echo_guard"),
        ("invalid_value", "session.duplex.mode"),
    ]
