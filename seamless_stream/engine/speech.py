"""Speech while a segment is still open: which units to vocode next, and which of their samples to play.

One `SpeechTrack` per segment and language, driven by plain values: committed pieces in, then units, then samples. What
was played stays as it was: new units are cut from the newest T2U answer at a token's border, decoded behind the units
played before them, and the join is a crossfade of one time span decoded twice. Knows no model, no clock and no queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seamless_stream.audio.stretch import PauseTrimmer, Tempo, crossfade, fade_in
from seamless_stream.engine.lag import Pace
from seamless_stream.models.base import Capabilities, Units
from seamless_stream.settings import SpeechSettings

# Full-width marks and the danda end a clause whatever follows; the rest, with the Arabic ones, where a word ends.
SELF_STANDING = frozenset("\uff0c\u3002\u3001\uff1b\uff1a\uff01\uff1f\u0964")
CLAUSE_ENDS = frozenset(".,;:!?\u2026\u061f\u060c\u061b") | SELF_STANDING
SPACE = "▁"
BORDER_FADE_MS = 10
UNITS_PER_TOKEN = 10.0  # until the first answer of the T2U; only decides how early it is asked
EARLY = 0.75  # part of a piece that must be likely before the T2U is asked


@dataclass(frozen=True)
class Ask:
    """Give me the units of the committed tokens `first` to `last`, at this pace."""

    first: int
    last: int
    duration_factor: float


@dataclass(frozen=True)
class Omitted:
    """A clause that is not spoken, because speech is behind."""

    text: str


@dataclass(frozen=True)
class Window:
    """Units to vocode in one piece, already repeated, and what of them is new."""

    unit_ids: list[int]
    left: int  # units at the start whose samples were played before; what is held back is not among them
    right: int  # units at the end that only lend context
    new_units: int
    spoken_ids: tuple[int, ...]  # the new units as the T2U gave them
    last_token: int  # committed tokens spoken after it
    ends_clause: bool
    is_final: bool


@dataclass
class _Clause:
    """The stretch of text that T2U sees at once; the pace never changes inside."""

    first: int = 0
    pace: Pace = field(default_factory=Pace)
    trimmer: PauseTrimmer | None = None
    tempo: Tempo | None = None

    def through(self, samples: np.ndarray, *, ends: bool) -> np.ndarray:
        """Samples as the pace wants them."""
        for stage in (self.trimmer, self.tempo):
            if stage is not None:
                samples = stage.push(samples)
                samples = np.concatenate([samples, stage.flush()]) if ends else samples
        return samples


class SpeechTrack:
    """The speech of one segment in one language. At most one window is on its way at a time."""

    def __init__(self, settings: SpeechSettings, capabilities: Capabilities) -> None:
        self._settings = settings
        self._streams = capabilities.streams_speech
        self._reach = capabilities.vocoder_reach_units
        self._rate = capabilities.sample_rate
        self._unit_samples = capabilities.samples_per_unit
        self._fade_samples = settings.crossfade_ms * self._rate // 1000
        self._hold_units = -(-2 * self._fade_samples // self._unit_samples)
        self._clause = _Clause()
        self._spoken_tokens = 0
        self._asked = (-1, False)
        self._units_per_token = UNITS_PER_TOKEN
        self._played: list[int] = []  # the last units that were vocoded, as left context
        self._held = np.zeros(0, np.float32)  # decoded, whole units, not yet played
        self._begun = False
        self._fades_in = False

    @property
    def at_border(self) -> bool:
        """A clause begins with the next token: `next` takes a new pace."""
        return self._spoken_tokens == self._clause.first

    @property
    def is_holding(self) -> bool:
        """Some decoded samples wait for their continuation."""
        return len(self._held) > 0

    def next(
        self, pieces: Sequence[str], *, is_final: bool, pace: Pace | None = None
    ) -> Ask | Omitted | None:
        """All committed pieces of the segment -> what to do now; `pace` is heeded at a border only."""
        count = len(pieces)
        if self.at_border and pace is not None and pace != self._clause.pace and count > self._spoken_tokens:
            self._clause = _Clause(
                self._clause.first,
                pace,
                PauseTrimmer() if pace.trims_pauses else None,
                Tempo(pace.tempo) if pace.tempo > 1 else None,
            )
        if count <= self._spoken_tokens or self._asked == (count, is_final):
            return None
        end = self._clause_end(pieces)
        if self._clause.pace.skips:
            return self._omit(pieces, count if is_final else end)
        if not self._streams and not is_final:
            return None
        likely = (count - self._spoken_tokens) * self._units_per_token
        if not (is_final or end or likely >= EARLY * self._wanted_units):
            return None
        self._asked = (count, is_final)
        return Ask(self._clause.first, count, self._clause.pace.duration_factor)

    @property
    def _wanted_units(self) -> int:
        return self._settings.piece_units if self._begun else self._settings.first_piece_units

    def _clause_end(self, pieces: Sequence[str]) -> int:
        """Tokens up to the last clause end that is not yet spoken; 0: there is none."""
        for index in range(len(pieces) - 1, self._spoken_tokens - 1, -1):
            mark = pieces[index][-1:]
            follows = pieces[index + 1] if index + 1 < len(pieces) else SPACE
            # The comma of 3,5 and the point of e.g. end nothing.
            if mark in CLAUSE_ENDS and (mark in SELF_STANDING or follows.startswith(SPACE)):
                return index + 1
        return 0

    def _omit(self, pieces: Sequence[str], end: int) -> Omitted | None:
        if not end:
            return None
        text = "".join(pieces[self._spoken_tokens : end]).replace(SPACE, " ").strip()
        self._spoken_tokens = end
        self._clause = _Clause(end)
        return Omitted(text)

    def plan(self, pieces: Sequence[str], units: Units, *, is_final: bool) -> Window | None:
        """The units that `Ask` wanted -> the window to vocode; None: too little to be worth a piece."""
        first, count = self._clause.first, len(pieces)
        per_token = units.per_token or [0] * (count - first - 1) + [len(units.ids)]
        self._units_per_token = max(sum(units.repeats) / len(per_token), 1.0)
        start = sum(per_token[: self._spoken_tokens - first])
        end = 0 if is_final else self._clause_end(pieces)
        pending = sum(units.repeats[start:])
        if not (is_final or end or pending >= self._wanted_units):
            return None
        stop_token = end or count
        stop = sum(per_token[: stop_token - first])
        new = np.repeat(units.ids[start:stop], units.repeats[start:stop]).tolist()
        right = np.repeat(units.ids[stop:], units.repeats[stop:]).tolist()[: self._reach]
        held = len(self._held) // self._unit_samples
        left = max(len(self._played) - held, 0)
        return Window(
            unit_ids=[*self._played, *new, *right],
            left=left,
            right=len(right),
            new_units=len(new),
            spoken_ids=tuple(units.ids[start:stop]),
            last_token=stop_token,
            ends_clause=bool(end),
            is_final=is_final,
        )

    def play(self, window: Window, samples: np.ndarray) -> np.ndarray:
        """The window's samples -> those to play now; the window counts as spoken from here on."""
        size = self._unit_samples
        body = samples[window.left * size : len(samples) - window.right * size].astype(np.float32)
        overlap = min(len(self._held), self._fade_samples)
        body[:overlap] = crossfade(self._held[:overlap], body[:overlap])
        if self._fades_in and not overlap:
            short = min(BORDER_FADE_MS * self._rate // 1000, len(body))
            body[:short] *= fade_in(short)
        self._fades_in = False
        self._begun = self._begun or window.new_units > 0
        keep = self._reach + self._hold_units
        self._played = window.unit_ids[: len(window.unit_ids) - window.right][-keep:]
        self._spoken_tokens, self._asked = window.last_token, (window.last_token, False)
        hold = 0 if window.is_final else min(self._hold_units * size, len(body))
        self._held = body[len(body) - hold :]
        out = self._clause.through(body[: len(body) - hold], ends=window.is_final)
        if window.ends_clause:
            out = np.concatenate([out, self.release()])
            # The pace lives on until `next` brings another, with stages that begin anew.
            self._clause.first = window.last_token
        return out

    def release(self) -> np.ndarray:
        """Play what is held back, faded out: the clause has ended, or the listener would fall into a hole."""
        held, self._held = self._held, np.zeros(0, np.float32)
        short = min(BORDER_FADE_MS * self._rate // 1000, len(held))
        if short:
            held = held.copy()
            held[-short:] *= fade_in(short)[::-1]
            self._fades_in = True
        return self._clause.through(held, ends=True)

    def close(self) -> np.ndarray:
        """The segment has ended: what is held back as it was decoded. Nothing where all was played."""
        held, self._held = self._held, np.zeros(0, np.float32)
        return self._clause.through(held, ends=True)
