"""What cuts a session's audio: the segmenter, or one segment for a recording that is short.

Knows audio and segments as the segmenter tells them; nothing of sessions and models.
"""

from typing import Protocol

import numpy as np

from seamless_stream.audio.segmenter import SegmentAudio, SegmentClosed, SegmentEvent, SegmentOpened


class Cutter(Protocol):
    """What finds the segments: `audio.segmenter.Segmenter`, or `Whole` for a short recording."""

    def push(self, samples: np.ndarray) -> list[SegmentEvent]:
        """Samples [n] of any length -> what they opened, held and closed."""

    def flush(self) -> list[SegmentEvent]:
        """The end of the stream."""


class Whole:
    """One segment from the first to the last sample, if `cutter` finds any speech in it."""

    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        self._chunks: list[np.ndarray] = []
        self._has_speech = False

    def push(self, samples: np.ndarray) -> list[SegmentEvent]:
        """Keep everything; the caller bounds the length."""
        self._chunks.append(samples)
        self._look(self._cutter.push(samples))
        return []

    def flush(self) -> list[SegmentEvent]:
        """Open, fill and close the only segment."""
        self._look(self._cutter.flush())
        if not self._has_speech:
            return []
        samples = np.concatenate(self._chunks)
        return [
            SegmentOpened(0),
            SegmentAudio(0, samples),
            SegmentClosed(0, len(samples), "end_of_stream"),
        ]

    def _look(self, found: list[SegmentEvent]) -> None:
        self._has_speech = self._has_speech or any(isinstance(event, SegmentOpened) for event in found)
