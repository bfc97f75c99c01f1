"""Figures of a run from its log and its corpus: quality, latency on each clock, erasure, speech, computing.

Short recordings are scored as they are, long ones after their text was cut by the references. All latencies are means
over inputs in ms, as SimulEval and OmniSTEval compute them. Knows no model; a recogniser is a function.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import read
from seamless_stream.errors import SettingsError
from seamless_stream.evaluation import latency, quality
from seamless_stream.evaluation.corpus import Recording, Reference
from seamless_stream.evaluation.log import (
    Emissions,
    Log,
    Pieces,
    Track,
    displays,
    emissions,
    join,
    pieces,
    split,
)
from seamless_stream.evaluation.quality import Recogniser, Unit
from seamless_stream.evaluation.segmentation import least_error_segments, soft_segments

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Instance:
    """One input with one reference: a short recording, or what was found for one segment of a long one.

    Times in ms since its start; `recording_end_ms` only in a long recording.
    """

    name: str
    prediction: str
    reference: str
    reference_units: int
    delays: list[float]
    elapsed: list[float]
    source_ms: float
    start_ms: float = 0.0
    recording_end_ms: float | None = None

    def times(self, clock: str) -> list[float]:
        """`delays` or `elapsed`."""
        return self.delays if clock == "delays" else self.elapsed


@dataclass(frozen=True)
class Scores:
    """Everything that is computed from one log; latencies in ms by clock, cu and ca, or wall."""

    quality: dict[str, Any]
    latency: dict[str, Figures]
    erasure: Figures
    computing: Figures
    speech: dict[str, Any] = field(default_factory=dict)
    num_recordings: int = 0
    num_failed: int = 0
    audio_s: float = 0.0


def score(
    log: Log,
    recordings: Sequence[Recording],
    language: str,
    recogniser: Recogniser | None = None,
    speech_folder: Path | None = None,
) -> Scores:
    """All figures; raises SettingsError where log and corpus are not of the same recordings."""
    _check(log, recordings)
    unit = quality.unit_of(language)
    texts = [emissions(track, unit) for track in log.tracks]
    is_long = recordings[0].is_long
    instances = [
        instance
        for track, text, recording in zip(log.tracks, texts, recordings, strict=True)
        for instance in (
            cut(text, track, recording, unit) if is_long else [whole(text, track, recording, unit)]
        )
    ]
    clocks = {"wall": "elapsed"} if log.header["clock"] == "wall" else {"cu": "delays", "ca": "elapsed"}
    found = quality.score(
        [item.prediction for item in instances], [item.reference for item in instances], language
    )
    latencies = {name: latencies_of(instances, times) for name, times in clocks.items()}
    if is_long:
        for name, times in clocks.items():
            latencies[name]["stream_laal"] = stream_laal(texts, recordings, times, unit)
            latencies[name]["drift_per_minute"] = drift(instances, times)
    return Scores(
        asdict(found) | {"latency_unit": unit},
        latencies,
        erasure(log.tracks, unit),
        computing(log),
        speech(log.tracks, recordings, clocks, language, recogniser, speech_folder),
        len(recordings),
        sum(len(track.of_type("Failed")) for track in log.tracks),
        sum(track.audio_s for track in log.tracks),
    )


def _check(log: Log, recordings: Sequence[Recording]) -> None:
    logged, listed = [track.name for track in log.tracks], [recording.name for recording in recordings]
    if logged != listed:
        raise SettingsError(
            f"The log must be of the {len(listed)} recordings of the list, but is of {len(logged)} others."
        )


# --- inputs ---


def whole(text: Emissions, track: Track, recording: Recording, unit: Unit) -> Instance:
    """A short recording."""
    reference = recording.references[0].text
    return Instance(
        track.name,
        text.text,
        reference,
        num_units(reference, unit),
        text.delays_ms,
        text.elapsed_ms,
        track.audio_s * 1000,
    )


def num_units(reference: str, unit: Unit) -> int:
    """Length of a reference as SimulEval counts it: the spaces between characters count too, an empty one as 1."""
    return len(reference.split(" ")) if unit == "word" else max(1, len(reference.strip()))


def cut(text: Emissions, track: Track, recording: Recording, unit: Unit) -> list[Instance]:
    """What a long recording says for each of its references (OmniSTEval's long form)."""
    parts = [split(reference.text, unit) for reference in recording.references]
    homes = soft_segments(parts, text.units, by_character=unit == "char")
    end_ms = max(reference.end_s for reference in recording.references) * 1000
    instances = []
    for number, reference in enumerate(recording.references):
        mine = [i for i, home in enumerate(homes) if home == number]
        start_ms, duration_ms = _place(reference)
        reference_text = join(parts[number], unit)
        instances.append(
            Instance(
                f"{track.name}:{number}",
                join([text.units[i] for i in mine], unit),
                reference_text,
                num_units(reference_text, unit),
                [text.delays_ms[i] - start_ms for i in mine],
                [text.elapsed_ms[i] - start_ms for i in mine],
                duration_ms,
                start_ms,
                end_ms - start_ms,
            )
        )
    return instances


def _place(reference: Reference) -> tuple[float, float]:
    assert reference.duration_s is not None
    return reference.offset_s * 1000, reference.duration_s * 1000


# --- latency ---


def latencies_of(instances: Sequence[Instance], times: str) -> Figures:
    """Means over the inputs that have any output; YAAL also leaves out those that it is not defined for."""
    said = [item for item in instances if item.times(times)]
    if not said:
        return {}
    lags = [
        latency.yaal(item.times(times), item.source_ms, item.reference_units, item.recording_end_ms)
        for item in said
    ]

    def mean(metric: Callable[[Sequence[float], Instance], float]) -> float:
        return fmean(metric(item.times(times), item) for item in said)

    laal = [
        latency.length_adaptive_average_lagging(i.times(times), i.source_ms, i.reference_units) for i in said
    ]
    figures: Figures = {
        "al": mean(lambda d, i: latency.average_lagging(d, i.source_ms, i.reference_units)),
        "laal": fmean(laal),
        "dal": mean(lambda d, i: latency.differentiable_average_lagging(d, i.source_ms)),
        "ap": mean(lambda d, i: latency.average_proportion(d, i.source_ms, i.reference_units)),
        "yaal": _mean([lag for lag in lags if lag is not None]),
        "start_offset": mean(lambda d, i: latency.start_offset(d)),
        "end_offset": mean(lambda d, i: latency.end_offset(d, i.source_ms)),
        "laal_p50": _percentile(laal, 50),
        "laal_p95": _percentile(laal, 95),
    }
    if instances[0].recording_end_ms is None:
        figures["relative_end"] = mean(lambda d, i: latency.relative_end(d, i.source_ms))
        figures["atd"] = mean(
            lambda d, i: latency.average_token_delay(i.delays, i.elapsed if times == "elapsed" else None)
        )
        shares = latency.simultaneous_shares(
            [i.times(times) for i in said], [i.source_ms for i in said], lags
        )
        figures["swf"], figures["efsw"] = shares
    return figures


def stream_laal(
    texts: Sequence[Emissions], recordings: Sequence[Recording], times: str, unit: Unit
) -> float | None:
    """StreamLAAL 2.0: LAAL of every reference over the words that fewest word errors give it; silent ones left out.

    Papi et al. 2024, https://aclanthology.org/2024.acl-long.202.
    """
    lags = []
    for text, recording in zip(texts, recordings, strict=True):
        parts = [split(reference.text, unit) for reference in recording.references]
        homes = least_error_segments(parts, text.units)
        emitted = text.delays_ms if times == "delays" else text.elapsed_ms
        for number, reference in enumerate(recording.references):
            start_ms, duration_ms = _place(reference)
            mine = [time - start_ms for time, home in zip(emitted, homes, strict=True) if home == number]
            if mine:
                lags.append(latency.length_adaptive_average_lagging(mine, duration_ms, len(parts[number])))
    return _mean(lags)


def drift(instances: Sequence[Instance], times: str) -> float | None:
    """Mean over recordings of the drift of their segments' end offsets, s per minute."""
    by_recording: dict[str, list[tuple[float, float]]] = {}
    for item in instances:
        if item.times(times):
            end_s = (item.start_ms + item.source_ms) / 1000
            offset_s = latency.end_offset(item.times(times), item.source_ms) / 1000
            by_recording.setdefault(item.name.rpartition(":")[0], []).append((end_s, offset_s))
    slopes = [latency.drift_per_minute(*zip(*rows, strict=True)) for rows in by_recording.values()]
    return _mean([slope for slope in slopes if slope is not None])


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


# --- the rest ---


def erasure(tracks: Sequence[Track], unit: Unit) -> Figures:
    """Normalised erasure of what is committed (what the latencies are of) and of all that a viewer sees."""
    figures: Figures = {}
    for name, with_pending in (("committed", False), ("shown", True)):
        counts = [
            latency.normalized_erasure(
                [shown for _, shown in displays(track, unit, with_pending=with_pending)]
            )
            for track in tracks
        ]
        num_final = sum(final for _, final in counts)
        figures[name] = sum(erased for erased, _ in counts) / num_final if num_final else None
    return figures


def computing(log: Log) -> Figures:
    """Real-time factor by the clock and in processor time; empty with the clock on the wall."""
    audio_s = sum(track.audio_s for track in log.tracks)
    if log.header["clock"] == "wall":
        return {}
    return {
        "rtf": latency.real_time_factor(sum(track.compute_s for track in log.tracks), audio_s),
        "cpu_per_audio_s": latency.real_time_factor(sum(track.cpu_s for track in log.tracks), audio_s),
    }


def speech(
    tracks: Sequence[Track],
    recordings: Sequence[Recording],
    clocks: Mapping[str, str],
    language: str,
    recogniser: Recogniser | None,
    folder: Path | None,
) -> dict[str, Any]:
    """Latency of synthesized speech by clock, and with a recogniser its quality; empty where nothing was said."""
    spoken = [(track, pieces(track)) for track in tracks]
    said = [(track, piece) for track, piece in spoken if piece.durations_ms]
    if not said:
        return {}
    figures: dict[str, Any] = {name: _speech_times(said, times) for name, times in clocks.items()}
    if recogniser and folder:
        texts = [
            recogniser(_samples(folder / f"{number}.wav")) if piece.durations_ms else ""
            for number, (_, piece) in enumerate(spoken)
        ]
        references = [" ".join(item.text for item in recording.references) for recording in recordings]
        figures["quality"] = asdict(quality.score_speech(texts, references, language))
        figures["recognised"] = texts
    return figures


def _samples(path: Path) -> np.ndarray:
    samples = read(path)
    return np.pad(samples, SAMPLE_RATE // 4)  # recognisers lose a word that begins at once


def _speech_times(said: Sequence[tuple[Track, Pieces]], times: str) -> Figures:
    rows: list[Figures] = []
    for track, piece in said:
        starts = piece.delays_ms if times == "delays" else piece.elapsed_ms
        played = latency.intervals_of(starts, piece.durations_ms)
        gaps = latency.discontinuities(played)
        elapsed = piece.elapsed_ms if times == "elapsed" else None
        rows.append(
            {
                "start_offset": latency.start_offset(starts),
                "end_offset": latency.end_offset(starts, track.audio_s * 1000, played),
                "relative_end": latency.relative_end(starts, track.audio_s * 1000, played),
                "atd": latency.average_token_delay(piece.delays_ms, elapsed, piece.durations_ms),
                "discontinuity_sum": sum(gaps),
                "discontinuity_mean": fmean(gaps) if gaps else 0.0,
                "discontinuity_num": float(len(gaps)),
            }
        )
    return {name: fmean(row[name] or 0.0 for row in rows) for name in rows[0]}
