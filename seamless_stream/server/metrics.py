"""What the daemon measures of itself, in the text format of Prometheus.

Knows numbers and names, no sockets. `prometheus_client` does the counting: it is thread-safe, which the worker's thread
needs, and knows the format with its rules. Every Metrics has a registry of its own. No label holds anything of a
client.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client import Counter as Total

from seamless_stream import __version__
from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.worker import Item, Look, WorkerSession
from seamless_stream.errors import SeamlessStreamError
from seamless_stream.events import Event, Failed, Skipped, Speech
from seamless_stream.events import Final as FinalText

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LAG_S: Final = (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 10, 20, 60)
STEP_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15)
LOOP_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2)
# name in Engine.stats -> name and text of the gauges of all sessions and of the one that has most
OF_SESSIONS: Final = {
    "nbytes": ("state_bytes", "Memory of the model's state and of audio not heard yet"),
    "waiting_s": ("waiting_seconds", "Audio in the engine that the model has not heard"),
    "unplayed_s": ("unplayed_speech_seconds", "Speech given that cannot have been played yet"),
}
PREFIX: Final = "seamless_stream"


class Metrics:
    """An observer of the worker that also hears what the listening side tells it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._gauge("info", "The version that runs", ["version"]).labels(__version__).set(1)
        self._step_s = self._histogram("step_seconds", "One step of the engine", STEP_S)
        self._lag_s = self._histogram(
            "final_lag_seconds",
            "Audio of live sessions that had come after the end of a segment when its text was final",
            LAG_S,
        )
        self._loop_s = self._histogram("loop_lag_seconds", "How late the event loop wakes", LOOP_S)
        self._audio_s = self._total("audio_seconds", "Audio handed to the engine")
        self._speech_s = self._total("speech_seconds", "Translated speech")
        self._finals = self._total("finals", "Finished translations of segments")
        self._failed = self._total("failed_segments", "Segments that could not be translated")
        self._skipped = self._total("skipped", "Things left out to keep up, by what it was", ["what"])
        self._dropped_s = self._total("dropped_audio_seconds", "Audio that came too early and was not kept")
        self._refused = self._total("refused", "Requests refused, by code of the error", ["code"])
        self._closed = self._total("connections_closed", "WebSockets closed, by close code", ["code"])
        self._sessions = self._gauge("sessions", "Sessions that count towards the limits")
        self._engine_sessions = self._gauge("engine_sessions", "Sessions of the engine")
        self._load = self._gauge("load_ratio", "Part of its time that the model works for live sessions")
        self._input_s = self._gauge("input_queue_seconds", "Audio that waits before the engine, all sessions")
        self._unsent = self._gauge("unsent_bytes", "Messages that wait for their clients, all connections")
        self._of_sessions = {
            key: (
                self._gauge(f"engine_{name}", f"{text}, all sessions"),
                self._gauge(f"session_{name}_max", text),
            )
            for key, (name, text) in OF_SESSIONS.items()
        }
        self._overloaded = self._gauge("overloaded_sessions", "Sessions by level of relief", ["level"])

    # An observer.

    def pushed(self, session: WorkerSession, item: Item) -> None:
        """Audio, most of the time."""
        if item is not None and not isinstance(item, tuple):
            self._audio_s.inc(len(item) / SAMPLE_RATE)

    def delivered(self, session: WorkerSession, events: list[Event]) -> None:
        """What came of it."""
        for event in events:
            if isinstance(event, FinalText):
                self._finals.inc()
                if session.settings.is_live:
                    self._lag_s.observe(max(0.0, session.pushed_samples / SAMPLE_RATE - event.end_s))
            elif isinstance(event, Speech):
                self._speech_s.inc(len(event.samples) / event.rate)
            elif isinstance(event, Skipped):
                self._skipped.labels(event.what).inc()
            elif isinstance(event, Failed):
                self._failed.inc()

    def ended(self, session: WorkerSession, error: SeamlessStreamError | None) -> None:
        """Nothing to count."""

    def stepped(self, duration_s: float) -> None:
        """One step of the engine."""
        self._step_s.observe(duration_s)

    # From the listening side.

    def refused(self, code: str) -> None:
        """A request was answered with this error."""
        self._refused.labels(code).inc()

    def closed(self, code: int) -> None:
        """A WebSocket was closed."""
        self._closed.labels(str(code)).inc()

    def dropped(self, duration_s: float) -> None:
        """Audio was not kept."""
        self._dropped_s.inc(duration_s)

    def looped(self, late_s: float) -> None:
        """The event loop came so much later than it was asked to."""
        self._loop_s.observe(late_s)

    def write(self, look: Look, num_sessions: int, waiting: Iterable[tuple[int, int]]) -> bytes:
        """Everything; `waiting`: of each session, milliseconds of audio and bytes unsent."""
        self._sessions.set(num_sessions)
        pairs = list(waiting)
        self._input_s.set(sum(audio_ms for audio_ms, _ in pairs) / 1000)
        self._unsent.set(sum(unsent for _, unsent in pairs))
        self._engine_sessions.set(len(look.sessions))
        self._load.set(look.load)
        for key, (total, most) in self._of_sessions.items():
            values = [session[key] for session in look.sessions]
            total.set(sum(values))
            most.set(max(values, default=0))
        levels = Counter(int(session["overload_level"]) for session in look.sessions)
        for level in range(5):
            self._overloaded.labels(str(level)).set(levels[level])
        return generate_latest(self._registry)

    # Making them.

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _total(self, name: str, text: str, labels: Iterable[str] = ()) -> Total:
        return Total(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, registry=self._registry, buckets=buckets)
