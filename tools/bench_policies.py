"""Quality against latency of the policies, on held-out sentences joined into minutes of speech with pauses.

    python -m tools.bench_policies [--output out/policies] [--minutes 2] [--count 3] [--timer cpu] [--plot FILE]

Plays, logs and scores by `seamless-stream evaluate`; what is in the output already is not run again, and an output of
other weights, speech or options is refused. Writes a table
and a plot, and says whether AlignAtt lies on or above the curves of the others, and whether it has an average lag
under 1.5 s at no more than 3 BLEU below waiting for the end of the segment.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seamless_stream.cli import main as seamless_stream
from seamless_stream.evaluation.plot import plot
from seamless_stream.evaluation.results import SCORES_NAME, Result, load_results, points, table
from seamless_stream.models.checkpoint import resolve
from tools.kept import claim
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.files import fingerprint
from tools.phrasebook.shards import INDEX_NAME

# Policy, the setting that is swept, and its values; `segment` has none.
CURVES: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("alignatt", "alignatt_frames", (1, 2, 4, 6, 8)),
    ("local-agreement", "decode_every_ms", (320, 640, 960)),
    ("wait-k", "wait_k", (2, 4, 6, 8)),
    ("hold-n", "hold_n", (2, 4, 6, 8)),
    ("segment", "", ()),
)
MAX_LAG_S = 1.5
MAX_LOSS_BLEU = 3.0
METRIC = "stream_laal"

Curve = Sequence[tuple[float, float]]  # latency in s and BLEU


def best_until(curve: Curve, latency_s: float) -> float | None:
    """The best quality that a policy reaches at most so late, between its points on the line; None: it never does."""
    ordered = sorted(curve)
    reached = [quality for lag, quality in ordered if lag <= latency_s]
    if not reached:
        return None
    lags, qualities = zip(*ordered, strict=True)
    return max(*reached, float(np.interp(latency_s, lags, qualities)))


def is_on_top(curve: Curve, others: Sequence[Curve], tolerance: float = 0.0) -> bool:
    """Whether at every latency of `curve` no other policy has been better by then."""
    pairs = [(best_until(curve, lag), best_until(other, lag)) for lag, _ in curve for other in others]
    return all(own is not None and (best is None or own >= best - tolerance) for own, best in pairs)


def close_enough(curve: Curve, reference: float) -> tuple[float, float] | None:
    """The best point with a small lag and a small loss."""
    fine = [(lag, bleu) for lag, bleu in curve if lag < MAX_LAG_S and bleu >= reference - MAX_LOSS_BLEU]
    return max(fine, key=lambda point: point[1], default=None)


def facts(options: argparse.Namespace) -> dict[str, object]:
    """What all points of the curves have in common."""
    index = options.work / "speech" / "seen" / options.source / INDEX_NAME
    if not index.exists():
        raise SystemExit(f"{index} must be there: python -m tools.phrasebook.speak --set seen")
    names = ("model", "source", "target", "minutes", "count", "timer")
    chosen = {name: getattr(options, name) for name in names}
    return chosen | {"weights": resolve(options.model).identity, "speech": fingerprint(index)}


def make_talks(options: argparse.Namespace) -> Path:
    """The recordings, once."""
    folder: Path = options.output / "talks"
    if not (folder / "talks.yaml").is_file():
        command = [sys.executable, "-m", "tools.make_long_recordings", "--output", str(folder)]
        command += ["--work", str(options.work), "--source", options.source, "--target", options.target]
        command += ["--minutes", str(options.minutes), "--count", str(options.count)]
        subprocess.run(command, check=True)
    return folder / "talks.yaml"


def evaluate(options: argparse.Namespace, data: Path, policy: str, key: str, value: int | None) -> Result:
    """One point, played if it is not there."""
    folder: Path = options.output / (policy if value is None else f"{policy}-{value}")
    if not list(folder.glob(f"*/{SCORES_NAME}")):
        command = ["evaluate", "--data", str(data), "--to", options.target, "--policy", policy]
        command += ["--output", str(folder), "--timer", options.timer, "--model", options.model, "--quiet"]
        if value is not None:
            command += ["--sweep", f"session.policy.{key}={value}"]
        if status := seamless_stream(command):
            raise SystemExit(status)
    [result] = load_results(folder)
    return result


def curve_of(results: Sequence[Result], policy: str, clock: str) -> list[tuple[float, float]]:
    """The points of a policy; those without a latency said nothing."""
    found = []
    for result in results:
        latency_s = result.latency_s(METRIC, clock)
        if result.label == policy and latency_s is not None:
            found.append((latency_s, float(result.scores["quality"]["bleu"])))
    return found


def judge(results: Sequence[Result]) -> list[str]:
    """What is asked of AlignAtt, on each clock."""
    said = []
    for clock in ("cu", "ca"):
        own = curve_of(results, "alignatt", clock)
        others = [curve_of(results, policy, clock) for policy, _, _ in CURVES if policy != "alignatt"]
        above = is_on_top(own, others)
        said.append(
            f"{clock}: AlignAtt is {'on or above' if above else 'NOT everywhere on or above'} the others"
        )
        [(_, reference)] = curve_of(results, "segment", clock) or [(0.0, float("inf"))]
        point = close_enough(own, reference)
        wanted = f"a lag under {MAX_LAG_S} s within {MAX_LOSS_BLEU:g} BLEU of segment ({reference:.1f})"
        found = "NOT reached" if point is None else f"reached: {point[0]:.2f} s, {point[1]:.1f} BLEU"
        said.append(f"{clock}: {wanted} {found}")
    return said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="phrasebook")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="of the phrasebook, for its speech")
    parser.add_argument("--source", default="eng")
    parser.add_argument("--target", default="spa")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each recording")
    parser.add_argument("--count", type=int, default=3, help="recordings")
    parser.add_argument("--policy", nargs="+", help="only these; default: all")
    parser.add_argument("--timer", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--output", type=Path, default=Path("out/policies"))
    parser.add_argument("--plot", type=Path, help="default: plot.png in the output")
    return parser.parse_args()


def main() -> None:
    options = parse()
    claim(options.output, facts(options))
    data = make_talks(options)
    results = [
        evaluate(options, data, policy, key, value)
        for policy, key, values in CURVES
        if not options.policy or policy in options.policy
        for value in (values or (None,))
    ]
    columns, rows = table(results)
    lines = ["| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *rows)]
    minutes = results[0].scores["audio_s"] / 60
    text = "\n".join(lines) + f"\n\n{minutes:.1f} minutes; {results[0].header['machine']}\n"
    if not options.policy:
        text += "\n" + "\n".join(judge(results)) + "\n"
    print(text)
    (options.output / "table.md").write_text(text, encoding="utf-8")
    title = (
        f"{options.model}, {options.source} to {options.target}, {minutes:.0f} minutes of speech with pauses"
    )
    path = options.plot or options.output / "plot.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    plot(points(results, METRIC, "bleu"), path, "StreamLAAL", "BLEU", title)


if __name__ == "__main__":
    main()
