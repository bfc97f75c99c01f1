"""Audio files: any recording to 16 kHz mono chunks with flat memory, and samples to 16-bit WAV.

Knows what can be wrong with a file and says it in one sentence: AudioError where nothing can be heard, a
warning where something can. Which library decodes is `decoders.py`.
"""

import struct
from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from seamless_stream.audio.decoders import Decoder, open_decoder
from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.pcm import (
    Samples,
    check_samples,
    count_clipped,
    mix_down,
    silence_broken,
    to_bytes,
)
from seamless_stream.audio.resample import MAX_RATE, MIN_RATE, Resampler
from seamless_stream.errors import AudioError, writing

_CLIPPED_FRACTION: Final = (
    0.01  # a good recording touches full scale now and then, a clipped one all the time
)
_READ_CHUNK_SAMPLES: Final = SAMPLE_RATE
_UNKNOWN_BYTES: Final = 2**32 - 1  # of a WAV: what a pipe says, and who has no room for a length


class AudioFile:
    """One recording, read once from front to back.

    `rate` and `channels` are the file's own; `duration_s` is what its header says, if it does.
    `warnings` and `truncated` are final when the last chunk has been read. Both steps may raise AudioError.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _check_is_file(self.path)
        self.warnings: list[str] = []
        self.truncated = False
        self._decoder: Decoder = open_decoder(self.path)
        self.rate = self._decoder.rate
        self.channels = self._decoder.channels
        num_frames = self._decoder.num_frames
        try:
            if not MIN_RATE <= self.rate <= MAX_RATE:
                limits = f"{MIN_RATE} to {MAX_RATE} Hz"
                raise AudioError(f"The rate of `{self.path}` must be {limits}, but is {self.rate}.")
            if num_frames == 0:
                raise AudioError(f"`{self.path}` holds no sound: it has a header, but no samples.")
        except AudioError:
            self.close()
            raise
        self.duration_s = None if num_frames is None else num_frames / self.rate

    def chunks(self, chunk_samples: int) -> Iterator[Samples]:
        """Mono float32 at 16 kHz, `chunk_samples` at a time (the last one may be shorter)."""
        if chunk_samples < 1:
            raise AudioError(f"`chunk_samples` must be at least 1, but is {chunk_samples}.")
        held = np.zeros(0, dtype=np.float32)
        is_silent_file = True
        for block in self._resampled():
            is_silent_file = is_silent_file and not len(block)
            held = np.concatenate((held, block))
            num_whole = len(held) // chunk_samples * chunk_samples
            for start in range(0, num_whole, chunk_samples):
                yield held[start : start + chunk_samples]
            held = held[num_whole:]
        if is_silent_file:
            raise AudioError(f"`{self.path}` holds no sound that can be decoded.")
        if len(held):
            yield held

    def _resampled(self) -> Iterator[Samples]:
        resampler = Resampler(self.rate)
        num_values = num_clipped = num_broken = 0
        with self:
            for block in self._decoder.blocks():
                block, broken = silence_broken(block)
                num_broken += broken
                num_values += block.size
                num_clipped += count_clipped(block)
                yield resampler.push(mix_down(block))
            yield resampler.flush()
        self.truncated = self._decoder.is_cut
        if self.truncated:
            self.warnings.append(f"`{self.path}` is truncated: what there is was used.")
        if num_clipped > _CLIPPED_FRACTION * num_values:
            percent = 100 * num_clipped / num_values
            self.warnings.append(
                f"`{self.path}` is clipped: {percent:.1f} % of its values are at full scale."
            )
        if num_broken:
            self.warnings.append(
                f"`{self.path}` has {num_broken} values that are no numbers, taken as silence."
            )

    def close(self) -> None:
        """Gives the file back; reading to the end does it too."""
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: str | Path) -> Samples:
    """A whole recording [N] as mono float32 at 16 kHz. Raises AudioError."""
    return np.concatenate(list(AudioFile(path).chunks(_READ_CHUNK_SAMPLES)))


def _check_is_file(path: Path) -> None:
    try:
        if not path.exists():
            raise AudioError(f"`{path}` does not exist.")
        if not path.is_file():
            raise AudioError(
                f"`{path}` must be a file, but is a {'folder' if path.is_dir() else 'device or pipe'}."
            )
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise AudioError(f"`{path}` cannot be read: {error.strerror}.") from error
    if is_empty:
        raise AudioError(f"`{path}` is empty (0 bytes).")


class WavWriter:
    """16-bit mono WAV, a piece at a time; the file on disk is complete and playable after every write.

    Beyond 4 GiB, 37 hours at 16 kHz, the header says that the length is unknown, as that of a pipe does: FFmpeg reads
    such a file to its end, libsndfile no more than 4 GiB of it.
    """

    def __init__(self, path: str | Path, rate: int) -> None:
        """Raises AudioError where the file cannot be written, as all the methods do."""
        self.path = Path(path)
        self.rate = rate
        self.num_samples = 0
        with writing(self.path, AudioError):
            self._file = self.path.open("wb")
        with writing(self.path, AudioError, self._file):
            self._file.write(_wav_header(rate, 0))
            self._file.flush()

    def write(self, samples: Samples) -> None:
        """Appends float32 samples [n]; beyond full scale they are clipped."""
        check_samples(samples)
        with writing(self.path, AudioError, self._file):
            self._file.write(to_bytes(samples))
            self._file.seek(0)
            self._file.write(_wav_header(self.rate, self.num_samples + len(samples)))
            self._file.seek(0, SEEK_END)  # which also flushes
        self.num_samples += len(samples)

    def close(self) -> None:
        """Ends the file; a second call does nothing."""
        with writing(self.path, AudioError, self._file):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _wav_header(rate: int, num_samples: int) -> bytes:
    """The 44 bytes before the samples."""
    num_bytes = 2 * num_samples
    riff_bytes = num_bytes + 36
    if riff_bytes > _UNKNOWN_BYTES:
        riff_bytes = num_bytes = _UNKNOWN_BYTES
    fields = (b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", num_bytes)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *fields)


def write_wav(path: str | Path, samples: Samples, rate: int = SAMPLE_RATE) -> None:
    """Samples [N] to a 16-bit mono WAV file."""
    with WavWriter(path, rate) as writer:
        writer.write(samples)
