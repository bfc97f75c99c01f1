"""What a training run leaves behind for people, in `main/`: its log, its curves, the options of every start, and which
runs the weights are of that it began from.

Knows these files; nothing of what was trained.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOG_FILE = "log.csv"
STARTS_FILE = "starts.jsonl"  # the options of every start, resumed ones too
RECORD_FILE = "training.json"  # the runs that weights are of; also beside those of a checkpoint
LOSSES = "speech ctc text away prefix astray".split()
CHECKS = "seen_asr seen_s2tt unseen_asr unseen_s2tt".split()
FIELDS = ["step", "seconds", *LOSSES, "norm", "rate", *CHECKS, "clips"]
# Options that say where and how long, and change no weight.
UNTOLD = frozenset("work start_from minutes processes threads log_every check_every check_clips".split())


def note_start(folder: Path, step: int, options: Mapping[str, Any], machine: str) -> None:
    """That the run goes on from this step, with these options and on what."""
    told = {name: value for name, value in options.items() if name not in UNTOLD}
    with open(folder / STARTS_FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "machine": machine, "options": told}) + "\n")


def read_starts(folder: Path) -> list[dict[str, Any]]:
    """What `note_start` wrote, in order; a start that changed nothing is left out."""
    path = folder / STARTS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    starts: list[dict[str, Any]] = []
    for row in map(json.loads, lines):
        if not starts or any(row[name] != starts[-1][name] for name in ("machine", "options")):
            starts.append(row)
    return starts


def record(folder: Path, languages: Sequence[str]) -> list[dict[str, Any]]:
    """The runs that the weights are of, the last being this one so far: languages, steps, seconds, starts."""
    path = folder / RECORD_FILE
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    with open(folder / LOG_FILE) as file:
        *_, last = csv.DictReader(file)
    steps = int(last["step"])
    starts = [start for start in read_starts(folder) if start["step"] < steps]
    own = {"steps": steps, "seconds": int(last["seconds"]), "starts": starts}
    return [*earlier, {"languages": list(languages), **own}]


def write_row(folder: Path, row: dict[str, Any]) -> None:
    """Append to the log, with its header first."""
    path = folder / LOG_FILE
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def plot(folder: Path) -> None:
    """Losses and held-out exactness over steps, from the log."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if not (folder / LOG_FILE).exists():
        return  # stopped before the first row
    with open(folder / LOG_FILE) as file:
        rows = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for name in ("speech", "ctc", "text"):
        points = [(int(r["step"]), float(r[name])) for r in rows if r[name]]
        left.plot(*zip(*points, strict=True), label=name)
    left.set(xlabel="step", ylabel="training loss", yscale="log")
    for name in CHECKS:
        points = [(int(r["step"]), 100 * float(r[name])) for r in rows if r[name]]
        if points:
            right.plot(*zip(*points, strict=True), label=name, marker=".")
    right.set(xlabel="step", ylabel="held-out sentences exactly right, %", ylim=(0, 100))
    left.legend()
    if right.lines:  # none before the first check
        right.legend()
    figure.tight_layout()
    figure.savefig(folder / "curves.png", dpi=110)
    plt.close(figure)
