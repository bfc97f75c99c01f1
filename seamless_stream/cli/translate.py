"""`seamless-stream translate`: every input on its own; a bad one is one line and does not stop the others."""

import errno
import io
import json
import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import AudioFile
from seamless_stream.cli import complain
from seamless_stream.cli.shared import consoles, load_translator, output_directory, progress_bar, settings_of
from seamless_stream.engine.translator import CHUNK_SAMPLES, Collector, Translation, Translator
from seamless_stream.errors import (
    AudioError,
    ModelError,
    NoSpeechError,
    SeamlessStreamError,
    SettingsError,
    writing,
)
from seamless_stream.events import Event, Final, Skipped
from seamless_stream.settings import SessionSettings, Settings, Task
from seamless_stream.sinks import SubtitleSink, WavSink

SUFFIXES = {"text": "txt", "json": "json", "srt": "srt", "vtt": "vtt"}
TEXT_FILES = (".txt", ".md")


@dataclass(frozen=True)
class Input:
    """One INPUT of the call: a recording, or a text where `text` is not None. `name` is unique in the call."""

    name: str
    path: Path | None
    text: str | None


@dataclass(frozen=True)
class Run:
    """Everything that stays the same from input to input."""

    arguments: Namespace
    translator: Translator
    settings: Settings
    directory: Path | None
    out: Console
    notes: Console


def run(arguments: Namespace) -> int:
    """The exit status of the first input that failed, else 0."""
    out, notes = consoles(arguments)
    settings = settings_of(arguments)
    is_text = arguments.text or settings.session.task in ("t2st", "t2tt")
    _check_usage(arguments, settings)
    directory = output_directory(arguments.output) if arguments.output else None
    inputs: list[Input] = []
    errors: list[SeamlessStreamError] = []
    for name, argument in zip(unique_names(arguments.inputs, is_text), arguments.inputs, strict=True):
        try:
            inputs.append(read_input(name, argument, is_text=is_text))
        except SeamlessStreamError as error:
            _report(error, errors)
    if not inputs:
        return errors[0].exit_status
    translator = load_translator(settings.model, wanted_tasks(arguments, settings, inputs), notes)
    all_of_it = Run(arguments, translator, settings, directory, out, notes)
    for one in inputs:
        try:
            translate_one(one, all_of_it)
        except SeamlessStreamError as error:
            _report(error, errors)
    return errors[0].exit_status if errors else 0


def _report(error: SeamlessStreamError, errors: list[SeamlessStreamError]) -> None:
    """Once is enough for what is wrong with every input, such as a language."""
    if str(error) not in map(str, errors):
        complain(str(error))
    errors.append(error)


def _check_usage(arguments: Namespace, settings: Settings) -> None:
    """What is wrong for every input, before the model is loaded."""
    session = settings.session
    if not session.target_languages and not (session.task == "asr" and session.source_language):
        hint = "the spoken language with `--from`" if session.task == "asr" else "`--to LANG`"
        raise SettingsError(f"The target language must be given: {hint}, for example spanish.")
    if session.task in ("s2st", "t2st") and not arguments.output:
        raise SettingsError(f"The task {session.task} needs `--output DIR` for the speech.")
    if len(session.target_languages) > 1:
        raise SettingsError("`translate` does one target language at a time; call it once for each.")


def unique_names(arguments: list[str], is_text: bool) -> list[str]:
    """A file name for each input: its own without the suffix, numbered where two would be the same."""
    names: list[str] = []
    for index, argument in enumerate(arguments):
        is_file = argument.lower().endswith(TEXT_FILES) or not (is_text or looks_like_text(argument))
        stem = Path(argument).stem if is_file else f"text-{index + 1}"
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def read_input(name: str, argument: str, *, is_text: bool) -> Input:
    """Find out what an argument is; raises AudioError early for a file that is not there."""
    path = Path(argument)
    try:
        if is_text and argument == "-":
            return Input(name, None, sys.stdin.read())
        if path.suffix.lower() in TEXT_FILES and _is_there(path):
            return Input(name, path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"`{argument}` must be text in UTF-8, but cannot be read: {error}.") from error
    if is_text or (looks_like_text(argument) and not _is_there(path)):
        return Input(name, None, argument)
    if not _is_there(path):
        raise AudioError(f"`{argument}` does not exist; with --text it is translated as text.")
    return Input(name, path, None)


def _is_there(path: Path) -> bool:
    """A sentence may be too long for the name of a file; raises AudioError where nobody may look."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise AudioError(f"`{path}` cannot be read: {error.strerror}.") from error


def looks_like_text(argument: str) -> bool:
    """Several words that do not end like a file's name."""
    return len(argument.split()) > 1 and not re.search(r"\.\w{2,5}$", argument)


def wanted_tasks(arguments: Namespace, settings: Settings, inputs: list[Input]) -> set[Task]:
    """What must be loaded: speech only where it is written."""
    if settings.session.task is not None:
        return {settings.session.task}
    speaks = arguments.output is not None
    tasks: set[Task] = set()
    if any(one.text is not None for one in inputs):
        tasks.add("t2st" if speaks else "t2tt")
    if any(one.text is None for one in inputs):
        tasks.add("s2st" if speaks else "s2tt")
    return tasks


def session_settings(one: Input, run: Run) -> SessionSettings:
    """The choices for one input; raises SettingsError, LanguageError."""
    session = run.settings.session
    return run.translator.settings(
        is_text=one.text is not None,
        target_language=next(iter(session.target_languages), None),
        source_language=session.source_language,
        task=session.task,
        wants_speech=run.directory is not None,
        speaker=session.speaker,
        decoding=session.decoding,
        unit_decoding=session.unit_decoding,
        segmentation=session.segmentation,
        vad=session.vad,
    )


