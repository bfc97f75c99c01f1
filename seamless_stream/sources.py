"""Where live audio comes from: a file or the standard input, as iterators of 16 kHz mono chunks.

Knows how to read and how to pace; knows no session, no model and no event.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import AudioFile
from seamless_stream.audio.pcm import mix_down, to_float32
from seamless_stream.audio.resample import Resampler
from seamless_stream.errors import AudioError

CHUNK_SAMPLES = 1_600  # 100 ms
READ_BYTES = 3_200
WAV_TYPES = {(1, 8): "u1", (1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}
WAV_EXTENSIBLE = 0xFFFE


class Source(Protocol):
    """What `live` reads."""

    @property
    def is_paced(self) -> bool:
        """It speaks at its own pace and must not be slowed down."""

    @property
    def warnings(self) -> list[str]:
        """Complete when the last chunk has been read."""

    def chunks(self) -> Iterator[np.ndarray]:
        """Samples [n] float32 mono at 16 kHz until the end; raises AudioError."""


class FileSource:
    """A recording that plays as if somebody spoke."""

    is_paced = False

    def __init__(self, path: str | Path) -> None:
        self._file = AudioFile(path)

    @property
    def warnings(self) -> list[str]:
        """What the file's reader noticed."""
        return self._file.warnings

    def chunks(self) -> Iterator[np.ndarray]:
        """100 ms each."""
        return self._file.chunks(CHUNK_SAMPLES)


class StdinSource:
    """Raw s16le at 16 kHz mono, or a WAV stream of any rate, told apart by its first four bytes."""

    is_paced = True

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

    def _wav(self) -> Iterator[np.ndarray]:
        """The chunks of a RIFF file, in order: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html"""
        self._stream.read(8)  # length, which a pipe does not know, and "WAVE"
        dtype, channels, rate = None, 0, 0
        while len(header := self._stream.read(8)) == 8:
            length = int.from_bytes(header[4:], "little")
            if header[:4] == b"data" and dtype is not None:
                yield from self._frames(b"", dtype, channels, rate)
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

    def _frames(self, start: bytes, dtype: np.dtype[Any], channels: int, rate: int) -> Iterator[np.ndarray]:
        resampler = Resampler(rate)
        size = dtype.itemsize * channels
        held = start
        while data := self._read():
            held += data
            num_whole = len(held) // size * size
            pcm = np.frombuffer(held[:num_whole], dtype).astype(dtype.newbyteorder("="))
            held = held[num_whole:]
            samples = resampler.push(mix_down(to_float32(pcm.reshape(-1, channels))))
            if len(samples):
                yield samples
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


def open_source(name: str) -> Source:
    """`-` is the standard input, anything else a file; raises AudioError."""
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
