"""The flat files of the phrasebook: what is written comes back, even after a crash inside a clip."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tools.phrasebook.shards import ClipSet, ClipWriter, text_hash

Samples = np.ndarray[tuple[int], np.dtype[np.int16]]


def speech(length: int, seed: int) -> Samples:
    return np.random.default_rng(seed).integers(-32768, 32768, length).astype(np.int16)


def test_samples_come_back(tmp_path: Path) -> None:
    clips = [speech(length, seed) for seed, length in enumerate((1, 480, 16_001))]
    with ClipWriter(tmp_path) as writer:
        for number, clip in enumerate(clips):
            writer.append(f"k{number}", "pico", clip, "Hello.")
    read = ClipSet(tmp_path)
    assert len(read) == 3
    assert read.keys == ["k0", "k1", "k2"]
    assert read.voices == ["pico"] * 3
    assert [clip.length for clip in read.clips] == [1, 480, 16_001]
    for index, clip in enumerate(clips):
        np.testing.assert_array_equal(read.samples(index), clip)


def test_index_has_the_agreed_fields(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "speech") as writer:
        writer.append("a", "v", speech(10, 0), "A.")
        writer.append("ñ", "v", speech(5, 1), "Año.")
    rows = [json.loads(line) for line in (tmp_path / "speech/index.jsonl").read_text("utf-8").splitlines()]
    assert rows[1] == {"key": "ñ", "voice": "v", "offset": 10, "num_samples": 5, "text": text_hash("Año.")}
    assert (tmp_path / "speech/samples.i16").stat().st_size == 30


def test_a_new_writer_goes_on_after_a_crash(tmp_path: Path) -> None:
    first, second = speech(100, 0), speech(50, 1)
    with ClipWriter(tmp_path) as writer:
        writer.append("a", "v", first, "A.")
    with open(tmp_path / "samples.i16", "ab") as data:  # data without a row, half a sample at the end
        data.write(b"\x01" * 33)
    with open(tmp_path / "index.jsonl", "a") as index:  # a row cut in the middle
        index.write('{"key": "b", "voi')
    assert ClipSet(tmp_path).keys == ["a"]
    with ClipWriter(tmp_path) as writer:
        assert [clip.key for clip in writer] == ["a"]
        writer.append("b", "v", second, "B.")
    read = ClipSet(tmp_path)
    assert read.keys == ["a", "b"]
    np.testing.assert_array_equal(read.samples(0), first)
    np.testing.assert_array_equal(read.samples(1), second)


def test_rows_whose_data_are_lost_go_and_are_made_again(tmp_path: Path) -> None:
    clips = {key: speech(100, seed) for seed, key in enumerate("abc")}
    with ClipWriter(tmp_path) as writer:
        for key, samples in clips.items():
            writer.append(key, "v", samples, key)
    os.truncate(tmp_path / "samples.i16", 390)  # a power loss: the index was on the disk first
    with ClipWriter(tmp_path) as writer:
        assert [clip.key for clip in writer] == ["a"]
        for key in "bc":
            writer.append(key, "v", clips[key], key)
    read = ClipSet(tmp_path)
    assert read.keys == ["a", "b", "c"]
    for index, samples in enumerate(clips.values()):
        np.testing.assert_array_equal(read.samples(index), samples)


@pytest.mark.parametrize(
    "rows",
    [np.zeros(0, np.int16), np.zeros(5, np.float32), np.zeros((5, 2), np.int16)],
    ids=["empty", "dtype", "shape"],
)
def test_bad_rows_are_refused(tmp_path: Path, rows: np.ndarray) -> None:
    with ClipWriter(tmp_path) as writer, pytest.raises(ValueError, match="`samples` must be int16"):
        writer.append("a", "v", rows, "A.")
    assert len(ClipSet(tmp_path)) == 0


def test_a_folder_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="must hold samples.i16"):
        ClipSet(tmp_path)


def test_a_clip_is_left_out_when_its_key_means_another_text(tmp_path: Path) -> None:
    with ClipWriter(tmp_path) as writer:
        writer.append("a", "v", speech(10, 0), "Un café.")
        writer.append("b", "v", speech(10, 1), "Un té.")
        writer.append("a", "v", speech(10, 2), "Un café, por favor.")
    assert ClipSet(tmp_path).saying({"a": "Un café, por favor.", "b": "Un té."}) == [1, 2]
    assert ClipSet(tmp_path).saying({"b": "Un té."}) == [1]


def test_rows_of_earlier_versions_are_taken_as_they_are(tmp_path: Path) -> None:
    with ClipWriter(tmp_path) as writer:
        writer.append("a", "v", speech(10, 0), "Un café.")
    row = json.loads((tmp_path / "index.jsonl").read_text())
    del row["text"]
    (tmp_path / "index.jsonl").write_text(json.dumps(row) + "\n")
    assert ClipSet(tmp_path).saying({"a": "Un té."}) == [0]
