"""Audio on its way in: bytes to samples at 16 kHz, what may go to the model now, and a bounded rest that waits.

Pure: time is an argument. The input clock counts every sample received; what is dropped becomes silence of the same
length, so that all later times stay true.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from seamless_stream.audio.echo import EchoGuard
from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.monitor import SoundMonitor
from seamless_stream.audio.own_speech import HalfDuplex
from seamless_stream.audio.pcm import Samples, from_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.server.changes import Encoding
from seamless_stream.server.commands import MAX_PAUSE_S
from seamless_stream.server.opus import OpusDecoder
from seamless_stream.server.protocol import BAD_MESSAGE, ProtocolError

SAMPLE_BYTES: Final[dict[Encoding, int]] = {"s16le": 2, "f32le": 4, "mulaw": 1}
MAX_TAKEN_SAMPLES: Final = SAMPLE_RATE  # at once
# A client that sends faster than real time would make the engine believe that it falls behind. These let a stalled
# network catch up all the same.
PACE: Final = 1.1
CATCH_UP_PACE: Final = 1.5  # after a lost connection
BURST_S: Final = 10.0
FIRST_BURST_S: Final = 1.0


def _mulaw_table() -> Samples:
    """ITU-T G.711, all 256 codes."""
    codes = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (codes >> 4) & 7, (codes & 15).astype(np.int32)
    level = ((mantissa << 3) + 132 << exponent) - 132
    signed = np.where(codes & 128, -level, level)
    return (signed / 32_768).astype(np.float32)


MULAW: Final = _mulaw_table()


def decode(data: bytes, encoding: Encoding) -> Samples:
    """Samples of one message; raises ProtocolError that ends the connection where they are cut in the middle."""
    size = SAMPLE_BYTES.get(encoding, 1)
    if len(data) % size:
        raise ProtocolError(
            "misframed_audio",
            f"A message must be whole samples of {size} bytes, but has {len(data)} bytes.",
            close_code=BAD_MESSAGE,
        )
    if encoding == "s16le":
        return from_bytes(data)
    if encoding == "mulaw":
        return MULAW[np.frombuffer(data, dtype=np.uint8)]
    samples = np.frombuffer(data, dtype="<f4").astype(np.float32)
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1, 1)


@dataclass(frozen=True)
class Mark:
    """Everything before it should be finished; `marker` None: the session ends here."""

    marker: str | None


@dataclass(frozen=True)
class Targets:
    """What comes after it is translated into these languages."""

    codes: tuple[str, ...]


Item = Samples | int | Mark | Targets  # an int: so many samples of silence in the place of dropped ones


class Intake:
    """`push` and `drop` from the connection; `take` towards the worker, `give_back` where it had no room.

    `guard` puts silence in the place of our own voice; `monitor` listens to what comes as it is.
    """

    def __init__(
        self,
        encoding: Encoding,
        rate: int,
        max_ahead_ms: int,
        guard: EchoGuard | HalfDuplex | None = None,
        monitor: SoundMonitor | None = None,
        *,
        is_paced: bool,
    ) -> None:
        self._guard, self._monitor = guard, monitor
        opus = OpusDecoder() if encoding == "opus" else None
        self._decode: Callable[[bytes], Samples] = opus or partial(decode, encoding=encoding)
        self._rate = rate
        self._max_samples = max_ahead_ms * SAMPLE_RATE // 1000
        self._is_paced = is_paced
        self._resampler = Resampler(rate)
        self._items: deque[Item] = deque()
        self._num_waiting = 0
        self._num_received = self._num_dropped = self._num_come = 0  # samples at the client's rate
        self._allowance = FIRST_BURST_S * SAMPLE_RATE
        self._silence_allowance: float = MAX_PAUSE_S * SAMPLE_RATE  # to the model at once
        self._asked_s: float | None = None
        self.num_messages = 0
        self.catches_up = False  # the client sends what it could not send for a while: nothing is dropped

    @property
    def received_ms(self) -> int:
        """The input clock."""
        return self._num_received * 1000 // self._rate

    @property
    def received_samples(self) -> int:
        """The same, at the client's rate."""
        return self._num_received

    @property
    def come_ms(self) -> int:
        """Of it, what has come as samples."""
        return self._num_come * 1000 // self._rate

    @property
    def dropped_ms(self) -> int:
        """Of it, what the model will not hear."""
        return self._num_dropped * 1000 // self._rate

    @property
    def waiting_ms(self) -> int:
        """Audio that the worker has not got."""
        return self._num_waiting * 1000 // SAMPLE_RATE

    @property
    def credit_ms(self) -> int:
        """How much more is held."""
        return max(0, self._max_samples - self._num_waiting) * 1000 // SAMPLE_RATE

    @property
    def has_room(self) -> bool:
        """Whether another message is held; the last one may go beyond the limit by its own length."""
        return self._num_waiting < self._max_samples

    def push(self, data: bytes, first_sample: int | None = None) -> None:
        """One message of audio, at its place where that is given; raises ProtocolError."""
        samples = self._place(self._decode(data), first_sample)
        self.num_messages += 1
        self._num_received += len(samples)
        self._num_come += len(samples)
        if self._monitor is not None:
            self._monitor.push(samples)
        self._hear(self._resampler.push(samples))

    def drop(self, data: bytes, first_sample: int | None = None) -> tuple[int, int]:
        """One message for which there is no room: where it lay on the input clock, from and to, ms."""
        samples = self._place(self._decode(data), first_sample)
        self.num_messages += 1
        start_ms = self.received_ms
        self._num_come += len(samples)
        self._num_dropped += len(samples)
        self._leave_out(len(samples))
        return start_ms, self.received_ms

    def pause(self, duration_ms: int) -> None:
        """Nothing was recorded for so long."""
        self._leave_out(duration_ms * self._rate // 1000)

    def _place(self, samples: Samples, first_sample: int | None) -> Samples:
        """What of it is new; where something lies between, that becomes silence."""
        if first_sample is None:
            return samples
        pause = first_sample - self._num_received
        if pause > MAX_PAUSE_S * self._rate:
            text = f"A message must begin at most {MAX_PAUSE_S} s behind the one before."
            raise ProtocolError("misframed_audio", text, close_code=BAD_MESSAGE)
        if pause > 0:
            self._leave_out(pause)
        return samples[max(0, -pause) :]

    def _leave_out(self, num_samples: int) -> None:
        """So many samples at the client's rate are heard as silence."""
        self._settle()
        self._num_received += num_samples
        silence = num_samples * SAMPLE_RATE // self._rate
        if self._guard is not None:
            self._guard.skip(silence)
        if self._monitor is not None:
            self._monitor.skip(num_samples)
        last = self._items[-1] if self._items else None
        if isinstance(last, int):
            self._items[-1] = last + silence
        else:
            self._items.append(silence)

    def put(self, item: Mark | Targets) -> None:
        """In its place between the samples."""
        if isinstance(item, Mark):
            self._settle()
        elif self._guard is not None:
            self._add(self._guard.flush())
        self._items.append(item)

    def take(self, now_s: float) -> Samples | Mark | Targets | None:
        """What should go to the worker next; None: nothing now."""
        self._earn(now_s)
        if not self._items:
            return None
        item = self._items.popleft()
        if isinstance(item, Mark | Targets):
            return item
        size: int = item if isinstance(item, int) else len(item)
        allowance = self._silence_allowance if isinstance(item, int) else self._allowance
        limit = min(MAX_TAKEN_SAMPLES, int(allowance)) if self._is_paced else MAX_TAKEN_SAMPLES
        if limit < min(size, SAMPLE_RATE // 100):
            self._items.appendleft(item)
            return None
        if size > limit:
            self._items.appendleft(item - limit if isinstance(item, int) else item[limit:])
            size = limit
        if isinstance(item, int):
            samples: Samples = np.zeros(size, np.float32)
            self._silence_allowance -= size
        else:
            samples = item[:size]
            self._num_waiting -= size
            self._allowance -= size
        return samples

    def _earn(self, now_s: float) -> None:
        if self._asked_s is not None:
            pace = CATCH_UP_PACE if self.catches_up else PACE
            earned = (now_s - self._asked_s) * pace * SAMPLE_RATE
            self._allowance = min(BURST_S * SAMPLE_RATE, self._allowance + earned)
            self._silence_allowance = min(MAX_PAUSE_S * SAMPLE_RATE, self._silence_allowance + earned)
        self._asked_s = now_s

    def give_back(self, item: Samples | Mark | Targets) -> None:
        """The worker had no room for what `take` gave."""
        self._items.appendleft(item)
        if isinstance(item, np.ndarray):
            self._num_waiting += len(item)
            self._allowance += len(item)

    def _hear(self, samples: Samples) -> None:
        self._add(samples if self._guard is None else self._guard.push(samples))

    def _settle(self) -> None:
        """Nothing waits behind: what resampler and guard hold comes now."""
        self._hear(self._resampler.flush())
        if self._guard is not None:
            self._add(self._guard.flush())

    def _add(self, samples: Samples) -> None:
        """Small pieces are joined, so that the worker's inbox holds seconds and not crumbs."""
        if not len(samples):
            return
        self._num_waiting += len(samples)
        last = self._items[-1] if self._items else None
        if isinstance(last, np.ndarray) and len(last) < SAMPLE_RATE // 5:
            self._items[-1] = np.concatenate([last, samples])
        else:
            self._items.append(samples)
