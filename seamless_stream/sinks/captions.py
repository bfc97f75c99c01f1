"""Captions in files: SRT and VTT subtitles, JSON lines.

Files are complete after every write, so that an interruption loses nothing. Knows no session and no model.
"""

import textwrap
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from seamless_stream.engine.metrics import Fact, fact, json_line
from seamless_stream.errors import SettingsError, writing
from seamless_stream.events import Event, Final

LINE_CHARACTERS = 42  # of a subtitle, as broadcasters do
CUE_LINES = 2


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
    with writing(path, SettingsError):
        return path.open("w", encoding="utf-8", newline="\n")


class TextFile:
    """Text that is on the disk after every write; raises SettingsError where a path can take no more."""

    def __init__(self, file: Path | TextIO) -> None:
        self.path = file if isinstance(file, Path) else None
        self._stream = open_text(file) if isinstance(file, Path) else file

    def write(self, text: str) -> None:
        """All of it, at once."""
        with self._writing():
            self._stream.write(text)
            self._stream.flush()

    def close(self) -> None:
        """End the file; a second call does nothing."""
        with self._writing():
            self._stream.close()

    def _writing(self) -> AbstractContextManager[None]:
        return nullcontext() if self.path is None else writing(self.path, SettingsError, self._stream)


class SubtitleSink:
    """SRT or VTT, one language, a segment's cues as soon as its text is final."""

    def __init__(self, file: Path | TextIO, kind: Literal["srt", "vtt"], language: str | None = None) -> None:
        self._file = TextFile(file)
        self.path = self._file.path
        self._kind = kind
        self._language = language
        self._num_cues = 0
        if kind == "vtt":
            self._file.write("WEBVTT\n\n")

    def write(self, event: Event, elapsed_s: float) -> None:
        """Only final texts matter."""
        if not isinstance(event, Final) or self._language not in (None, event.language):
            return
        for cue in cues(event):
            self._num_cues += 1
            self._file.write(format_cue(cue, self._num_cues, self._kind))

    def close(self) -> None:
        """End the file."""
        self._file.close()


class JsonLinesSink:
    """Every event as one JSON line, as `engine.metrics.fact` tells it."""

    def __init__(self, file: Path | TextIO, header: Fact | None = None) -> None:
        self._file = TextFile(file)
        self.path = self._file.path
        if header is not None:
            self._file.write(json_line(header) + "\n")

    def write(self, event: Event, elapsed_s: float) -> None:
        """All events."""
        self._file.write(json_line(fact(event, elapsed_s)) + "\n")

    def close(self) -> None:
        """End the file."""
        self._file.close()
