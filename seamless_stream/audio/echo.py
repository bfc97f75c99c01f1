"""Finds our own speech in the input, as a loudspeaker and a room give it back to the microphone, and silences it.

Knows what was said (`own_speech.py`) and looks for the same waveform in the last 0.8 s of the input, up to a second
later. Knows no sessions and no messages. All places are samples at 16 kHz of the input.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.own_speech import (
    EDGE_SAMPLES,
    JITTER_SAMPLES,
    LOW_RATE,
    LOW_STEP,
    OwnSpeech,
    lower,
)
from seamless_stream.audio.pcm import Samples, check_samples

BLOCK_SAMPLES: Final = SAMPLE_RATE * 200 // 1000  # what is silenced or not
NUM_BLOCKS: Final = 4  # that are looked at together
MIN_WINDOWS: Final = 2  # that must be an echo, of the four that a block is part of
WINDOW_SAMPLES: Final = NUM_BLOCKS * BLOCK_SAMPLES
MAX_LAG_SAMPLES: Final = SAMPLE_RATE  # between what was said and its echo
TAIL_SAMPLES: Final = SAMPLE_RATE * 250 // 1000  # for which a room goes on
# Likeness of window and speech from 0 to 1. `tools/measure_echo.py` shows what other values give (docs/own_speech.md).
ENTER: Final = 0.50
KEEP: Final = 0.40  # near the lag of an echo that was found
NEAR_SAMPLES: Final = SAMPLE_RATE * 100 // 1000
REMEMBERED_SAMPLES: Final = 60 * SAMPLE_RATE  # a lag
GAP_SAMPLES: Final = SAMPLE_RATE  # between two echoes that are told apart
MAX_ECHO_SAMPLES: Final = 10 * SAMPLE_RATE  # a longer one is told in parts
_SILENT_RMS: Final = 1e-4  # nobody understands what is quieter
_SPOKEN_RMS: Final = 1e-3  # of our speech; quieter are its pauses
_MIN_SAID: Final = LOW_RATE // 5  # samples that are no pauses, in a window
_REACH_SAMPLES: Final = WINDOW_SAMPLES + 2 * EDGE_SAMPLES  # that may be looked at again before the next block
_LOW_HZ: Final = 250.0  # small loudspeakers give nothing below
_HIGH_HZ: Final = 1_750.0
_WHITENING: Final = 0.8  # 1 hears only the phase and with it all the noise, 0 mostly the pitch
_FFT_SAMPLES: Final = 8_192
_HERTZ: Final = np.fft.rfftfreq(_FFT_SAMPLES, 1 / LOW_RATE)
_PHASES: Final = itertools.count()  # so that the guards of a server do not all look at the same moment
_OUTSIDE: Final = (_HERTZ < _LOW_HZ) | (_HERTZ > _HIGH_HZ)


@dataclass(frozen=True)
class Echo:
    """Where our speech was heard again, how much later than it was said, and how much of it was silenced."""

    start: int
    end: int
    lag: int
    num_silenced: int


def _whiten(samples: Samples) -> np.ndarray:
    """The spectrum [4097] with its hills made low: every part of the band has a say."""
    spectrum = np.fft.rfft(samples, _FFT_SAMPLES)
    size = np.abs(spectrum)
    spectrum *= (size + 0.01 * size.mean() + 1e-12) ** -_WHITENING
    spectrum[_OUTSIDE] = 0
    return spectrum


def likeness(heard: Samples, said: Samples) -> np.ndarray:
    """[n] and [m] at 4 kHz -> [m - n + 1]: from 0 to 1, how much of what was heard is what was said from place i on.

    A cross-correlation of whitened signals (Knapp and Carter 1976), divided by the energy of both.
    """
    heard_spectrum, said_spectrum = _whiten(heard), _whiten(said)
    num_places = len(said) - len(heard) + 1
    correlation = np.abs(np.fft.irfft(np.conj(heard_spectrum) * said_spectrum)[:num_places])
    heard_energy = 2 / _FFT_SAMPLES * float(np.sum(np.square(np.abs(heard_spectrum))))  # Parseval
    sums = np.concatenate(([0.0], np.cumsum(np.square(np.fft.irfft(said_spectrum)[: len(said)]))))
    energy = sums[len(heard) :] - sums[: -len(heard)]
    found: np.ndarray = correlation / np.sqrt(heard_energy * np.maximum(energy, 0.02 * energy.max()) + 1e-12)
    # Anything is like the first moments of a word.
    counts = np.concatenate(([0], np.cumsum(np.abs(said) > _SPOKEN_RMS)))
    found[counts[len(heard) :] - counts[: -len(heard)] < _MIN_SAID] = 0
    return found


class EchoGuard:
    """`push` what is heard and tell `speech` what is said; what comes out has silence where it was our own echo.

    While we speak, what is heard waits for up to a second until it is known what it is; else nothing waits. Without
    `is_certain` it also does not wait while no echo is known, and looks at every fourth window only, which takes a
    third of the time: of the first echo the beginning is heard.
    """

    def __init__(self, *, is_certain: bool = True) -> None:
        self.speech = OwnSpeech()
        self.now = 0  # samples pushed so far
        self._is_certain = is_certain
        self._holds = is_certain  # or an echo is known
        self._phase = next(_PHASES) % NUM_BLOCKS
        self._num_released = 0
        self._num_judged = 0  # blocks
        self._tape: Samples = np.zeros(_REACH_SAMPLES, np.float32)  # what was heard, up to `now`
        self._votes: Counter[int] = Counter()  # block: windows that are an echo
        self._silent: set[int] = set()  # blocks
        self._lag: int | None = None
        self._lag_found = 0
        self._open: Echo | None = None
        self._found: list[Echo] = []
        self._told = 0  # up to where echoes have been told

    def push(self, samples: Samples) -> Samples:
        """Samples [n] -> those of which it is known now what they are."""
        check_samples(samples)
        self._tape = np.concatenate((self._tape, samples))
        self.now += len(samples)
        while (self._num_judged + 1) * BLOCK_SAMPLES + EDGE_SAMPLES <= self.now:
            self._num_judged += 1
            if self._holds or self._num_judged % NUM_BLOCKS == self._phase:
                self._judge(self._num_judged * BLOCK_SAMPLES, MIN_WINDOWS)
        return self._release(self._known())

    def flush(self) -> Samples:
        """The rest; of its last moments one window decides."""
        if self._num_released < self.now:
            self._judge(self.now - EDGE_SAMPLES, 1)
        return self._release(self.now)

    def skip(self, num_samples: int) -> None:
        """So many samples were not heard; behind `flush`."""
        self.now += num_samples
        reach = 2 * WINDOW_SAMPLES + EDGE_SAMPLES
        self._tape = np.concatenate((self._tape, np.zeros(min(num_samples, reach), np.float32)))
        if num_samples > reach:
            self._num_judged = max(self._num_judged, (self.now - WINDOW_SAMPLES) // BLOCK_SAMPLES)
        self._num_released = self.now
        self._trim()

    def found(self) -> list[Echo]:
        """Echoes that are over, each once; a long one in parts."""
        is_over = self._open is not None and self._num_released > self._open.end + GAP_SAMPLES
        if is_over:
            self._close()
        found, self._found = self._found, []
        return found

    def finish(self) -> list[Echo]:
        """The same at the end, with the one that goes on."""
        self._close()
        return self.found()

    def _judge(self, end: int, min_windows: int) -> None:
        """Look at the window that ends here; blocks are silenced that so many windows find an echo."""
        start = end - WINDOW_SAMPLES
        said_from = start - MAX_LAG_SAMPLES
        if not self.speech.sounds(said_from, end + JITTER_SAMPLES):
            return
        heard = lower(self._heard(start - EDGE_SAMPLES, end + EDGE_SAMPLES))
        if float(np.sqrt(np.mean(np.square(heard)))) < _SILENT_RMS:
            return
        places = likeness(heard, self.speech.low(said_from, end + JITTER_SAMPLES))
        lag = self._find(places)
        if lag is None:
            return
        self._lag, self._lag_found, self._holds = lag, end, True
        for block in range(start // BLOCK_SAMPLES, -(-end // BLOCK_SAMPLES)):
            first = block * BLOCK_SAMPLES
            said = self.speech.low(first - lag - TAIL_SAMPLES, first + BLOCK_SAMPLES - lag)
            if float(np.sqrt(np.mean(np.square(said)))) > _SPOKEN_RMS:
                self._mark(block, lag, min_windows)

    def _find(self, places: np.ndarray) -> int | None:
        """The lag of an echo; None: there is none."""
        best = int(np.argmax(places))
        if places[best] >= ENTER:
            return MAX_LAG_SAMPLES - best * LOW_STEP
        if self._lag is None or self.now - self._lag_found > REMEMBERED_SAMPLES:
            self._lag, self._holds = None, self._is_certain
            return None
        centre = (MAX_LAG_SAMPLES - self._lag) // LOW_STEP
        reach = NEAR_SAMPLES // LOW_STEP
        first = max(0, centre - reach)
        best = first + int(np.argmax(places[first : centre + reach]))
        return MAX_LAG_SAMPLES - best * LOW_STEP if places[best] >= KEEP else None

    def _mark(self, block: int, lag: int, min_windows: int) -> None:
        self._votes[block] += 1
        if self._votes[block] < min_windows or block in self._silent:
            return
        self._silent.add(block)
        start, end = block * BLOCK_SAMPLES, (block + 1) * BLOCK_SAMPLES
        silenced = max(0, end - max(start, self._num_released))
        start = max(0, start, self._told)
        if start >= end:
            return
        if self._open is not None and start > self._open.end + GAP_SAMPLES:
            self._close()
        known = self._open or Echo(start, end, lag, 0)
        self._open = Echo(min(known.start, start), max(known.end, end), lag, known.num_silenced + silenced)
        if self._open.end - self._open.start >= MAX_ECHO_SAMPLES:
            self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._found.append(self._open)
            self._told = self._open.end
            self._open = None

    def _known(self) -> int:
        """Up to where nothing more will be found."""
        if not self._holds:
            return self.now
        known = max(self._num_released, (self._num_judged - NUM_BLOCKS + 1) * BLOCK_SAMPLES)
        while known < self.now and not self._may_hold_echo(known, known + BLOCK_SAMPLES):
            known = (known // BLOCK_SAMPLES + 1) * BLOCK_SAMPLES
        return min(known, self.now)

    def _may_hold_echo(self, start: int, stop: int) -> bool:
        return self.speech.sounds(start - MAX_LAG_SAMPLES - TAIL_SAMPLES, stop + JITTER_SAMPLES)

    def _release(self, stop: int) -> Samples:
        start = self._num_released
        out = self._heard(start, stop).copy()
        for block in range(start // BLOCK_SAMPLES, -(-stop // BLOCK_SAMPLES)):
            if block in self._silent:
                first = block * BLOCK_SAMPLES - start
                out[max(0, first) : max(0, first + BLOCK_SAMPLES)] = 0
        self._num_released = stop
        self._trim()
        return out

    def _heard(self, start: int, stop: int) -> Samples:
        origin = self.now - len(self._tape)
        return self._tape[start - origin : stop - origin]

    def _trim(self) -> None:
        """Keep what may be looked at again."""
        oldest = min(self._num_released, self._num_judged * BLOCK_SAMPLES - _REACH_SAMPLES)
        for block in [block for block in self._votes if block < self._num_judged - 2 * NUM_BLOCKS]:
            del self._votes[block]
            self._silent.discard(block)
        self._tape = self._heard(max(oldest, self.now - len(self._tape)), self.now)
        self.speech.forget(oldest - MAX_LAG_SAMPLES - TAIL_SAMPLES - GAP_SAMPLES)
