"""Our figures equal those of SimulEval, OmniSTEval and mweralign on the same numbers, to 1e-6.

`golden.json` holds their answers with their versions. Where `SEAMLESS_STREAM_PEERS` names a Python that has them (see
`peers.py`), they are asked again.
"""

import json
import math
import os
import subprocess
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from seamless_stream.evaluation import latency, quality
from seamless_stream.evaluation.corpus import Recording, Reference
from seamless_stream.evaluation.log import Emissions, Track, split
from seamless_stream.evaluation.quality import Unit
from seamless_stream.evaluation.score import Instance, cut, latencies_of, whole
from seamless_stream.evaluation.segmentation import least_error_segments

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text(encoding="utf-8"))
UNITS: tuple[Unit, ...] = ("word", "char")
LANGUAGES = {"word": "eng", "char": "cmn"}


def emitted(case: dict[str, Any], unit: Unit) -> Emissions:
    return Emissions(case["prediction"], split(case["prediction"], unit), case["delays"], case["elapsed"])


def short_instances(unit: Unit) -> list[Instance]:
    found = []
    for case in GOLDEN["cases"][unit]:
        track = Track("clip", Path("clip.wav"), case["source_length"] / 1000)
        recording = Recording("clip", Path("clip.wav"), (Reference(case["reference"]),))
        found.append(whole(emitted(case, unit), track, recording, unit))
    return found


def long_instances(unit: Unit) -> list[Instance]:
    found = []
    for case in GOLDEN["cases"][f"long_{unit}"]:
        rows = [Reference(row["reference"], row["offset"], row["duration"]) for row in case["segments"]]
        recording = Recording(case["name"], Path("talk.wav"), tuple(rows))
        track = Track(case["name"], Path("talk.wav"), case["source_length"] / 1000)
        found += cut(emitted(case, unit), track, recording, unit)
    return found


def near(value: float | None) -> Any:
    return pytest.approx(value, rel=0, abs=1e-6)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("clock", ["delays", "elapsed"])
def test_text_latency_equals_simuleval(unit: Unit, clock: str) -> None:
    ours = latencies_of(short_instances(unit), clock)
    theirs = GOLDEN["simuleval"][unit][clock]
    names = {"StartOffset": "start_offset", "EndOffset": "end_offset", "RTF": "relative_end"}
    assert len(theirs) == 8
    assert {name: ours[names.get(name, name.lower())] for name in theirs} == near(theirs)


@pytest.mark.parametrize("clock", ["delays", "elapsed"])
def test_speech_latency_equals_simuleval(clock: str) -> None:
    found: dict[str, list[float]] = {}
    for case in GOLDEN["cases"]["speech"]:
        delays, durations, source_ms = case["delays"], case["durations"], case["source_length"]
        elapsed = case["elapsed"] if clock == "elapsed" else None
        played = latency.intervals_of(delays, durations)
        gaps = latency.discontinuities(played)
        values = {
            "ATD": latency.average_token_delay(delays, elapsed, durations),
            "StartOffset": latency.start_offset(delays),
            "EndOffset": latency.end_offset(delays, source_ms, played),
            "RTF": latency.relative_end(delays, source_ms, played),
            "DiscontinuitySum": sum(gaps),
            "DiscontinuityAve": fmean(gaps) if gaps else 0,
            "DiscontinuityNum": len(gaps),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    theirs = GOLDEN["simuleval"]["speech"][clock]
    assert theirs["ATD"] > 0
    assert {name: fmean(found[name]) for name in theirs} == near(theirs)


@pytest.mark.parametrize("unit", UNITS)
def test_short_form_equals_omnisteval(unit: Unit) -> None:
    instances = short_instances(unit)
    theirs = GOLDEN["omnisteval"][unit]
    for prefix, clock in (("", "delays"), ("ca_", "elapsed")):
        ours = latencies_of(instances, clock)
        for name in ("yaal", "al", "laal", "ap", "dal"):
            assert ours[name] == near(theirs[prefix + name])
    ours = latencies_of(instances, "delays")
    assert (ours["swf"], ours["efsw"]) == near((theirs["swf"], theirs["efsw"]))
    scores = quality.score(
        [i.prediction for i in instances], [i.reference for i in instances], LANGUAGES[unit]
    )
    assert (scores.bleu, scores.chrf) == near((theirs["bleu"], theirs["chrf"]))


@pytest.mark.parametrize("unit", UNITS)
def test_long_form_equals_omnisteval(unit: Unit) -> None:
    instances = long_instances(unit)
    theirs = GOLDEN["omnisteval"][f"long_{unit}"]
    assert [instance.prediction for instance in instances] == theirs["predictions"]
    for prefix, clock in (("", "delays"), ("ca_", "elapsed")):
        ours = latencies_of(instances, clock)
        for name in ("yaal", "al", "laal", "ap", "dal"):
            assert ours[name] == near(theirs["scores"][f"{prefix}long_{name}"])
    scores = quality.score(
        [i.prediction for i in instances], [i.reference for i in instances], LANGUAGES[unit]
    )
    assert (scores.bleu, scores.chrf) == near((theirs["scores"]["bleu"], theirs["scores"]["chrf"]))


def test_least_errors_equal_mweralign() -> None:
    for case, lines in zip(GOLDEN["cases"]["long_word"], GOLDEN["mweralign"], strict=True):
        parts = [row["reference"].split() for row in case["segments"]]
        units = case["prediction"].split()
        homes = least_error_segments(parts, units)
        cuts = [
            [unit for unit, home in zip(units, homes, strict=True) if home == n] for n in range(len(parts))
        ]
        assert cuts == [line.split() for line in lines]


def test_golden_files_are_what_the_tools_say() -> None:
    python = os.environ.get("SEAMLESS_STREAM_PEERS")
    if not python:
        pytest.skip(
            "SEAMLESS_STREAM_PEERS names no Python with the tools; tests/evaluation/peers.py installs them"
        )
    answer = subprocess.run([python, str(HERE / "peers.py")], capture_output=True, check=True, text=True)
    again = json.loads(answer.stdout)
    assert again["cases"] == GOLDEN["cases"]
    assert again["mweralign"] == GOLDEN["mweralign"]
    assert flat(again["simuleval"]) == near(flat(GOLDEN["simuleval"]))
    assert flat(again["omnisteval"]) == near(flat(GOLDEN["omnisteval"]))


def flat(tree: dict[str, Any], path: str = "") -> dict[str, float]:
    """All numbers of a tree with their paths; nan becomes -1."""
    found: dict[str, float] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{path}/{key}")
        elif isinstance(value, int | float):
            found[f"{path}/{key}"] = -1.0 if math.isnan(value) else value
    return found
