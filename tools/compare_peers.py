"""Our policies beside other people's systems: same weights, recordings and machine, taking turns; a table and a plot.

    python tools/compare_peers.py --data talks.yaml --to spa --peers PEERS --output out/peers

For every recording each system runs in a process of its own, in an order that turns by one place from recording to
recording; computing is counted in processor time on one thread. `--peers` is the folder of tools/run_simulstream.py.
Writes a folder a run as `seamless-stream evaluate`, and peers.md, peers.png, peers.svg. A run that is there already is
not done again, and an output of other weights, data or target is refused; a system that fails is left out, and its
error is in peers.md.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from seamless_stream.evaluation.corpus import Recording, read_corpus
from seamless_stream.evaluation.plot import plot
from seamless_stream.evaluation.results import LOG_NAME, Result, finish, latency_name, points
from seamless_stream.models.checkpoint import PHRASEBOOK_DIRECTORY, resolve
from tools.kept import claim
from tools.phrasebook.files import fingerprint

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class System:
    """What runs: a name for its folder, its command without data and output, and what must be before it in the path."""

    name: str
    command: tuple[str, ...]
    path: str = ""
    label: str = ""  # in the plot; empty: as it calls itself


def systems(options: argparse.Namespace) -> list[System]:
    """Everything that is compared, each with the values of its curve."""
    ours = ("-m", "seamless_stream", "evaluate", "--quiet", "--timer", "cpu", "--model", str(options.model))
    theirs = ("--model", str(options.model))
    curves = {"wait-k": ("wait_k", (2, 3, 7)), "hold-n": ("hold_n", (2, 6))}
    curves["local-agreement"] = ("decode_every_ms", (320, 640, 1280))
    curves["alignatt"] = ("alignatt_frames", (1, 2, 4))
    found = [System("segment", (*ours, "--policy", "segment"))]
    for policy, (key, values) in curves.items():
        for value in values:
            sweep = ("--policy", policy, "--sweep", f"session.policy.{key}={value}")
            found.append(System(f"{policy}-{value}", (*ours, *sweep)))
    # The peers decode twice a second, once, or every two seconds, simulstream with five beams: such rows compare.
    for (every_ms, beams), value in itertools.product(((640, 1), (1280, 1), (1920, 1), (640, 5)), (1, 2, 4)):
        sweep = ("--policy", "alignatt", "--sweep", f"session.policy.alignatt_frames={value}")
        more = (
            "--set",
            f"session.policy.decode_every_ms={every_ms}",
            "--set",
            f"session.decoding.beams={beams}",
        )
        name, label = f"alignatt{every_ms}-{value}", f"alignatt, {every_ms} ms"
        if beams > 1:
            name, label = f"alignatt{every_ms}x{beams}-{value}", f"{label}, {beams} beams"
        found.append(System(name, (*ours, *sweep, *more), label=label))
    for step_s in (0.5, 1, 2):
        command = ("tools/run_agreement.py", *theirs, "--step-s", str(step_s))
        found.append(System(f"agreement-{step_s}", command))
    for frames in (2, 4, 6, 8):
        command = ("tools/run_simulstream.py", *theirs, "--frames", str(frames))
        found.append(System(f"simulstream-{frames}", command, options.peers or ""))
    found = [system for system in found if options.peers or not system.name.startswith("simulstream")]
    chosen = options.systems or [system.name for system in found]
    return [system for system in found if system.name in chosen]


def part(recording: Recording, folder: Path) -> Path:
    """A list of one recording."""
    rows = []
    for reference in recording.references:
        row: dict[str, object] = {"wav": str(recording.path.resolve()), "reference": reference.text}
        if recording.is_long:
            row |= {"offset": reference.offset_s, "duration": reference.duration_s}
        rows.append(row)
    path = folder / f"{recording.name}.yaml"
    path.write_text(yaml.safe_dump(rows, allow_unicode=True), encoding="utf-8")
    return path


def play(system: System, data: Path, language: str, output: Path) -> str:
    """Run it on one recording; what went wrong, or nothing."""
    if (output / "done").exists():
        return ""
    paths = ":".join(filter(None, (system.path, str(ROOT))))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        *system.command,
        "--data",
        str(data),
        "--to",
        language,
        "--output",
        str(output),
    ]
    output.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(f"{system.name:24} {data.stem:16} {time.monotonic() - begun:6.0f} s", flush=True)
    if done.returncode:
        (output / "failed").write_text(done.stderr, encoding="utf-8")
        return done.stderr.strip().splitlines()[-1]
    (output / "done").touch()
    return ""


def join(logs: Sequence[Path], header_fields: dict[str, str], path: Path) -> None:
    """The logs of single recordings as one, with these fields in its header."""
    with path.open("w", encoding="utf-8") as file:
        for number, log in enumerate(logs):
            header, *lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            if not number:
                lines = [header | header_fields, *lines]
            for line in lines:
                line |= {"recording": number} if "recording" in line else {}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def markdown(results: Sequence[Result], failures: dict[str, str]) -> str:
    """The table of docs/evaluation.md."""
    metric = "yaal" if results[0].is_long else "laal"
    name = latency_name(metric, results[0].is_long)
    head = [
        "system",
        "BLEU",
        "chrF",
        "LAAL",
        f"{name} cu",
        f"{name} ca",
        "lag by computing",
        "erasure",
        "CPU s/s",
    ]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for result in results:
        scores = result.scores
        latencies = [
            result.latency_s("laal", "cu"),
            *(result.latency_s(metric, clock) for clock in ("cu", "ca")),
        ]
        laal, unaware, aware = (float("nan") if value is None else value for value in latencies)
        figures = [laal, unaware, aware, aware - unaware, scores["erasure"]["shown"]]
        figures.append(scores["computing"]["cpu_per_audio_s"])
        qualities = [f"{scores['quality'][key]:.1f}" for key in ("bleu", "chrf")]
        rows.append([result.name, *qualities, *(f"{figure:.2f}" for figure in figures)])
    text = "".join("| " + " | ".join(row) + " |\n" for row in rows)
    text += (
        f"\n{results[0].scores['num_recordings']} recordings, {results[0].scores['audio_s'] / 60:.1f} min.\n"
    )
    return text + "".join(f"\n{name} did not run: `{error}`\n" for name, error in failures.items())


def facts(options: argparse.Namespace) -> dict[str, object]:
    """What all runs have in common, whatever their number."""
    chosen = {"to": options.to, "peers": options.peers}
    weights = resolve(str(options.model)).identity
    return chosen | {"weights": weights, "data": fingerprint(options.data)}


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--to", default="spa", help="the checkpoint's code; default: spa")
    parser.add_argument(
        "--model", type=Path, default=PHRASEBOOK_DIRECTORY, help="default: the bundled phrasebook"
    )
    parser.add_argument(
        "--peers", help="the folder with simulstream and its transformers; none: it is left out"
    )
    parser.add_argument("--systems", nargs="+", help="only these, as alignatt-4 agreement-1 simulstream-4")
    parser.add_argument("--output", type=Path, default=Path("out/peers"))
    options = parser.parse_args()
    recordings = read_corpus(options.data)[: options.limit]
    claim(options.output, facts(options))
    compared, failures = systems(options), dict[str, str]()
    parts = options.output.resolve() / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    for number, recording in enumerate(recordings):
        data = part(recording, parts)
        first = number % len(compared)
        for system in [*compared[first:], *compared[:first]]:
            error = play(system, data, options.to, parts / recording.name / system.name)
            failures |= {system.name: error} if error else {}
    results = []
    for system in compared:
        if system.name not in failures:
            logs = [next((parts / r.name / system.name).glob(f"*/{LOG_NAME}")) for r in recordings]
            folder = options.output / system.name
            folder.mkdir(exist_ok=True)
            label = {"label": system.label} if system.label else {}
            join(logs, {"data": str(options.data), **label}, folder / LOG_NAME)
            results.append(finish(folder, recordings))
    if not results:
        raise SystemExit("\n".join(f"{name}: {error}" for name, error in failures.items()))
    (options.output / "peers.md").write_text(markdown(results, failures), encoding="utf-8")
    metric = "yaal" if results[0].is_long else "laal"
    for suffix in ("png", "svg"):
        name = latency_name(metric, results[0].is_long)
        plot(
            points(results, metric, "bleu"),
            options.output / f"peers.{suffix}",
            name,
            "BLEU",
            options.data.name,
        )
    print((options.output / "peers.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
