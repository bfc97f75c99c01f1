"""What a session tells its driver.

Plain facts as frozen dataclasses: times are seconds of source audio, speech is float32 samples with their rate.
Nothing here knows about files, sockets or terminals; `models` and `engine` make events, `sinks` and `server` show them.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class SegmentStarted:
    """The VAD heard speech begin."""

    segment: int
    start_s: float


@dataclass(frozen=True)
class Partial:
    """The text of an open segment so far: `committed` never changes again, `pending` may."""

    segment: int
    language: str
    committed: str
    pending: str
    source_score: float | None = None  # see `Final`


@dataclass(frozen=True)
class Final:
    """The finished text of a segment in one language."""

    segment: int
    language: str
    text: str
    start_s: float
    end_s: float
    token_ids: tuple[int, ...] = ()
    compute_s: float = 0.0  # time that the model worked for this segment
    score: float = (
        0.0  # mean log probability of what the last decode wrote; of all of it with the policy `segment`
    )
    # Log probability that this language is what was spoken; None: one language only, or the model cannot say it.
    source_score: float | None = None
    reason: str = ""  # why the segment has ended, see `SegmentEnded`


@dataclass(frozen=True, eq=False)
class Speech:
    """Synthesized speech that belongs to a segment: samples [N] float32 in [-1, 1] at `rate` Hz."""

    segment: int
    language: str
    samples: np.ndarray
    rate: int
    unit_ids: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class SegmentEnded:
    """Nothing more will come for this segment; `reason` is silence, soft_max, hard_max or end_of_stream."""

    segment: int
    start_s: float
    end_s: float
    reason: str


@dataclass(frozen=True)
class Skipped:
    """Something was left out on purpose, and why (a guard acted, speech fell behind)."""

    segment: int
    what: str
    reason: str
    language: str | None = None  # of speech


@dataclass(frozen=True)
class Failed:
    """This segment could not be translated; the session goes on."""

    segment: int
    message: str


@dataclass(frozen=True)
class TargetsChanged:
    """From this segment on the session translates into these languages."""

    segment: int
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Decided:
    """What a policy made of one hypothesis; only where the setting `session.explains` asks for it.

    A token looked at its frame, one of `num_frames` between `from_s` and `until_s` of source: the audio that was heard.
    The tokens up to `num_before` were committed already, those up to `num_committed` are now. A word that may go on
    takes away those up to `num_believed`; `rule` (of `engine.policy`) holds the rest because of the token at `place`,
    and `guard` says why only `num_guarded` of them were shown to the policy at all.
    """

    segment: int
    language: str
    from_s: float
    until_s: float
    pieces: tuple[str, ...]
    frames: tuple[int, ...]  # empty: the policy needs none
    num_frames: int
    num_before: int
    num_committed: int
    num_believed: int
    num_guarded: int
    rule: str
    place: int
    guard: str


Event = SegmentStarted | Partial | Final | Speech | SegmentEnded | Skipped | Failed | TargetsChanged | Decided
