"""`seamless-stream live`: a source that speaks, the worker thread, and sinks; the daemon's path at the desk.

The main thread reads, paces and pushes, and looks after the sound devices; the worker translates and writes the sinks
in its one callback.
"""

import time
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rich.console import Console

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.cli import INTERRUPTED
from seamless_stream.cli.ends import (
    CAPTION_SUFFIXES,
    Run,
    close_all,
    is_speaker,
    open_sinks,
    pace_problems,
    report,
    sink_problems,
    speaker_device,
)
from seamless_stream.cli.own_voice import OwnVoice
from seamless_stream.cli.shared import consoles, load_translator, settings_of
from seamless_stream.devices import muted_libraries
from seamless_stream.engine.engine import check_session, speech_task
from seamless_stream.engine.metrics import Fact, Summary, fact, summarize
from seamless_stream.engine.translator import Translator
from seamless_stream.engine.worker import Worker, WorkerSession
from seamless_stream.errors import AudioError, ModelError, SettingsError
from seamless_stream.events import Event, Failed, Final
from seamless_stream.settings import LATENCIES, Latency, SessionSettings, Settings, Task
from seamless_stream.sinks import Sink, SpeakerSink, TerminalSink
from seamless_stream.sources import DeviceSource, open_source, paced


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


def latency_overrides(latency: Latency) -> dict[str, Any]:
    """Of `--latency`: they win over the file of `--config`; `--set` and the other options win over them."""
    parts = LATENCIES[latency].items()
    return {f"session.{part}.{name}": n for part, values in parts for name, n in values.items()}


def run(arguments: Namespace) -> int:
    """0, or the status of what stopped it; an interruption finishes the files written so far."""
    out, notes = consoles(arguments)
    settings = settings_of(arguments, latency_overrides(arguments.latency))
    session = _session(arguments, settings)
    source = open_source(arguments.source)
    device = speaker_device(arguments.source, arguments.sink, source)
    assert session.task is not None
    translator = load_translator(settings.model, {session.task}, notes)
    if settings.session.task is None:
        task = speech_task(translator.capabilities, speaks=session.task == "s2st")
        session = replace(session, task=task)
    session = check_session(session, translator.capabilities)
    is_real_time = settings.pace == "real-time"
    if "-" in arguments.sink:
        out = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    terminal = TerminalSink(out, shows_delay=is_real_time, shows_language=len(session.target_languages) > 1)
    uses_devices = device is not None or isinstance(source, DeviceSource)
    with muted_libraries() if uses_devices and not arguments.verbose else nullcontext():
        speaker = None if device is None else SpeakerSink(device)
        try:
            sinks = open_sinks(
                arguments.sink,
                session.target_languages,
                is_real_time,
                _header(arguments, session, translator),
            )
        except BaseException:
            close_all([] if speaker is None else [speaker])
            raise
        sinks += [terminal] if speaker is None else [speaker, terminal]
        voice = None
        if speaker is not None and isinstance(source, DeviceSource) and settings.guards_echo:
            voice = OwnVoice()
            sinks.append(voice)
        is_paced = is_real_time and not source.is_paced
        live = Run(source, sinks, terminal, speaker, voice, is_paced, arguments.quiet)
        log = Log(sinks)
        try:
            _play(live, session, translator, log)
        finally:
            close_all([*sinks, source])
    return _report(live, summarize(log.facts, live.num_samples / SAMPLE_RATE), notes, is_real_time)


def _report(live: Run, summary: Summary, notes: Console, is_real_time: bool) -> int:
    _print_summary(notes, summary, is_real_time)
    if report(live, notes):
        return INTERRUPTED
    return ModelError.exit_status if summary.num_failed else 0


# --- what is wanted


def _session(arguments: Namespace, settings: Settings) -> SessionSettings:
    """The session, with everything checked that needs no model and no device; raises SettingsError."""
    session = settings.session
    targets = session.target_languages
    speaks = [sink for sink in arguments.sink if not sink.lower().endswith(CAPTION_SUFFIXES)]
    task: Task = session.task or ("s2st" if speaks else "s2tt")
    if task == "asr" and not targets and session.source_language:
        targets = (session.source_language,)
    problems = [
        *sink_problems(arguments.sink),
        *pace_problems(arguments.source, arguments.sink, settings.pace),
    ]
    if not targets:
        problems.append("The target language must be given: `--to LANG`, for example spanish.")
    problems += [
        f"`--sink {sink}` needs the task s2st, but the task is {task}." for sink in speaks if task != "s2st"
    ]
    if len(targets) > 1:
        problems += [
            f"`--sink {sink}` must get one target language, but there are {len(targets)}; files get one each."
            for sink in speaks
            if sink == "-" or is_speaker(sink)
        ]
    if problems:
        raise SettingsError("\n".join(problems))
    return replace(session, task=task, target_languages=targets, is_live=settings.pace == "real-time")


def _header(arguments: Namespace, session: SessionSettings, translator: Translator) -> Fact:
    """The first line of a file of events."""
    return {
        "type": "Session",
        "model": translator.description,
        "source": arguments.source,
        "task": session.task,
        "target_languages": session.target_languages,
    }


def _play(live: Run, session: SessionSettings, translator: Translator, log: Log) -> None:
    """Push the whole source and wait for its last word; notes in `live` what ended it early."""
    with Worker(translator.engine) as worker:
        try:
            opened = worker.open(session, log.deliver)
            log.started = time.monotonic()
            try:
                _listen(live, opened)
            except AudioError as error:
                live.trouble = error
            except KeyboardInterrupt:
                if not live.source.is_endless:
                    raise
                live.say("no longer listening; what was said is still translated. Ctrl-C again ends at once.")
            if live.voice is not None:
                _push(opened, live.voice.rest())
            opened.finish()
            while not opened.wait(0.2):  # short waits, so that Ctrl-C is heard on every platform
                pass
            if live.speaker is not None and live.trouble is None:
                live.speaker.drain()
        except AudioError as error:
            live.trouble = error
        except KeyboardInterrupt:
            live.is_interrupted = True


def _listen(live: Run, opened: WorkerSession) -> None:
    if live.source.is_endless:
        live.say("listening; Ctrl-C ends.")
    chunks = live.source.chunks()
    for chunk in paced(chunks) if live.is_paced else chunks:
        _push(opened, chunk if live.voice is None else live.voice.filter(chunk))
        live.num_samples += len(chunk)
        live.watch()


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
