"""Keeps what `live` says by a loudspeaker out of what it hears by a microphone of the same room.

A sink on the worker's thread that notes what is said, and a filter of the source on the main thread. How an echo is
found is `audio/echo.py`.
"""

from queue import SimpleQueue

import numpy as np

from seamless_stream.audio.echo import EchoGuard
from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.resample import resampled
from seamless_stream.events import Event, Speech


class OwnVoice:
    """Of one run. Nothing waits before an echo has been found: with headphones there never is one."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._guard = EchoGuard(is_certain=False)
        self._said: SimpleQueue[Speech] = SimpleQueue()
        self._num_silenced = 0

    @property
    def report(self) -> str:
        """One line about the whole run; empty where there was no echo."""
        self._note(is_last=True)
        return (
            f"own voice: {self._num_silenced / SAMPLE_RATE:.1f} s of the input were left out"
            if self.warnings
            else ""
        )

    def write(self, event: Event, elapsed_s: float) -> None:
        """Speech begins to sound when it comes, or behind the speech before."""
        if isinstance(event, Speech):
            self._said.put(event)

    def close(self) -> None:
        """Nothing to give back."""

    def filter(self, samples: np.ndarray) -> np.ndarray:
        """What of the source is known by now not to be us; silence where it is."""
        while not self._said.empty():
            speech = self._said.get()
            self._guard.speech.say(resampled(speech.samples, speech.rate), self._guard.now)
        out = self._guard.push(samples)
        self._note()
        return out

    def rest(self) -> np.ndarray:
        """The source is over."""
        return self._guard.flush()

    def _note(self, *, is_last: bool = False) -> None:
        echoes = self._guard.finish() if is_last else self._guard.found()
        self._num_silenced += sum(echo.num_silenced for echo in echoes)
        if echoes and not self.warnings:
            lag_ms = 1000 * echoes[0].lag // SAMPLE_RATE
            self.warnings.append(
                f"The microphone hears the loudspeaker, {lag_ms} ms later: that is left out, and so is who speaks"
                " at the same time. Better use headphones."
            )
