"""How the tools that play other people's systems write our log: one recording, one clock, text that only grows.

Computing begins when its source is heard and what was begun before is done, as in `evaluation.run`; it is counted in
processor time. Knows nothing of what a system is.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import AudioFile
from seamless_stream.evaluation.corpus import Recording, read_corpus
from seamless_stream.evaluation.log import LogWriter, Moment
from seamless_stream.evaluation.run import WARM_UP_S
from seamless_stream.events import Final, Partial

# The next chunk [n], None at the end -> the committed text of the recording so far.
Step = Callable[[np.ndarray | None], str]


def arguments(about: str) -> argparse.ArgumentParser:
    """The options that all systems have."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, formatter_class=form)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument(
        "--model", type=Path, required=True, help="a transformers directory of SeamlessM4T v2"
    )
    parser.add_argument("--to", required=True, help="the checkpoint's code, as spa")
    parser.add_argument("--output", type=Path, required=True)
    return parser


def run(
    options: argparse.Namespace,
    label: str,
    note: str,
    settings: dict[str, Any],
    chunk_s: float,
    begin: Callable[[], Step],
) -> None:
    """All recordings of the list into `--output`/`label`-`note`/log.jsonl; `begin` starts a recording afresh."""
    recordings = read_corpus(options.data)[: options.limit]
    folder = options.output / f"{label} {note}".strip().replace(" ", "-").replace("=", "-")
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "label": label,
        "note": note,
        "clock": "simulated",
        "timer": "cpu",
        "language": options.to,
        "model": str(options.model),
        "data": str(options.data),
        "settings": settings,
    }
    _warm_up(begin(), recordings[0], chunk_s)
    with LogWriter(folder / "log.jsonl", header) as log:
        for recording in recordings:
            _play(begin(), recording, options.to, chunk_s, log)


def _chunks(recording: Recording, chunk_s: float) -> list[np.ndarray | None]:
    return [*AudioFile(recording.path).chunks(round(chunk_s * SAMPLE_RATE)), None]


def _warm_up(step: Step, recording: Recording, chunk_s: float) -> None:
    for chunk in _chunks(recording, chunk_s)[: round(WARM_UP_S / chunk_s)]:
        step(chunk)


def _play(step: Step, recording: Recording, language: str, chunk_s: float, log: LogWriter) -> None:
    log.begin(recording.name, recording.path)
    text, num_samples, free_s = "", 0, 0.0
    moment = Moment(0.0, 0.0, 0.0)
    for chunk in _chunks(recording, chunk_s):
        num_samples += 0 if chunk is None else len(chunk)
        heard_s, begun = num_samples / SAMPLE_RATE, time.process_time()
        found = step(chunk)
        taken_s = time.process_time() - begun
        free_s = max(free_s, heard_s) + taken_s
        moment = Moment(heard_s, free_s, free_s)
        if found != text:
            text = found
            log.event(Partial(0, language, text, ""), moment)
        log.chunk(moment, taken_s, taken_s)
    log.event(Final(0, language, text, 0.0, num_samples / SAMPLE_RATE), moment)
    log.end(num_samples / SAMPLE_RATE)
