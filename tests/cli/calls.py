"""What tests of the command line say and hear: a voice, what a call gives, and its error lines."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

RATE = 16_000
Result = tuple[int, str, str]  # status, stdout, stderr
Call = Callable[..., Result]

needs_full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Something that the webrtc detector takes for speech: harmonics of a wandering voice in syllables."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * times)) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * times)
    return (0.12 * tone * syllables + 0.001 * random.standard_normal(len(times))).astype(np.float32)


def complaints(err: str) -> list[str]:
    """The error lines, without the model's notes: its noise never ends by itself."""
    lines = [line for line in err.splitlines() if line.startswith("seamless-stream: ")]
    return [line for line in lines if "`max_new_tokens` = 6 was reached" not in line]
