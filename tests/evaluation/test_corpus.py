"""Lists are read in three forms, and everything wrong with one is said at once."""

import json
from pathlib import Path

import pytest
import yaml

from seamless_stream.errors import SettingsError
from seamless_stream.evaluation.corpus import Reference, read_corpus, write_segments


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    return tmp_path


def test_tsv_and_jsonl_of_short_recordings(folder: Path) -> None:
    (folder / "x.tsv").write_text('audio\treference\na.wav\tHola  a "todos\nb.wav\tAdiós\n', encoding="utf-8")
    rows = [{"wav": "a.wav", "text": 'Hola a "todos'}, {"audio": "b.wav", "reference": "Adiós"}]
    (folder / "x.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert read_corpus(folder / "x.tsv") == read_corpus(folder / "x.jsonl")
    first = read_corpus(folder / "x.tsv")[0]
    assert (first.name, first.references, first.is_long) == ("a", (Reference('Hola a "todos'),), False)


def test_yaml_of_long_recordings_with_references_of_their_own(folder: Path) -> None:
    rows = [
        {"wav": wav, "offset": at, "duration": 1.5} for wav, at in (("a.wav", 0), ("a.wav", 2), ("b.wav", 0))
    ]
    (folder / "x.yaml").write_text(yaml.safe_dump(rows))
    (folder / "x.txt").write_text("uno\ndos\ntres\n")
    found = read_corpus(folder / "x.yaml", folder / "x.txt")
    assert [[(r.text, r.end_s) for r in recording.references] for recording in found] == [
        [("uno", 1.5), ("dos", 3.5)],
        [("tres", 1.5)],
    ]
    write_segments(folder, found)
    assert yaml.safe_load((folder / "segments.yaml").read_text()) == rows
    assert (folder / "references.txt").read_text() == "uno\ndos\ntres\n"


def test_all_problems_are_said(folder: Path) -> None:
    (folder / "x.tsv").write_text("audio\treference\toffset\nnone.wav\tx\t\na.wav\ty\t1\n\tz\t\n")
    with pytest.raises(SettingsError) as error:
        read_corpus(folder / "x.tsv")
    assert len(str(error.value).splitlines()) == 3
    assert "row 1" in str(error.value) and "`offset` and `duration`" in str(error.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("audio\treference\na.wav\tx\nb.wav\ty\na.wav\tz\n", "comes twice"),
        ("audio\treference\na.wav\tx\na.wav\ty\n", "several references"),
        ("audio\treference\toffset\tduration\na.wav\tx\t\t\nb.wav\ty\t0\t1\n", "or none"),
        ("audio\treference\n", "is empty"),
    ],
)
def test_impossible_lists(folder: Path, text: str, part: str) -> None:
    (folder / "x.tsv").write_text(text)
    with pytest.raises(SettingsError, match=part):
        read_corpus(folder / "x.tsv")


def test_other_files_are_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="must end in"):
        read_corpus(folder / "a.wav")
    with pytest.raises(SettingsError, match="must have a line for each"):
        (folder / "x.tsv").write_text("audio\na.wav\n")
        (folder / "x.txt").write_text("one\ntwo\n")
        read_corpus(folder / "x.tsv", folder / "x.txt")


def test_only_a_line_feed_ends_a_row(folder: Path) -> None:
    text = "one\u2028two\u0085three\x0cfour"
    (folder / "x.tsv").write_text(f"audio\treference\na.wav\t{text}\nb.wav\ty\n", encoding="utf-8-sig")
    row = json.dumps({"audio": "a.wav", "reference": text}, ensure_ascii=False)
    (folder / "x.jsonl").write_text(row, encoding="utf-8")
    (folder / "bare.tsv").write_text("audio\na.wav\nb.wav\n")
    (folder / "x.txt").write_text(f"{text}\ny\n", encoding="utf-8")
    for found in (
        read_corpus(folder / "x.tsv"),
        read_corpus(folder / "x.jsonl"),
        read_corpus(folder / "bare.tsv", folder / "x.txt"),
    ):
        assert found[0].references[0].text == "one two three four"


def test_an_empty_list_is_called_empty(folder: Path) -> None:
    for name in ("x.tsv", "x.jsonl"):
        (folder / name).touch()
        with pytest.raises(SettingsError, match="is empty"):
            read_corpus(folder / name)


def test_times_that_are_no_numbers_are_named(folder: Path) -> None:
    row = {"audio": "a.wav", "reference": "x", "offset": [1], "duration": 2}
    (folder / "x.jsonl").write_text(json.dumps(row))
    with pytest.raises(SettingsError, match="row 1: `offset` and `duration` must be seconds"):
        read_corpus(folder / "x.jsonl")
