"""What a session is warned of: once when it begins, and again only when it was over for a while in between.

Pure: time is an argument. Knows for each kind how long it must last and be over; who observes it is elsewhere
(`pulse.py`).
"""

from dataclasses import dataclass
from typing import Final

from seamless_stream.server.messages import Warn, WarningCode


@dataclass(frozen=True)
class Rule:
    """Of one kind of warning."""

    after_s: float = 0.0  # it must have lasted for so long
    rearm_s: float = 10.0  # it must have been over for so long before it is told again
    tells_end: bool = False  # that it is over is told too, then


RULES: Final[dict[WarningCode, Rule]] = {
    "audio_too_fast": Rule(rearm_s=30.0),
    "audio_stalled": Rule(rearm_s=0.0),
    "falling_behind": Rule(after_s=2.0, rearm_s=2.0, tells_end=True),
    "speech_backlog": Rule(),
}


@dataclass
class _State:
    holds: bool = False
    since_s: float = 0.0
    is_told: bool = False


class Alarms:
    """`see` every observation, however often; `news` has the warnings that came of it."""

    def __init__(self) -> None:
        self._states: dict[WarningCode, _State] = {}
        self._news: list[Warn] = []

    def see(self, code: WarningCode, holds: bool, now_s: float, **detail: int) -> None:
        """Whether it is so now; `detail` as it would be told now."""
        rule, state = RULES[code], self._states.setdefault(code, _State())
        if holds != state.holds:
            state.holds, state.since_s = holds, now_s
        lasted_s = now_s - state.since_s
        if holds and not state.is_told and lasted_s >= rule.after_s:
            state.is_told = True
            self._news.append(Warn(code, detail))
        elif not holds and state.is_told and lasted_s >= rule.rearm_s:
            state.is_told = False
            if rule.tells_end:
                self._news.append(Warn(code, detail))

    def news(self) -> list[Warn]:
        """What was not asked for before."""
        news, self._news = self._news, []
        return news
