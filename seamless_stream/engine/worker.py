"""The one thread that owns torch: it drives an engine and hands events back by one call.

Knows threads and bounded queues; knows no sockets, files or asyncio. Every session has an inbox of `MAX_INBOX` chunks:
when it is full, `push` waits or says no. While a session has `MAX_BACKLOG_S` of untranslated speech its inbox
is not read, so that a fast source cannot fill the memory. A failure of the driver's callback ends its session only.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.session import Session
from seamless_stream.errors import BusyError, ModelError, SeamlessStreamError
from seamless_stream.events import Event
from seamless_stream.settings import SessionSettings

log = logging.getLogger(__name__)

MAX_INBOX = 64  # chunks that wait for the worker, per session
MAX_OPENINGS = 64  # sessions that wait to be opened
MAX_BACKLOG_S = 60
MAX_CHUNKS_PER_TURN = 16  # then the model and the other sessions have their turn

Deliver = Callable[[list[Event]], None]
Ended = Callable[[SeamlessStreamError | None], None]


@dataclass(frozen=True)
class Progress:
    """How far a session is; seconds of source audio, but `unplayed_s` of speech."""

    position_s: float = 0.0  # taken from the inbox
    waiting_s: float = 0.0  # of it not yet heard by the model
    unplayed_s: float = 0.0
    overload_level: int = 0
    compute_s: float = 0.0  # time that the model worked for it


@dataclass(frozen=True)
class Look:
    """What the engine says of itself (`Engine.stats`, `Engine.load`) at one moment."""

    sessions: list[dict[str, float]]
    load: float


class Observer(Protocol):
    """Who measures or records. All must be quick, and must not raise."""

    def pushed(self, session: "WorkerSession", item: "Item") -> None:
        """The driver has handed this over; on its thread."""

    def delivered(self, session: "WorkerSession", events: list[Event]) -> None:
        """On the worker's thread, as are those below."""

    def ended(self, session: "WorkerSession", error: SeamlessStreamError | None) -> None:
        """Nothing more will be delivered."""

    def stepped(self, duration_s: float) -> None:
        """The engine has worked."""


# A tuple: target languages from here on. None: no more will come.
Item = np.ndarray | tuple[str, ...] | None


