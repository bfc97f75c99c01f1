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
        self._windows = Windows()
        self._tail: Samples = np.zeros(0, dtype=np.float32)  # of the frames, which are on a grid of their own

    def push(self, samples: Samples) -> list[float]:
        return [float(self._is_speech(window)) for window in self._windows.push(samples)]

    def _is_speech(self, window: Samples) -> bool:
        joined = np.concatenate((self._tail, window))
        num_frames = len(joined) // _WEBRTC_FRAME_SAMPLES  # 1, sometimes 2
        end = num_frames * _WEBRTC_FRAME_SAMPLES
        self._tail = joined[end:]
        frames = np.split(joined[:end], num_frames)
        # A list: every frame has to be heard, the detector adapts to what it hears.
        return any([self._vad.is_speech(to_bytes(frame), SAMPLE_RATE) for frame in frames])
