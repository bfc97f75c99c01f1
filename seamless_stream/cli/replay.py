"""`seamless-stream replay`: runs what `serve --record` has stored through the engine again and compares the texts."""

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import Samples
from seamless_stream.cli.shared import consoles, load_translator
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.session import Session
from seamless_stream.engine.translator import Translator
from seamless_stream.errors import SettingsError
from seamless_stream.events import Event, Failed, Final
from seamless_stream.server.recording import AUDIO, EVENTS, INPUTS, SETTINGS
from seamless_stream.settings import ModelSettings, Settings, Task, load_settings

DIFFERENT = 1
TASKS: tuple[Task, ...] = ("s2st", "s2tt")

Text = tuple[int, str, str]  # segment, language, text


@dataclass(frozen=True)
class Stored:
    """One recording as it lies there."""

    name: str
    settings: Settings
    samples: Samples
    inputs: list[dict[str, Any]]
    events: list[dict[str, Any]]

    @property
    def texts(self) -> list[Text]:
        """What was said, and `!` where nothing could be."""
        return sorted(_stored_texts(self.events))

    @property
    def is_finished(self) -> bool:
        """Whether the client said the end; else it had gone before all was translated."""
        return any("finish" in item for item in self.inputs)

    @property
    def num_skipped(self) -> int:
        """Things that were left out to keep up."""
        return sum(event["type"] == "Skipped" for event in self.events)


def run(arguments: Namespace) -> int:
    """0 where all recordings give what they gave."""
    results, notes = consoles(arguments)
    translators: dict[ModelSettings, Translator] = {}
    num_different = num_all = 0
    for folder in (found for name in arguments.folders for found in _recordings(Path(name))):
        stored = load(folder)
        model = replace(stored.settings.model, device=arguments.device)
        model = replace(model, name=arguments.model or model.name)
        if model not in translators:
            translators[model] = load_translator(model, TASKS, notes)
        texts = replay(translators[model].engine, stored)
        num_all += 1
        num_different += not compare(stored, texts, results)
    results.print(f"{num_all - num_different} of {num_all} as they were")
    return DIFFERENT if num_different else 0


def _recordings(folder: Path) -> list[Path]:
    if (folder / SETTINGS).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{SETTINGS}"))
    if not found:
        raise SettingsError(f"`DIR` must hold recordings of `serve --record`, but {folder} has none.")
    return found


def load(folder: Path) -> Stored:
    """Everything of one recording; raises SettingsError, AudioError."""
    settings = load_settings(folder / SETTINGS)
    inputs, events = _lines(folder / INPUTS), _lines(folder / EVENTS)
    return Stored(folder.name, settings, read(folder / AUDIO), inputs, events)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what follows the last one was cut off by a crash


def replay(engine: Engine, stored: Stored) -> list[Text]:
    """The texts of another run, which nothing hurries."""
    session = engine.open(replace(stored.settings.session, is_live=False))
    try:
        events = list(_events(engine, session, stored))
    finally:
        engine.close(session)
    finals = [(event.segment, event.language, event.text) for event in events if isinstance(event, Final)]
    return sorted(finals + [(event.segment, "!", "") for event in events if isinstance(event, Failed)])


def _events(engine: Engine, session: Session, stored: Stored) -> Iterator[Event]:
    place = 0
    for item in [*stored.inputs, {"at_samples": len(stored.samples)}]:
        while place < item["at_samples"]:
            end = min(place + SAMPLE_RATE, item["at_samples"])
            session.push(stored.samples[place:end])
            place = end
            yield from _work(engine, session)
        if "targets" in item:
            engine.change_targets(session, item["targets"])
        elif "finish" in item:
            session.finish()
            yield from _work(engine, session)


def _work(engine: Engine, session: Session) -> list[Event]:
    found: list[Event] = []
    while engine.step():
        found += session.events()
    return found + session.events()


def _stored_texts(events: list[dict[str, Any]]) -> Iterator[Text]:
    for event in events:
        if event["type"] == Final.__name__:
            yield event["segment"], event["language"], event["text"]
        elif event["type"] == Failed.__name__:
            yield event["segment"], "!", ""


def compare(stored: Stored, texts: list[Text], results: Console) -> bool:
    """Print how a recording and its replay agree."""
    expected = stored.texts
    if not stored.is_finished:
        texts = [text for text in texts if text[0] <= max((old[0] for old in expected), default=-1)]
    head = f"{stored.name}: {len(stored.samples) / SAMPLE_RATE:.1f} s, {len(expected)} texts"
    if stored.num_skipped:
        head += f", {stored.num_skipped} times something was left out to keep up"
    is_equal = texts == expected
    results.print(f"{head}, {'equal' if is_equal else 'different'}")
    for old in expected:
        if old not in texts:
            results.print(f"  - {old[0]} {old[1]} {old[2]}")
    for new in texts:
        if new not in expected:
            results.print(f"  + {new[0]} {new[1]} {new[2]}")
    return is_equal
