"""The client against the real server: all words, over cuts too; errors as errors; flow control; the thread's twin."""

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection

from seamless_stream import events
from seamless_stream.audio.pcm import from_bytes, to_bytes
from seamless_stream.client import ConnectionLost, Incoming, Session, SpeechFrame, connect, sync, to_event
from seamless_stream.engine.engine import Engine
from seamless_stream.errors import AudioError, LanguageError, RemoteError, SettingsError
from seamless_stream.server.changes import SessionChange, Translation, TwoWay
from seamless_stream.server.commands import Flush, SessionUpdate
from seamless_stream.server.messages import (
    AudioAck,
    Flushed,
    SegmentFinal,
    SessionClosed,
    SessionResumed,
    SessionUpdated,
)
from seamless_stream.sources import CHUNK_SAMPLES
from tests.engine.test_engine import TALK, listen
from tests.fakes import FakeTranslator
from tests.server.proxy import Plan, bad_network
from tests.server.serving import on_a_thread, running

PATIENCE_S = 60
HEARD = from_bytes(to_bytes(TALK))


class Tape:
    """A source: the talk, or what a broken device gives."""

    is_paced = is_endless = False

    def __init__(self, samples: np.ndarray, fails: bool = False) -> None:
        self.warnings: list[str] = []
        self._samples, self._fails = samples, fails

    def chunks(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self._samples), CHUNK_SAMPLES):
            yield self._samples[start : start + CHUNK_SAMPLES]
        if self._fails:
            raise AudioError("The microphone has gone.")

    def close(self) -> None:
        pass


def run(scenario: Any) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await scenario()

    return asyncio.run(limited())


async def hear(session: Session) -> list[Incoming]:
    return [message async for message in session]


def told(found: list[Incoming]) -> list[events.Event]:
    return [event for event in map(to_event, found) if event is not None]


def words_and_speech(found: list[Incoming]) -> tuple[list[Any], bytes]:
    heard = told(found)
    finals = [(f.segment, f.text, f.start_s) for f in heard if isinstance(f, events.Final)]
    return finals, b"".join(to_bytes(f.samples) for f in heard if isinstance(f, events.Speech))


def test_a_file_gives_what_the_engine_gives() -> None:
    async def scenario() -> list[Incoming]:
        async with running() as server, connect(server.url, "es", pacing="fast") as session:
            session.feed(Tape(TALK))
            return await hear(session)

    found = run(scenario)
    expected = listen(Engine(FakeTranslator()), [HEARD])
    finals, speech = words_and_speech(found)
    assert finals == [
        (e.segment, e.text, pytest.approx(e.start_s, abs=0.001))
        for e in expected
        if isinstance(e, events.Final)
    ]
    assert speech == to_bytes(np.concatenate([e.samples for e in expected if isinstance(e, events.Speech)]))
    assert {m.language for m in found if isinstance(m, SpeechFrame | SegmentFinal)} == {"es"}
    assert isinstance(found[-1], SessionClosed) and found[-1].usage["dropped_ms"] == 0


class LatePlan(Plan):
    """The first connection lives until the session is configured: before that there is nothing to resume."""

    is_first = True

    def next(self) -> tuple[int, int, Any]:
        up, down, fault = super().next()
        more = 4_000 if self.is_first else 0
        self.is_first = False
        return up + more, down + more, fault


@pytest.mark.parametrize("seed", range(3))
def test_cuts_lose_nothing_and_double_nothing(seed: int) -> None:
    async def scenario() -> tuple[list[Incoming], int]:
        async with running(resume_grace_s=20) as server:
            async with bad_network(server.port, LatePlan(random.Random(seed), 8, 12_000, 3_000)) as (
                proxy,
                port,
            ):
                url = f"127.0.0.1:{port}"  # the rest of the address is added
                async with connect(url, "es", pacing="fast") as session:
                    session.feed(Tape(np.concatenate([TALK, TALK])))
                    return await hear(session), proxy.num_cuts

    found, num_cuts = run(scenario)
    expected = words_and_speech_of_engine(np.concatenate([HEARD, HEARD]))
    assert words_and_speech(found)[1] == expected[1]
    assert [final[:2] for final in words_and_speech(found)[0]] == expected[0]
    assert num_cuts == 8
    num_resumed = sum(isinstance(message, SessionResumed) for message in found)
    num_lost = sum(isinstance(message, ConnectionLost) for message in found)
    assert num_lost >= num_resumed >= 2


