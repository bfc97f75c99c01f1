"""Quality against latency: one curve per label and clock, as PNG or SVG.

Knows points, not where they come from. matplotlib comes with `pip install 'seamless_stream[eval]'`; it is imported here
only, and drawn without a screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from seamless_stream.errors import SettingsError
from seamless_stream.evaluation.quality import EXTRA

# Distinct also for those who see no difference between red and green (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31", "#7F7F7F")
MARKERS = "osD^vPX<>"
CLOCKS = {"cu": ("-", "source time"), "ca": ("--", "with computing"), "wall": (":", "clock on the wall")}


@dataclass(frozen=True)
class Point:
    """One run on one clock."""

    label: str  # of the curve
    clock: str  # cu, ca, wall
    note: str  # at the point: the value that was swept
    latency_s: float
    quality: float


def swept_key(curve: Sequence[Point]) -> str:
    """The one setting that all notes of a curve are values of, or nothing."""
    keys = {point.note.rpartition("=")[0] for point in curve}
    return keys.pop() if len(keys) == 1 else ""


def plot(points: Sequence[Point], path: Path, x_name: str, y_name: str, title: str = "") -> None:
    """Write the file; raises SettingsError where matplotlib is missing or the suffix is none that it can write."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingsError(f"A plot needs the library `matplotlib`: {EXTRA}.") from error
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise SettingsError(f"A plot must be .png, .svg or .pdf, but is {path.name}.")
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    labels = list(dict.fromkeys(point.label for point in points))
    clocks = list(dict.fromkeys(point.clock for point in points))
    ordered = sorted(points, key=lambda p: (labels.index(p.label), clocks.index(p.clock), p.latency_s))
    for (label, clock), group in groupby(ordered, key=lambda point: (point.label, point.clock)):
        curve, number = list(group), labels.index(label)
        name = "_"  # not in the legend
        colour = COLOURS[number % len(COLOURS)]
        if clock == clocks[0]:
            swept = swept_key(curve)
            name = f"{label} ({swept})" if swept else label
            for point in curve:
                place, value = (point.latency_s, point.quality), point.note.removeprefix(f"{swept}=")
                axes.annotate(value, place, (4, 5), textcoords="offset points", fontsize=7, color="#444444")
        axes.plot(
            [point.latency_s for point in curve],
            [point.quality for point in curve],
            linestyle=CLOCKS[clock][0],
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            markerfacecolor="white" if clock == "ca" else colour,
            label=name,
        )
    for clock in clocks:
        style, clock_name = CLOCKS[clock]
        axes.plot([], [], linestyle=style, color="#444444", label=clock_name)
    axes.set_xlabel(f"{x_name} (s)")
    axes.set_ylabel(y_name)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.margins(0.08)
    figure.legend(fontsize=8, loc="outside right upper")
    figure.savefig(path, dpi=150)
