"""The voice of a session in one language: whose turn it is to be spoken, how fast, and what is left out.

One track per segment; the voice speaks the segments one after another. Knows the clock of source samples as an
argument; knows no tensor and no batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from seamless_stream.engine.lag import LagControl, Pace, Playhead
from seamless_stream.engine.segment import Line, Segment
from seamless_stream.engine.speech import Ask, Omitted, SpeechTrack, Window
from seamless_stream.events import Skipped, Speech
from seamless_stream.models.base import Capabilities, TextTokenizer
from seamless_stream.settings import SessionSettings, UnitDecodingSettings

# So long before a listener has heard all, what waits for its continuation is played faded out: a hole without a click.
RELEASE_AHEAD_S = 0.1


@dataclass(frozen=True, eq=False)
class Speaking:
    """Committed tokens of a line that should be turned into units, and some of these into samples."""

    session_id: int
    segment: Segment
    line: Line
    track: SpeechTrack
    pieces: tuple[str, ...]  # of the line's committed tokens
    ask: Ask
    speaker: int
    unit_decoding: UnitDecodingSettings


class Voice:
    """Speech of one language, in the order of the segments."""

    def __init__(
        self, session_id: int, settings: SessionSettings, capabilities: Capabilities, tokenizer: TextTokenizer
    ) -> None:
        self._session_id = session_id
        self._settings = settings
        self._capabilities = capabilities
        self._tokenizer = tokenizer
        self._lag = LagControl(settings.speech)
        self._playhead = Playhead()
        self._track: SpeechTrack | None = None
        self._line: Line | None = None  # whose track it is

    def backlog_s(self, position_s: float) -> float:
        """Speech that is not yet played when the source has come to `position_s`, if it is played at once."""
        return self._playhead.backlog_s(position_s)

    def next(
        self, waiting: Iterable[tuple[Segment, Line]], position_s: float, *, is_mute: bool
    ) -> Speaking | None:
        """What to speak next of the lines that are not wholly spoken, the oldest first."""
        for segment, line in waiting:
            if self._track is None:
                self._track, self._line = SpeechTrack(self._settings.speech, self._capabilities), line
            pieces = tuple(self._tokenizer.pieces(list(line.committed)))
            found = self._look(self._track, pieces, line, position_s, is_mute=is_mute)
            while isinstance(found, Omitted):
                reason = (
                    f"the model is too slow: {found.text}" if is_mute else f"speech is behind: {found.text}"
                )
                segment.events.append(Skipped(segment.number, "speech", reason, line.language))
                found = self._look(self._track, pieces, line, position_s, is_mute=is_mute)
            if found is not None:
                voice = (self._settings.speaker, self._settings.unit_decoding)
                return Speaking(self._session_id, segment, line, self._track, pieces, found, *voice)
            if not line.is_final:
                self._fall_silent(segment, line, position_s)
                return None
            self.close(segment, line, position_s)
        return None

    def _look(
        self, track: SpeechTrack, pieces: tuple[str, ...], line: Line, position_s: float, *, is_mute: bool
    ) -> Ask | Omitted | None:
        pace = None
        if self._settings.is_live and track.at_border:
            pace = Pace(skips=True) if is_mute else self._lag.pace(self.backlog_s(position_s))
        return track.next(pieces, is_final=line.is_final, pace=pace)

    def _fall_silent(self, segment: Segment, line: Line, position_s: float) -> None:
        """Leave no torn end where a listener will soon wait for the next words."""
        is_short = self._settings.is_live and self.backlog_s(position_s) < RELEASE_AHEAD_S
        if is_short and self._track is not None and self._track.is_holding:
            self._say(segment, line, self._track.release(), (), position_s)

    def play(self, speaking: Speaking, window: Window | None, samples: np.ndarray, position_s: float) -> None:
        """What became of it; None: there was too little to speak."""
        if window is not None:
            new = speaking.track.play(window, samples)
            self._say(speaking.segment, speaking.line, new, window.spoken_ids, position_s)

    def close(self, segment: Segment, line: Line, position_s: float) -> None:
        """All of a line is spoken."""
        if self._track is not None:
            self._say(segment, line, self._track.close(), (), position_s)
        self._track = None
        line.is_spoken = True

    def drop(self, line: Line) -> None:
        """A line failed: what is not said, is not said."""
        if self._line is line:
            self._track = None
        line.is_spoken = True

    def _say(
        self, segment: Segment, line: Line, samples: np.ndarray, units: tuple[int, ...], position_s: float
    ) -> None:
        rate = self._capabilities.sample_rate
        if len(samples):
            self._playhead.add(position_s, len(samples) / rate)
            segment.events.append(Speech(segment.number, line.language, samples, rate, units))
