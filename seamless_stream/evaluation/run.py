"""Feeds recordings through a session, as the daemon does, and logs what comes out and when.

With the simulated clock the engine works on every chunk until nothing is left to do, and its time is measured; with the
clock on the wall the source plays at its own pace and the worker thread works. Knows no metric.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import AudioFile, WavWriter
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.worker import Worker
from seamless_stream.evaluation.corpus import Recording
from seamless_stream.evaluation.log import LogWriter, Moment
from seamless_stream.events import Event, Speech
from seamless_stream.settings import SessionSettings
from seamless_stream.sources import paced

TIMERS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
WARM_UP_S = 4  # of the first recording: the first step of a process is slower than all others

Progress = Callable[[float], None]  # seconds of source since the last call


def run(
    engine: Engine,
    settings: SessionSettings,
    recordings: list[Recording],
    log: LogWriter,
    chunk_ms: int,
    *,
    is_paced: bool = False,
    timer: str = "wall",
    speech_folder: Path | None = None,
    progress: Progress = lambda seconds: None,
) -> None:
    """All recordings, one session each; the speech of each as one file in `speech_folder`, without its pauses.

    `timer` measures the computing of the simulated clock: `cpu` where other programs share the machine, which is the
    time of the wall only if the model runs on one core and no accelerator.
    """
    chunk_samples = chunk_ms * SAMPLE_RATE // 1000
    _warm_up(engine, settings, recordings[0], chunk_samples)
    for number, recording in enumerate(recordings):
        log.begin(recording.name, recording.path)
        speech = _SpeechFile(speech_folder / f"{number}.wav") if speech_folder else None
        chunks = _watched(AudioFile(recording.path).chunks(chunk_samples), progress)
        try:
            if is_paced:
                num_samples = _play_paced(engine, settings, chunks, log, speech)
            else:
                num_samples = _play_simulated(engine, settings, chunks, log, speech, TIMERS[timer])
        finally:
            if speech:
                speech.close()
        log.end(num_samples / SAMPLE_RATE)


class _SpeechFile:
    """One WAV file with the pieces one after the other; not made where nothing is said."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: WavWriter | None = None

    def write(self, event: Event) -> None:
        if isinstance(event, Speech):
            self._writer = self._writer or WavWriter(self._path, event.rate)
            self._writer.write(event.samples)

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def _watched(chunks: Iterator[np.ndarray], progress: Progress) -> Iterator[np.ndarray]:
    for chunk in chunks:
        yield chunk
        progress(len(chunk) / SAMPLE_RATE)


def _warm_up(engine: Engine, settings: SessionSettings, recording: Recording, chunk_samples: int) -> None:
    session = engine.open(settings)
    num_samples = 0
    for chunk in AudioFile(recording.path).chunks(chunk_samples):
        session.push(chunk)
        num_samples += len(chunk)
        while engine.step():
            pass
        if num_samples >= WARM_UP_S * SAMPLE_RATE:
            break
    session.finish()
    while engine.step():
        pass
    engine.close(session)


class _Stopwatch:
    """The simulated clock of one recording: source time, computing, and when the engine is free again."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self.started = time.perf_counter()
        self.heard_s = 0.0
        self.free_s = 0.0  # when everything begun so far is done
        self.compute_s = 0.0  # since the last chunk
        self.cpu_s = 0.0

    def measure(self, work: Callable[[], object]) -> object:
        """Do it, and let the clock know: it begins when its source is heard and what was begun before is done."""
        begun, cpu = self._timer(), time.process_time()
        result = work()
        taken = self._timer() - begun
        self.cpu_s += time.process_time() - cpu
        self.compute_s += taken
        self.free_s = max(self.free_s, self.heard_s) + taken
        return result

    def now(self) -> Moment:
        return Moment(self.heard_s, max(self.free_s, self.heard_s), time.perf_counter() - self.started)


def _play_simulated(
    engine: Engine,
    settings: SessionSettings,
    chunks: Iterator[np.ndarray],
    log: LogWriter,
    speech: _SpeechFile | None,
    timer: Callable[[], float],
) -> int:
    """Push, work until nothing is left to do, take what came out; samples that were pushed."""
    session = engine.open(settings)
    clock = _Stopwatch(timer)
    num_samples = 0

    def drain(first: Callable[[], object]) -> None:
        work: Callable[[], object] = first
        while clock.measure(work) or work is first:
            for event in session.events():
                log.event(event, clock.now())
                if speech:
                    speech.write(event)
            work = engine.step
        log.chunk(clock.now(), clock.compute_s, clock.cpu_s)
        clock.compute_s = clock.cpu_s = 0.0

    try:
        for chunk in chunks:
            num_samples += len(chunk)
            clock.heard_s = num_samples / SAMPLE_RATE
            drain(lambda chunk=chunk: session.push(chunk))  # type: ignore[misc]
        drain(session.finish)
    finally:
        engine.close(session)
    return num_samples


def _play_paced(
    engine: Engine,
    settings: SessionSettings,
    chunks: Iterator[np.ndarray],
    log: LogWriter,
    speech: _SpeechFile | None,
) -> int:
    """Push at the pace of the source while the worker thread works; samples that were pushed."""
    num_samples = 0
    started = time.perf_counter()

    def deliver(events: list[Event]) -> None:
        wall_s = time.perf_counter() - started
        for event in events:
            log.event(event, Moment(num_samples / SAMPLE_RATE, wall_s, wall_s))
            if speech:
                speech.write(event)

    with Worker(engine) as worker:
        live = worker.open(settings, deliver)
        started = time.perf_counter()
        for chunk in paced(chunks):
            num_samples += len(chunk)
            live.push(chunk)
        live.finish()
        while not live.wait(0.2):  # short waits, so that Ctrl-C is heard on every platform
            pass
    return num_samples