def words_and_speech_of_engine(samples: np.ndarray) -> tuple[list[Any], bytes]:
    expected = listen(Engine(FakeTranslator()), [samples])
    finals = [(e.segment, e.text) for e in expected if isinstance(e, events.Final)]
    return finals, to_bytes(np.concatenate([e.samples for e in expected if isinstance(e, events.Speech)]))


def test_what_cannot_be_is_an_error_of_one_line() -> None:
    async def scenario() -> list[str]:
        found = []
        async with running(keys=("secret",)) as server:
            for url, to, key, kind in [
                (server.url, "klingon", "secret", LanguageError),
                (server.url, "es", "wrong", RemoteError),
                (f"{server.url}?model=other", "es", "secret", RemoteError),
                (f"ws://127.0.0.1:{server.port}/elsewhere", "es", "secret", RemoteError),
                ("ws://127.0.0.1:1", "es", None, RemoteError),
                ("ftp://127.0.0.1", "es", None, SettingsError),
            ]:
                with pytest.raises(kind) as caught:
                    async with connect(url, to, key=key):
                        pass
                found.append(str(caught.value))
        return found

    found = run(scenario)
    assert all("\n" not in line and line.endswith(".") for line in found)
    assert "klingon" in found[0] and "/elsewhere" in found[3] and "reached" in found[4]


def test_audio_waits_for_credit_so_that_nothing_is_dropped() -> None:
    """Twelve seconds at once, where two are held; `send` waits for acks."""

    async def scenario() -> tuple[list[Incoming], float]:
        async with running(max_ahead_ms=2_000) as server, connect(server.url, "es") as session:
            started_s = asyncio.get_running_loop().time()
            async with asyncio.timeout(30):
                await session.send(np.zeros(6 * 16_000, np.float32))
            took_s = asyncio.get_running_loop().time() - started_s
            await session.finish()
            return await hear(session), took_s

    found, took_s = run(scenario)
    assert took_s > 1.5
    assert found[-1].usage == {"audio_in_ms": 6_000, "audio_out_ms": 0, "segments": 0, "dropped_ms": 0}
    assert any(isinstance(message, AudioAck) for message in found)


def test_several_languages_flush_and_a_conversation() -> None:
    async def scenario() -> tuple[list[Incoming], list[Incoming]]:
        async with running() as server:
            async with connect(server.url, ["es", "en"], pacing="fast") as session:
                await session.send(TALK)
                await session.say(Flush("m"))
                await session.finish()
                many = await hear(session)
            async with connect(server.url, "es", pacing="fast", output_rate=8_000) as session:
                await session.say(
                    SessionUpdate(SessionChange(translation=Translation("en", two_way=TwoWay("en", "es"))))
                )
                await session.send(TALK)
                await session.finish()
                return many, await hear(session)

    many, both = run(scenario)
    assert [message.marker for message in many if isinstance(message, Flushed)] == ["m"]
    assert {message.language for message in many if isinstance(message, SpeechFrame)} == {"es", "en"}
    frames = [message for message in both if isinstance(message, SpeechFrame)]
    assert {(frame.language, frame.rate) for frame in frames} == {
        ("es", 8_000)
    }  # only the translation is spoken


def test_candidates_and_a_latency_are_asked_for() -> None:
    async def scenario() -> list[Incoming]:
        wanted = {"source_language": ["en", "fr"], "latency": "low", "transcribes": True}
        async with (
            running() as server,
            connect(server.url, "es", pacing="fast", **wanted) as session,  # type: ignore[arg-type]
        ):
            session.feed(Tape(TALK))
            return await hear(session)

    found = run(scenario)
    [updated] = [message.session["translation"] for message in found if isinstance(message, SessionUpdated)]
    assert updated["source_candidates"] == ["en", "fr"] and updated["policy"] == {"latency": "low"}
    finals = [message for message in found if isinstance(message, SegmentFinal)]
    assert {final.role for final in finals} == {"target", "source"} and len(finals) == 6
    assert {final.source_language for final in finals} <= {"en", "fr"}


