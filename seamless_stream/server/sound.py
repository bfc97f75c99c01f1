"""What a session's sound tells of itself: our own voice that comes back, what the client has played, what to warn of.

Pure. Finding it is `audio/echo.py` and `audio/monitor.py`; that the guard hears the input is the intake's part.
"""

from collections.abc import Iterator

from seamless_stream.audio.echo import Echo, EchoGuard
from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.monitor import SoundMonitor
from seamless_stream.audio.own_speech import HalfDuplex
from seamless_stream.audio.resample import resampled
from seamless_stream.events import Speech
from seamless_stream.server.captions import Captions, Outgoing
from seamless_stream.server.configuration import Configuration
from seamless_stream.server.messages import Dialect, SegmentEnded, SegmentStarted, Warn


class Sound:
    """Of one session; `begin` it at the first audio."""

    def __init__(self, captions: Captions) -> None:
        self.guard: EchoGuard | HalfDuplex | None = None
        self.monitor: SoundMonitor | None = None
        self._captions = captions
        self._num_open = 0  # segments
        self._played: int | None = None  # samples of the first output clock, as the client says

    def begin(self, config: Configuration, dialect: Dialect) -> None:
        """The configuration is fixed now."""
        if dialect == "native":
            self.monitor = SoundMonitor(config.input_rate)
        # A file that is sent faster than it plays has no loudspeaker beside it.
        if config.pacing != "realtime" or config.mode != "speech":
            return
        if config.duplex.mode == "half":
            self.guard = HalfDuplex()
        elif config.duplex.echo_guard != "off":
            self.guard = EchoGuard(is_certain=config.duplex.echo_guard == "on")
        if self.guard is not None:
            self._captions.on_speech = self._say

    def played(self, up_to_sample: int) -> None:
        """The client has played so much of the first output clock."""
        self._played = max(0, up_to_sample)
        if self.guard is not None:
            place = self._played * SAMPLE_RATE // self._captions.output_rate
            self.guard.speech.played(place, self.guard.now)

    def clear(self) -> None:
        """The client plays no more of what it has."""
        if self.guard is not None:
            self.guard.speech.clear(self.guard.now)

    @property
    def unplayed_ms(self) -> int | None:
        """Speech that the client has not played; None: it has not said."""
        if self._played is None:
            return None
        said = self._captions.clocks.get(0, 0)
        return max(0, said - self._played) * 1000 // self._captions.output_rate

    def note(self, message: Outgoing) -> None:
        """What is told of the segments."""
        if self.monitor is None:
            return
        if isinstance(message, SegmentStarted):
            self._num_open += 1
            self.monitor.spoke(message.start_ms)
        elif isinstance(message, SegmentEnded):
            self._num_open -= 1
            self.monitor.spoke(message.end_ms)

    def warnings(self, heard_ms: int, *, is_last: bool = False) -> Iterator[Warn]:
        """What is new; `heard_ms` is the source time that the detector has heard, `is_last`: no more will come."""
        echoes: list[Echo] = []
        if isinstance(self.guard, EchoGuard):
            echoes = self.guard.finish() if is_last else self.guard.found()
        if self.monitor is None:
            return  # the OpenAI dialect has no warnings
        for echo in echoes:
            detail = {
                "start_ms": echo.start * 1000 // SAMPLE_RATE,
                "end_ms": echo.end * 1000 // SAMPLE_RATE,
                "lag_ms": echo.lag * 1000 // SAMPLE_RATE,
                "silenced_ms": echo.num_silenced * 1000 // SAMPLE_RATE,
            }
            yield Warn("echo_suspected", detail)
        for second in self.monitor.clipped():
            yield Warn(
                "clipping",
                {"start_ms": second.start_ms, "end_ms": second.end_ms, "clipped_percent": second.percent},
            )
        quiet = None if self._num_open or is_last else self.monitor.no_speech(heard_ms)
        if quiet is not None:
            yield Warn(
                "no_speech",
                {"start_ms": quiet.start_ms, "end_ms": quiet.end_ms, "level_dbfs": quiet.level_dbfs},
            )

    def _say(self, speech: Speech, place: int) -> None:
        assert self.guard is not None
        self.guard.speech.say(resampled(speech.samples, speech.rate), self.guard.now, place)
