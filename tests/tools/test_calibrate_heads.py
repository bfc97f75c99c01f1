"""The best path of a CTC by exhaustive search, the ends of pieces, and that the heads that look right are chosen."""

import itertools

import numpy as np
import pytest

from tools.calibrate_heads import Transcript, choose, letter_ends, score, token_ends


def brute_force(log_probs: np.ndarray, letters: list[int]) -> list[int]:
    """The ends on the best of all paths that spell the letters."""
    best, ends = -np.inf, [-1]
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        spelled = [
            (label, list(run)[-1]) for label, run in itertools.groupby(range(len(path)), path.__getitem__)
        ]
        spelled = [(label, end) for label, end in spelled if label]
        total = float(sum(log_probs[t, label] for t, label in enumerate(path)))
        if [label for label, _ in spelled] == letters and total > best:
            best, ends = total, [end for _, end in spelled]
    return ends


@pytest.mark.parametrize("letters", [[1], [1, 2], [1, 1], [2, 1, 2], [2, 2, 1]])
def test_the_best_path_is_found(letters: list[int]) -> None:
    for seed in range(5):
        log_probs = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), size=6))
        assert letter_ends(log_probs, letters) == brute_force(log_probs, letters)


def test_letters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 letters must fit"):
        letter_ends(np.log(np.full((3, 3), 1 / 3)), [1, 1, 2])


def test_a_piece_ends_with_its_last_letter() -> None:
    letter_ids = {"▁": 1, "a": 2, "b": 3}
    ends = [4, 9, 11, 15, 20]  # a b ▁ b a
    found = token_ends(["▁Ab", "▁b", ".", "a", "!"], letter_ids, ends)
    assert found == pytest.approx([9, 15, np.nan, 20, np.nan], nan_ok=True)
    with pytest.raises(ValueError, match="must spell 5 letters, but spell 3"):
        token_ends(["▁ab", "b"], letter_ids, ends)


def test_the_heads_that_follow_the_speech_are_chosen() -> None:
    rng = np.random.default_rng(0)
    transcripts = []
    for _ in range(5):
        ends = 2 + 3.5 * np.arange(8) + rng.uniform(0, 1, 8)
        attention = rng.uniform(0, 0.1, size=(4, 10, 30)).astype(np.float32)
        for head in (1, 3):
            attention[head, range(1, 9), ends.astype(int)] += (
                2  # row i + 1 predicts token i behind the prompt of 2
            )
        transcripts.append(Transcript(attention, ends))
    assert set(choose(transcripts)) <= {1, 3}
    right, wrong = score(transcripts, [1]), score(transcripts, [0])
    assert right.hits == 1 and right.monotone == 1
    assert -1 < right.bias <= 0  # the whole state before the end
    assert wrong.hits < 0.5
