"""Raw facts of a run as plain dictionaries, one JSON line each, and the few figures that are computed from them.

Knows events and the time at which the driver saw them, given as an argument; reads no clock and writes no file.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

from seamless_stream.events import Event, Failed, Final, Speech

Fact = dict[str, Any]


def fact(event: Event, elapsed_s: float) -> Fact:
    """What happened and when: `elapsed_s` since the stream began on the driver's clock. Samples become a count."""
    values = {item.name: getattr(event, item.name) for item in fields(event)}
    if isinstance(event, Speech):
        values["num_samples"] = len(values.pop("samples"))
    return {"type": type(event).__name__, "elapsed_s": round(elapsed_s, 3), **values}


def json_line(value: Fact) -> str:
    """One line, readable in any language."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Summary:
    """Figures of one run. A delay is the time from the end of a segment in the source to its final text."""

    audio_s: float
    compute_s: float
    num_finals: int
    num_failed: int
    delays_s: tuple[float, ...]  # meaningful only where the source was paced in real time

    @property
    def real_time_factor(self) -> float:
        """Time that the model worked per second of source audio; below 1 keeps up."""
        return self.compute_s / self.audio_s if self.audio_s else 0.0

    @property
    def mean_delay_s(self) -> float:
        """0 where nothing was said."""
        return fmean(self.delays_s) if self.delays_s else 0.0

    @property
    def max_delay_s(self) -> float:
        """0 where nothing was said."""
        return max(self.delays_s, default=0.0)


def summarize(facts: Iterable[Fact], audio_s: float) -> Summary:
    """Figures from the facts of one run; a log file read back gives the same as the run itself."""
    finals = []
    num_failed = 0
    for item in facts:
        num_failed += item["type"] == Failed.__name__
        if item["type"] == Final.__name__:
            finals.append(item)
    return Summary(
        audio_s,
        sum(item["compute_s"] for item in finals),
        len(finals),
        num_failed,
        tuple(item["elapsed_s"] - item["end_s"] for item in finals),
    )
