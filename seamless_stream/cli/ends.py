"""Both ends of a live run: the source, the sinks with the terminal among them, and what is said of them.

Knows `--source`, `--sink` and `--pace`; knows neither engine nor server. `live` and `connect` share it.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console

from seamless_stream.cli import complain
from seamless_stream.cli.own_voice import OwnVoice
from seamless_stream.devices import Device, choose, list_devices
from seamless_stream.engine.metrics import Fact
from seamless_stream.errors import SeamlessStreamError, SettingsError
from seamless_stream.sinks import (
    JsonLinesSink,
    PipeSink,
    Sink,
    SpeakerSink,
    SubtitleSink,
    TerminalSink,
    WavSink,
)
from seamless_stream.sources import DeviceSource, Source

Captions = Literal[".srt", ".vtt", ".jsonl"]
CAPTION_SUFFIXES: tuple[Captions, ...] = get_args(Captions)


@dataclass
class Run:
    """What one run holds together."""

    source: Source
    sinks: list[Sink]
    terminal: TerminalSink
    speaker: SpeakerSink | None
    voice: OwnVoice | None
    is_paced: bool
    is_quiet: bool
    num_samples: int = 0  # pushed so far
    is_interrupted: bool = False
    trouble: SeamlessStreamError | None = None  # ended it early
    num_warned: Counter[str] = field(default_factory=Counter)

    def say(self, text: str) -> None:
        """A note, unless the user wants none."""
        if not self.is_quiet:
            self.terminal.note(text)

    def watch(self) -> None:
        """Show new warnings of source, loudspeaker and echo; raises AudioError when the loudspeaker has gone."""
        watched = {"source": self.source.warnings}
        if self.speaker is not None:
            watched["speaker"] = self.speaker.warnings
        if self.voice is not None:
            watched["voice"] = self.voice.warnings
        for name, warnings in watched.items():
            for warning in warnings[self.num_warned[name] :]:
                self.terminal.note(f"seamless-stream: note: {warning}")
            self.num_warned[name] = len(warnings)
        if self.speaker is not None:
            self.speaker.check()


def is_speaker(sink: str) -> bool:
    """A loudspeaker, by whatever name."""
    return sink.partition(":")[0] == "speaker"


def sink_problems(sinks: list[str]) -> list[str]:
    """What is wrong with `--sink` before anything is opened."""
    suffixes = (".wav", *CAPTION_SUFFIXES)
    problems = [f"`--sink {sink}` must be given once." for sink, count in Counter(sinks).items() if count > 1]
    if sum(map(is_speaker, sinks)) > 1:
        problems.append("`--sink speaker` must be given once: one loudspeaker plays.")
    for sink in sinks:
        if sink == "-" or is_speaker(sink):
            continue
        if Path(sink).suffix.lower() not in suffixes:
            known = ", ".join(suffixes)
            problems.append(
                f"`--sink` must be speaker, `-`, or a file that ends in one of {known}, but is {sink}."
            )
        elif not Path(sink).absolute().parent.is_dir():
            problems.append(f"`{sink}` cannot be written: its directory does not exist.")
    return problems


def pace_problems(source: str, sinks: list[str], pace: str) -> list[str]:
    """What cannot run at another pace than its own."""
    if pace == "real-time":
        return []
    live_ends = [f"--source {source}"] if source.partition(":")[0] in ("mic", "loopback") else []
    live_ends += [f"--sink {sink}" for sink in sinks if is_speaker(sink)]
    return [f"`{end}` needs the pace real-time, but the pace is {pace}." for end in live_ends]


def speaker_device(source_name: str, sinks: list[str], source: Source) -> Device | None:
    """Which loudspeaker plays, if one does; raises AudioError, and SettingsError where the source would hear it."""
    for sink in sinks:
        if is_speaker(sink):
            device = choose(list_devices(), "output", sink.partition(":")[2] or None)
            if isinstance(source, DeviceSource) and source.device.monitors == device.name:
                raise SettingsError(
                    f"`--source {source_name}` hears what `--sink {sink}` plays, and would translate itself:"
                    " choose another output (`seamless-stream devices`)."
                )
            return device
    return None


def open_sinks(
    names: Sequence[str], languages: Sequence[str], is_real_time: bool, header: Fact
) -> list[Sink]:
    """All but the terminal and the loudspeaker; files that belong to a language once for each."""
    sinks: list[Sink] = []
    many = len(languages) > 1
    for name in names:
        suffix = Path(name).suffix.lower()
        paths = [(lang, _for_language(name, lang, many)) for lang in languages]
        if name == "-":
            sinks.append(PipeSink(sys.stdout.buffer))
        elif suffix == ".jsonl":
            sinks.append(JsonLinesSink(Path(name), header))
        elif suffix == ".wav":
            sinks += [WavSink(path, "live" if is_real_time else "end", lang) for lang, path in paths]
        elif suffix in (".srt", ".vtt"):
            sinks += [SubtitleSink(path, "vtt" if suffix == ".vtt" else "srt", lang) for lang, path in paths]
    return sinks


def _for_language(name: str, language: str, many: bool) -> Path:
    """out.srt, or out.spa.srt where there are several languages."""
    path = Path(name)
    return path.with_suffix(f".{language}{path.suffix}") if many else path


def close_all(things: Sequence[Any]) -> None:
    """Sources and sinks, in order, all of them: raises what the last one that cannot be closed says."""
    with ExitStack() as stack:
        for thing in reversed(things):
            stack.callback(thing.close)


def report(live: Run, notes: Console) -> bool:
    """Tell of both ends; whether the user ended it early. Raises what the source died of."""
    live.speaker = None  # it is closed
    live.watch()
    if live.voice is not None and live.voice.report:
        notes.print(live.voice.report)
    for end in (live.source, *live.sinks):
        if isinstance(end, DeviceSource | SpeakerSink):
            notes.print(end.report)
        if isinstance(end, WavSink):
            notes.print(f"speech: {end.path}" if end.has_speech else "speech: nothing was said")
        if isinstance(end, SubtitleSink | JsonLinesSink):
            notes.print(f"captions: {end.path}")
    if live.trouble is not None:
        raise live.trouble
    if live.is_interrupted:
        complain("interrupted; what was translated is in the files.")
    return live.is_interrupted