def translate_one(one: Input, run: Run) -> None:
    """Translate, then show or write; raises what is wrong with this input."""
    settings = session_settings(one, run)
    if one.text is not None and not one.text.strip():
        raise SettingsError(f"`{one.name}` must hold text, but is empty.")
    if one.text is not None and run.arguments.format in ("srt", "vtt"):
        raise SettingsError(f"`--format {run.arguments.format}` needs speech, but `{one.name}` is text.")
    started = time.perf_counter()
    collector = Collector(settings, keeps_speech=False)
    speech = _speech_sink(one, settings, run)
    subtitles = io.StringIO()
    captions = SubtitleSink(subtitles, "vtt" if run.arguments.format == "vtt" else "srt")
    warnings: list[str] = []
    try:
        for event in _events(one, settings, run, warnings):
            collector.add(event)
            captions.write(event, 0.0)
            if speech is not None:
                speech.write(event, 0.0)
            if isinstance(event, Skipped):
                warnings.append(f"`{one.name}`: {event.what} left out: {event.reason}.")
    finally:
        if speech is not None:
            speech.close()
    translation = collector.translation(time.perf_counter() - started)
    for warning in warnings:
        complain(f"note: {warning}")
    if not translation.segments:
        raise _nothing(one, translation)
    path = speech.path if speech is not None and speech.has_speech else None
    _publish(one, run, translation, render(one, run, translation, subtitles.getvalue(), path), path)
    if translation.failures:
        raise ModelError(
            "\n".join(f"`{one.name}`, segment {f.segment + 1}: {f.message}" for f in translation.failures)
        )


def _speech_sink(one: Input, settings: SessionSettings, run: Run) -> WavSink | None:
    if run.directory is None or settings.task not in ("s2st", "t2st"):
        return None
    return WavSink(run.directory / f"{one.name}.{settings.target_languages[0]}.wav", "start")


def _events(one: Input, settings: SessionSettings, run: Run, warnings: list[str]) -> Iterator[Event]:
    if one.text is not None:
        yield from run.translator.text_events(one.text, settings)
        return
    assert one.path is not None
    file = AudioFile(one.path)
    with progress_bar(run.notes) as progress:
        bar = progress.add_task(one.path.name, total=file.duration_s)

        def counted() -> Iterator[np.ndarray]:
            for chunk in file.chunks(CHUNK_SAMPLES):
                yield chunk
                progress.advance(bar, len(chunk) / SAMPLE_RATE)

        for event in run.translator.audio_events(counted(), settings):
            if isinstance(event, Final):
                progress.update(bar, description=f"{one.path.name}: {event.text[:40]}")
            yield event
    warnings += file.warnings


def _nothing(one: Input, translation: Translation) -> SeamlessStreamError:
    """Why there is nothing to show."""
    if translation.failures:
        return ModelError(f"`{one.name}`: {translation.failures[0].message}")
    return NoSpeechError(f"`{one.path}` holds no speech.")


def render(one: Input, run: Run, translation: Translation, subtitles: str, speech: Path | None) -> str:
    """The result in the wanted format, with its last line break."""
    if run.arguments.format == "text":
        return translation.text + "\n"
    if run.arguments.format != "json":
        return subtitles
    values = describe(one, run, translation, speech)
    if run.directory is None:  # a line per input, for pipes
        return json.dumps(values, ensure_ascii=False) + "\n"
    pretty = json.dumps(values, ensure_ascii=False, indent=2)
    return re.sub(r"(?<=\d),\n\s*(?=\d)|(?<=\[)\n\s*(?=\d)|(?<=\d)\n\s*(?=\])", _closed_up, pretty) + "\n"


def _closed_up(gap: re.Match[str]) -> str:
    """Lists of ids on one line; texts are safe, a line break in them is spelled \\n."""
    return ", " if "," in gap[0] else ""


def describe(one: Input, run: Run, translation: Translation, speech: Path | None) -> dict[str, Any]:
    """Everything about one input as plain values."""
    segments = [
        {
            "start_s": round(segment.start_s, 3),
            "end_s": round(segment.end_s, 3),
            "text": segment.text,
            "token_ids": list(segment.token_ids),
            "unit_ids": list(segment.unit_ids),
        }
        for segment in translation.segments
    ]
    timings = {"audio_s": translation.audio_s, **translation.timings}
    if translation.audio_s:
        timings["real_time_factor"] = translation.timings["compute_s"] / translation.audio_s
    return {
        "input": str(one.path) if one.path is not None else one.text,
        "model": run.translator.description,
        "task": translation.task,
        "source_language": translation.source_language,
        "target_language": translation.target_language,
        "text": translation.text,
        "token_ids": translation.token_ids,
        "unit_ids": translation.unit_ids,
        "segments": segments,
        "failures": [failure.message for failure in translation.failures],
        "speech": None if speech is None else str(speech),
        "speech_rate": None if speech is None else translation.rate,
        "timings": {name: round(value, 3) for name, value in timings.items()},
    }


def _publish(one: Input, run: Run, translation: Translation, result: str, speech: Path | None) -> None:
    if run.directory is None:
        is_one_of_many = len(run.arguments.inputs) > 1 and run.arguments.format != "json"
        run.out.print(f"{one.name}: " if is_one_of_many else "", result, sep="", end="")
        return
    path = run.directory / f"{one.name}.{translation.target_language}.{SUFFIXES[run.arguments.format]}"
    with writing(path, SettingsError):
        path.write_text(result, encoding="utf-8")
    run.notes.print(f"{one.name}: {path}", "" if speech is None else f"and {speech}")
