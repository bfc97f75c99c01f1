"""Speech made shorter: long pauses trimmed, tempo raised with the pitch kept, and fades that hide a cut.

Every class is push(samples) -> out, flush() -> the rest; pieces join without clicks however the samples were cut.
Tempo is WSOLA (Verhelst and Roelands 1993): frames are taken where they continue the previous one best. Knows nothing
of units, queues or why there is no time.
"""

import numpy as np

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 240  # 15 ms that one frame fades into the next
SEARCH_SAMPLES = 128  # on each side; both together hold a period of 62 Hz
PAUSE_FRAME_SAMPLES = 160  # 10 ms
SILENCE_RMS = 10 ** (-45 / 20)


def fade_in(num_samples: int) -> np.ndarray:
    """The rising half of a raised cosine [N], without 0 and 1; a fade and its mirror add up to one."""
    phase = (np.arange(num_samples, dtype=np.float32) + 0.5) / max(num_samples, 1)
    rising: np.ndarray = 0.5 - 0.5 * np.cos(np.pi * phase)
    return rising.astype(np.float32)


def crossfade(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The same time span twice [N] -> from the old one to the new one."""
    rising = fade_in(len(new))
    mixed: np.ndarray = old * rising[::-1] + new * rising
    return mixed


class Tempo:
    """Faster speech of the same pitch: `tempo` 1.25 turns 5 s into 4 s."""

    def __init__(self, tempo: float) -> None:
        self.tempo = tempo
        self._input = np.zeros(0, np.float32)
        self._first = 0  # position of `_input[0]` in all samples pushed
        self._frames = 0
        self._next = 0  # position at which the frame played last goes on

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Samples [N] at 16 kHz -> what can be played by now."""
        self._input = np.concatenate([self._input, samples])
        out = []
        while (frame := self._frame()) is not None:
            out.append(frame)
        return np.concatenate(out) if out else np.zeros(0, np.float32)

    def _frame(self) -> np.ndarray | None:
        """The next 15 ms, or None where the search would look beyond what is here."""
        wanted = round((self._frames + 1) * FRAME_SAMPLES * self.tempo)
        low = max(wanted - SEARCH_SAMPLES - self._first, 0)
        high = wanted + SEARCH_SAMPLES - self._first
        if high + FRAME_SAMPLES > len(self._input):
            return None
        going_on = self._input[self._next - self._first :][:FRAME_SAMPLES]
        start = low + best_match(self._input[low : high + FRAME_SAMPLES], going_on)
        frame = crossfade(going_on, self._input[start : start + FRAME_SAMPLES])
        self._frames += 1
        self._next = self._first + start + FRAME_SAMPLES
        oldest = min(self._next, wanted + round(FRAME_SAMPLES * self.tempo) - SEARCH_SAMPLES - 1)
        self._input = self._input[max(oldest - self._first, 0) :]
        self._first = max(oldest, self._first)
        return frame

    def flush(self) -> np.ndarray:
        """What is left, as it is; the next push begins anew."""
        rest = self._input[self._next - self._first :]
        self.__init__(self.tempo)  # type: ignore[misc]
        return rest


def best_match(samples: np.ndarray, pattern: np.ndarray) -> int:
    """Where in `samples` [N] a stretch most like `pattern` [M] begins: greatest normalised cross-correlation."""
    likeness = np.correlate(samples, pattern, "valid")
    energy = np.cumsum(np.concatenate([[0.0], samples.astype(np.float64) ** 2]))
    energy = energy[len(pattern) :] - energy[: -len(pattern)]
    return int(np.argmax(likeness / np.sqrt(energy + 1e-9)))


class PauseTrimmer:
    """Silence of more than `max_pause_ms` keeps its first and its last half; all the rest passes unchanged."""

    def __init__(self, max_pause_ms: int = 120) -> None:
        self._half_frames = max(max_pause_ms // 20, 1)
        self._input = np.zeros(0, np.float32)
        self._pause: list[np.ndarray] = []  # frames of the silence's end that are not yet played
        self._played_frames = 0  # of this silence
        self._cut: np.ndarray | None = None  # the frame that would have followed what was played

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Samples [N] at 16 kHz -> what can be played by now."""
        self._input = np.concatenate([self._input, samples])
        out = [np.zeros(0, np.float32)]
        whole = len(self._input) // PAUSE_FRAME_SAMPLES * PAUSE_FRAME_SAMPLES
        for frame in self._input[:whole].reshape(-1, PAUSE_FRAME_SAMPLES):
            if float(np.sqrt(np.mean(frame**2))) >= SILENCE_RMS:
                out += [*self._end_pause(), frame]
            elif self._played_frames < self._half_frames:
                self._played_frames += 1
                out.append(frame)
            else:
                self._hold(frame)
        self._input = self._input[whole:]
        return np.concatenate(out)

    def _hold(self, frame: np.ndarray) -> None:
        self._pause.append(frame)
        if len(self._pause) > self._half_frames:
            dropped = self._pause.pop(0)
            self._cut = dropped if self._cut is None else self._cut

    def _end_pause(self) -> list[np.ndarray]:
        frames = self._pause
        if self._cut is not None:
            frames = [crossfade(self._cut, frames[0]), *frames[1:]]
        self._pause, self._played_frames, self._cut = [], 0, None
        return frames

    def flush(self) -> np.ndarray:
        """What is held; the next push begins anew."""
        out = np.concatenate([*self._end_pause(), self._input])
        self._input = np.zeros(0, np.float32)
        return out
