"""The way from a session's intake to the worker and back: one engine session after the other, a flush between them.

Runs on the event loop and never waits for the model: what the worker has no room for stays in the intake, and what it
delivers comes by `call_soon_threadsafe`. Knows no messages of the wire.
"""

import asyncio
import time
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.load import Load
from seamless_stream.engine.worker import Progress, Worker, WorkerSession
from seamless_stream.errors import BusyError, SeamlessStreamError
from seamless_stream.events import Event
from seamless_stream.server.intake import Intake, Mark, Targets
from seamless_stream.settings import SessionSettings

MEASURE_S: Final = 1.0  # of audio between two looks at the work that it needs


class Owner(Protocol):
    """Whoever is told; always on the event loop."""

    def began(self, settings: SessionSettings) -> None:
        """What is delivered next comes from an engine session with these."""

    def deliver(self, new: list[Event]) -> None:
        """What the model has made of the audio."""

    def reached(self, mark: Mark) -> None:
        """All before the mark is translated and delivered."""

    def fail(self, error: SeamlessStreamError | None) -> None:
        """Nothing more will come; None: the worker has stopped."""


class Feed:
    """`pump` often; `put` what has its place between the samples; `close` when nobody listens any more."""

    def __init__(
        self,
        worker: Worker,
        intake: Intake,
        settings: SessionSettings,
        owner: Owner,
        name: str = "",
    ) -> None:
        self.intake = intake
        self.offset_s = 0.0  # source time where the present engine session began
        self._worker = worker
        self._settings = settings  # of what is handed over next: at this place of the input, not of now
        self._owner = owner
        self._name = name
        self._session: WorkerSession | None = None
        self.mark: Mark | None = None  # the worker finishes what came before it
        self._load = Load()
        self._measured = (0.0, 0.0)  # audio and work of the present engine session when it was last looked at
        self._num_pushed = 0  # samples at 16 kHz, also those of engine sessions before the present one
        self._is_closed = False

    @property
    def progress(self) -> Progress:
        """Of the present engine session."""
        return Progress() if self._session is None else self._session.progress

    @property
    def realtime_factor(self) -> float:
        """Seconds that the model has worked lately for each second of this session's audio."""
        self._measure(MEASURE_S)
        return self._load.per_session

    @property
    def elapsed_s(self) -> float:
        """Source time that the model has been given."""
        return self.offset_s + self.progress.position_s

    @property
    def heard_s(self) -> float:
        """Source time that it has heard."""
        progress = self.progress
        return self.offset_s + max(0.0, progress.position_s - progress.waiting_s)

    @property
    def untaken_s(self) -> float:
        """What the worker was given and has not looked at yet."""
        return max(0.0, self._num_pushed / SAMPLE_RATE - self.elapsed_s)

    def put(self, item: Mark | Targets) -> None:
        """In its place between the samples."""
        self.intake.put(item)
        self.pump()

    def pump(self) -> None:
        """Hand the worker what it may have now."""
        while self.mark is None and not self._is_closed:
            item = self.intake.take(time.monotonic())
            if item is None:
                return
            if not self._hand_over(item):
                self.intake.give_back(item)
                return

    def close(self) -> None:
        """Drop what is not translated yet; nothing more is told."""
        self._is_closed = True
        if self._session is not None:
            self._session.close()

    def _hand_over(self, item: np.ndarray | Mark | Targets) -> bool:
        if self._session is None:
            if isinstance(item, Mark):
                self._reach(item)
                return True
            if isinstance(item, Targets):
                self._follow(item)
                return True
            try:
                self._session = self._open()
            except BusyError as error:
                self._owner.fail(error)
                return True
        try:
            if isinstance(item, Mark):
                is_taken = self._session.finish(timeout_s=0)
                self.mark = item if is_taken else None
            elif isinstance(item, Targets):
                is_taken = self._session.change_targets(item.codes, timeout_s=0)
                if is_taken:
                    self._follow(item)
            else:
                is_taken = self._session.push(item, timeout_s=0)
                self._num_pushed += len(item) if is_taken else 0
        except SeamlessStreamError:
            return True  # it has ended; `_ended` hears why
        return is_taken

    def _follow(self, targets: Targets) -> None:
        self._settings = replace(self._settings, target_languages=targets.codes)

    def _open(self) -> WorkerSession:
        loop = asyncio.get_running_loop()

        def deliver(new: list[Event]) -> None:
            loop.call_soon_threadsafe(self._deliver, new)

        def ended(error: SeamlessStreamError | None) -> None:
            loop.call_soon_threadsafe(self._ended, error)

        self._owner.began(self._settings)
        return self._worker.open_later(self._settings, deliver, ended, self._name)

    def _deliver(self, new: list[Event]) -> None:
        if not self._is_closed:
            self._owner.deliver(new)

    def _ended(self, error: SeamlessStreamError | None) -> None:
        """Everything of the engine's session is delivered."""
        if self._is_closed:
            return
        self._measure(0.0)  # also work since the last of its audio was measured
        self._measured = (0.0, 0.0)
        self._session = None
        if error is None and self.mark is not None:
            mark, self.mark = self.mark, None
            self._reach(mark)
            self.pump()
        else:
            self._owner.fail(error)

    def _measure(self, least_s: float) -> None:
        progress, (audio_s, compute_s) = self.progress, self._measured
        if progress.position_s - audio_s >= least_s:
            self._load.add(progress.position_s - audio_s, progress.compute_s - compute_s)
            self._measured = progress.position_s, progress.compute_s

    def _reach(self, mark: Mark) -> None:
        self.offset_s = self._num_pushed / SAMPLE_RATE
        self._owner.reached(mark)
