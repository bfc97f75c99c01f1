"""Whole sessions as they go over the wire, kept in `golden/`: whatever changes in them is a change of the protocol.

    SEAMLESS_STREAM_GOLDEN=write python -m pytest tests/server/test_golden.py

writes them again. A line is a message with who said it (`>` the client, `<` the server); of binary messages the header.
What differs from run to run (ids, times of the day, acks) stands as "..." or is left out.
"""

import asyncio
import json
import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from seamless_stream.audio.pcm import to_bytes
from seamless_stream.server.protocol import HEADER, HEADER_BYTES, NATIVE
from seamless_stream.settings import PolicySettings, SessionSettings
from tests.engine.test_engine import TALK
from tests.server.serving import running

GOLDEN = Path(__file__).parent / "golden"
PATIENCE_S = 20
PIECE_BYTES = 32_000
VARYING = {
    *("id", "token", "path", "expires_at", "server", "model_revision", "server_time_ms"),
    *("elapsed_ms", "lag_ms", "realtime_factor"),
}
BY_THE_CLOCK = {"audio.ack", "heartbeat"}
FIELDS = ("version", "kind", "flags and output", "frame", "first sample", "segment", "bytes")
FAST = {"type": "session.update", "session": {"audio": {"input": {"pacing": "fast"}}}}
CLOSE = {"type": "session.close"}


def settled(value: Any, name: str = "") -> Any:
    """Without what differs from run to run."""
    if name in VARYING and value is not None:
        return "..."
    if isinstance(value, dict):
        return {key: settled(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [settled(item) for item in value]
    if isinstance(value, str) and len(value) > 200:
        return f"... {len(value)} characters"
    return value


def line(who: str, data: str | bytes, number: int | None = None) -> str:
    """Of the file; `number`: without the messages that come by the clock."""
    if isinstance(data, bytes):
        if who == ">":
            return f"> {len(data)} bytes"
        return f"< {json.dumps(dict(zip(FIELDS, HEADER.unpack(data[:HEADER_BYTES]), strict=True)))}"
    message = settled(json.loads(data))
    if number is not None:
        message |= {
            name: f"evt_{number}" if name == "event_id" else number
            for name in ("event_id", "seq")
            if name in message
        }
    return f"{who} {json.dumps(message, ensure_ascii=False)}"


async def told(socket: ClientConnection, *last: str) -> list[str]:
    """What the server says up to a message of this type, or to the end."""
    found: list[str | bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        async for data in socket:
            found.append(data)
            if isinstance(data, str) and json.loads(data)["type"] in last:
                break
    return [item for item in found if isinstance(item, bytes) or json.loads(item)["type"] not in BY_THE_CLOCK]


async def session(*configure: dict[str, Any], is_native: bool) -> list[str]:
    """One session: the talk, a flush, half of the talk, the end."""
    pcm, lines, numbered = to_bytes(TALK), [], 0
    protocols: Any = [NATIVE] if is_native else None
    policy = PolicySettings(
        first_decode_ms=320, decode_every_ms=320
    )  # early, so that short speech is written open
    settings = SessionSettings(policy=policy)
    async with (
        running(session=settings) as server,
        connect(server.url, subprotocols=protocols, compression=None) as socket,
    ):

        async def say(*messages: dict[str, Any] | bytes) -> None:
            for message in messages:
                data = message if isinstance(message, bytes) else json.dumps(message)
                lines.append(line(">", data))
                await socket.send(data)

        async def hear(*last: str) -> None:
            nonlocal numbered
            for data in await told(socket, *last):
                lines.append(line("<", data, None if isinstance(data, bytes) else numbered))
                numbered += isinstance(data, str)

        def audio(data: bytes) -> dict[str, Any] | bytes:
            coded = b64encode(data).decode()
            return data if is_native else {"type": "session.input_audio_buffer.append", "audio": coded}

        await hear("session.created")
        for change in configure:
            await say(change)
            await hear("session.updated", "error")
        await say(*(audio(pcm[i : i + PIECE_BYTES]) for i in range(0, len(pcm), PIECE_BYTES)))
        if is_native:
            await say({"type": "input_audio.flush", "marker": "half"})
            await hear("input_audio.flushed")
            await say(audio(pcm[: len(pcm) // 2 // 2 * 2]))
        await say(CLOSE)
        await hear()
        lines.append(f"< closed with {socket.close_code}")
    return lines


def change(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "event_id": "c1", "session": fields}


SPANISH = change(audio={"output": {"language": "es"}})
SESSIONS: dict[str, tuple[bool, tuple[dict[str, Any], ...]]] = {
    "native": (True, (FAST, SPANISH)),
    "openai": (False, (FAST, SPANISH)),
    "several_languages": (
        True,
        (
            FAST,
            change(audio={"input": {"format": {"rate": 300}}}),  # refused
            change(
                audio={"input": {"transcription": {"enabled": True}}},
                translation={
                    "source_language": "en",
                    "targets": [{"language": "es", "speech": True}, {"language": "fr", "speech": False}],
                },
            ),
        ),
    ),
    "conversation": (True, (FAST, change(translation={"two_way": {"a": "en", "b": "es"}}))),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions_are_as_they_were(name: str) -> None:
    is_native, configure = SESSIONS[name]
    lines = asyncio.run(session(*configure, is_native=is_native))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("SEAMLESS_STREAM_GOLDEN") == "write":
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert lines == path.read_text(encoding="utf-8").splitlines()
