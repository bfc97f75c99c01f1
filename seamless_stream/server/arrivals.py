"""When the audio of a session came: how far it runs ahead of time, whether it has stopped, how old a place of it is.

Pure: time is an argument. Knows durations and the input clock, no samples.
"""

from collections import deque
from itertools import pairwise
from typing import Final

STEP_MS: Final = 100  # of the input clock between two places whose time is kept
# Two minutes: more than a segment, what may wait for the model, and what is held before it.
MAX_PLACES: Final = 1_200


class Arrivals:
    """`came` and `was_silent` as the client says it."""

    def __init__(self, now_s: float) -> None:
        self._ahead_ms, self._looked_s = 0.0, now_s
        # Until when there was audio or announced silence; None: none is expected.
        self._covered_s: float | None = None
        self._places: deque[tuple[int, float]] = deque([(0, now_s)], MAX_PLACES)

    def came(self, duration_ms: float, received_ms: int, now_s: float) -> None:
        """Audio, up to this place of the input clock."""
        self._ahead_ms, self._looked_s = self.ahead_ms(now_s) + duration_ms, now_s
        self._covered_s = now_s
        self._note(received_ms, now_s)

    def was_silent(self, duration_ms: float, received_ms: int, now_s: float) -> None:
        """Silence that the client tells of, before it or when it is over."""
        covered_s = now_s if self._covered_s is None else max(now_s, self._covered_s)
        self._covered_s = covered_s + duration_ms / 1000
        self._note(received_ms, now_s)

    def paused(self) -> None:
        """The client has said that it was all for now."""
        self._covered_s = None

    def forgive(self, now_s: float) -> None:
        """A client that was away sends what it kept: neither its haste nor its silence is its fault."""
        self._ahead_ms, self._looked_s = 0.0, now_s
        if self._covered_s is not None:
            self._covered_s = max(now_s, self._covered_s)

    def ahead_ms(self, now_s: float) -> float:
        """More audio than there was time for it."""
        return max(0.0, self._ahead_ms - 1000 * (now_s - self._looked_s))

    def stalled_ms(self, now_s: float) -> float:
        """Since when nothing has come that should have."""
        return 0.0 if self._covered_s is None else max(0.0, 1000 * (now_s - self._covered_s))

    def age_ms(self, place_ms: int, now_s: float) -> float:
        """For how long the audio up to this place of the input clock is here; of old places the least it can be."""
        for (_, arrived_s), (before_ms, _) in pairwise(reversed(self._places)):
            if before_ms < place_ms:
                return 1000 * (now_s - arrived_s)
        return 1000 * (now_s - self._places[0][1])

    def _note(self, received_ms: int, now_s: float) -> None:
        if received_ms - self._places[-1][0] >= STEP_MS:
            self._places.append((received_ms, now_s))
