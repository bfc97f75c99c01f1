"""Flat files of clips: the speech sets (int16 samples) and the fbank cache (float16 frames).

A directory holds one flat data file, `index.jsonl` with one row per clip, and `DONE` once nothing more will
be written. This file knows the layout and how to resume after a crash; it does not know voices, phrases or
features.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TextIO

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
NUM_MEL_BINS = 80

INDEX_NAME = "index.jsonl"
DONE_NAME = "DONE"


@dataclass(frozen=True)
class Layout:
    """What one row of the data file is: a sample or a frame of `width` values."""

    file_name: str
    dtype: type[np.generic]
    width: int
    count_field: str

    @property
    def row_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * self.width


SAMPLES = Layout("samples.i16", np.int16, 1, "num_samples")
FRAMES = Layout("frames.f16", np.float16, NUM_MEL_BINS, "num_frames")


@dataclass(frozen=True)
class Clip:
    """One row of the index; `offset` and `length` count samples or frames."""

    key: str
    voice: str
    offset: int
    length: int


def read_index(directory: Path, layout: Layout) -> list[Clip]:
    """Rows of the index, in order; a last line that a crash cut short is left out."""
    path = directory / INDEX_NAME
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    rows = [json.loads(line) for line in lines[:-1]]  # what follows the last newline is empty or torn
    return [Clip(row["key"], row["voice"], row["offset"], row[layout.count_field]) for row in rows]


def layout_of(directory: Path) -> Layout:
    """The layout whose data file lies in `directory`.

    Raises:
        FileNotFoundError: neither `samples.i16` nor `frames.f16` is there.
    """
    for layout in (SAMPLES, FRAMES):
        if (directory / layout.file_name).exists():
            return layout
    raise FileNotFoundError(f"`{directory}` must hold samples.i16 or frames.f16, but holds neither.")


class ClipSet:
    """Read-only view of one directory; the data stay on disk and are mapped, not loaded."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.layout = layout_of(self.directory)
        self.clips = read_index(self.directory, self.layout)
        self.keys = [clip.key for clip in self.clips]
        self.voices = [clip.voice for clip in self.clips]
        self.lengths = np.array([clip.length for clip in self.clips], dtype=np.int64)
        self._data = self._map()

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def is_done(self) -> bool:
        return (self.directory / DONE_NAME).exists()

    def samples(self, index: int) -> npt.NDArray[np.int16]:
        """Samples of one clip at 16 kHz, shape [num_samples]."""
        self._expect(SAMPLES)
        return self._rows(index)

    def frames(self, index: int) -> npt.NDArray[np.float16]:
        """Raw log-mel frames of one clip, shape [num_frames, 80]."""
        self._expect(FRAMES)
        return self._rows(index)

    def indices_by_key(self) -> dict[str, list[int]]:
        """Where each phrase is spoken, possibly by several voices."""
        found: dict[str, list[int]] = {}
        for index, key in enumerate(self.keys):
            found.setdefault(key, []).append(index)
        return found

    def _expect(self, layout: Layout) -> None:
        if self.layout is not layout:
            raise TypeError(
                f"`{self.directory}` must hold {layout.file_name}, but holds {self.layout.file_name}."
            )

    def _map(self) -> npt.NDArray[Any]:
        path = self.directory / self.layout.file_name
        shape = (-1,) if self.layout.width == 1 else (-1, self.layout.width)
        num_rows = path.stat().st_size // self.layout.row_bytes
        if num_rows == 0:  # mmap refuses an empty file
            return np.zeros((0, self.layout.width), self.layout.dtype).reshape(shape)
        flat = np.memmap(path, dtype=self.layout.dtype, mode="r", shape=(num_rows * self.layout.width,))
        return flat.reshape(shape)

    def _rows(self, index: int) -> npt.NDArray[Any]:
        clip = self.clips[index]
        return np.asarray(self._data[clip.offset : clip.offset + clip.length])


class ClipWriter:
    """Appends clips to a directory; opening it again goes on where the last complete clip ended.

    The data are flushed before the row that names them, so that neither a reader nor a crash sees a row
    without data.
    """

    def __init__(self, directory: str | Path, layout: Layout) -> None:
        self.directory = Path(directory)
        self.layout = layout
        self.directory.mkdir(parents=True, exist_ok=True)
        self.clips = read_index(self.directory, layout)
        self.num_rows = self.clips[-1].offset + self.clips[-1].length if self.clips else 0
        self._drop_torn_tail()
        self._data: BinaryIO = open(self.directory / layout.file_name, "ab")
        self._index: TextIO = open(self.directory / INDEX_NAME, "a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def append(self, key: str, voice: str, rows: npt.NDArray[Any]) -> Clip:
        """Write one clip, `rows` of shape [num_samples] or [num_frames, 80] in the dtype of the layout.

        Raises:
            ValueError: wrong dtype or shape, or nothing to write.
        """
        self._check(rows)
        clip = Clip(key, voice, self.num_rows, len(rows))
        self._data.write(np.ascontiguousarray(rows).tobytes())
        self._data.flush()
        row = {"key": key, "voice": voice, "offset": clip.offset, self.layout.count_field: clip.length}
        self._index.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._index.flush()
        self.clips.append(clip)
        self.num_rows += clip.length
        return clip

    def finish(self) -> None:
        """Say that the set is complete."""
        (self.directory / DONE_NAME).touch()

    def close(self) -> None:
        self._data.close()
        self._index.close()

    def _check(self, rows: npt.NDArray[Any]) -> None:
        tail = () if self.layout.width == 1 else (self.layout.width,)
        if rows.dtype != self.layout.dtype or rows.shape[1:] != tail or len(rows) == 0:
            wanted = f"{np.dtype(self.layout.dtype).name} of shape [n, {self.layout.width}], n > 0"
            raise ValueError(
                f"`rows` must be {wanted}, but is {rows.dtype.name} of shape {list(rows.shape)}."
            )

    def _drop_torn_tail(self) -> None:
        index_path, data_path = self.directory / INDEX_NAME, self.directory / self.layout.file_name
        if index_path.exists():
            whole = index_path.read_bytes().rfind(b"\n") + 1
            os.truncate(index_path, whole)
        data_path.touch()
        num_bytes = self.num_rows * self.layout.row_bytes
        if data_path.stat().st_size < num_bytes:
            raise ValueError(
                f"`{data_path}` must hold {num_bytes} bytes, but holds {data_path.stat().st_size}."
            )
        os.truncate(data_path, num_bytes)
