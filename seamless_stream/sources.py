"""Where live audio comes from: microphone, loopback, file or standard input, as iterators of 16 kHz mono chunks.

Knows how to read and how to pace; knows no session, no model and no event. Which devices there are is `devices.py`.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from seamless_stream.audio.decoders import STREAMED_BYTES
from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import AudioFile
from seamless_stream.audio.pcm import mix_down, silence_broken, to_float32
from seamless_stream.audio.resample import Resampler
from seamless_stream.audio.ring import Ring
from seamless_stream.devices import WORDS, Device, DeviceStream, choose, list_devices
from seamless_stream.errors import AudioError

CHUNK_SAMPLES = 1_600  # 100 ms
READ_BYTES = 3_200
WAV_TYPES = {(1, 8): "u1", (1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}
WAV_EXTENSIBLE = 0xFFFE
RING_S = 10  # of a device's sound may wait for the program
POLL_S = 0.03
WARN_EVERY_S = 5.0
SILENCE_S = 5.0  # without a sound at the start: the wrong microphone, or a muted one
SILENCE = 1e-4  # below the noise of any open microphone


class Source(Protocol):
    """What `live` reads."""

    @property
    def is_paced(self) -> bool:
        """It speaks at its own pace and must not be slowed down."""

    @property
    def is_endless(self) -> bool:
        """Only the user ends it."""

    @property
    def warnings(self) -> list[str]:
        """Grows while it is read; complete when the last chunk has been read."""

    def chunks(self) -> Iterator[np.ndarray]:
        """Samples [n] float32 mono at 16 kHz until the end; raises AudioError."""

    def close(self) -> None:
        """Stop reading before the end."""


class FileSource:
    """A recording that plays as if somebody spoke."""

    is_paced = False
    is_endless = False

    def __init__(self, path: str | Path) -> None:
        self._file = AudioFile(path)

    @property
    def warnings(self) -> list[str]:
        """What the file's reader noticed."""
        return self._file.warnings

    def chunks(self) -> Iterator[np.ndarray]:
        """100 ms each."""
        return self._file.chunks(CHUNK_SAMPLES)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class StdinSource:
    """Raw s16le at 16 kHz mono, or a WAV stream of any rate, told apart by its first four bytes."""

    is_paced = True
    is_endless = False

    def __init__(self, stream: BinaryIO | None = None) -> None:
        if stream is None and sys.stdin.isatty():
            raise AudioError("The standard input must be audio from a pipe or file, but is a terminal.")
        self._stream = stream or sys.stdin.buffer
        self.warnings: list[str] = []

    def chunks(self) -> Iterator[np.ndarray]:
        """What the pipe gives, as it comes."""
        start = self._stream.read(4)
        if not start:
            raise AudioError("The standard input is empty (0 bytes).")
        if start == b"RIFF":
            yield from self._wav()
        else:
            yield from self._frames(start, np.dtype("<i2"), 1, SAMPLE_RATE)

    def close(self) -> None:
        """The pipe is not ours to close."""

    def _wav(self) -> Iterator[np.ndarray]:
        """The chunks of a RIFF file, in order: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html"""
        self._stream.read(8)  # length, which a pipe does not know, and "WAVE"
        dtype, channels, rate = None, 0, 0
        while len(header := self._stream.read(8)) == 8:
            length = int.from_bytes(header[4:], "little")
            if header[:4] == b"data" and dtype is not None:
                is_whole = 0 < length < STREAMED_BYTES
                yield from self._frames(b"", dtype, channels, rate, length if is_whole else None)
                return
            body = self._stream.read(length + length % 2)
            if header[:4] == b"fmt " and len(body) >= 16:
                code, channels = int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little")
                rate, bits = int.from_bytes(body[4:8], "little"), int.from_bytes(body[14:16], "little")
                code = int.from_bytes(body[24:26], "little") if code == WAV_EXTENSIBLE else code
                name = WAV_TYPES.get((code, bits))
                if name is None or channels < 1:
                    raise AudioError(
                        "WAV on the standard input must be PCM of 8, 16 or 32 bits or float,"
                        f" but has format {code} with {bits} bits."
                    )
                dtype = np.dtype(name)
        raise AudioError("The standard input begins as WAV, but holds no sound.")

    def _frames(
        self, start: bytes, dtype: np.dtype[Any], channels: int, rate: int, num_bytes: int | None = None
    ) -> Iterator[np.ndarray]:
        """What comes until the end, or `num_bytes` of it: behind them stand titles and pictures."""
        resampler = Resampler(rate)
        size = dtype.itemsize * channels
        held, num_broken = start, 0
        while (num_bytes is None or num_bytes > 0) and (data := self._read()):
            if num_bytes is not None:
                data = data[:num_bytes]
                num_bytes -= len(data)
            held += data
            num_whole = len(held) // size * size
            pcm = np.frombuffer(held[:num_whole], dtype).astype(dtype.newbyteorder("="))
            held = held[num_whole:]
            values, broken = silence_broken(to_float32(pcm.reshape(-1, channels)))
            num_broken += broken
            samples = resampler.push(mix_down(values))
            if len(samples):
                yield samples
        if num_bytes:
            self.warnings.append("The standard input is truncated: what there is was used.")
        if num_broken:
            self.warnings.append(
                f"The standard input has {num_broken} values that are no numbers, taken as silence."
            )
        if held:
            self.warnings.append(f"The standard input ends inside a sample ({len(held)} bytes too many).")
        rest = resampler.flush()
        if len(rest):
            yield rest

    def _read(self) -> bytes:
        read = getattr(
            self._stream, "read1", self._stream.read
        )  # read1: what is there, without waiting for more
        data: bytes = read(READ_BYTES)
        return data