class WorkerSession:
    """A session as its driver sees it from another thread; `name` is the driver's own for it."""

    def __init__(
        self,
        settings: SessionSettings,
        deliver: Deliver,
        worker: "Worker",
        ended: Ended | None = None,
        name: str = "",
    ) -> None:
        self.settings = settings
        self.name = name
        self.progress = Progress()  # replaced by the worker's thread after each turn
        self.pushed_samples = 0
        self._deliver = deliver
        self._ended = ended
        self._worker = worker
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._room = threading.Semaphore(MAX_INBOX)
        # Observers hear of a push before what came of it, and of none after the end.
        self._telling = threading.Lock()
        self._opened: Future[Session] = Future()
        self._closed = threading.Event()  # asked for by the driver
        self._done = threading.Event()  # nothing more will be delivered
        self._error: SeamlessStreamError | None = None

    # Driver's thread.

    def push(self, samples: np.ndarray, timeout_s: float | None = None) -> bool:
        """Hand over audio; waits while the inbox is full, False if it still is after `timeout_s`.

        Raises the error that ended the session, if one did.
        """
        return self._put(samples, timeout_s)

    def change_targets(self, languages: tuple[str, ...], timeout_s: float | None = None) -> bool:
        """Translate what is pushed from now on into these, from its next segment on; waits like `push`.

        The driver has checked them (`engine.check_session`): what the engine refuses ends the session.
        """
        return self._put(languages, timeout_s)

    def finish(self, timeout_s: float | None = None) -> bool:
        """No more audio will come; `wait` returns when all is translated. Waits for room like `push`."""
        return self._put(None, timeout_s)

    def close(self) -> None:
        """Drop what is not translated yet."""
        self._closed.set()
        self._worker.wake()

    def wait(self, timeout_s: float | None = None) -> bool:
        """True when every event is delivered; raises the error that ended the session."""
        is_done = self._done.wait(timeout_s)
        if self._error is not None:
            raise self._error
        return is_done

    def _put(self, item: Item, timeout_s: float | None) -> bool:
        while True:
            has_room = self._room.acquire(timeout=0.1 if timeout_s is None else timeout_s)
            with self._telling:
                if self._error is not None:
                    raise self._error
                if self._done.is_set():
                    return False
                if has_room:
                    self.pushed_samples += len(item) if isinstance(item, np.ndarray) else 0
                    for observer in self._worker.observers:
                        observer.pushed(self, item)
                    self._inbox.put(item)
                    break
            if timeout_s is not None:
                return False
        self._worker.wake()
        return True

    # Worker's thread.

    def open(self, engine: Engine) -> bool:
        """Open it in the engine; a refusal goes to the driver that waits in `Worker.open`."""
        try:
            self._opened.set_result(engine.open(self.settings))
        except SeamlessStreamError as error:
            self.refuse(error)
            return False
        except Exception as error:
            failure = ModelError(f"The session cannot be opened: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self.refuse(failure)
            return False
        return True

    def refuse(self, error: SeamlessStreamError) -> None:
        """It will not be opened."""
        self._opened.set_exception(error)
        self._tell_end(error)

    def take_turn(self, engine: Engine) -> bool:
        """Move waiting audio into the session and deliver its events; False when there was nothing to do."""
        session = self._opened.result()
        num_chunks = 0
        while num_chunks < MAX_CHUNKS_PER_TURN and session.backlog_samples < MAX_BACKLOG_S * SAMPLE_RATE:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                break
            num_chunks += 1
            self._room.release()
            if item is None:
                session.finish()
            elif isinstance(item, tuple):
                engine.change_targets(session, item)
            else:
                session.push(item)
        self.progress = Progress(
            session.position_s,
            session.waiting_s,
            session.unplayed_s,
            session.overload_level,
            session.compute_s,
        )
        events = session.events()
        if events:
            for observer in self._worker.observers:
                observer.delivered(self, events)
            self._deliver(events)
        return bool(num_chunks or events)

    @property
    def is_over(self) -> bool:
        """Everything is delivered, or the driver has lost interest."""
        return self._closed.is_set() or self._opened.result().is_done

    def end(self, engine: Engine, error: SeamlessStreamError | None) -> None:
        """Nothing more will be delivered."""
        engine.close(self._opened.result())
        self._tell_end(error)

    def _tell_end(self, error: SeamlessStreamError | None) -> None:
        with self._telling:
            self._error = error
            self._done.set()
            for observer in self._worker.observers:
                observer.ended(self, error)
        if self._ended is not None:
            try:
                self._ended(error)
            except Exception:
                log.debug("nobody listens to the end of a session", exc_info=True)


class Worker:
    """Starts the thread; as a context manager it also stops it."""

    def __init__(self, engine: Engine, observers: Sequence[Observer] = ()) -> None:
        self._engine = engine
        self.observers = observers
        self._looks: queue.SimpleQueue[Future[Look]] = queue.SimpleQueue()
        self._openings: queue.Queue[WorkerSession] = queue.Queue(MAX_OPENINGS)
        self._sessions: list[WorkerSession] = []
        self._is_stopping = False
        self._end_error = ModelError("The worker has stopped.")
        self._wake = threading.Event()
        # A daemon thread: a second Ctrl-C must end the process even in the middle of a long step.
        self._thread = threading.Thread(target=self._run, name="seamless-stream-worker", daemon=True)

    def __enter__(self) -> "Worker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def open(self, settings: SessionSettings, deliver: Deliver) -> WorkerSession:
        """A new session whose events go to `deliver`, on the worker's thread; raises what the engine refuses.

        `deliver` must be quick: while it works, the model does not.
        """
        session = WorkerSession(settings, deliver, self)
        self._openings.put(session)
        self._see_openings()
        session._opened.result()
        return session

    def open_later(
        self, settings: SessionSettings, deliver: Deliver, ended: Ended, name: str = ""
    ) -> WorkerSession:
        """Like `open` for a driver that must not wait: it may push at once, while the model is in a long step.

        A refusal goes to `ended`, as does whatever ends the session later; both are called on the worker's thread,
        or on this one where the other has ended. Raises BusyError where too many wait already.
        """
        session = WorkerSession(settings, deliver, self, ended, name)
        try:
            self._openings.put_nowait(session)
        except queue.Full:
            raise BusyError(
                f"The engine must have time to open a session, but {MAX_OPENINGS} wait for it."
            ) from None
        self._see_openings()
        return session

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive() and not self._is_stopping

    def look(self) -> Future[Look]:
        """How the engine is, as soon as the present step is over."""
        future: Future[Look] = Future()
        self._looks.put(future)
        self.wake()
        return future

    def wake(self) -> None:
        """Something has changed that the thread should look at."""
        self._wake.set()

    def stop(self) -> None:
        """End all sessions after the present step and wait for the thread."""
        self._is_stopping = True
        self.wake()
        self._thread.join()

    def _see_openings(self) -> None:
        """There is a new one; nobody would ever look at it where the thread has looked for the last time."""
        self.wake()
        if self._is_stopping:
            self._refuse_openings()

    def _refuse_openings(self) -> None:
        """On any thread: of two, each session is taken by one."""
        for session in self._openings_so_far():
            session.refuse(self._end_error)

    def _openings_so_far(self) -> Iterator[WorkerSession]:
        with suppress(queue.Empty):
            while True:
                yield self._openings.get_nowait()

    def _run(self) -> None:
        error: SeamlessStreamError | None = None
        try:
            self._loop()
        except BaseException:
            self._end_error = error = ModelError("The worker has ended by an unexpected error.")
            raise  # threading prints where; a driver that waits learns it below
        finally:
            self._is_stopping = True  # before the last look: what comes after it is refused by who brings it
            self._refuse_openings()
            for session in list(self._sessions):
                self._end(session, error)

    def _loop(self) -> None:
        while not self._is_stopping:
            self._wake.clear()  # before looking, so that what comes while looking wakes it again
            has_worked = self._take_openings()
            has_worked |= any([self._take_turn(session) for session in list(self._sessions)])
            started_s = time.perf_counter()
            if self._engine.step():
                has_worked = True
                for observer in self.observers:
                    observer.stepped(time.perf_counter() - started_s)
            self._show()
            if not has_worked:
                self._wake.wait()

    def _show(self) -> None:
        """To those who want to look."""
        while not self._looks.empty():
            future = self._looks.get_nowait()
            if future.set_running_or_notify_cancel():
                future.set_result(Look(self._engine.stats(), self._engine.load))

    def _take_openings(self) -> bool:
        found = False
        for session in self._openings_so_far():
            found = True
            if session.open(self._engine):
                self._sessions.append(session)
        return found

    def _take_turn(self, session: WorkerSession) -> bool:
        try:
            has_worked = session.take_turn(self._engine)
        except SeamlessStreamError as error:
            self._end(session, error)
            return True
        except Exception as error:
            log.debug("a session ended by an unexpected error", exc_info=True)
            failure = ModelError(f"The session failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._end(session, failure)
            return True
        if not has_worked and session.is_over:
            self._end(session, None)
        return has_worked

    def _end(self, session: WorkerSession, error: SeamlessStreamError | None) -> None:
        self._sessions.remove(session)
        session.end(self._engine, error)
