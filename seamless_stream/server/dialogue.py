"""Who speaks in a two-way conversation: declared by the client for a stretch of the input, or found by the text.

Pure. A segment is written in both languages, and one of the texts is what was said. Where nobody has said which, the
checkpoint may know what it heard (`Capabilities.names_source`). Elsewhere it is the text that the model finds more
likely, which holds where transcribing is easier than translating: a heuristic, not a classifier.
"""

from collections.abc import Mapping
from math import log
from typing import Final

from seamless_stream import events

# Beginnings of 200 held-out clips of the phrasebook: after 1.3 s of speech nine of ten are so sure, and none is wrong;
# after 1.0 s one is wrong.
SURE: Final = log(0.9)


class Dialogue:
    """Two languages; `declare` who speaks from a place of the input on."""

    def __init__(self, codes: tuple[str, str]) -> None:
        self.codes = codes
        self._declared: list[tuple[int, str | None]] = []  # from this source time on, ms

    def declare(self, start_ms: int, source: str | None) -> None:
        """What comes later is spoken in this language; None: to be found out."""
        self._declared.append((start_ms, source))

    def declared(self, start_ms: int) -> str | None:
        """What the client has said of a segment that begins here."""
        return next((source for place, source in reversed(self._declared) if place <= start_ms), None)

    def other(self, code: str) -> str:
        """The language of the translation."""
        first, second = self.codes
        return second if code == first else first

    @staticmethod
    def is_sure(partial: events.Partial) -> bool:
        """Whether its language is the one that is spoken, told while the segment is open."""
        return partial.source_score is not None and partial.source_score >= SURE

    @staticmethod
    def likely(finals: Mapping[str, events.Final]) -> str:
        """The language that was heard, else the one in which the text is more likely; an empty text is none."""

        def score(final: events.Final) -> float:
            return final.score if final.source_score is None else final.source_score

        return max(finals, key=lambda code: (bool(finals[code].text), score(finals[code])))
