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
PRIOR_FRAMES = 30  # what is known before the segment counts like 0.3 s of it
LEVEL_FRAMES = (
    50  # so much sound moves the prior half way to its own level: the first frames are mostly pre-roll
)


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
# Speech in general, bin by bin: python -m tools.measure_normalisation --constants --limit 60
# fmt: off
SPEECH_MEAN = np.array([
    5.9, 6.2, 7.3, 8.6, 9.7, 10.3, 10.7, 10.5, 10.2, 10.1, 10.4, 10.7, 10.9, 10.9, 10.7, 10.7,
    10.7, 10.6, 10.6, 10.4, 10.3, 10.6, 10.4, 10.6, 10.6, 10.8, 10.8, 10.8, 10.8, 10.7, 10.7, 10.7,
    10.7, 10.8, 10.9, 11.0, 11.2, 11.4, 11.5, 11.6, 11.7, 11.6, 11.7, 11.7, 11.8, 12.0, 12.2, 12.4,
    12.5, 12.7, 12.8, 12.9, 12.9, 12.9, 12.9, 13.0, 13.0, 13.0, 13.1, 13.1, 13.2, 13.3, 13.3, 13.4,
    13.4, 13.5, 13.6, 13.7, 13.8, 13.9, 14.0, 14.1, 14.2, 14.3, 14.4, 14.4, 14.5, 14.4, 14.3, 14.2,
])
SPEECH_DEVIATION = np.array([
    2.8, 2.7, 3.3, 4.0, 4.6, 4.9, 5.0, 4.8, 4.4, 4.2, 4.3, 4.4, 4.3, 4.1, 3.9, 3.8,
    3.7, 3.6, 3.4, 3.2, 3.2, 3.2, 3.1, 3.0, 2.9, 2.8, 2.7, 2.6, 2.4, 2.3, 2.1, 2.0,
    1.9, 1.8, 1.9, 1.9, 1.9, 1.9, 1.9, 1.8, 1.7, 1.6, 1.5, 1.5, 1.4, 1.5, 1.5, 1.6,
    1.7, 1.7, 1.7, 1.6, 1.6, 1.5, 1.4, 1.4, 1.3, 1.2, 1.2, 1.1, 1.1, 1.1, 1.1, 1.0,
    1.0, 1.0, 1.0, 1.1, 1.1, 1.1, 1.1, 1.1, 1.1, 1.2, 1.2, 1.2, 1.1, 1.0, 0.9, 0.6,
])
# fmt: on


def running(heard: Statistics, earlier: Statistics) -> Statistics:
    """What an open segment is normalised with: its frames so far, and a prior worth PRIOR_FRAMES frames.

    The prior is the session's earlier segments and, as long as these are short, speech in general at the level of
    what was heard so far (shrinkage: the prior fades as 1 / frames).
    """
    known = heard + earlier
    level = float(known.mean.mean()) - float(SPEECH_MEAN.mean())
    level *= known.count / (known.count + LEVEL_FRAMES)
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
