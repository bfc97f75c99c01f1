"""Which language is spoken: declared by the client for a stretch of the input, or found among a few by the text.

Pure. A segment is written in all candidates, and one of the texts is what was said. Where nobody has said which, the
checkpoint may know what it heard (`Capabilities.names_source`). Elsewhere it is the text that the model finds more
likely, which holds where transcribing is easier than translating: a heuristic, not a classifier. The candidates of a
conversation are its two languages.
"""

from collections.abc import Mapping
from math import log
from typing import Final

from seamless_stream import events

# Beginnings of 200 held-out clips of the phrasebook: after 1.3 s of speech nine of ten are so sure, and none is wrong;
# after 1.0 s one is wrong.
SURE: Final = log(0.9)


class Spoken:
    """`declare` who speaks from a place of the input on; without candidates what is not declared is never known."""

    def __init__(self, candidates: tuple[str, ...] = ()) -> None:
        self.candidates = candidates
        self._declared: list[tuple[int, str | None]] = []  # from this source time on, ms

    def declare(self, start_ms: int, source: str | None) -> None:
        """What comes later is spoken in this language; None: to be found out, if it can be."""
        if not self._declared or self._declared[-1][1] != source:
            self._declared.append((start_ms, source))

    def declared(self, start_ms: int) -> str | None:
        """What the client has said of a segment that begins here."""
        return next((source for place, source in reversed(self._declared) if place <= start_ms), None)

    def is_sure(self, partial: events.Partial) -> bool:
        """Whether its language is the one that is spoken, told while the segment is open."""
        if partial.source_score is None or partial.language not in self.candidates:
            return False
        return partial.source_score >= SURE

    def likely(self, finals: Mapping[str, events.Final]) -> str | None:
        """The candidate that was heard, else the one whose text is more likely; an empty text is none."""

        def score(code: str) -> tuple[bool, float]:
            final = finals[code]
            return bool(final.text), final.score if final.source_score is None else final.source_score

        return max((code for code in self.candidates if code in finals), key=score, default=None)
