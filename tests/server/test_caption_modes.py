"""How often captions come and what they hold, as a client asks for it: with real speech over a real socket."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.engine.engine import VADS
from seamless_stream.models.vad import SileroVad
from tests.engine.test_engine import TALK
from tests.fakes import speech
from tests.server.serving import running
from tests.server.test_native import FAST, native, of, send, until

SAMPLE = Path(seamless_stream.__file__).parent / "checkpoints" / "samples" / "english.flac"
TEXT = {"audio": {"input": {"pacing": "fast"}, "output": {"language": "es", "mode": "text"}}}


def captions(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"captions": fields}}


@pytest.fixture(scope="module")
def heard() -> dict[str, list[Any]]:
    """The same speech in every mode, and with hardly any unstable text."""
    model = seamless_stream.load("phrasebook", device="cpu").model
    pcm = to_bytes(read(SAMPLE)[: 16 * 16_000])
    ways: dict[str, dict[str, Any]] = {
        mode: {"mode": mode} for mode in ("stable+unstable", "stable", "final")
    }
    ways["seldom"] = {"min_interval_ms": 10_000}

    async def scenario(way: dict[str, Any]) -> list[Any]:
        async with running(model=model) as server, native(server) as socket:
            begin = {"type": "session.update", "session": TEXT}
            await send(socket, begin, captions(**way), pcm, {"type": "session.close"})
            return await until(socket, "session.closed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VADS, "silero", SileroVad)
        return {name: asyncio.run(scenario(way)) for name, way in ways.items()}


def test_the_text_is_the_same_in_every_mode_and_only_grows(heard: dict[str, list[Any]]) -> None:
    texts = {name: [final["text"] for final in of(found, "segment.final")] for name, found in heard.items()}
    assert len(texts["final"]) > 1 and len({tuple(text) for text in texts.values()}) == 1
    for found in heard.values():
        for final in of(found, "segment.final"):
            updates = [u for u in of(found, "segment.updated") if u["segment_id"] == final["segment_id"]]
            assert "".join(u["append"] for u in updates) + final["append"] == final["text"]
            assert [u["rev"] for u in updates] + [final["rev"]] == list(range(1, len(updates) + 2))


def test_a_mode_holds_what_its_name_says(heard: dict[str, list[Any]]) -> None:
    updates = {name: of(found, "segment.updated") for name, found in heard.items()}
    assert any(u["unstable"] for u in updates["stable+unstable"])
    assert updates["stable"] and all(u["append"] and not u["unstable"] for u in updates["stable"])
    assert not updates["final"]
    assert all(final["append"] == final["text"] for final in of(heard["final"], "segment.final"))
    for name in ("stable", "seldom"):  # what is settled comes as often as ever
        told = [(u["segment_id"], u["append"]) for u in updates[name] if u["append"]]
        assert told == [(u["segment_id"], u["append"]) for u in updates["stable+unstable"] if u["append"]], (
            name
        )
    assert len(updates["stable"]) <= len(updates["seldom"]) < len(updates["stable+unstable"])
    shown = of(heard["final"], "session.updated")[-1]["session"]["captions"]
    assert shown == {"mode": "final", "min_interval_ms": 0, "words": False}


def test_the_mode_changes_while_the_session_runs() -> None:
    async def scenario() -> list[Any]:
        async with running() as server, native(server) as socket:
            await send(socket, FAST, to_bytes(TALK), {"type": "input_audio.flush", "marker": "m"})
            found = await until(socket, "input_audio.flushed")
            await send(socket, captions(mode="final"), to_bytes(TALK), {"type": "session.close"})
            return found + await until(socket, "session.closed")

    found = asyncio.run(scenario())
    kinds = [message["type"] for message in found if isinstance(message, dict)]
    place = kinds.index("input_audio.flushed")
    assert "error" not in kinds and "segment.updated" not in kinds[place:]
    assert kinds[:place].count("segment.final") == kinds[place:].count("segment.final") == 3


def test_what_was_held_comes_when_nobody_speaks_on() -> None:
    """The last unstable words of an open segment do not wait for the next ones."""
    talk = np.concatenate([speech(0, 0, *(0.1 + 0.02 * n for n in range(16)))])
    live = {"audio": {"output": {"language": "es", "mode": "text"}}}

    async def scenario(interval_ms: int) -> list[Any]:
        async with running() as server, native(server) as socket:
            begin = {"type": "session.update", "session": live}
            await send(socket, begin, captions(min_interval_ms=interval_ms), to_bytes(talk))
            found: list[Any] = []
            while len(of(found, "audio.ack")) < 7:
                found += await until(socket, "audio.ack")
            return of(found, "segment.updated")

    often, seldom = asyncio.run(scenario(0)), asyncio.run(scenario(600))
    assert often and seldom and any(update["unstable"] for update in often)
    last = {name: often[-1][name] for name in ("stable", "unstable")}
    assert {name: seldom[-1][name] for name in last} == last
