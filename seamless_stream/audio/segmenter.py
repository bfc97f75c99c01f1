"""Cuts a stream into segments of speech, on one clock of samples since the stream began.

Knows when speech begins, pauses and has gone on for too long. Everything happens on the grid of 32 ms windows, so
that any chunks give the same events; durations are rounded up to windows. Does not know how speech is detected.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.pcm import Samples
from seamless_stream.audio.vad import VAD_WINDOW_SAMPLES, Vad, Windows
from seamless_stream.settings import SegmenterSettings

_LEAVE: Final = 0.7  # a window is speech from the threshold on and remains so down to this part of it
_ONSET_MS: Final = 90  # speech without a gap that begins a segment; clicks are shorter
_POST_ROLL_MS: Final = 200  # what a segment keeps of its pauses' silence; the rest waits for speech to go on
_SHRINK_MS: Final = (
    6_000  # up to this length the whole hang-over applies, then it shrinks until the soft maximum
)
_DIP_MS: Final = 96  # the pause that is enough beyond the soft maximum
_SEARCH_MS: Final = 2_000  # before the hard maximum, where the quietest point is looked for

Reason = Literal["silence", "soft_max", "hard_max", "end_of_stream"]


@dataclass(frozen=True)
class SegmentOpened:
    """Speech has begun; `start` in samples since the stream began, pre-roll included."""

    start: int


@dataclass(frozen=True, eq=False)
class SegmentAudio:
    """The next samples [n] of the open segment; `start` is the place of the first one."""

    start: int
    samples: Samples


@dataclass(frozen=True)
class SegmentClosed:
    """All audio of the segment was handed out: `end` - `start` samples."""

    start: int
    end: int
    reason: Reason


SegmentEvent = SegmentOpened | SegmentAudio | SegmentClosed


@dataclass(frozen=True, eq=False)
class _Window:
    samples: Samples  # [512], fewer at the end of the stream
    probability: float


def _num_windows(duration_ms: int) -> int:
    return -(-duration_ms * SAMPLE_RATE // (1_000 * VAD_WINDOW_SAMPLES))


class _Lengths:
    """The settings in windows."""

    def __init__(self, settings: SegmenterSettings) -> None:
        self.onset = _num_windows(_ONSET_MS)
        self.pre_roll = _num_windows(settings.pre_roll_ms)
        self.post_roll = _num_windows(_POST_ROLL_MS)
        self.soft_max = max(1, _num_windows(settings.soft_max_ms))
        self.hard_max = max(2, _num_windows(settings.hard_max_ms))
        self.search = min(_num_windows(_SEARCH_MS), self.hard_max // 2)
        # At most half of a segment, or speech without a pause would be cut before there is enough of it.
        self.min_speech = min(_num_windows(settings.min_speech_ms), self.hard_max // 2)
        self._shrink = _num_windows(_SHRINK_MS)
        self._hang_over = max(1, _num_windows(settings.hang_over_ms))
        self._hang_over_long = max(1, _num_windows(settings.hang_over_long_ms))

    def hang_over(self, length: int) -> int:
        """How many silent windows end a segment of `length` windows."""
        if length >= self.soft_max:
            return min(_num_windows(_DIP_MS), self._hang_over_long)
        if length <= self._shrink:
            return self._hang_over
        part = (length - self._shrink) / (self.soft_max - self._shrink)
        return round(self._hang_over + part * (self._hang_over_long - self._hang_over))


class Segmenter:
    """The segments of one stream. Audio of an open segment is handed out as it comes, except in long pauses and
    in the last seconds before the hard maximum, where the cut is still to be found.

    Between segments it holds the pre-roll only, so endless silence needs no memory.
    """

    def __init__(self, vad: Vad, settings: SegmenterSettings) -> None:
        self._vad = vad
        self._enter, self._leave = settings.threshold, _LEAVE * settings.threshold
        self._lengths = _Lengths(settings)
        self._restart()

    def _restart(self) -> None:
        self._vad.reset()
        self._windows = Windows()
        self._held: deque[_Window] = deque()  # heard, not handed out
        self._now = 0  # windows heard
        self._in_segment = False
        self._onset_run = 0  # windows of speech without a gap, outside of segments
        self._clear_segment()

    def _clear_segment(self) -> None:
        self._is_open = False  # announced; before that it is a candidate with too little speech
        self._start = 0  # its first window
        self._is_speaking = False
        self._num_speech = 0
        self._last_speech = 0  # the window after the last one of speech
        self._handed_samples = 0  # where the audio that was handed out ends

    # Places below are window numbers; window i is the samples from i * 512 on.

    def push(self, samples: Samples) -> list[SegmentEvent]:
        """Samples [n] of any length -> what they opened, added and closed. Raises AudioError for anything else."""
        windows = self._windows.push(samples)
        events: list[SegmentEvent] = []
        for window, probability in zip(windows, self._vad.push(samples), strict=True):
            # A copy, since the caller may fill the same buffer again, and a view would keep a long one alive.
            events += self._step(_Window(window.copy(), probability))
        return events

    def flush(self) -> list[SegmentEvent]:
        """The end of the stream closes what is open; the next push begins a new stream at sample 0."""
        events: list[SegmentEvent] = []
        rest = self._windows.rest
        if len(rest):
            padding = np.zeros(VAD_WINDOW_SAMPLES - len(rest), dtype=np.float32)
            [probability] = self._vad.push(padding)
            events += self._step(_Window(rest, probability))
        if self._in_segment:
            events += self._close("end_of_stream")
        self._restart()
        return events

    def _step(self, window: _Window) -> list[SegmentEvent]:
        self._now += 1
        self._held.append(window)
        return self._step_inside(window) if self._in_segment else self._step_outside(window)

    def _step_outside(self, window: _Window) -> list[SegmentEvent]:
        self._onset_run = self._onset_run + 1 if window.probability >= self._enter else 0
        self._trim(self._lengths.pre_roll + self._onset_run)
        if self._onset_run < self._lengths.onset:
            return []
        self._in_segment = True
        self._clear_segment()
        self._start = self._first_held
        self._is_speaking = True
        self._num_speech = self._onset_run
        self._last_speech = self._now
        return self._go_on()

    def _step_inside(self, window: _Window) -> list[SegmentEvent]:
        self._is_speaking = window.probability >= (self._leave if self._is_speaking else self._enter)
        if self._is_speaking:
            self._num_speech += 1
            self._last_speech = self._now
        length = self._now - self._start
        if self._now - self._last_speech >= self._lengths.hang_over(length):
            return self._close("soft_max" if length >= self._lengths.soft_max else "silence")
        if length >= self._lengths.hard_max:
            return self._cut()
        return self._go_on()

    def _go_on(self) -> list[SegmentEvent]:
        events: list[SegmentEvent] = []
        if not self._is_open and self._num_speech >= self._lengths.min_speech:
            self._is_open = True
            events.append(SegmentOpened(self._start * VAD_WINDOW_SAMPLES))
        if self._is_open:
            search_from = self._start + self._lengths.hard_max - self._lengths.search
            events += self._hand_out(min(self._last_speech + self._lengths.post_roll, search_from))
        return events

    def _close(self, reason: Reason) -> list[SegmentEvent]:
        """End the segment a post-roll after its last speech."""
        events = self._end(reason, min(self._now, self._last_speech + self._lengths.post_roll))
        self._trim(self._lengths.pre_roll)
        return events

    def _cut(self) -> list[SegmentEvent]:
        """End the segment at the quietest place of the search range; what comes after it is heard again."""
        first = max(self._first_held, self._now - self._lengths.search)
        loudness = [
            float(np.mean(np.square(window.samples, dtype=np.float64)))
            for window in list(self._held)[first - self._first_held :]
        ]
        around = [before + after for before, after in zip(loudness, loudness[1:], strict=False)]
        quietest = first + 1 + int(np.argmin(around)) if around else self._now
        events = self._end("hard_max", quietest)
        self._trim(self._now - quietest)  # of a candidate too, or it would be heard again without an end
        rest = list(self._held)
        self._held.clear()
        self._now -= len(rest)
        for window in rest:  # shorter than half of the hard maximum, so this cannot come here again
            events += self._step(window)
        return events

    def _end(self, reason: Reason, end: int) -> list[SegmentEvent]:
        """End the segment at window `end`; a candidate that never had enough speech vanishes."""
        events: list[SegmentEvent] = []
        if self._is_open:
            events += self._hand_out(end)
            events.append(SegmentClosed(self._start * VAD_WINDOW_SAMPLES, self._handed_samples, reason))
        self._in_segment = False
        self._onset_run = 0
        return events

    def _hand_out(self, end: int) -> list[SegmentEvent]:
        """The held audio up to window `end`, if there is any."""
        num_windows = min(end, self._now) - self._first_held
        if num_windows <= 0:
            return []
        start = self._first_held * VAD_WINDOW_SAMPLES
        samples = np.concatenate([self._held.popleft().samples for _ in range(num_windows)])
        self._handed_samples = start + len(samples)
        return [SegmentAudio(start, samples)]

    @property
    def _first_held(self) -> int:
        return self._now - len(self._held)

    def _trim(self, num_windows: int) -> None:
        while len(self._held) > num_windows:
            self._held.popleft()
