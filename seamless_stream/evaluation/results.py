"""One run on disk: a folder with the log, the files of other tools, and scores.json; and several runs as one table.

Knows which figures a reader looks at first; does not compute them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seamless_stream.errors import SettingsError
from seamless_stream.evaluation.corpus import Recording, write_segments
from seamless_stream.evaluation.formats import write_simuleval, write_simuleval_speech, write_simulstream
from seamless_stream.evaluation.log import read_log
from seamless_stream.evaluation.plot import Point
from seamless_stream.evaluation.quality import Recogniser, unit_of
from seamless_stream.evaluation.score import score

LOG_NAME, SCORES_NAME, SPEECH_NAME = "log.jsonl", "scores.json", "speech"
QUALITIES = {"bleu": "BLEU", "chrf": "chrF"}
# In ms in the scores, in s for the reader.
LATENCIES = {
    "laal": "LAAL",
    "yaal": "YAAL",
    "stream_laal": "StreamLAAL",
    "al": "AL",
    "dal": "DAL",
    "atd": "ATD",
    "end_offset": "EndOffset",
}


@dataclass(frozen=True)
class Result:
    """What scores.json holds."""

    label: str  # the policy
    note: str  # what was swept, empty if nothing
    header: dict[str, Any]
    scores: dict[str, Any]

    @property
    def is_long(self) -> bool:
        """Of long recordings: YAAL is LongYAAL."""
        return any("stream_laal" in figures for figures in self.scores["latency"].values())

    @property
    def name(self) -> str:
        """Policy and what was swept."""
        return f"{self.label} {self.note}".strip()

    def latency_s(self, metric: str, clock: str) -> float | None:
        """None where it is not defined."""
        value = self.scores["latency"].get(clock, {}).get(metric)
        return None if value is None else float(value) / 1000


def finish(folder: Path, recordings: Sequence[Recording], recogniser: Recogniser | None = None) -> Result:
    """Everything that follows from the log of a run: the files of other tools, the scores, and scores.json."""
    log = read_log(folder / LOG_NAME)
    language = log.header["language"]
    unit = unit_of(language)
    speech_folder = folder / SPEECH_NAME
    write_simuleval(folder, log, recordings, unit)
    write_simulstream(folder, log, unit)
    if recordings[0].is_long:
        write_segments(folder, recordings)
    if speech_folder.is_dir():
        write_simuleval_speech(folder / "simuleval_speech", speech_folder, log, recordings)
    scores = score(log, recordings, language, recogniser, speech_folder if speech_folder.is_dir() else None)
    result = Result(log.header["label"], log.header["note"], log.header, asdict(scores))
    text = json.dumps(asdict(result), ensure_ascii=False, indent=1)
    (folder / SCORES_NAME).write_text(text + "\n", encoding="utf-8")
    return result


def load_results(folder: Path) -> list[Result]:
    """Of one run, or of all runs in a folder, in the order of their names; raises SettingsError."""
    files = sorted([*folder.glob(SCORES_NAME), *folder.glob(f"*/{SCORES_NAME}")])
    if not files:
        raise SettingsError(f"`{folder}` must hold a {SCORES_NAME} or folders with one, but holds none.")
    try:
        return [Result(**json.loads(file.read_text(encoding="utf-8"))) for file in files]
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"`{folder}` holds scores that cannot be read: {error}.") from error


def points(results: Sequence[Result], latency: str, quality: str) -> list[Point]:
    """What a plot shows: every run on each of its clocks, where the latency is defined."""
    found = []
    for result in results:
        for clock in result.scores["latency"]:
            latency_s = result.latency_s(latency, clock)
            if latency_s is not None:
                value = float(result.scores["quality"][quality])
                found.append(Point(result.label, clock, result.note, latency_s, value))
    return found


def latency_name(metric: str, is_long: bool) -> str:
    """As papers call it."""
    name = LATENCIES[metric]
    return f"Long{name}" if is_long and metric in ("yaal", "al", "laal", "dal") else name


def table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of the figures that are looked at first; latencies in s, `-` for what there is not."""
    is_long = any(result.is_long for result in results)
    metrics = ["yaal", "stream_laal", "laal"] if is_long else ["laal", "yaal", "al"]
    clocks = list(dict.fromkeys(clock for result in results for clock in result.scores["latency"]))
    columns = ["run", "BLEU", "chrF"]
    columns += [f"{latency_name(metric, is_long)} {clock}" for metric in metrics for clock in clocks]
    columns += [f"end {clock}" for clock in clocks]
    columns += ["erasure", "RTF", "CPU s/s", "failed"]
    rows = []
    for result in results:
        scores = result.scores
        cells = [result.name, _number(scores["quality"]["bleu"], 1), _number(scores["quality"]["chrf"], 1)]
        cells += [
            _number(result.latency_s(metric, clock), 2)
            for metric in [*metrics, "end_offset"]
            for clock in clocks
        ]
        computing = scores["computing"]
        cells += [_number(scores["erasure"]["shown"], 2)]
        cells += [_number(computing.get(name), 2) for name in ("rtf", "cpu_per_audio_s")]
        rows.append([*cells, str(scores["num_failed"])])
    return columns, rows


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
