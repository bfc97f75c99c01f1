"""The public `openai` package as a client, sync and async, and a plain one without our subprotocol."""

import asyncio
import base64
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import Samples, from_bytes, to_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.engine.engine import VADS, Engine
from seamless_stream.events import Final
from seamless_stream.models.vad import SileroVad
from seamless_stream.settings import SessionSettings
from tests.engine.test_engine import S2ST, TALK, listen
from tests.fakes import FakeTranslator
from tests.server.serving import Server, on_a_thread, running

openai = pytest.importorskip("openai")

SAMPLES = Path(seamless_stream.__file__).parent / "checkpoints" / "samples"


def pieces(samples: Samples) -> list[str]:
    """Base64 of 24 kHz s16le, in pieces of 0.2 s."""
    resampler = Resampler(16_000, 24_000)
    pcm = to_bytes(np.concatenate([resampler.push(samples), resampler.flush()]))
    return [base64.b64encode(pcm[i : i + 9_600]).decode() for i in range(0, len(pcm), 9_600)]


def sent(samples: Samples) -> Samples:
    """What the server makes of these pieces."""
    pcm, resampler = b"".join(map(base64.b64decode, pieces(samples))), Resampler(24_000)
    return np.concatenate([resampler.push(from_bytes(pcm)), resampler.flush()])


def client_options(server: Server) -> dict[str, Any]:
    return {"api_key": "right", "base_url": f"http://127.0.0.1:{server.port}/v1"}


def text_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "session.output_transcript.delta")


def speech_of(events: list[Any]) -> bytes:
    deltas = [event for event in events if event.type == "session.output_audio.delta"]
    assert all((d.sample_rate, d.channels, d.format) == (24_000, 1, "pcm16") for d in deltas)
    return b"".join(base64.b64decode(delta.delta) for delta in deltas)


def check(events: list[Any]) -> None:
    """What the engine says about TALK, in the shape that the package promises."""
    wanted = [e.text for e in listen(Engine(FakeTranslator()), [sent(TALK)]) if isinstance(e, Final)]
    assert [event.type for event in events[:2]] == ["session.created", "session.updated"]
    assert events[1].session.audio.output.language == "es" and events[1].session.type == "translation"
    assert text_of(events) == " ".join(wanted) and len(wanted) == 3
    assert len(speech_of(events)) > 24_000
    assert events[-1].type == "session.closed"
    assert len({event.event_id for event in events}) == len(events)
    elapsed = [event.elapsed_ms for event in events if hasattr(event, "elapsed_ms")]
    assert elapsed == sorted(elapsed) and elapsed[-1] <= len(TALK) // 16


def test_the_async_client_translates() -> None:
    async def scenario() -> list[Any]:
        async with running(keys=("right",)) as server:
            client = openai.AsyncOpenAI(**client_options(server))
            async with client.realtime.translations.connect(model="auto") as connection:
                await connection.session.update(session={"audio": {"output": {"language": "es"}}})
                for piece in pieces(TALK):
                    await connection.session.input_audio_buffer.append(audio=piece)
                await connection.session.close()
                return [event async for event in connection]

    check(asyncio.run(scenario()))


def test_the_sync_client_translates() -> None:
    with on_a_thread(running(keys=("right",))) as server:
        client = openai.OpenAI(**client_options(server))
        with client.realtime.translations.connect(model="auto") as connection:
            session = {"audio": {"input": {"transcription": {"model": "x"}}, "output": {"language": "es"}}}
            connection.session.update(session=session)  # type: ignore[arg-type]
            for piece in pieces(TALK):
                connection.session.input_audio_buffer.append(audio=piece)
            connection.session.close()
            events = list(connection)
    check(events)
    assert events[1].session.audio.input.transcription is None  # we say that there will be none


def test_a_wrong_key_is_refused() -> None:
    async def scenario() -> None:
        async with running(keys=("other",)) as server:
            client = openai.AsyncOpenAI(**client_options(server), max_retries=0)
            with pytest.raises(InvalidStatus, match="401"):
                async with client.realtime.translations.connect(model="auto"):
                    pass

    asyncio.run(scenario())


def test_real_speech_in_and_translated_speech_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", SileroVad)
    model = seamless_stream.load("phrasebook", device="cpu")
    samples = read(SAMPLES / "english.flac")[: 8 * 16_000]
    engine = Engine(model.model)
    wanted = [e.text for e in listen(engine, [sent(samples)], S2ST) if isinstance(e, Final)]

    async def scenario() -> list[Any]:
        async with running(model=model.model, session=SessionSettings()) as server:
            client = openai.AsyncOpenAI(**client_options(server))
            async with client.realtime.translations.connect(model="auto") as connection:
                await connection.session.update(session={"audio": {"output": {"language": "es"}}})
                for piece in pieces(samples):
                    await connection.session.input_audio_buffer.append(audio=piece)
                await connection.session.close()
                return [event async for event in connection]

    events = asyncio.run(scenario())
    assert events[-1].type == "session.closed"
    # Not the same: a machine that is busy takes larger steps.
    assert len(wanted) > 1 and SequenceMatcher(None, text_of(events), " ".join(wanted)).ratio() > 0.8
    pcm = np.frombuffer(speech_of(events), "<i2")
    assert len(pcm) > 24_000 and np.abs(pcm).max() > 1_000


def test_binary_audio_needs_our_subprotocol() -> None:
    async def scenario() -> int | None:
        async with running() as server, connect(server.url) as socket:
            await socket.send(bytes(100))
            with pytest.raises(ConnectionClosed):
                while True:
                    await asyncio.wait_for(socket.recv(), 20)
            return socket.close_code

    assert asyncio.run(scenario()) == 1003


def test_audio_ahead_of_time_is_held_back_and_not_dropped() -> None:
    """The server reads no more of it from the socket than it may hold."""

    async def scenario() -> tuple[list[str], int]:
        async with running(max_ahead_ms=1_000) as server, connect(server.url) as socket:
            most_ms = 0

            async def watch() -> None:
                nonlocal most_ms
                while server.app._sessions:
                    most_ms = max(most_ms, *[session.waiting_ms for session in server.app._sessions])
                    await asyncio.sleep(0.01)

            watching = asyncio.create_task(watch())
            await socket.send('{"type":"session.update","session":{"audio":{"output":{"language":"es"}}}}')
            for piece in pieces(np.concatenate([TALK, TALK])):
                await socket.send(f'{{"type":"session.input_audio_buffer.append","audio":"{piece}"}}')
            await socket.send('{"type":"session.close"}')
            found = []
            with pytest.raises(ConnectionClosed):
                while True:
                    found.append(str(await asyncio.wait_for(socket.recv(), 20)))
            await watching
            return found, most_ms

    found, most_ms = asyncio.run(scenario())
    assert 800 < most_ms <= 1_400  # also the last message, and what the resampler held
    assert '"dropped_ms":0' in found[-1]
    assert f'"audio_in_ms":{2 * len(TALK) // 16}' in found[-1]
