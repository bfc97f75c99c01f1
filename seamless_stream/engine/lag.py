"""How far synthesized speech is behind, and what to do about it. Pure: time is an argument, nothing reads a clock.

Knows seconds of speech only; nothing of text, units or samples. Speech gets faster and at last skips clauses; text is
never skipped.
"""

from dataclasses import dataclass

from seamless_stream.settings import SpeechSettings

HYSTERESIS_S = 0.3  # below its threshold the backlog must fall before a step is taken back


@dataclass(frozen=True)
class Pace:
    """How a clause is spoken; the defaults change nothing."""

    duration_factor: float = 1.0  # of the T2U
    trims_pauses: bool = False
    tempo: float = 1.0
    skips: bool = False


class Playhead:
    """When the speech given so far will have been played, if every piece starts at once or after the one before."""

    def __init__(self) -> None:
        self.end_s = 0.0

    def add(self, emitted_s: float, duration_s: float) -> float:
        """A piece emitted at this source time -> when it starts to sound."""
        start_s = max(self.end_s, emitted_s)
        self.end_s = start_s + duration_s
        return start_s

    def backlog_s(self, now_s: float) -> float:
        """Speech that is not yet played."""
        return max(self.end_s - now_s, 0.0)


class LagControl:
    """The ladder: ask it at the border of a clause, and keep its answer to the clause's end."""

    def __init__(self, settings: SpeechSettings) -> None:
        span_s = settings.max_backlog_s - settings.target_backlog_s
        half = 1 + (settings.max_tempo - 1) / 2
        shares_and_paces = (
            (0.0, Pace(0.92)),
            (0.2, Pace(0.85, trims_pauses=True)),
            (0.45, Pace(0.78, trims_pauses=True, tempo=half)),
            (0.7, Pace(0.78, trims_pauses=True, tempo=settings.max_tempo)),
            (1.0, Pace(skips=True)),
        )
        self._steps = [(settings.target_backlog_s + share * span_s, pace) for share, pace in shares_and_paces]
        self.level = 0  # 0: as the model speaks

    def pace(self, backlog_s: float) -> Pace:
        """The pace of the clause that begins now."""
        reached = sum(backlog_s > above_s for above_s, _ in self._steps)
        kept = sum(backlog_s > max(0.0, above_s - HYSTERESIS_S) for above_s, _ in self._steps)
        self.level = max(reached, min(self.level, kept))
        return self._steps[self.level - 1][1] if self.level else Pace()