class DeviceSource:
    """A microphone, or what a loudspeaker plays (loopback), at the device's own rate.

    Sound that was lost because nobody read the ring in time comes as silence, so that source times stay true.
    """

    is_paced = True
    is_endless = True

    def __init__(self, device: Device) -> None:
        self.device = device
        self.warnings: list[str] = []
        self.num_heard = 0  # frames
        self.num_overflows = 0  # times that sound was lost, here or on the way to PortAudio
        self._ring = Ring(device.rate * RING_S, device.channels)
        self._stream: DeviceStream | None = None
        self._num_lost = 0  # frames, as far as they have been replaced and counted
        self._unreported = 0  # frames
        self._warned_at = -WARN_EVERY_S
        self._is_silent = device.kind == "input"

    @property
    def lost_s(self) -> float:
        """Sound that found no room in the ring."""
        return self._num_lost / self.device.rate

    @property
    def report(self) -> str:
        """One line about the whole run."""
        dropouts = 0 if self._stream is None else self._stream.num_dropouts
        heard = f"{self.num_heard / self.device.rate:.1f} s heard"
        losses = f"{self.num_overflows + dropouts} overflows, {self.lost_s:.1f} s lost"
        return f"{WORDS[self.device.kind]} {self.device.name}: {heard}, {losses}"

    def chunks(self) -> Iterator[np.ndarray]:
        """What was heard since the last one; ends by AudioError when the device goes."""
        resampler = Resampler(self.device.rate)
        self._stream = DeviceStream(self.device, self._ring.write)
        try:
            while True:
                frames = self._ring.read(self._ring.capacity)
                if len(frames):
                    self.num_heard += len(frames)
                    yield resampler.push(mix_down(frames))
                else:
                    self._stream.check()
                    time.sleep(POLL_S)
                # Frames are lost when the ring is full: all that has just been read came before them.
                yield from self._missing(resampler)
                self._notice(frames)
        finally:
            self.close()

    def close(self) -> None:
        """Give the device back."""
        if self._stream is not None:
            self._stream.close()

    def _missing(self, resampler: Resampler) -> Iterator[np.ndarray]:
        num_new = self._ring.lost - self._num_lost
        self._num_lost += num_new
        self._unreported += num_new
        self.num_overflows += num_new > 0
        while num_new > 0:
            block = min(num_new, self.device.rate)
            num_new -= block
            yield resampler.push(np.zeros(block, np.float32))

    def _notice(self, frames: np.ndarray) -> None:
        """Warnings: losses at most every few seconds, silence once."""
        now = time.monotonic()
        name = f"The {WORDS[self.device.kind]} `{self.device.name}`"
        if self._unreported and now - self._warned_at > WARN_EVERY_S:
            lost_s = self._unreported / self.device.rate
            self._unreported, self._warned_at = 0, now
            self.warnings.append(f"{name} lost {lost_s:.1f} s of sound: this machine does not keep up.")
        if self._is_silent and len(frames) and np.abs(frames).max() > SILENCE:
            self._is_silent = False
        if self._is_silent and self.num_heard > SILENCE_S * self.device.rate:
            self._is_silent = False
            self.warnings.append(
                f"{name} gives nothing but silence: is it muted, or another one meant?"
                " `seamless-stream devices` shows them."
            )


def open_source(name: str) -> Source:
    """`mic`, `mic:NAME`, `mic:NUMBER`, `loopback`, `-` (standard input), or else a file; raises AudioError."""
    word, _, wanted = name.partition(":")
    if word == "mic":
        return DeviceSource(choose(list_devices(), "input", wanted or None))
    if word == "loopback":
        return DeviceSource(choose(list_devices(), "loopback", wanted or None))
    return StdinSource() if name == "-" else FileSource(name)


def paced(
    chunks: Iterable[np.ndarray],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[np.ndarray]:
    """Each chunk when its last sample has been spoken, on one clock since the first: waits do not add up."""
    started = clock()
    num_samples = 0
    for chunk in chunks:
        num_samples += len(chunk)
        wait_s = started + num_samples / SAMPLE_RATE - clock()
        if wait_s > 0:
            sleep(wait_s)
        yield chunk
