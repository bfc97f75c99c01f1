"""The log in the forms that other tools read: SimulEval's instances.log and simulstream's JSON lines.

`simuleval --score-only`, `omnisteval shortform` and `longform` and simulstream's scorers read these files as they are.
Nothing is computed here that is not in the log.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import read, write_wav
from seamless_stream.engine.metrics import Fact, json_line
from seamless_stream.evaluation.corpus import Recording
from seamless_stream.evaluation.latency import common_prefix, intervals_of
from seamless_stream.evaluation.log import Log, Track, displays, emissions, join, pieces
from seamless_stream.evaluation.quality import Unit


def write_simuleval(folder: Path, log: Log, recordings: Sequence[Recording], unit: Unit) -> None:
    """instances.log with one line per recording, and config.yaml.

    `elapsed` is the time on the log's clock, with the backlog but without the time that SimulEval adds up between
    chunks: give OmniSTEval no `--fix_simuleval_emission_ca`.
    """
    lines = [
        _instance(index, track, recording, unit)
        for index, (track, recording) in enumerate(zip(log.tracks, recordings, strict=True))
    ]
    _write(folder, lines, "text")


def write_simuleval_speech(
    folder: Path, speech_folder: Path, log: Log, recordings: Sequence[Recording]
) -> None:
    """The same for speech: wavs/ with the silences in which nothing was ready, instances.log and config.yaml."""
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    lines = []
    for index, (track, recording) in enumerate(zip(log.tracks, recordings, strict=True)):
        said = pieces(track)
        intervals = intervals_of(said.delays_ms, said.durations_ms)
        path = folder / "wavs" / f"{index}_pred.wav"
        if intervals:
            write_wav(path, _with_silences(speech_folder / f"{index}.wav", intervals))
        source_ms = track.audio_s * 1000
        start_ms = intervals[0][0] if intervals else source_ms
        lines.append(
            {
                "index": index,
                "prediction": str(path.absolute()),
                "delays": said.delays_ms,
                "durations": said.durations_ms,
                "prediction_offset": start_ms,
                "elapsed": said.elapsed_ms,
                "intervals": [list(interval) for interval in intervals],
                "prediction_length": (sum(intervals[-1]) - start_ms) / 1000 if intervals else 0.0,
                "source_length": source_ms,
                "reference": _reference(recording),
                "source": str(track.path),
            }
        )
    _write(folder, lines, "speech")


def _write(folder: Path, lines: Sequence[Fact], target_type: str) -> None:
    text = "".join(json_line(line) + "\n" for line in lines)
    (folder / "instances.log").write_text(text, encoding="utf-8")
    config = {"source_type": "speech", "target_type": target_type}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _instance(index: int, track: Track, recording: Recording, unit: Unit) -> Fact:
    text = emissions(track, unit)
    return {
        "index": index,
        "prediction": join(text.units, unit),
        "delays": text.delays_ms,
        "elapsed": text.elapsed_ms,
        "prediction_length": len(text.units),
        "reference": _reference(recording),
        "source": [str(track.path)],
        "source_length": track.audio_s * 1000,
    }


def _reference(recording: Recording) -> str:
    return " ".join(reference.text for reference in recording.references)


def _with_silences(path: Path, intervals: Sequence[tuple[float, float]]) -> np.ndarray:
    """The pieces of one file [N] at 16 kHz where they were played, from the first one on."""
    spoken = read(path)
    first_ms = intervals[0][0]
    samples = np.zeros(_samples(sum(intervals[-1]) - first_ms) + 1, np.float32)
    position = 0
    for start_ms, duration_ms in intervals:
        start, count = _samples(start_ms - first_ms), _samples(duration_ms)
        piece = spoken[position : position + count][: len(samples) - start]
        samples[start : start + len(piece)] = piece
        position += count
    return samples


def _samples(time_ms: float) -> int:
    return round(time_ms * SAMPLE_RATE / 1000)


# --- simulstream ---


def write_simulstream(folder: Path, log: Log, unit: Unit) -> None:
    """simulstream.jsonl, and simulstream.yaml as its `--eval-config`.

    `computation_time` is that of one chunk (simulstream knows no backlog); with the clock on the wall it is how much
    later than its source a text was there.
    """
    lines: list[Fact] = []
    for index, track in enumerate(log.tracks):
        lines.append({"id": index, "metadata": {"wav_name": track.path.name}})
        lines += [{"id": index, **line} for line in _steps(track, unit)]
    text = "".join(json_line(line) + "\n" for line in lines)
    (folder / "simulstream.jsonl").write_text(text, encoding="utf-8")
    config = {"detokenizer_type": "simuleval", "latency_unit": unit}
    (folder / "simulstream.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _steps(track: Track, unit: Unit) -> Iterator[Fact]:
    """What each chunk of source changed in the text."""
    shown = [
        (fact["heard_s"], fact["elapsed_s"], units)
        for fact, units in displays(track, unit, with_pending=False)
    ]
    before: list[str] = []
    if not track.chunks:
        for heard_s, elapsed_s, units in shown:
            yield _step(heard_s, elapsed_s - heard_s, before, units)
            before = units
        return
    rest = iter(shown)
    pending = next(rest, None)
    for chunk in track.chunks:
        units = before
        while pending is not None and pending[0] <= chunk["heard_s"] and pending[1] <= chunk["elapsed_s"]:
            units = pending[2]
            pending = next(rest, None)
        yield _step(chunk["heard_s"], chunk["compute_s"], before, units)
        before = units


def _step(heard_s: float, compute_s: float, before: Sequence[str], after: Sequence[str]) -> Fact:
    kept = common_prefix(before, after)
    return {
        "total_audio_processed": heard_s,
        "computation_time": compute_s,
        "generated_tokens": list(after[kept:]),
        "deleted_tokens": list(before[kept:]),
    }
