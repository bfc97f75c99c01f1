"""How busy the model is and what a session does about audio that waits. Pure: every measure is an argument.

Knows seconds only; nothing of segments, batches or clocks.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 30.0  # of source audio over which the load is measured
LEAVE: Final = 0.5  # part of its threshold to which the backlog must fall before a level is left


@dataclass(frozen=True)
class Relief:
    """What a live session does to catch up; the defaults do nothing."""

    skips_steps: bool = False  # hear up to the newest audio at once
    step_factor: int = 1  # fewer partials
    is_mute: bool = False  # no more speech is begun
    drops_audio: bool = False  # segments that have waited too long are left out, and it is said


LADDER: Final[tuple[tuple[float, Relief], ...]] = (  # seconds of audio that waits
    (0.0, Relief()),
    (0.8, Relief(skips_steps=True)),
    (1.6, Relief(skips_steps=True, step_factor=4)),
    (4.0, Relief(skips_steps=True, step_factor=4, is_mute=True)),
    (15.0, Relief(skips_steps=True, step_factor=4, is_mute=True, drops_audio=True)),
)


class Overload:
    """The ladder with hysteresis, of one session."""

    def __init__(self) -> None:
        self.level = 0

    def relief(self, waiting_s: float) -> Relief:
        """What to do while so much audio waits."""
        reached = sum(waiting_s >= above_s for above_s, _ in LADDER[1:])
        kept = sum(waiting_s >= LEAVE * above_s for above_s, _ in LADDER[1:])
        self.level = max(reached, min(self.level, kept))
        return LADDER[self.level][1]


class Load:
    """Time that the model works for a second of audio, over the last half minute of it: of live sessions, or of one."""

    def __init__(self) -> None:
        self._measures: deque[tuple[float, float]] = deque()  # audio and work, seconds
        self._audio_s = self._busy_s = 0.0

    def add(self, audio_s: float, busy_s: float) -> None:
        """The model worked for `busy_s` while the sessions heard `audio_s` in all."""
        self._measures.append((audio_s, busy_s))
        self._audio_s, self._busy_s = self._audio_s + audio_s, self._busy_s + busy_s
        while self._audio_s - self._measures[0][0] > WINDOW_S:
            oldest = self._measures.popleft()
            self._audio_s, self._busy_s = self._audio_s - oldest[0], self._busy_s - oldest[1]

    @property
    def per_session(self) -> float:
        """Part of the model's time that one session takes; 0 before anything was measured."""
        return self._busy_s / self._audio_s if self._audio_s > 0 else 0.0