def test_a_broken_source_ends_the_session_and_says_so() -> None:
    async def scenario() -> list[events.Event]:
        found: list[Incoming] = []
        async with running() as server:
            with pytest.raises(AudioError, match="has gone"):
                async with connect(server.url, "es", pacing="fast") as session:
                    session.feed(Tape(TALK, fails=True))
                    async for message in session:
                        found.append(message)
        return told(found)

    heard = run(scenario)
    assert sum(isinstance(event, events.Final) for event in heard) == 3  # what was said before is translated


def test_a_server_that_goes_is_noticed() -> None:
    told = []

    async def scenario() -> None:
        async with running(resume_grace_s=0.5) as server:
            plan = Plan(random.Random(0), 0, 1, 1)
            async with (
                bad_network(server.port, plan) as (proxy, port),
                connect(f"ws://127.0.0.1:{port}", "es") as session,
            ):
                await session.send(TALK[:1_600])
                server.app.close()  # it forgets its sessions
                plan.cuts_left = 1_000
                session._socket.transport.abort()  # type: ignore[union-attr]
                with pytest.raises(RemoteError, match="is lost"):
                    await hear(session)
                told.append("to who reads")

    with pytest.raises(RemoteError, match="is lost"):
        run(scenario)
    assert told  # and once more where the session ends, to who does not read


def test_an_answer_that_comes_too_late_does_not_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has resumed it; the client gives that connection up and takes another."""
    monkeypatch.setattr("seamless_stream.client.session.ANSWER_S", 2.0)

    async def scenario() -> list[Incoming]:
        async with running() as server, connect(server.url, "es", pacing="fast") as session:
            open_socket, slow = session._open, []

            async def open_slowly(**query: str) -> ClientConnection:
                socket = await open_socket(**query)
                if not slow:
                    socket.transport.pause_reading()
                    slow.append(socket)
                return socket

            monkeypatch.setattr(session, "_open", open_slowly)
            await session.send(TALK)
            session._socket.transport.abort()  # type: ignore[union-attr]
            await session.finish()
            return await hear(session)

    found = run(scenario)
    assert words_and_speech(found)[0] and isinstance(found[-1], SessionClosed)
    assert [m.epoch for m in found if isinstance(m, SessionResumed)] == [3]  # the first one was not heard


def test_a_session_that_the_server_has_forgotten_is_told_at_once() -> None:
    """Within the time for which a client tries, which is a minute and a half."""

    told = []

    async def scenario() -> None:
        async with running() as server, connect(server.url, "es") as session:
            session._socket.transport.abort()  # type: ignore[union-attr]
            server.app.close()  # it forgets its sessions
            with pytest.raises(RemoteError, match="no such session"):
                async with asyncio.timeout(10):
                    await hear(session)
            told.append("to who reads")

    with pytest.raises(RemoteError, match="no such session"):
        run(scenario)
    assert told


def test_without_asyncio() -> None:
    with on_a_thread(running()) as server:
        num_threads = threading.active_count()
        with sync.connect(server.url, "es", pacing="fast") as session:
            session.send(TALK)
            session.finish()
            one = list(session)
        with sync.connect(server.url, "es", pacing="fast") as session:
            session.feed(Tape(TALK))
            two = list(session)
        with pytest.raises(ZeroDivisionError), sync.connect(server.url, "es") as session:
            session.send(TALK)
            raise ZeroDivisionError
        with (
            pytest.raises(SettingsError, match="48000"),
            sync.connect(server.url, "es", rate=48_000) as session,
        ):
            session.feed(Tape(TALK))
        with pytest.raises(LanguageError), sync.connect(server.url, "klingon"):
            pass
        assert threading.active_count() <= num_threads
    assert words_and_speech(one) == words_and_speech(two) and len(words_and_speech(one)[0]) == 3
