"""The worker thread: same events as without it, bounded queues, failures that stay where they are, a clean stop."""

import queue
import threading
import time

import numpy as np
import pytest

from seamless_stream.engine.engine import Engine
from seamless_stream.engine.worker import MAX_INBOX, Worker, WorkerSession
from seamless_stream.errors import AudioError, BusyError, LanguageError, ModelError
from seamless_stream.events import Event, Final
from seamless_stream.settings import SessionSettings
from tests.engine.test_engine import PAUSE, S2ST, TALK, cut, in_order, listen
from tests.fakes import FakeTranslator, speech

PATIENCE_S = 30


def test_events_are_those_of_the_engine_and_come_on_its_thread() -> None:
    events: list[Event] = []
    threads = set()

    def deliver(new: list[Event]) -> None:
        threads.add(threading.current_thread().name)
        events.extend(new)

    with Worker(Engine(FakeTranslator())) as worker:
        session = worker.open(S2ST, deliver)
        for chunk in cut(TALK, 3):
            assert session.push(chunk)
        session.finish()
        assert session.wait(PATIENCE_S)
    assert in_order(events) == in_order(listen(Engine(FakeTranslator()), [TALK]))
    assert threads == {"seamless-stream-worker"}


def test_many_sessions_at_once() -> None:
    found: dict[int, list[Event]] = {number: [] for number in range(5)}
    with Worker(Engine(FakeTranslator())) as worker:
        sessions = [worker.open(S2ST, found[number].extend) for number in range(5)]
        for chunk in cut(TALK, 4):
            for session in sessions:
                session.push(chunk)
        for session in sessions:
            session.finish()
        assert all(session.wait(PATIENCE_S) for session in sessions)
    expected = in_order(found[0])
    assert expected and all(in_order(events) == expected for events in found.values())


def test_refusal_reaches_the_driver() -> None:
    with Worker(Engine(FakeTranslator())) as worker:
        with pytest.raises(LanguageError, match="klingon"):
            worker.open(SessionSettings(target_languages=("klingon",), task="s2tt"), print)
        assert worker.open(S2ST, print)  # and the worker goes on


class SlowTranslator(FakeTranslator):
    """Its first segment waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.is_working = threading.Event()

    def listen(self, *arguments):  # type: ignore[no-untyped-def]
        self.is_working.set()
        assert self.gate.wait(PATIENCE_S)
        return super().listen(*arguments)


def test_full_inbox_makes_push_wait_and_then_say_no() -> None:
    model = SlowTranslator()
    with Worker(Engine(model)) as worker:
        session = worker.open(S2ST, lambda events: None)
        session.push(TALK)
        assert model.is_working.wait(PATIENCE_S)
        silence = np.zeros(160, np.float32)
        taken = 0
        while session.push(silence, timeout_s=0.01):
            taken += 1
        assert taken == MAX_INBOX
        model.gate.set()
        assert session.push(silence)  # waits for room
        session.finish()
        assert session.wait(PATIENCE_S)


def test_a_source_that_is_faster_than_the_model_waits_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seamless_stream.engine.worker.MAX_BACKLOG_S", 5)
    engine, sentence = Engine(FakeTranslator()), speech(*[0.3] * 20, *PAUSE)  # 3.2 s of speech in 4.5 s
    events: list[Event] = []
    session = WorkerSession(S2ST, events.extend, Worker(engine))
    assert session.open(engine)
    for _ in range(10):
        assert session.push(sentence, timeout_s=0)
    session.finish(timeout_s=0)
    positions = []
    while not session.is_over or session.take_turn(engine):
        session.take_turn(engine)
        positions.append(session.progress.position_s * 16_000 / len(sentence))
        engine.step()
    assert positions[0] == 2 and positions[-1] == 10
    assert sum(isinstance(event, Final) for event in events) == 10


def test_more_openings_than_can_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seamless_stream.engine.worker.MAX_OPENINGS", 3)
    model, ends = SlowTranslator(), queue.Queue[object]()
    with Worker(Engine(model)) as worker:
        worker.open(S2ST, lambda new: None).push(TALK)
        assert model.is_working.wait(PATIENCE_S)
        waiting = [worker.open_later(S2ST, lambda new: None, ends.put) for _ in range(3)]
        with pytest.raises(BusyError, match="3 wait for it"):
            worker.open_later(S2ST, lambda new: None, ends.put)
        for session in waiting:
            session.finish()
        model.gate.set()
        assert [ends.get(timeout=PATIENCE_S) for _ in waiting] == [None] * 3  # they had their turn


def test_failing_callback_ends_its_session_only() -> None:
    events: list[Event] = []

    def broken(new: list[Event]) -> None:
        raise OSError("disk full")

    with Worker(Engine(FakeTranslator())) as worker:
        bad, good = worker.open(S2ST, broken), worker.open(S2ST, events.extend)
        for session in (bad, good):
            session.push(TALK)
        with pytest.raises(ModelError, match="disk full"):
            bad.wait(PATIENCE_S)
        with pytest.raises(ModelError, match="disk full"):
            bad.push(TALK)
        good.finish()
        assert good.wait(PATIENCE_S)
    assert events


def test_wrong_samples_end_the_session_with_their_error() -> None:
    with Worker(Engine(FakeTranslator())) as worker:
        session = worker.open(S2ST, lambda events: None)
        session.push(np.zeros(100, np.int16))
        with pytest.raises(AudioError, match="float32"):
            session.wait(PATIENCE_S)


def test_close_drops_and_stop_ends_everything() -> None:
    with Worker(Engine(FakeTranslator())) as worker:
        closed = worker.open(S2ST, lambda events: None)
        left = worker.open(S2ST, lambda events: None)
        closed.close()
        assert closed.wait(PATIENCE_S)
        assert not closed.push(TALK)
        assert not left.wait(0.01)
    assert left.wait(0)
    assert not [thread for thread in threading.enumerate() if thread.name == "seamless-stream-worker"]


def test_idle_worker_uses_no_processor() -> None:
    with Worker(Engine(FakeTranslator())) as worker:
        worker.open(S2ST, lambda events: None)
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.1


def test_a_session_opened_later_takes_audio_at_once_and_tells_its_end() -> None:
    model, events, ends = SlowTranslator(), list[Event](), queue.Queue[object]()
    with Worker(Engine(model)) as worker:
        busy = worker.open(S2ST, lambda new: None)
        busy.push(TALK)
        assert model.is_working.wait(PATIENCE_S)
        session = worker.open_later(S2ST, events.extend, ends.put)  # the worker has no time for it yet
        assert session.push(TALK, timeout_s=0) and session.finish(timeout_s=0)
        model.gate.set()
        assert ends.get(timeout=PATIENCE_S) is None
        assert session.progress.position_s == len(TALK) / 16_000 and session.progress.waiting_s == 0
        worker.open_later(SessionSettings(target_languages=("klingon",), task="s2tt"), print, ends.put)
        assert isinstance(ends.get(timeout=PATIENCE_S), LanguageError)
        assert worker.is_alive
    assert in_order(events) == in_order(listen(Engine(FakeTranslator()), [TALK]))
    assert not worker.is_alive
