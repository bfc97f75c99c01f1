"""Lists of recordings with references: short ones with one each, or long ones with a list of segments.

    talks.tsv     audio<TAB>reference, header line; optional offset and duration in seconds
    talks.jsonl   one object a line with the same keys
    talks.yaml    [{wav: talk.wav, offset: 1.2, duration: 3.4, reference: "..."}], as in MuST-C; the references may
                  also be lines of a second file

Paths are relative to the list. Consecutive rows of the same audio are the segments of one long recording.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from seamless_stream.errors import SettingsError

AUDIO_KEYS = ("audio", "wav", "path", "file")
REFERENCE_KEYS = ("reference", "text", "translation", "tgt_text")
SUFFIXES = (".tsv", ".jsonl", ".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Reference:
    """What should come out for one segment; a short recording is one segment of unknown duration."""

    text: str
    offset_s: float = 0.0
    duration_s: float | None = None

    @property
    def end_s(self) -> float:
        """Only of a segment in a long recording."""
        assert self.duration_s is not None
        return self.offset_s + self.duration_s


@dataclass(frozen=True)
class Recording:
    """One file to play, and what should come out, in order."""

    name: str
    path: Path
    references: tuple[Reference, ...]

    @property
    def is_long(self) -> bool:
        """Its references have places in time."""
        return self.references[0].duration_s is not None


def read_corpus(path: str | Path, references: str | Path | None = None) -> list[Recording]:
    """The recordings of a list; `references` has a line for every row that has none.

    Raises SettingsError with all rows that are wrong.
    """
    path = Path(path)
    rows = _rows(path)
    texts = _lines(Path(references)) if references is not None else None
    if texts is not None and len(texts) != len(rows):
        raise SettingsError(
            f"`{references}` must have a line for each of {len(rows)} rows, but has {len(texts)}."
        )
    problems: list[str] = []
    parsed = [
        _row(row, f"{path}, row {i}", path.parent, texts[i - 1] if texts else None, problems)
        for i, row in enumerate(rows, 1)
    ]
    if not rows:
        problems.append(f"`{path}` must list at least one recording, but is empty.")
    if problems:
        raise SettingsError("\n".join(problems))
    found = [item for item in parsed if item is not None]
    recordings = [
        Recording(audio.stem, audio, tuple(reference for _, reference in group))
        for audio, group in groupby(found, key=lambda item: item[0])
    ]
    _check(path, recordings)
    return recordings


def _check(path: Path, recordings: list[Recording]) -> None:
    names = [recording.name for recording in recordings]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise SettingsError(
            f"The files of `{path}` must differ in their names without folder and suffix, but `{double}` comes twice."
        )
    if len({recording.is_long for recording in recordings}) > 1:
        raise SettingsError(f"All rows of `{path}` or none must have offset and duration.")
    for recording in recordings:
        if not recording.is_long and len(recording.references) > 1:
            raise SettingsError(f"`{recording.path}` has several references, which need offset and duration.")


def _row(
    row: Mapping[str, Any], place: str, folder: Path, text: str | None, problems: list[str]
) -> tuple[Path, Reference] | None:
    audio = next((row[key] for key in AUDIO_KEYS if row.get(key)), None)
    text = next((row[key] for key in REFERENCE_KEYS if row.get(key)), "") if text is None else text
    offset, duration = row.get("offset"), row.get("duration")
    if audio is None:
        problems.append(f"{place}: one of {', '.join(AUDIO_KEYS)} must be given.")
    if (offset is None) != (duration is None):
        problems.append(f"{place}: `offset` and `duration` must be given together.")
    file = folder / str(audio)
    if audio is not None and not file.is_file():
        problems.append(f"{place}: `{file}` does not exist.")
    try:
        times = (0.0, None) if offset is None or duration is None else (float(offset), float(duration))
    except (ValueError, TypeError, OverflowError):
        problems.append(f"{place}: `offset` and `duration` must be seconds.")
        return None
    if times[1] is not None and times[1] <= 0:
        problems.append(f"{place}: `duration` must be above 0, but is {times[1]}.")
    return file, Reference(" ".join(str(text).split()), *times)


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix not in SUFFIXES:
        raise SettingsError(f"`--data` must end in one of {', '.join(SUFFIXES)}, but is {path}.")
    if path.suffix == ".tsv":
        lines = _lines(path)
        plain = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [{key: value or None for key, value in row.items() if key} for row in plain]
    try:
        if path.suffix == ".jsonl":
            found: Any = [json.loads(line) for line in _lines(path) if line.strip()]
        else:
            found = yaml.safe_load("\n".join(_lines(path)))
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"`{path}` cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise SettingsError(f"`{path}` must be a list of rows with keys.")
    return found


def _lines(path: Path) -> list[str]:
    """Without their ends. `str.splitlines` would also cut at U+2028 and others, which texts may hold."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return [line.removesuffix("\n") for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"`{path}` cannot be read: {error}.") from error


def write_segments(folder: Path, recordings: Sequence[Recording]) -> None:
    """segments.yaml and references.txt for `omnisteval longform` and simulstream's scorers."""
    rows = [
        {"wav": recording.path.name, "offset": reference.offset_s, "duration": reference.duration_s}
        for recording in recordings
        for reference in recording.references
    ]
    texts = [reference.text for recording in recordings for reference in recording.references]
    (folder / "segments.yaml").write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    (folder / "references.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
