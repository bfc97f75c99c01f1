"""Voice activity: one speech probability per 32 ms window, whatever the chunks.

Knows the window grid, the form that every detector has, and the webrtc detector (a few microseconds a frame, says
only 0 or 1). The detector that listens better is a network and lives in `models/vad.py`.
"""

from typing import Any, Final, Protocol

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.pcm import Samples, check_samples, to_bytes

VAD_WINDOW_SAMPLES: Final = 512  # 32 ms, the only window that Silero knows at 16 kHz
_WEBRTC_FRAME_SAMPLES: Final = 480  # 30 ms; webrtc takes 10, 20 or 30


class Vad(Protocol):
    """A detector with the state of one stream."""

    def push(self, samples: Samples) -> list[float]:
        """Samples [n] of any length -> the probabilities of the windows that they complete."""
        ...

    def reset(self) -> None:
        """Forgets the stream; the next sample is the first of a window."""
        ...


class Windows:
    """Cuts a stream into windows [512], bit-equal for any chunks."""

    def __init__(self) -> None:
        self.rest: Samples = np.zeros(0, dtype=np.float32)  # the beginning of the next window

    def push(self, samples: Samples) -> list[Samples]:
        """The windows that `samples` complete. Raises AudioError unless 1-D float32."""
        check_samples(samples)
        joined = np.concatenate((self.rest, samples))
        end = len(joined) // VAD_WINDOW_SAMPLES * VAD_WINDOW_SAMPLES
        self.rest = joined[end:].copy()  # a view would keep the whole chunk alive
        return [joined[at : at + VAD_WINDOW_SAMPLES] for at in range(0, end, VAD_WINDOW_SAMPLES)]


def _make_webrtc(mode: int) -> Any:
    import webrtcvad

    return webrtcvad.Vad(mode)  # type: ignore[no-untyped-call, unused-ignore]


class WebrtcVad:
    """The webrtc detector: 1.0 when one of the 30 ms frames that end in a window is speech, else 0.0.

    `mode` 0 misses least, 3 has the fewest false alarms. It takes music and loud noise for speech.
    """

    def __init__(self, mode: int = 3) -> None:
        self._mode = mode
        self.reset()

    def reset(self) -> None:
        self._vad = _make_webrtc(self._mode)
        self._pcm = b""  # not heard yet: the beginning of the next frame
        self._num_samples = 0  # pushed
        self._num_heard = 0  # in whole frames, which are on a grid of their own
        self._num_windows = 0
        self._is_speech = False  # one of the frames that have ended in this window is

    def push(self, samples: Samples) -> list[float]:
        check_samples(samples)
        self._pcm += to_bytes(samples)
        self._num_samples += len(samples)
        found: list[float] = []
        at = 0
        while True:
            window_end = (self._num_windows + 1) * VAD_WINDOW_SAMPLES
            frame_end = self._num_heard + _WEBRTC_FRAME_SAMPLES
            if frame_end <= min(window_end, self._num_samples):
                frame = self._pcm[at : at + 2 * _WEBRTC_FRAME_SAMPLES]
                # Every frame has to be heard: the detector adapts to what it hears.
                self._is_speech |= self._vad.is_speech(frame, SAMPLE_RATE)
                self._num_heard, at = frame_end, at + len(frame)
            elif window_end <= self._num_samples:
                found.append(float(self._is_speech))
                self._num_windows, self._is_speech = self._num_windows + 1, False
            else:
                self._pcm = self._pcm[at:]
                return found
