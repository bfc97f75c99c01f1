"""Where speech goes: a WAV file on the source's time line, a pipe, a loudspeaker.

Speech of a segment comes in pieces that are played one after another. Knows no session and no model; what a device is
and how it fails is `devices.py`.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from seamless_stream.audio.files import WavWriter
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.audio.ring import Ring
from seamless_stream.devices import Device, DeviceStream
from seamless_stream.events import Event, Failed, Final, SegmentEnded, SegmentStarted, Speech

SILENCE_BLOCK_S = 1
SEAM_S = 0.1  # a piece that comes later than the end of the one before by so little follows without a gap
FADE_MS = 10
JITTER_MS = 80  # speech that waits before it starts to sound, so that a late piece makes no gap
MAX_QUEUE_S = 60  # of speech may wait for the loudspeaker
POLL_S = 0.02

Anchor = Literal["start", "end", "live"]


class WavSink:
    """Speech on the time line of the source: silence up to its place, never over earlier speech.

    `anchor` start: a dubbing track; live: when it was said, for a source in real time; end: at the end of its segment,
    for a source that runs at any pace, where nobody knows when it would have been said.
    """

    def __init__(self, path: Path, anchor: Anchor, language: str | None = None) -> None:
        self.path = path
        self._anchor = anchor
        self._language = language
        self._writer: WavWriter | None = None  # opened at the first speech, which knows the rate
        self._places_s: dict[int, float] = {}
        self._held: list[Speech] = []  # pieces of the open segment, with the anchor `end`
        self._last: int | None = None  # the segment that the file ends with

    @property
    def has_speech(self) -> bool:
        """Whether there is a file."""
        return self._writer is not None

    def write(self, event: Event, elapsed_s: float) -> None:
        """The segment's start, final text or end tells its place."""
        if self._language not in (None, getattr(event, "language", self._language)):
            return
        if isinstance(event, SegmentStarted | Final) and self._anchor == "start":
            self._places_s = {event.segment: event.start_s}
        elif isinstance(event, Final | SegmentEnded) and self._anchor == "end":
            self._places_s = {event.segment: event.end_s}
            held, self._held = self._held, []
            for speech in held:
                self._append(speech, event.end_s)
        elif isinstance(event, Speech):
            self._place(event, elapsed_s)

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()

    def _place(self, speech: Speech, elapsed_s: float) -> None:
        if self._anchor == "live":
            self._append(speech, elapsed_s)
        elif self._anchor == "start" or speech.segment in self._places_s:
            self._append(speech, self._places_s.get(speech.segment, 0.0))
        else:
            self._held.append(speech)

    def _append(self, speech: Speech, place_s: float) -> None:
        if self._writer is None:
            self._writer = WavWriter(self.path, speech.rate)
        missing = round(place_s * speech.rate) - self._writer.num_samples
        if self._last == speech.segment and missing <= SEAM_S * speech.rate:
            missing = 0
        self._last = speech.segment
        while missing > 0:  # in blocks: the pause may be hours long
            block = min(missing, SILENCE_BLOCK_S * speech.rate)
            self._writer.write(np.zeros(block, np.float32))
            missing -= block
        self._writer.write(speech.samples)


class PipeSink:
    """Speech alone, as it comes, as raw s16le at 16 kHz mono: what `live --source -` reads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._resampler: Resampler | None = None

    def write(self, event: Event, elapsed_s: float) -> None:
        """Only speech matters, and the end of its segment."""
        if isinstance(event, Speech):
            self._resampler = self._resampler or Resampler(event.rate)
            self._put(self._resampler.push(event.samples))
        elif isinstance(event, SegmentEnded | Failed) and self._resampler is not None:
            self._put(self._resampler.flush())

    def close(self) -> None:
        """Hand over the rest."""
        if self._resampler is not None:
            self._put(self._resampler.flush())

    def _put(self, samples: np.ndarray) -> None:
        if len(samples):
            self._stream.write(to_bytes(samples))
            self._stream.flush()


class Playback:
    """What a loudspeaker's callback plays: a ring that runs empty and fills again without clicks.

    Silence until `JITTER_MS` of speech wait (or the first of it has waited so long), then speech until the ring is
    empty. The gain never changes faster than from 0 to 1 in `FADE_MS`, and is 0 where the ring runs empty.
    """

    def __init__(self, rate: int) -> None:
        self.ring = Ring(rate * MAX_QUEUE_S)
        self.num_gaps = 0  # times that it ran empty in the middle of a segment
        self.expects_more = False  # the segment that is played goes on
        self._fade = rate * FADE_MS // 1_000
        self._jitter = rate * JITTER_MS // 1_000
        self._is_playing = False
        self._waited = 0
        self._gain = 0.0

    def fill(self, out: np.ndarray) -> None:
        """One block [n, C], the same on all channels."""
        available = self.ring.available
        out[:] = 0
        if not self._is_playing:
            self._waited = self._waited + len(out) if available else 0
            self._is_playing = available > 0 and max(available, self._waited) >= self._jitter
        if not self._is_playing:
            return
        frames = self.ring.read(min(len(out), available))  # [n, 1]
        steps = np.arange(len(frames))
        gain = np.minimum(self._gain + (steps + 1) / self._fade, (available - 1 - steps) / self._fade)
        gain = np.minimum(gain, 1.0)
        out[: len(frames)] = frames * gain[:, None]
        self._gain = float(gain[-1])
        if available <= len(out):
            self._is_playing, self._waited, self._gain = False, 0, 0.0
            self.num_gaps += self.expects_more


class SpeakerSink:
    """Plays the speech of one language. `write` never waits; a device that has gone shows in `check`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.warnings: list[str] = []
        self._playback = Playback(device.rate)
        self._resampler: Resampler | None = None
        self._stream = DeviceStream(device, self._playback.fill)

    @property
    def backlog_s(self) -> float:
        """Speech that waits to be heard."""
        return self._playback.ring.available / self.device.rate

    @property
    def report(self) -> str:
        """One line about the whole run."""
        ring, gaps = self._playback.ring, self._playback.num_gaps
        dropouts = f"{self._stream.num_dropouts} under-runs, {gaps} gaps inside a segment"
        return f"loudspeaker {self.device.name}: {dropouts}, {ring.lost / self.device.rate:.1f} s left out"

    def write(self, event: Event, elapsed_s: float) -> None:
        """Queue speech; the end of a segment pushes its last samples out of the resampler."""
        if isinstance(event, Speech):
            if self._resampler is None:
                self._resampler = Resampler(event.rate, self.device.rate)
            self._playback.expects_more = True
            self._queue(self._resampler.push(event.samples))
        elif isinstance(event, SegmentEnded | Failed):
            self._playback.expects_more = False
            self._flush()

    def check(self) -> None:
        """Raises AudioError when the device has gone."""
        self._stream.check()

    def drain(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until all is heard; raises AudioError when the device goes meanwhile."""
        self._playback.expects_more = False
        self._flush()
        while self._playback.ring.available:
            self.check()
            sleep(POLL_S)
        sleep(self._stream.latency_s)

    def close(self) -> None:
        """Silence, now."""
        self._stream.close()

    def _flush(self) -> None:
        if self._resampler is not None:
            self._queue(self._resampler.flush())

    def _queue(self, samples: np.ndarray) -> None:
        num_lost = len(samples) - self._playback.ring.write(samples)
        if num_lost and not self.warnings:
            self.warnings.append(
                f"The loudspeaker is {MAX_QUEUE_S} s behind: speech is left out, the captions are whole."
            )
