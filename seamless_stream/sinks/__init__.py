"""Where events go: the terminal, caption files, speech files, pipes and loudspeakers.

Every sink is `write(event, elapsed_s)`, with the time since the stream began when the event came, and `close()`.
"""

from typing import Protocol

from seamless_stream.events import Event
from seamless_stream.sinks.captions import JsonLinesSink, SubtitleSink, open_text
from seamless_stream.sinks.speech import PipeSink, SpeakerSink, WavSink
from seamless_stream.sinks.terminal import TerminalSink

__all__ = [
    "JsonLinesSink",
    "PipeSink",
    "Sink",
    "SpeakerSink",
    "SubtitleSink",
    "TerminalSink",
    "WavSink",
    "open_text",
]


class Sink(Protocol):
    """A consumer of events."""

    def write(self, event: Event, elapsed_s: float) -> None:
        """Take one event; `elapsed_s` is the time since the stream began when it came."""

    def close(self) -> None:
        """No more will come."""
