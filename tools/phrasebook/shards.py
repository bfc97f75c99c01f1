"""Flat files of clips, the speech sets: samples as int16 at 16 kHz.

A directory holds `samples.i16` and `index.jsonl` with one row per clip. This file knows the layout and how to resume
after a crash; it does not know voices, phrases or features.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TextIO

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
SAMPLE_BYTES = 2

SAMPLES_NAME = "samples.i16"
INDEX_NAME = "index.jsonl"

Samples = npt.NDArray[np.int16]


def text_hash(text: str) -> str:
    """Of what is said in a clip: a key may come to mean another text."""
    return hashlib.sha1(text.encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Clip:
    """One row of the index; `offset` and `length` count samples."""

    key: str
    voice: str
    offset: int
    length: int
    text_hash: str = ""  # of what is said; empty in rows from before it was kept, which are taken to be right

    def says(self, text: str | None) -> bool:
        """Whether this is what it says, as far as is known; None is nothing."""
        return text is not None and self.text_hash in ("", text_hash(text))


def read_index(directory: Path) -> list[Clip]:
    """Rows of the index, in order; a last line that a crash cut short is left out."""
    path = directory / INDEX_NAME
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    rows = [json.loads(line) for line in lines[:-1]]  # what follows the last newline is empty or torn
    return [
        Clip(row["key"], row["voice"], row["offset"], row["num_samples"], row.get("text", "")) for row in rows
    ]


class ClipSet:
    """Read-only view of one directory; the samples stay on disk and are mapped, not loaded.

    Raises:
        FileNotFoundError: `samples.i16` is not there.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._data = self._map()
        self.clips = read_index(self.directory)
        self.keys = [clip.key for clip in self.clips]
        self.voices = [clip.voice for clip in self.clips]

    def __len__(self) -> int:
        return len(self.clips)

    def saying(self, texts: Mapping[str, str]) -> list[int]:
        """The clips that say what their keys stand for in `texts`, in order."""
        return [index for index, clip in enumerate(self.clips) if clip.says(texts.get(clip.key))]

    def samples(self, index: int) -> Samples:
        """Samples of one clip at 16 kHz, shape [num_samples]."""
        clip = self.clips[index]
        return np.asarray(self._data[clip.offset : clip.offset + clip.length])

    def _map(self) -> Samples:
        path = self.directory / SAMPLES_NAME
        if not path.exists():
            raise FileNotFoundError(f"`{self.directory}` must hold {SAMPLES_NAME}, but does not.")
        num_samples = path.stat().st_size // SAMPLE_BYTES
        if num_samples == 0:  # mmap refuses an empty file
            return np.zeros(0, np.int16)
        return np.memmap(path, dtype=np.int16, mode="r", shape=(num_samples,))


class ClipWriter:
    """Appends clips to a directory; opening it again goes on where the last complete clip ended.

    The data are flushed before the row that names them, so that no reader sees a row without data.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.clips = read_index(self.directory)
        self.num_samples = 0
        self._drop_torn_tail()
        self._data: BinaryIO = open(self.directory / SAMPLES_NAME, "ab")
        self._index: TextIO = open(self.directory / INDEX_NAME, "a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def append(self, key: str, voice: str, samples: Samples, text: str) -> Clip:
        """Write one clip of shape [num_samples] that says `text`.

        Raises:
            ValueError: wrong dtype or shape, or nothing to write.
        """
        if samples.dtype != np.int16 or samples.ndim != 1 or len(samples) == 0:
            found = f"{samples.dtype.name} of shape {list(samples.shape)}"
            raise ValueError(f"`samples` must be int16 of shape [n], n > 0, but is {found}.")
        clip = Clip(key, voice, self.num_samples, len(samples), text_hash(text))
        self._data.write(np.ascontiguousarray(samples).tobytes())
        self._data.flush()
        row: dict[str, Any] = {"key": key, "voice": voice, "offset": clip.offset, "num_samples": clip.length}
        row["text"] = clip.text_hash
        self._index.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._index.flush()
        self.clips.append(clip)
        self.num_samples += clip.length
        return clip

    def close(self) -> None:
        self._data.close()
        self._index.close()

    def _drop_torn_tail(self) -> None:
        """What a crash left: a row cut short, rows whose data were lost with the power, data without a row."""
        index_path, data_path = self.directory / INDEX_NAME, self.directory / SAMPLES_NAME
        data_path.touch()
        num_held = data_path.stat().st_size // SAMPLE_BYTES
        num_whole = next(
            (i for i, clip in enumerate(self.clips) if clip.offset + clip.length > num_held), len(self.clips)
        )
        del self.clips[num_whole:]
        if index_path.exists():
            rows = index_path.read_bytes().splitlines(keepends=True)[:num_whole]
            os.truncate(index_path, sum(map(len, rows)))
        self.num_samples = self.clips[-1].offset + self.clips[-1].length if self.clips else 0
        os.truncate(data_path, self.num_samples * SAMPLE_BYTES)
