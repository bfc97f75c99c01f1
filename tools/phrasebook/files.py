"""Files of the work folder that are replaced in one move, so that a crash leaves the old one or the new one.

Knows how they are written and what tells their contents apart; nothing of what is in them.
"""

import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


def fingerprint(path: Path) -> str:
    """12 hexadecimal digits of the contents."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write; at the end of the block that becomes `path`."""
    temporary = path.with_name(f"{path.name}.tmp")
    yield temporary
    temporary.replace(path)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside it that becomes `folder` at the end of the block, instead of what an earlier call left
    there; removed where the block fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name) / folder.name
        made.mkdir()
        yield made
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """The whole file."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """The whole file."""
    write_bytes(path, text.encode())


def save_arrays(path: Path, **arrays: Any) -> None:
    """As `np.savez`; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes(path, content.getvalue())


def cut_log(path: Path, last_step: int) -> None:
    """Takes the rows behind the step that was saved out of a CSV: a run that goes on from there writes them again."""
    if not path.exists():
        return
    header, *rows = path.read_bytes().splitlines(keepends=True)
    at = header.strip().split(b",").index(b"step")
    kept = [row for row in rows if row.endswith(b"\n") and float(row.split(b",")[at]) <= last_step]
    if len(kept) < len(rows):
        write_bytes(path, b"".join([header, *kept]))
