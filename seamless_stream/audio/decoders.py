"""The two libraries that decode files: libsndfile (wav, flac, ogg, opus, mp3) and FFmpeg by PyAV (the rest).

Knows blocks of float32 [n, C] at the file's own rate, and whether the file ended before it should have.
Knows nothing of mono, of 16 kHz or of warnings: that is `files.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import soundfile

from seamless_stream.audio.pcm import Samples
from seamless_stream.errors import AudioError

STREAMED_BYTES: Final = 2**31 - 2**16  # a WAV that says it is this long was written to a pipe: it never knew
_BLOCK_FRAMES: Final = 8_192  # a damaged FLAC loses the block in which the damage is
_SLACK_S: Final = 0.1  # encoders round the length that they announce, and count their padding
_UNKNOWN_FRAMES: Final = 2**62  # libsndfile says about 2^63 where it does not know
_OGG_TAIL_BYTES: Final = 2**17  # an Ogg page has at most 65,307 bytes


class Decoder(Protocol):
    """One opened file."""

    rate: int
    channels: int
    num_frames: int | None  # as announced; None when unknown
    is_cut: bool  # the end is missing; final after the last block

    def blocks(self) -> Iterator[Samples]:
        """The sound as float32 [n, C]."""
        ...

    def close(self) -> None:
        """Gives the file back."""
        ...


def _is_short(num_read: int, decoder: Decoder) -> bool:
    return decoder.num_frames is not None and num_read < decoder.num_frames - _SLACK_S * decoder.rate


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that never seeks: the original seeks after every read, which tears gaps into MP3."""

    def seekable(self) -> bool:
        return False


class SoundfileDecoder:
    """libsndfile; raises soundfile.LibsndfileError (or TypeError for headerless .raw) when it cannot open."""

    def __init__(self, path: Path) -> None:
        self._file = _Forward(str(path))
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.num_frames: int | None = self._file.frames if self._file.frames < _UNKNOWN_FRAMES else None
        # libsndfile silently takes the real size of these two for the announced one.
        self.is_cut = _is_cut_wav(path) or _is_cut_ogg(path)

    def blocks(self) -> Iterator[Samples]:
        num_read = 0
        while True:
            try:
                block: Samples = self._file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                self.is_cut = True
                return
            if not len(block):
                break
            num_read += len(block)
            yield block
        self.is_cut = self.is_cut or _is_short(num_read, self)

    def close(self) -> None:
        self._file.close()


class AvDecoder:
    """FFmpeg; raises av.FFmpegError when it cannot open, AudioError when there is no audio stream."""

    def __init__(self, path: Path) -> None:
        import av

        self._container = av.open(str(path))
        if not self._container.streams.audio:
            self._container.close()
            raise AudioError(f"`{path}` holds no audio stream.")
        self._stream = self._container.streams.audio[0]
        self.rate: int = self._stream.rate or 0
        self.channels: int = self._stream.channels or 0
        self._started_s = (self._container.start_time or 0) / av.time_base
        self._heard_s = self._announced_s()
        whole_s = None if self._container.duration is None else self._container.duration / av.time_base
        duration_s = whole_s if self._heard_s is None else self._heard_s
        self.num_frames: int | None = None if duration_s is None else int(duration_s * self.rate)
        self.is_cut = False

    def blocks(self) -> Iterator[Samples]:
        num_read = 0
        for block in self._sound():
            num_read += len(block)
            yield block
        self.is_cut = self._heard_s is not None and _is_short(num_read, self)

    def _announced_s(self) -> float | None:
        """Seconds of sound that should be there, if the file says it: a container counts its picture, too."""
        import av

        if self._container.format.name == "aac":
            return None  # no container: FFmpeg guesses by the first frames
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - self._started_s
        if self._container.duration is not None and len(self._container.streams) == 1:
            return float(self._container.duration / av.time_base)
        return None

    def _sound(self) -> Iterator[Samples]:
        """As much silence as the sound begins after the picture, then the sound, at one rate all along."""
        import av

        to_float, form = None, None
        for frame in self._frames():
            new_form = frame and (frame.format.name, frame.layout.name, frame.sample_rate)
            if to_float is None and frame is not None and frame.time is not None:
                yield from _silence(round((frame.time - self._started_s) * self.rate), self.channels)
            if new_form != form:  # a converter passes frames of another rate through as they are
                yield from _converted(to_float, None)
                to_float = av.AudioResampler(format="fltp", layout=self._stream.layout, rate=self.rate)
                form = new_form
            yield from _converted(to_float, frame)

    def _frames(self) -> Iterator[Any]:
        """Decoded frames and a last None. Damaged packets are skipped."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                break
            except av.InvalidDataError:
                continue
            except av.FFmpegError:
                break
            yield from frames
        yield None

    def close(self) -> None:
        self._container.close()


def _silence(num_frames: int, channels: int) -> Iterator[Samples]:
    for start in range(0, num_frames, _BLOCK_FRAMES):
        yield np.zeros((min(_BLOCK_FRAMES, num_frames - start), channels), np.float32)


def _converted(to_float: Any, frame: Any) -> Iterator[Samples]:
    """A decoded frame as float32 [n, C]; None empties the converter."""
    for part in to_float.resample(frame) if to_float else ():
        block: Samples = part.to_ndarray().T.astype(np.float32, copy=False)  # [C, n] -> [n, C]
        yield block


def open_decoder(path: Path) -> Decoder:
    """libsndfile first, then FFmpeg where PyAV is installed; AudioError when neither can read it."""
    try:
        return SoundfileDecoder(path)
    except (soundfile.LibsndfileError, TypeError):
        pass
    try:
        import av
    except ImportError:
        raise AudioError(
            f"`{path}` must be wav, flac, ogg, opus or mp3, but is another format; "
            "m4a, mp4 and webm need: pip install 'seamless-stream[media]'."
        ) from None
    try:
        return AvDecoder(path)
    except av.FFmpegError as error:
        raise AudioError(f"`{path}` must be an audio file, but is not, or its header is damaged.") from error


def _is_cut_wav(path: Path) -> bool:
    """True when the `data` chunk of a RIFF file announces more bytes than there are."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return False
        file.seek(12)
        while len(header := file.read(8)) == 8:
            length = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                return length < STREAMED_BYTES and file.tell() + length > size
            file.seek(length + length % 2, 1)
    return False


def _is_cut_ogg(path: Path) -> bool:
    """True when the last page of an Ogg file is incomplete or has no end-of-stream flag (RFC 3533, 6)."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(max(0, path.stat().st_size - _OGG_TAIL_BYTES))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:
        return True
    num_segments = page[26]
    lengths = page[27 : 27 + num_segments]
    return len(lengths) < num_segments or len(page) < 27 + num_segments + sum(lengths)
