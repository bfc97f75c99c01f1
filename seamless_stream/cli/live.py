"""`seamless-stream live`: a source that speaks, the worker thread, and sinks; the daemon's path at the desk.

The main thread reads, paces and pushes; the worker translates and writes the sinks in its one callback.
"""

import time
from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.cli import INTERRUPTED, complain
from seamless_stream.cli.shared import consoles, load_translator, settings_of
from seamless_stream.engine.engine import check_session
from seamless_stream.engine.metrics import Fact, Summary, fact, summarize
from seamless_stream.engine.translator import Translator
from seamless_stream.engine.worker import Worker, WorkerSession
from seamless_stream.errors import ModelError, SettingsError
from seamless_stream.events import Event, Failed, Final
from seamless_stream.settings import SessionSettings, Settings, Task
from seamless_stream.sinks import JsonLinesSink, Sink, SubtitleSink, TerminalSink, WavSink, open_text
from seamless_stream.sources import Source, open_source, paced

CAPTION_SUFFIXES = (".srt", ".vtt", ".jsonl")


@dataclass
class Log:
    """What was delivered, on one clock: written by the worker's callback, read when the worker has ended."""

    sinks: list[Sink]
    started: float = field(default_factory=time.monotonic)
    facts: list[Fact] = field(default_factory=list)  # finals and failures only: a few hundred bytes a segment

    def deliver(self, events: list[Event]) -> None:
        """The worker's callback."""
        elapsed_s = time.monotonic() - self.started
        for event in events:
            if isinstance(event, Final | Failed):
                self.facts.append(fact(event, elapsed_s))
            for sink in self.sinks:
                sink.write(event, elapsed_s)


def run(arguments: Namespace) -> int:
    """0, or the status of what stopped it; an interruption finishes the files written so far."""
    out, notes = consoles(arguments)
    settings = settings_of(arguments)
    session = _session(arguments, settings)
    _check_files(arguments)
    source = open_source(arguments.source)
    assert session.task is not None
    translator = load_translator(settings.model, {session.task}, notes)
    session = check_session(session, translator.capabilities)
    is_paced = settings.pace == "real-time" and not source.is_paced
    shows_delay = settings.pace == "real-time"
    sinks = _sinks(arguments, session, translator, out, shows_delay)
    log = Log(sinks)
    try:
        audio_s, is_interrupted = _play(source, session, translator, log, is_paced)
    finally:
        for sink in sinks:
            sink.close()
    for warning in source.warnings:
        complain(f"note: {warning}")
    summary = summarize(log.facts, audio_s)
    _print_summary(notes, summary, shows_delay)
    _print_files(notes, arguments, sinks)
    if is_interrupted:
        complain("interrupted; what was translated is in the files.")
        return INTERRUPTED
    return ModelError.exit_status if summary.num_failed else 0


def _session(arguments: Namespace, settings: Settings) -> SessionSettings:
    session = settings.session
    targets = session.target_languages
    task: Task = session.task or ("s2st" if arguments.speech else "s2tt")
    if task == "asr" and not targets and session.source_language:
        targets = (session.source_language,)
    if not targets:
        raise SettingsError("The target language must be given: `--to LANG`, for example spanish.")
    if arguments.speech and task != "s2st":
        raise SettingsError(f"`--speech` needs the task s2st, but the task is {task}.")
    return replace(session, task=task, target_languages=targets)


def _check_files(arguments: Namespace) -> None:
    """Refuse before anything is loaded or overwritten."""
    if arguments.captions and Path(arguments.captions).suffix.lower() not in CAPTION_SUFFIXES:
        names = ", ".join(CAPTION_SUFFIXES)
        raise SettingsError(f"`--captions` must end in one of {names}, but is {arguments.captions}.")
    for name in (arguments.captions, arguments.speech):
        if name and not Path(name).absolute().parent.is_dir():
            raise SettingsError(f"`{name}` cannot be written: its directory does not exist.")


def _sinks(
    arguments: Namespace, session: SessionSettings, translator: Translator, out: Console, shows_delay: bool
) -> list[Sink]:
    """The terminal, then per target language a speech and a captions file."""
    languages = session.target_languages
    many = len(languages) > 1
    sinks: list[Sink] = []
    if arguments.captions and arguments.captions.lower().endswith(".jsonl"):
        header = {
            "type": "Session",
            "model": translator.description,
            "source": arguments.source,
            "task": session.task,
            "target_languages": languages,
        }
        sinks.append(JsonLinesSink(open_text(Path(arguments.captions)), header))
    elif arguments.captions:
        for language in languages:
            path = _for_language(arguments.captions, language, many)
            kind: Literal["srt", "vtt"] = "vtt" if path.suffix.lower() == ".vtt" else "srt"
            sinks.append(SubtitleSink(open_text(path), kind, language))
    if arguments.speech:
        sinks += [WavSink(_for_language(arguments.speech, lang, many), "end", lang) for lang in languages]
    return [*sinks, TerminalSink(out, shows_delay=shows_delay, shows_language=many)]


def _for_language(name: str, language: str, many: bool) -> Path:
    """out.srt, or out.spa.srt where there are several languages."""
    path = Path(name)
    return path.with_suffix(f".{language}{path.suffix}") if many else path


def _play(
    source: Source, session: SessionSettings, translator: Translator, log: Log, is_paced: bool
) -> tuple[float, bool]:
    """Push the whole source and wait for its last word: seconds of source heard, and whether Ctrl-C ended it."""
    num_samples = 0
    with Worker(translator.engine) as worker:
        try:
            live = worker.open(session, log.deliver)
            log.started = time.monotonic()
            chunks = source.chunks()
            for chunk in paced(chunks) if is_paced else chunks:
                _push(live, chunk)
                num_samples += len(chunk)
            live.finish()
            while not live.wait(0.2):  # short waits, so that Ctrl-C is heard on every platform
                pass
        except KeyboardInterrupt:
            return num_samples / SAMPLE_RATE, True
    return num_samples / SAMPLE_RATE, False


def _push(live: WorkerSession, chunk: np.ndarray) -> None:
    while not live.push(chunk, timeout_s=0.2):
        live.wait(0)  # raises what ended the session


def _print_summary(notes: Console, summary: Summary, shows_delay: bool) -> None:
    parts = [
        f"{summary.audio_s:.1f} s of source",
        f"{summary.num_finals} segments",
        f"real-time factor {summary.real_time_factor:.2f}",
    ]
    if summary.num_failed:
        parts.append(f"{summary.num_failed} failed")
    if shows_delay and summary.delays_s:
        parts.append(f"delay after the end of speech {summary.mean_delay_s:.1f} s on average")
        parts.append(f"{summary.max_delay_s:.1f} s at most")
    notes.print(", ".join(parts))


def _print_files(notes: Console, arguments: Namespace, sinks: list[Sink]) -> None:
    for sink in sinks:
        if isinstance(sink, WavSink):
            notes.print(
                f"speech: {sink.path}" if sink.has_speech else "speech: nothing was said", markup=False
            )
    if arguments.captions:
        notes.print(f"captions: {arguments.captions}", markup=False)
