"""Features of SeamlessM4T: 80 log-mel bins, normalised per segment and bin, two frames stacked into one of 20 ms.

Knows the layout and the normalisation; the filterbank itself is `audio.fbank`.
"""

import numpy as np

from seamless_stream.audio.fbank import NUM_MEL_BINS, fbank
from seamless_stream.errors import AudioError
from seamless_stream.models.base import Features

STACK = 2  # fbank frames per stacked frame
VARIANCE_FLOOR = 1e-7


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


def extract(samples: np.ndarray) -> Features:
    """Samples [N] float32 at 16 kHz of one segment; raises AudioError below two frames (35 ms)."""
    frames = fbank(samples)
    if frames.shape[0] < STACK:
        raise AudioError(f"A segment must have at least 560 samples (35 ms), but has {samples.shape[0]}.")
    return stack(normalise(frames))
