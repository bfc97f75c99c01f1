"""`seamless-stream connect`: what `live` does, but a daemon translates; needs no checkpoint and no torch here.

The session lives on a thread of the client; this one writes the sinks and looks after the sound devices.
"""

import os
import time
from argparse import Namespace
from contextlib import nullcontext
from typing import Final

from rich.console import Console

from seamless_stream.cli import INTERRUPTED
from seamless_stream.cli.ends import (
    Run,
    close_all,
    is_speaker,
    open_sinks,
    pace_problems,
    report,
    sink_problems,
    speaker_device,
)
from seamless_stream.cli.shared import consoles
from seamless_stream.client import ConnectionLost, Incoming, sync, to_event
from seamless_stream.devices import muted_libraries
from seamless_stream.errors import AudioError, ModelError, RemoteError, SettingsError
from seamless_stream.events import Failed
from seamless_stream.server.messages import Error, GoAway, SessionClosed, SessionResumed, Warn
from seamless_stream.sinks import SpeakerSink, TerminalSink
from seamless_stream.sources import DeviceSource, open_source

KEY: Final = "SEAMLESS_STREAM_KEY"  # environment
TOO_LATE: Final = "session_closing"  # of sound that was on its way when the server said that it stops


def run(arguments: Namespace) -> int:
    """0, or the status of what stopped it; an interruption finishes the files written so far."""
    _check(arguments)
    out, notes = consoles(arguments)
    is_real_time = arguments.pace != "fast"
    source = open_source(arguments.source)
    device = speaker_device(arguments.source, arguments.sink, source)
    if "-" in arguments.sink:
        out = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    terminal = TerminalSink(out, shows_delay=is_real_time, shows_language=_shows_language(arguments))
    uses_devices = device is not None or isinstance(source, DeviceSource)
    with muted_libraries() if uses_devices and not arguments.verbose else nullcontext():
        speaker = None if device is None else SpeakerSink(device)
        live = Run(source, [], terminal, speaker, None, is_real_time and not source.is_paced, arguments.quiet)
        live.sinks += [terminal] if speaker is None else [speaker, terminal]
        try:
            num_failed = _play(live, arguments, notes)
        finally:
            close_all([*live.sinks, source])
    if report(live, notes):
        return INTERRUPTED
    return ModelError.exit_status if num_failed else 0


def _shows_language(arguments: Namespace) -> bool:
    return len(arguments.to) > 1 or arguments.transcribe


def _check(arguments: Namespace) -> None:
    """What needs neither server nor device; raises SettingsError."""
    problems = [
        *sink_problems(arguments.sink),
        *pace_problems(arguments.source, arguments.sink, arguments.pace),
    ]
    if len(arguments.to) > 1:
        problems += [
            f"`--sink {sink}` must get one target language, but there are {len(arguments.to)}."
            for sink in arguments.sink
            if sink == "-" or is_speaker(sink)
        ]
    if arguments.transcribe and arguments.source_language is None:
        problems.append("The spoken language must be given to be written down: `--from LANG`.")
    if problems:
        raise SettingsError("\n".join(problems))


def _play(live: Run, arguments: Namespace, notes: Console) -> int:
    """Until the last word, or what ends it early; how many segments failed."""
    is_real_time = arguments.pace != "fast"
    speaks = any(sink == "-" or is_speaker(sink) or sink.lower().endswith(".wav") for sink in arguments.sink)
    num_failed = 0
    try:
        with sync.connect(
            arguments.url,
            _single(arguments.to),
            key=arguments.key or os.environ.get(KEY),
            source_language=_single(arguments.source_language),
            speaks=speaks,
            transcribes=arguments.transcribe,
            pacing="realtime" if is_real_time else "fast",
            latency=arguments.latency,
        ) as session:
            header = {"type": "Session", "model": session.info["model"], "source": arguments.source}
            header |= {"task": "s2st" if speaks else "s2tt", "target_languages": arguments.to}
            live.sinks += open_sinks(arguments.sink, arguments.to, is_real_time, header)
            notes.print(f"server: {session.info['server']}, model {session.info['model']}")
            session.feed(live.source, is_paced=live.is_paced)
            num_failed = _hear(live, session)
        if live.speaker is not None:
            live.speaker.drain()
    except AudioError as error:
        live.trouble = error
    except KeyboardInterrupt:
        live.is_interrupted = True
    return num_failed


def _single(languages: list[str] | None) -> str | list[str] | None:
    """One as itself."""
    return languages[0] if languages and len(languages) == 1 else languages


def _hear(live: Run, session: sync.Session) -> int:
    """All that the server says, to the sinks."""
    started_s, num_failed, is_stopped = time.monotonic(), 0, False
    if live.source.is_endless:
        live.say("listening; Ctrl-C ends.")
    while True:
        try:
            for message in session:
                event = to_event(message)
                if isinstance(message, GoAway):
                    session.stop_feeding()
                if event is None:
                    _note(live, message)
                else:
                    num_failed += isinstance(event, Failed)
                    for sink in live.sinks:
                        sink.write(event, time.monotonic() - started_s)
                live.watch()
            return num_failed
        except KeyboardInterrupt:
            if is_stopped or not live.source.is_endless:
                raise
            is_stopped = True
            session.stop_feeding()
            live.say("no longer listening; what was said is still translated. Ctrl-C again ends at once.")


def _note(live: Run, message: Incoming) -> None:
    """What is not about a segment."""
    if isinstance(message, ConnectionLost):
        live.terminal.note("seamless-stream: note: the connection is lost; trying again.")
    elif isinstance(message, SessionResumed):
        live.terminal.note("seamless-stream: note: connected again.")
    elif isinstance(message, Warn):
        live.terminal.note(f"seamless-stream: note: {_warning(message)}")
    elif isinstance(message, GoAway):
        then = f" Begin again at {message.resume_url}." if message.resume_url else ""
        live.terminal.note(
            f"seamless-stream: note: the server stops; what was said is still translated.{then}"
        )
    elif isinstance(message, Error) and message.error.code != TOO_LATE:
        live.terminal.note(f"seamless-stream: note: {message.error.message}")
    elif isinstance(message, SessionClosed) and message.reason != "client":
        live.trouble = RemoteError(f"The server has ended the session: {message.reason}.")


def _warning(message: Warn) -> str:
    """In words; codes that newer servers may have stay codes."""
    detail = message.detail
    match message.code:
        case "audio_dropped":
            lost_s = (detail.get("end_ms", 0) - detail.get("start_ms", 0)) / 1000
            return f"the server has dropped {lost_s:.1f} s of sound."
        case "audio_too_fast":
            return "the sound comes faster than it is spoken; a file needs the pacing `fast`."
        case "audio_stalled":
            return "the server gets no sound."
        case "falling_behind":
            return "the server cannot keep up." if detail.get("level") else "the server keeps up again."
        case "speech_backlog":
            return f"{detail.get('backlog_ms', 0) / 1000:.1f} s of speech wait to be played."
        case "echo_suspected":
            return "the microphone hears the translation; better use headphones."
        case "clipping":
            return "the microphone is too loud; turn it down, or speak from further away."
        case "no_speech":
            return f"nobody has spoken for half a minute; the sound is at {detail.get('level_dbfs')} dBFS."
        case _:
            return f"the server warns: {message.code}."
