"""Features of Speech2Text: 80 log-mel bins with zero mean and unit variance over the segment, per bin.

The filterbank is `audio.fbank`, equal to what transformers computes where torchaudio is not installed; with torchaudio
it computes the same in float32.
"""

import numpy as np

from seamless_stream.audio.fbank import HOP_SAMPLES, WINDOW_SAMPLES, fbank

LEAST_SAMPLES = WINDOW_SAMPLES + HOP_SAMPLES  # two frames: one has no variance


def extract(samples: np.ndarray) -> np.ndarray:
    """Samples [N] float32 at 16 kHz of one segment, at least `LEAST_SAMPLES` -> frames [T, 80] float32."""
    frames = fbank(samples)  # frame by frame in memory, as in the reference: numpy sums in the same order
    centred = frames - frames.mean(axis=0)
    deviation = centred.std(axis=0)
    # No floor, as in the reference, where a bin that never changes (digital silence) becomes NaN; here it stays zero.
    deviation[deviation == 0] = 1
    normal: np.ndarray = (centred / deviation).astype(np.float32)
    return normal
