"""Make the golden files: what SimulEval, OmniSTEval and mweralign compute from logs with fixed random numbers.

    python tests/evaluation/peers.py install DIR     an environment of their own; nothing of them enters ours
    DIR/bin/python tests/evaluation/peers.py > tests/evaluation/golden.json

Runs where the three are installed and ours is not: standard library and their Python interfaces only.
"""

import json
import logging
import random
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TOOLS = ("simuleval==1.1.4", "omnisteval==0.1.10", "mweralign==1.4.1")
# What their scorers import. SimulEval pins old versions of much more, which scoring does not need.
NEEDED = (
    "sacrebleu==2.6.0",
    "pyyaml",
    "mosestokenizer",
    "pandas",
    "tqdm",
    "soundfile",
    "textgrid",
    "sentencepiece",
)
VOCABULARY = "the a cat dog sat Mat hat on under old cold . , ! big Pig house-boat über".split()
CHARACTERS = "我你他好不是在有人这中大来上国个到说们为。，！"


def install(folder: Path) -> None:
    """A virtual environment with the tools as they were published."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "--no-deps", *TOOLS], check=True)
    subprocess.run([*pip, *NEEDED], check=True)


# --- logs with random numbers ---


def times(rng: random.Random, number: int, source_ms: float) -> tuple[list[float], list[float]]:
    """Delays on a grid with repeats and some at the end; elapsed times after them, rising too."""
    grid = [min(source_ms, 320.0 * rng.randint(2, 2 + int(source_ms // 300))) for _ in range(number)]
    delays = sorted(grid)
    elapsed, last = [], 0.0
    for delay in delays:
        last = max(last, delay) + rng.choice([0.0, 12.345, 71.5])
        elapsed.append(last)
    return delays, elapsed


def noisy(rng: random.Random, units: list[str], vocabulary: list[str]) -> list[str]:
    """Some units left out, replaced, or doubled."""
    out = []
    for unit in units:
        draw = rng.random()
        if draw < 0.75:
            out.append(unit)
        elif draw < 0.88:
            out.append(rng.choice(vocabulary))
        if rng.random() < 0.12:
            out.append(rng.choice(vocabulary))
    return out


def short_cases(rng: random.Random, unit: str, number: int) -> list[dict[str, Any]]:
    vocabulary = VOCABULARY if unit == "word" else list(CHARACTERS)
    joint = " " if unit == "word" else ""
    cases = []
    for index in range(number):
        reference = [rng.choice(vocabulary) for _ in range(rng.randint(2, 14))]
        prediction = noisy(rng, reference, vocabulary) or [vocabulary[0]]
        source_ms = rng.uniform(1000, 6000)
        delays, elapsed = times(rng, len(prediction), source_ms)
        if index == 1:  # everything after the end of the source
            delays = elapsed = [source_ms + 100.0] * len(prediction)
        cases.append(
            {
                "index": index,
                "prediction": joint.join(prediction),
                "delays": delays,
                "elapsed": elapsed,
                "prediction_length": len(prediction),
                "reference": joint.join(reference),
                "source": [f"clip{index}.wav"],
                "source_length": source_ms,
            }
        )
    return cases


def long_case(rng: random.Random, unit: str, name: str) -> dict[str, Any]:
    vocabulary = VOCABULARY if unit == "word" else list(CHARACTERS)
    joint = " " if unit == "word" else ""
    segments, prediction, delays, elapsed, now_s = [], [], [], [], 0.4
    for _ in range(6):
        reference = [rng.choice(vocabulary) for _ in range(rng.randint(1, 9))]
        duration_s = 0.3 * len(reference) + rng.random()
        said = noisy(rng, reference, vocabulary)
        prediction += said
        mine, mine_elapsed = times(rng, len(said), duration_s * 1000)
        delays += [time + now_s * 1000 + 700 for time in mine]
        elapsed += [time + now_s * 1000 + 700 for time in mine_elapsed]
        segments.append({"offset": now_s, "duration": duration_s, "reference": joint.join(reference)})
        now_s += duration_s + rng.uniform(0.1, 1.0)
    return {
        "name": name,
        "segments": segments,
        "units": prediction,
        "prediction": joint.join(prediction),
        "delays": delays,
        "elapsed": elapsed,
        "source_length": now_s * 1000,
    }


def speech_case(rng: random.Random, index: int) -> dict[str, Any]:
    source_ms = rng.uniform(2000, 6000)
    delays, elapsed = times(rng, rng.randint(1, 6), source_ms)
    # Pieces of 3 to 60 units of 20 ms, whole numbers of samples: two pieces may come at once.
    durations = [20.0 * rng.randint(3, 60) for _ in delays]
    return {
        "index": index,
        "delays": delays,
        "elapsed": elapsed,
        "durations": durations,
        "source_length": source_ms,
    }


def make_cases() -> dict[str, Any]:
    rng = random.Random(6)
    return {
        "word": short_cases(rng, "word", 12),
        "char": short_cases(rng, "char", 6),
        "long_word": [long_case(rng, "word", f"talk{i}") for i in range(3)],
        "long_char": [long_case(rng, "char", f"talk{i}") for i in range(2)],
        "speech": [speech_case(rng, i) for i in range(6)],
    }


# --- what the tools say ---


def simuleval_text(cases: list[dict[str, Any]], unit: str) -> dict[str, dict[str, float]]:
    from simuleval.evaluator.instance import LogInstance
    from simuleval.evaluator.scorers.latency_scorer import LATENCY_SCORERS_DICT

    names = ("AL", "LAAL", "AP", "DAL", "ATD", "StartOffset", "EndOffset", "RTF")
    instances = {case["index"]: LogInstance(json.dumps(case), unit) for case in cases}
    return {
        clock: {name: LATENCY_SCORERS_DICT[name](computation_aware=aware)(instances) for name in names}
        for clock, aware in (("delays", False), ("elapsed", True))
    }


def simuleval_speech(cases: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    from simuleval.evaluator.instance import SpeechToSpeechInstance
    from simuleval.evaluator.scorers.latency_scorer import LATENCY_SCORERS_DICT

    class Said(SpeechToSpeechInstance):  # type: ignore[misc]
        source_length = 0.0

    instances = {}
    with tempfile.TemporaryDirectory() as folder:
        arguments = SimpleNamespace(output=folder, eval_latency_unit="word")
        for case in cases:
            said = Said(case["index"], None, arguments)
            said.dataloader = SimpleNamespace(get_source_audio_path=lambda index: f"clip{index}.wav")
            said.delays, said.elapsed, said.durations = case["delays"], case["elapsed"], case["durations"]
            said.reference, said.source_length = None, case["source_length"]
            said.target_sample_rate = 16_000
            said.prediction_list = [[0.0] * int(16 * duration) for duration in case["durations"]]
            said.summarize()
            instances[case["index"]] = said
        names = ("ATD", "StartOffset", "EndOffset", "RTF")
        names += ("DiscontinuitySum", "DiscontinuityAve", "DiscontinuityNum")
        return {
            clock: {
                name: LATENCY_SCORERS_DICT[name](computation_aware=aware)(instances)
                for name in (names if not aware else ("ATD",))
            }
            for clock, aware in (("delays", False), ("elapsed", True))
        }


def omnisteval_short(cases: list[dict[str, Any]], unit: str) -> dict[str, float]:
    from omnisteval.io import load_shortform_instances
    from omnisteval.scoring import evaluate_instances

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.log"
        path.write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
        instances = load_shortform_instances(str(path), None, "delays", "elapsed", unit == "char")
        return evaluate_instances(
            instances, is_longform=False, bleu_tokenizer="13a" if unit == "word" else "zh"
        )[0]


def omnisteval_long(cases: list[dict[str, Any]], unit: str) -> dict[str, Any]:
    import yaml
    from omnisteval.io import load_resegmentation_inputs
    from omnisteval.resegment import resegment
    from omnisteval.scoring import evaluate_instances

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segments = [
            {"wav": f"{case['name']}.wav", "offset": row["offset"], "duration": row["duration"]}
            for case in cases
            for row in case["segments"]
        ]
        (folder / "segments.yaml").write_text(yaml.safe_dump(segments))
        references = "".join(row["reference"] + "\n" for case in cases for row in case["segments"])
        (folder / "references.txt").write_text(references, encoding="utf-8")
        lines = [{**case, "source": [f"{case['name']}.wav"]} for case in cases]
        (folder / "instances.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
        words, said, segmentation, sentences = load_resegmentation_inputs(
            str(folder / "segments.yaml"),
            None,
            str(folder / "references.txt"),
            str(folder / "instances.log"),
            char_level=unit == "char",
        )
    instances, rows = resegment(words, said, segmentation, sentences, char_level=unit == "char", lang=None)
    scores = evaluate_instances(
        instances, is_longform=True, bleu_tokenizer="13a" if unit == "word" else "zh"
    )[0]
    return {"scores": scores, "predictions": [row["prediction"] for row in rows]}


def mweralign_cuts(cases: list[dict[str, Any]]) -> list[list[str]]:
    from mweralign import mweralign

    return [
        mweralign.align_texts(
            "\n".join(row["reference"] for row in case["segments"]), case["prediction"]
        ).split("\n")
        for case in cases
    ]


def main() -> None:
    if sys.argv[1:2] == ["install"]:
        install(Path(sys.argv[2]))
        return
    logging.disable(logging.CRITICAL)
    cases = make_cases()
    found = {
        "versions": {name: version(name) for name in ("simuleval", "omnisteval", "mweralign", "sacrebleu")},
        "cases": cases,
        "simuleval": {unit: simuleval_text(cases[unit], unit) for unit in ("word", "char")}
        | {"speech": simuleval_speech(cases["speech"])},
        "omnisteval": {unit: omnisteval_short(cases[unit], unit) for unit in ("word", "char")}
        | {f"long_{unit}": omnisteval_long(cases[f"long_{unit}"], unit) for unit in ("word", "char")},
        "mweralign": mweralign_cuts(cases["long_word"]),
    }
    json.dump(found, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
