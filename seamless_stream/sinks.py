"""Where events go: the terminal, a WAV file, JSON lines, SRT and VTT subtitles.

Every sink is `write(event, elapsed_s)` and `close()`; files are complete after every write, so that an interruption
loses nothing. Knows no session and no model.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TextIO

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from seamless_stream.audio.files import WavWriter
from seamless_stream.engine.metrics import Fact, fact, json_line
from seamless_stream.errors import SettingsError
from seamless_stream.events import Event, Failed, Final, Partial, SegmentStarted, Skipped, Speech

LINE_CHARACTERS = 42  # of a subtitle, as broadcasters do
CUE_LINES = 2
SILENCE_BLOCK_S = 1


class Sink(Protocol):
    """A consumer of events."""

    def write(self, event: Event, elapsed_s: float) -> None:
        """Take one event; `elapsed_s` is the time since the stream began when it came."""

    def close(self) -> None:
        """No more will come."""


@dataclass(frozen=True)
class Cue:
    """One subtitle."""

    start_s: float
    end_s: float
    text: str


def cues(final: Final) -> list[Cue]:
    """The subtitles of a segment: two lines at most, long text in several, each as long as its share of the text."""
    lines = wrap(final.text)
    blocks = ["\n".join(lines[i : i + CUE_LINES]) for i in range(0, len(lines), CUE_LINES)]
    num_characters = sum(map(len, blocks))
    result, done = [], 0
    for block in blocks:
        times = [
            final.start_s + (final.end_s - final.start_s) * part / num_characters
            for part in (done, done + len(block))
        ]
        result.append(Cue(times[0], times[1], block))
        done += len(block)
    return result


def wrap(text: str) -> list[str]:
    """Lines of at most 42 characters; scripts without spaces are cut anywhere."""
    return textwrap.wrap(" ".join(text.split()), LINE_CHARACTERS, break_on_hyphens=False)


def timestamp(seconds: float, separator: str) -> str:
    """00:00:03,200 with the separator of the format."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return (
        f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{separator}{milliseconds % 1000:03}"
    )


def format_cue(cue: Cue, number: int, kind: Literal["srt", "vtt"]) -> str:
    """One block of a subtitle file with its blank line."""
    separator, head = (",", f"{number}\n") if kind == "srt" else (".", "")
    text = cue.text
    if kind == "vtt":
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{head}{timestamp(cue.start_s, separator)} --> {timestamp(cue.end_s, separator)}\n{text}\n\n"


def open_text(path: Path) -> TextIO:
    """A file for writing; raises SettingsError where that is impossible."""
    try:
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise SettingsError(f"`{path}` cannot be written: {error.strerror}.") from error


class SubtitleSink:
    """SRT or VTT, one language, a segment's cues as soon as its text is final."""

    def __init__(self, stream: TextIO, kind: Literal["srt", "vtt"], language: str | None = None) -> None:
        self._stream = stream
        self._kind = kind
        self._language = language
        self._num_cues = 0
        if kind == "vtt":
            self._stream.write("WEBVTT\n\n")

    def write(self, event: Event, elapsed_s: float) -> None:
        """Only final texts matter."""
        if not isinstance(event, Final) or self._language not in (None, event.language):
            return
        for cue in cues(event):
            self._num_cues += 1
            self._stream.write(format_cue(cue, self._num_cues, self._kind))
        self._stream.flush()

    def close(self) -> None:
        """End the file."""
        self._stream.close()


class JsonLinesSink:
    """Every event as one JSON line, as `engine.metrics.fact` tells it."""

    def __init__(self, stream: TextIO, header: Fact | None = None) -> None:
        self._stream = stream
        if header is not None:
            self._stream.write(json_line(header) + "\n")

    def write(self, event: Event, elapsed_s: float) -> None:
        """All events."""
        self._stream.write(json_line(fact(event, elapsed_s)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """End the file."""
        self._stream.close()


class WavSink:
    """Speech on the time line of the source: silence up to the segment's place, never over earlier speech.

    `anchor` start: a dubbing track; end: what a listener of `live` hears, where nothing can be said earlier.
    """

    def __init__(self, path: Path, anchor: Literal["start", "end"], language: str | None = None) -> None:
        self.path = path
        self._anchor = anchor
        self._language = language
        self._writer: WavWriter | None = None  # opened at the first speech, which knows the rate
        self._places_s: dict[int, float] = {}

    @property
    def has_speech(self) -> bool:
        """Whether there is a file."""
        return self._writer is not None

    def write(self, event: Event, elapsed_s: float) -> None:
        """A final text tells the place, the speech of the same segment follows."""
        if self._language not in (None, getattr(event, "language", self._language)):
            return
        if isinstance(event, Final):
            self._places_s = {event.segment: event.start_s if self._anchor == "start" else event.end_s}
        elif isinstance(event, Speech):
            self._append(event)

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()

    def _append(self, speech: Speech) -> None:
        if self._writer is None:
            self._writer = WavWriter(self.path, speech.rate)
        place = round(self._places_s.get(speech.segment, 0.0) * speech.rate)
        missing = place - self._writer.num_samples
        while missing > 0:  # in blocks: the pause may be hours long
            block = min(missing, SILENCE_BLOCK_S * speech.rate)
            self._writer.write(np.zeros(block, np.float32))
            missing -= block
        self._writer.write(speech.samples)


class TerminalSink:
    """Captions for people: final lines stay, the open segment changes in place where the terminal can do that."""

    def __init__(self, console: Console, *, shows_delay: bool, shows_language: bool = False) -> None:
        self._console = console
        self._shows_delay = shows_delay
        self._shows_language = shows_language
        self._live = (
            Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        )
        if self._live is not None:
            self._live.start()

    def write(self, event: Event, elapsed_s: float) -> None:
        """Finals and troubles as lines, partials in place."""
        try:
            if self._live is not None:
                self._live.update(self._pending(event), refresh=True)
            for line in self._lines(event, elapsed_s):
                self._console.print(line, highlight=False, soft_wrap=True)
        except (
            SystemExit
        ):  # rich's answer to a reader that has gone; on the worker's thread it would end nothing
            raise BrokenPipeError("The reader of the captions has gone.") from None

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()

    def _lines(self, event: Event, elapsed_s: float) -> Iterator[Text]:
        if isinstance(event, Final) and event.text:
            line = Text(f"[{clock_time(event.start_s)} - {clock_time(event.end_s)}] ", style="cyan")
            line.append(f"{event.language}: " if self._shows_language else "", style="magenta")
            line.append(event.text, style="default")
            if self._shows_delay:
                line.append(f"  +{elapsed_s - event.end_s:.1f} s", style="dim")
            yield line
        elif isinstance(event, Failed):
            yield Text(f"segment {event.segment + 1} failed: {event.message}", style="red")
        elif isinstance(event, Skipped):
            yield Text(f"segment {event.segment + 1}: {event.what} left out: {event.reason}", style="yellow")

    def _pending(self, event: Event) -> Text:
        if isinstance(event, SegmentStarted):
            return Text(f"[{clock_time(event.start_s)} - ...] ", style="dim")
        if isinstance(event, Partial):
            return Text.assemble(event.committed, (event.pending, "dim"))
        return Text("")


def clock_time(seconds: float) -> str:
    """0:03.2, or 1:02:03.2 after an hour."""
    tenths = round(seconds * 10)
    hours, tenths = divmod(tenths, 36_000)
    minutes, tenths = divmod(tenths, 600)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{tenths // 10:02}.{tenths % 10}"
