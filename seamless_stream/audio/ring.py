"""A ring between a sound card's callback and the program: one writer, one reader, no lock, no allocation in it.

Knows frames of `channels` values and two counters; knows no device and no rate. What does not fit is lost and counted.
"""

import numpy as np

from seamless_stream.audio.pcm import Samples


class Ring:
    """`capacity` frames of float32 [N, C]. `write` belongs to one thread, `read_into` and `read` to another one.

    Each counter is changed by its own side only, after the samples it speaks of have been copied, and an attribute
    is replaced at once: so neither side ever sees frames that are not there.
    """

    def __init__(self, capacity: int, channels: int = 1) -> None:
        self.capacity = capacity
        self.lost = 0  # frames that found no room, counted by the writer
        self._frames = np.zeros((capacity, channels), np.float32)  # [N, C]
        self._num_written = 0
        self._num_read = 0

    @property
    def available(self) -> int:
        """Frames that can be read now."""
        return self._num_written - self._num_read

    def write(self, frames: Samples) -> int:
        """Take frames [n, C], or [n] for one channel; returns how many found room, the rest is lost."""
        frames = frames[:, None] if frames.ndim == 1 else frames
        num_frames = min(len(frames), self.capacity - self.available)
        start = self._num_written % self.capacity
        head = min(num_frames, self.capacity - start)
        self._frames[start : start + head] = frames[:head]
        self._frames[: num_frames - head] = frames[head:num_frames]
        self._num_written += num_frames
        self.lost += len(frames) - num_frames
        return num_frames

    def read_into(self, out: Samples) -> int:
        """Fill the first frames of `out` [n, C] and say how many; the others are left as they are."""
        num_frames = min(len(out), self.available)
        start = self._num_read % self.capacity
        head = min(num_frames, self.capacity - start)
        out[:head] = self._frames[start : start + head]
        out[head:num_frames] = self._frames[: num_frames - head]
        self._num_read += num_frames
        return num_frames

    def read(self, max_frames: int) -> Samples:
        """A copy of what is there [n, C], `max_frames` at most."""
        out = np.empty((min(max_frames, self.available), self._frames.shape[1]), np.float32)
        self.read_into(out)
        return out
