"""The log of a run: raw facts as JSON lines, and what can be read from them without a model.

The first line says what ran. Then, per recording, its own line, one for every chunk of source that was pushed and one
for every event, each with three times in seconds: `heard_s` of source, `elapsed_s` with computing, `wall_s`.
Figures are computed from this and nothing else, so that they can be computed again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from seamless_stream.engine.metrics import Fact, fact, json_line
from seamless_stream.errors import SettingsError
from seamless_stream.evaluation.latency import common_prefix
from seamless_stream.evaluation.quality import Unit
from seamless_stream.events import Event

# simulated: as fast as it goes; `elapsed_s` adds the computing to the source time, with the backlog that it leaves.
# wall: the source plays at its own pace; `elapsed_s` is `wall_s`.
Clock = Literal["simulated", "wall"]
VERSION = 1


@dataclass(frozen=True)
class Moment:
    """When something came out, in seconds since the recording began."""

    heard_s: float
    elapsed_s: float
    wall_s: float


class LogWriter:
    """Appends facts to a file; every line is complete when `write` returns."""

    def __init__(self, path: Path, header: Fact) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._recording = -1
        self._write({"type": "Run", "version": VERSION, **header})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self, name: str, path: Path) -> None:
        """The facts that follow belong to this recording."""
        self._recording += 1
        self._write({"type": "Recording", "recording": self._recording, "name": name, "path": str(path)})

    def chunk(self, moment: Moment, compute_s: float, cpu_s: float) -> None:
        """Source was pushed up to `heard_s`, and everything that it made ready was computed."""
        times = {"compute_s": round(compute_s, 6), "cpu_s": round(cpu_s, 6)}
        self._write({"type": "Chunk", "recording": self._recording, **_times(moment), **times})

    def event(self, event: Event, moment: Moment) -> None:
        """Something came out."""
        known = fact(event, moment.elapsed_s)
        self._write({**known, "recording": self._recording, **_times(moment)})

    def end(self, audio_s: float) -> None:
        """The recording is over."""
        self._write({"type": "RecordingEnded", "recording": self._recording, "audio_s": round(audio_s, 6)})

    def _write(self, line: Fact) -> None:
        self._file.write(json_line(line) + "\n")
        self._file.flush()


def _times(moment: Moment) -> Fact:
    return {name: round(getattr(moment, name), 6) for name in ("heard_s", "elapsed_s", "wall_s")}


@dataclass
class Track:
    """The facts of one recording."""

    name: str
    path: Path
    audio_s: float = 0.0
    chunks: list[Fact] = field(default_factory=list)
    events: list[Fact] = field(default_factory=list)

    @property
    def compute_s(self) -> float:
        """Time that computing took, waiting for the source not counted; 0 with the clock on the wall."""
        return float(sum(chunk["compute_s"] for chunk in self.chunks))

    @property
    def cpu_s(self) -> float:
        """The same in seconds of processor time."""
        return float(sum(chunk["cpu_s"] for chunk in self.chunks))

    def of_type(self, *names: str) -> list[Fact]:
        """Events of these types, in order."""
        return [event for event in self.events if event["type"] in names]


@dataclass(frozen=True)
class Log:
    """A log read back."""

    header: dict[str, Any]
    tracks: list[Track]


def read_log(path: Path) -> Log:
    """Raises SettingsError where the file is no log, or one that was cut short."""
    try:
        with path.open(encoding="utf-8") as file:  # a text may hold U+2028, which is no end of a line here
            lines = [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise SettingsError(f"`{path}` cannot be read as a log: {error}.") from error
    if not lines or lines[0].get("type") != "Run" or lines[0].get("version") != VERSION:
        raise SettingsError(f"`{path}` must be a log of version {VERSION} that begins with a Run.")
    tracks: list[Track] = []
    for line in lines[1:]:
        if line["type"] == "Recording":
            tracks.append(Track(line["name"], Path(line["path"])))
        elif line["type"] == "RecordingEnded":
            tracks[-1].audio_s = line["audio_s"]
        else:
            (tracks[-1].chunks if line["type"] == "Chunk" else tracks[-1].events).append(line)
    if not tracks or not tracks[-1].audio_s:
        raise SettingsError(f"`{path}` must hold whole recordings, but its last one has no end.")
    return Log(lines[0], tracks)


# --- text ---


def split(text: str, unit: Unit) -> list[str]:
    """Words, or characters without spaces."""
    return text.split() if unit == "word" else list("".join(text.split()))


def join(units: list[str], unit: Unit) -> str:
    """The text that `split` gives back as these units."""
    return (" " if unit == "word" else "").join(units)


def displays(track: Track, unit: Unit, *, with_pending: bool) -> Iterator[tuple[Fact, list[str]]]:
    """The whole text of the recording after every event that changed it, as units.

    Only what is committed, or `with_pending` all that a viewer sees.
    """
    segments: dict[int, list[str]] = {}
    for event in track.of_type("Partial", "Final"):
        text = _committed(event) + (event.get("pending", "") if with_pending else "")
        units = split(text, unit)
        if units != segments.get(event["segment"], []):
            segments[event["segment"]] = units
            yield event, [item for number in sorted(segments) for item in segments[number]]


def _committed(event: Fact) -> str:
    """Text of a Partial or a Final that stays."""
    return str(event["text"] if event["type"] == "Final" else event["committed"])


@dataclass(frozen=True)
class Emissions:
    """The final text of a recording as it was said, the same as units, and when each of them was there for good."""

    text: str
    units: list[str]
    delays_ms: list[float]
    elapsed_ms: list[float]


def emissions(track: Track, unit: Unit) -> Emissions:
    """A unit is emitted when it was first committed as it stays: a word that grows counts from its last change."""
    texts = {event["segment"]: _committed(event) for event in track.of_type("Partial", "Final")}
    text = " ".join(" ".join(texts[segment] for segment in sorted(texts)).split())
    units: list[str] = []
    heard: list[float] = []
    elapsed: list[float] = []
    for event, shown in displays(track, unit, with_pending=False):
        kept = common_prefix(units, shown)
        heard[kept:] = [event["heard_s"] * 1000] * (len(shown) - kept)
        elapsed[kept:] = [event["elapsed_s"] * 1000] * (len(shown) - kept)
        units = shown
    return Emissions(text, units, heard, elapsed)


# --- speech ---


@dataclass(frozen=True)
class Pieces:
    """Synthesized speech as it came out."""

    delays_ms: list[float]
    elapsed_ms: list[float]
    durations_ms: list[float]


def pieces(track: Track) -> Pieces:
    """Empty where nothing was said."""
    found = track.of_type("Speech")
    return Pieces(
        [event["heard_s"] * 1000 for event in found],
        [event["elapsed_s"] * 1000 for event in found],
        [1000 * event["num_samples"] / event["rate"] for event in found],
    )
