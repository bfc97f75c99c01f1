"""Attention rows to frames: small cases by hand, and the slow definition of the median filter."""

import numpy as np
import pytest

from seamless_stream.engine.alignment import Alignment, Array, first_frame_of, median, standardise


def looks(*places: int, num_frames: int = 12) -> Array:
    """Attention [1, T, S] whose rows look at these frames, and half of each at frame 0."""
    rows = np.full((1, len(places), num_frames), 0.01, np.float32)
    rows[:, :, 0] = 0.5
    rows[0, range(len(places)), places] += 0.3
    return rows


def test_the_frame_that_every_token_looks_at_does_not_count() -> None:
    alignment = Alignment(num_prompt=2)
    alignment.push(looks(1, 3, 4, 8, 9))
    assert alignment.frames() == (3, 4, 8, 9)
    assert looks(1, 3, 4, 8, 9)[0].argmax(1).tolist() == [0, 0, 0, 0, 0]


def test_the_row_that_predicted_a_token_is_one_before_the_row_that_was_given_it() -> None:
    rows = looks(1, 3, 4, 8, 9)
    predicted, given = Alignment(2, "predicted"), Alignment(2, "given")
    predicted.push(rows)
    given.push(rows)
    assert predicted.frames() == (3, 4, 8, 9)
    assert given.frames() == (4, 8, 9)
    assert (predicted.num_tokens, given.num_tokens) == (4, 3)


def test_rows_may_come_in_any_parts() -> None:
    rng = np.random.default_rng(1)
    rows = rng.dirichlet(np.ones(30), size=(4, 9)).astype(np.float32)
    whole = Alignment(2)
    whole.push(rows)
    parts = Alignment(2)
    for start, end in ((0, 5), (5, 6), (6, 7), (7, 9)):
        parts.push(rows[:, start:end])
        assert len(parts.frames()) == parts.num_tokens == end - 1
    assert parts.frames() == whole.frames()


def test_nothing_is_known_before_the_first_rows() -> None:
    alignment = Alignment(2)
    assert (alignment.num_tokens, alignment.frames()) == (0, ())


def test_few_rows_are_left_alone_and_equal_ones_do_not_divide_by_zero() -> None:
    two = looks(3, 5)
    assert np.array_equal(standardise(two), two)
    assert np.array_equal(standardise(np.ones((2, 3, 4), np.float32)), np.zeros((2, 3, 4), np.float32))
    rows = standardise(np.random.default_rng(0).random((2, 6, 5)).astype(np.float32))
    assert rows.mean(1) == pytest.approx(np.zeros((2, 5)), abs=1e-6)
    assert rows.std(1) == pytest.approx(np.ones((2, 5)), abs=1e-5)
    assert rows.dtype == np.float32


def test_heads_are_averaged_after_each_was_standardised() -> None:
    loud, quiet = looks(1, 2, 3, 4), looks(1, 7, 8, 9)
    alignment = Alignment(1)
    alignment.push(np.concatenate((loud * 100, quiet, quiet)))
    assert alignment.frames() == (1, 7, 8, 9)


def test_the_median_filter_equals_its_definition() -> None:
    rows = np.random.default_rng(2).random((2, 3, 9)).astype(np.float32)
    mirrored = np.pad(rows, ((0, 0), (0, 0), (3, 3)), mode="reflect")
    expected = [np.median(mirrored[..., i : i + 7], axis=-1) for i in range(9)]
    assert np.array_equal(median(rows, 7), np.stack(expected, axis=-1))
    assert np.array_equal(median(rows, 0), rows)
    assert np.array_equal(median(rows[..., :3], 7), rows[..., :3])  # too short to filter


def test_a_lone_peak_does_not_survive_the_median_filter() -> None:
    row = np.full((1, 1, 40), 0.01, np.float32)
    row[0, 0, 12:18] = 0.1
    row[0, 0, 39] = 0.3
    assert row.argmax() == 39
    assert 12 <= median(row, 5).argmax() < 18


def test_trimming_keeps_the_earliest_frame_of_the_words_that_stay() -> None:
    frames, words = (2, 4, 9, 7, 12, 15), (True, False, True, True, False, True)
    assert first_frame_of(frames, words, 1) == (5, 15)
    assert first_frame_of(frames, words, 2) == (3, 7)
    assert first_frame_of(frames, words, 3) == (2, 7)  # the word before looks further back than its place
    assert first_frame_of(frames, words, 4) == (0, 2)
    assert first_frame_of(frames, words, 9) == (0, 2)
    assert first_frame_of((), (), 3) == (0, 0)
