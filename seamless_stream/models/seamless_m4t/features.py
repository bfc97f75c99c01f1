"""Features of SeamlessM4T: 80 log-mel bins, normalised per segment and bin, two frames stacked into one of 20 ms.

Knows the layout and the normalisation, exact for a segment that has ended and running for one that is still open; the
filterbank itself is `audio.fbank`.
"""

from dataclasses import dataclass

import numpy as np

from seamless_stream.audio.fbank import NUM_MEL_BINS, fbank
from seamless_stream.errors import AudioError

STACK = 2  # fbank frames per stacked frame
VARIANCE_FLOOR = 1e-7
PRIOR_FRAMES = 100  # what is known before the segment counts like a second of it


@dataclass(frozen=True, eq=False)
class Features:
    """Speech as the encoder takes it; a row of one segment."""

    values: np.ndarray  # [T, 160] float32
    num_valid: int  # the last position of an odd number of frames does not count


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over log-mel frames, bin by bin: a value that grows by addition."""

    count: float
    total: np.ndarray  # [80] float64
    squares: np.ndarray  # [80] float64

    @staticmethod
    def of(frames: np.ndarray) -> "Statistics":
        """Of frames [T, 80], possibly none."""
        values = frames.astype(np.float64)
        return Statistics(len(values), values.sum(axis=0), np.square(values).sum(axis=0))

    @staticmethod
    def like(mean: np.ndarray, deviation: np.ndarray, count: float) -> "Statistics":
        """As if `count` frames with this mean and deviation had been heard."""
        return Statistics(count, count * mean, count * (np.square(mean) + np.square(deviation)))

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def worth(self, count: float) -> "Statistics":
        """The same mean and deviation with another weight; there must be frames."""
        factor = count / self.count
        return Statistics(count, factor * self.total, factor * self.squares)

    @property
    def mean(self) -> np.ndarray:
        """[80]; there must be frames."""
        return self.total / self.count

    @property
    def variance(self) -> np.ndarray:
        """[80] with ddof 1."""
        excess = self.squares - np.square(self.total) / self.count
        variance: np.ndarray = np.maximum(excess, 0.0) / max(self.count - 1, 1)
        return variance

    @property
    def nbytes(self) -> int:
        return self.total.nbytes + self.squares.nbytes


NO_STATISTICS = Statistics.of(np.zeros((0, NUM_MEL_BINS)))
# Placeholder until measured below.
SPEECH_MEAN = np.full(NUM_MEL_BINS, 12.0)
SPEECH_DEVIATION = np.full(NUM_MEL_BINS, 3.0)


def running(heard: Statistics, earlier: Statistics) -> Statistics:
    """What an open segment is normalised with: its frames so far, and a prior worth PRIOR_FRAMES frames.

    The prior is the session's earlier segments and, as long as these are short, speech in general at the level of
    what was heard so far (shrinkage: the prior fades as 1 / frames).
    """
    known = heard + earlier
    level = float(known.mean.mean()) - float(SPEECH_MEAN.mean())
    prior = Statistics.like(SPEECH_MEAN + level, SPEECH_DEVIATION, PRIOR_FRAMES) + earlier
    return heard + prior.worth(PRIOR_FRAMES)


def normalise_running(frames: np.ndarray, statistics: Statistics) -> np.ndarray:
    """Frames [T, 80] with given statistics, float32."""
    scale = 1.0 / np.sqrt(statistics.variance + VARIANCE_FLOOR)
    normal: np.ndarray = ((frames - statistics.mean) * scale).astype(np.float32)
    return normal


def normalise(frames: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance (ddof 1) per mel bin over these frames; [T, 80] float32."""
    # Bin by bin in memory, as the reference has them: numpy then sums pairwise and the result is equal to the bit;
    # frame by frame it sums naively in float32 and is off by 4e-5 after a few seconds.
    frames = np.ascontiguousarray(frames.T).T
    variance = frames.var(axis=0, ddof=1)
    normal: np.ndarray = ((frames - frames.mean(axis=0)) / np.sqrt(variance + VARIANCE_FLOOR)).astype(
        np.float32
    )
    return normal


def stack(frames: np.ndarray) -> Features:
    """Pairs of frames side by side, [T, 160]; an odd last frame is paired with zeros and does not count as valid."""
    num_frames = frames.shape[0]
    if num_frames % STACK:
        frames = np.concatenate([frames, np.zeros((1, frames.shape[1]), np.float32)])
    return Features(frames.reshape(-1, STACK * NUM_MEL_BINS), num_frames // STACK)


def finished(frames: np.ndarray, num_samples: int) -> Features:
    """Features of a whole segment from its log-mel frames [T, 80]; raises AudioError below two frames (35 ms)."""
    if frames.shape[0] < STACK:
        raise AudioError(f"A segment must have at least 560 samples (35 ms), but has {num_samples}.")
    return stack(normalise(frames))


def extract(samples: np.ndarray) -> Features:
    """Samples [N] float32 at 16 kHz of one segment; raises AudioError below two frames (35 ms)."""
    return finished(fbank(samples), samples.shape[0])
