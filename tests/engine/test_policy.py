"""The policies on plain values."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.engine.policy import (
    POLICIES,
    AlignAtt,
    HoldN,
    LocalAgreement,
    Policy,
    PolicyName,
    PolicySettings,
    Rule,
    Segment,
    WaitK,
    whole_words,
)
from seamless_stream.errors import SettingsError

OPEN: tuple[PolicyName, ...] = ("wait-k", "hold-n", "local-agreement", "alignatt")


def hypothesis(
    words: str,
    frames: tuple[int, ...] = (),
    *,
    complete: bool = True,
    committed: int = 0,
    language: str = "spa",
) -> Hypothesis:
    """Pieces separated by blanks; "_" begins a word. Tokens are numbers of their pieces."""
    pieces = words.split()
    return Hypothesis(
        language=language,
        token_ids=tuple(sum(map(ord, piece)) for piece in pieces),
        score=-0.5,
        is_complete=complete,
        num_committed=committed,
        starts_word=tuple(piece.startswith("_") for piece in pieces),
        frames=frames,
        num_frames=20,
        heard_samples=16_000,
    )


ALIGNATT: Any = {"num_frames": 4, "rewind_frames": 25, "sure_probability": 0.7, "unsure_frames": 12}


def policy_of(name: PolicyName, **settings: int) -> Policy:
    return POLICIES[name](PolicySettings(name=name, **settings))


def test_segment_commits_nothing_before_the_end_and_everything_at_it() -> None:
    whole = hypothesis("_a b _c")
    assert Segment().judge([whole], source_finished=False).num_tokens == 0
    assert Segment().judge([whole], source_finished=True).num_tokens == 3
    assert not Segment().wants_open_segments


@pytest.mark.parametrize("name", OPEN)
def test_the_end_of_the_source_commits_everything(name: PolicyName) -> None:
    whole = hypothesis("_a b _c d", (1, 2, 19, 19), complete=False)
    assert policy_of(name).judge([whole], source_finished=True).num_tokens == 4


def test_a_cut_never_leaves_a_word_in_two() -> None:
    open_end = hypothesis("_a b _c d _e", complete=False)
    assert [whole_words(open_end, n) for n in range(6)] == [0, 0, 2, 2, 4, 4]
    assert whole_words(replace(open_end, is_complete=True), 5) == 5
    assert whole_words(replace(open_end, num_committed=3), 1) == 3


@pytest.mark.parametrize("language", ["cmn", "cmn_Hant", "yue", "jpn", "tha", "lao", "khm", "mya"])
def test_languages_without_spaces_may_be_cut_at_any_token(language: str) -> None:
    open_end = hypothesis("_a b c d", complete=False, language=language)
    assert [whole_words(open_end, n) for n in range(5)] == [0, 1, 2, 3, 4]


def test_wait_k_gives_a_word_for_every_step_after_the_first_k() -> None:
    policy = WaitK(k=3, step_ms=320)
    words = hypothesis("_a _b b _c c _d")
    heard = [replace(words, heard_samples=step * 5_120) for step in range(9)]
    assert [policy.judge([h], False).num_tokens for h in heard] == [0, 0, 0, 1, 3, 5, 6, 6, 6]
    assert policy.judge([replace(heard[3], heard_samples=4 * 5_120 - 1)], False).num_tokens == 1


def test_wait_k_stops_at_the_first_word_too_many() -> None:
    policy = WaitK(k=2, step_ms=500)  # 1 s heard: one word
    growing = [hypothesis(words, complete=False) for words in ("_a", "_a b", "_a b _c")]
    assert [policy.stops(h) for h in growing] == [False, False, True]
    assert policy.judge([growing[-1]], False).num_tokens == 2
    assert policy.judge([growing[1]], False).num_tokens == 0  # the word may go on


def test_hold_n_keeps_the_last_tokens_back_and_then_the_broken_word() -> None:
    whole = hypothesis("_a b _c d _e _f")
    assert [HoldN(n).judge([whole], False).num_tokens for n in range(8)] == [6, 5, 4, 2, 2, 0, 0, 0]
    assert HoldN(9).judge([replace(whole, num_committed=2)], False).num_tokens == 2


def test_local_agreement_needs_two_hypotheses_and_whole_words_in_both() -> None:
    policy = LocalAgreement(2)
    first, second = hypothesis("_the _dog _runs"), hypothesis("_the _dog s _run")
    assert policy.judge([first], False).num_tokens == 0
    assert policy.judge([first, second], False).num_tokens == 1  # "dog" has become "dogs"
    assert policy.judge([first, first], False).num_tokens == 3
    assert policy.judge([hypothesis("_a"), first, first], False).num_tokens == 3  # older ones do not count
    assert policy.judge([first, hypothesis("_a")], False).num_tokens == 0
    assert policy.judge([first, replace(second, num_committed=2)], False).num_tokens == 2


def test_local_agreement_of_an_unfinished_end_waits_for_the_last_word() -> None:
    cut = hypothesis("_the _dog", complete=False)
    assert LocalAgreement(2).judge([cut, cut], False).num_tokens == 1


def test_alignatt_commits_up_to_the_first_token_that_looks_at_the_last_frames() -> None:
    policy = AlignAtt(**ALIGNATT)  # 20 frames: 16 and later wait
    assert policy.judge([hypothesis("_a _b _c _d", (2, 9, 16, 5))], False).num_tokens == 2
    assert policy.judge([hypothesis("_a _b _c _d", (2, 9, 15, 15))], False).num_tokens == 4
    assert policy.judge([hypothesis("_a _b", (16, 3))], False).num_tokens == 0


def test_alignatt_keeps_the_last_word_only_where_the_next_token_shows_that_it_is_whole() -> None:
    policy = AlignAtt(**ALIGNATT)
    assert policy.judge([hypothesis("_a _b _c", (2, 9, 17), complete=False)], False).num_tokens == 2
    assert policy.judge([hypothesis("_a _b c", (2, 9, 17), complete=False)], False).num_tokens == 1
    assert policy.judge([hypothesis("_a _b", (2, 9), complete=True)], False).num_tokens == 2
    assert policy.judge([hypothesis("_a _b", (2, 9), complete=False)], False).num_tokens == 1


def test_alignatt_lets_an_unsure_token_wait_longer_but_not_for_ever() -> None:
    policy = AlignAtt(**ALIGNATT)  # 20 frames: unsure ones wait from 8 on

    def verdict(frame: int, probability: float) -> tuple[int, Rule]:
        asked = replace(hypothesis("_a _b _c", (2, frame, 9)), probabilities=(0.9, probability, 0.9))
        assert policy.stops(replace(asked, frames=(2, frame))) == (
            policy.judge([asked], False).rule != "none"
        )
        return policy.judge([asked], False).num_tokens, policy.judge([asked], False).rule

    assert verdict(9, 0.7) == (3, "none")
    assert verdict(9, 0.69) == (1, "unsure")
    assert verdict(8, 0.01) == (1, "unsure")
    assert verdict(7, 0.01) == (3, "none")
    assert verdict(16, 0.9) == verdict(16, 0.1) == (1, "attention")
    committed = replace(hypothesis("_a _b", (9, 9), committed=1), probabilities=(0.1, 0.9))
    assert policy.judge([committed], False).num_tokens == 2


def test_alignatt_does_not_take_back_what_is_committed() -> None:
    policy = AlignAtt(**ALIGNATT)
    held_again = hypothesis("_a _b _c _d", (2, 18, 10, 17), committed=2)
    assert policy.judge([held_again], False).num_tokens == 3
    assert policy.judge([replace(held_again, num_committed=4)], False).num_tokens == 4


def test_alignatt_stops_at_the_first_held_token_but_not_for_committed_ones() -> None:
    policy = AlignAtt(**ALIGNATT)
    assert policy.stops(hypothesis("_a _b", (2, 17), complete=False))
    assert not policy.stops(hypothesis("_a _b", (2, 15), complete=False))
    assert not policy.stops(hypothesis("_a _b", (2, 17), complete=False, committed=2))
    assert not policy.stops(hypothesis("", complete=False))


def test_alignatt_holds_a_token_whose_frame_is_not_known_yet() -> None:
    policy = AlignAtt(**ALIGNATT)
    assert policy.judge([hypothesis("_a _b _c", (2, 9), complete=False)], False).num_tokens == 2
    assert policy.judge([hypothesis("_a _b c", (2, 9), complete=False)], False).num_tokens == 1
    assert policy.judge([hypothesis("_a _b _c", (2,), complete=False, committed=2)], False).num_tokens == 2
    assert policy.stops(hypothesis("_a _b _c", (2, 17), complete=False))
    assert not policy.stops(hypothesis("_a _b _c", (2, 9), complete=False))


def test_alignatt_believes_nothing_of_a_hypothesis_that_jumps_back() -> None:
    policy = AlignAtt(**ALIGNATT)
    back = replace(hypothesis("_a _b _c _d", (3, 40, 16, 14), committed=2), num_frames=60)
    assert policy.judge([back], False).num_tokens == 2
    assert policy.stops(back)
    near = replace(back, frames=(3, 40, 16, 15))
    assert policy.judge([near], False).num_tokens == 4
    assert not policy.stops(near)


@pytest.mark.parametrize("name", OPEN)
def test_random_hypotheses_are_cut_between_words_and_beyond_what_is_committed(name: PolicyName) -> None:
    rng = np.random.default_rng(3)
    policy = policy_of(name, hold_n=2)
    commits = []
    for _ in range(300):
        length = int(rng.integers(1, 9))
        ids = [tuple(rng.integers(0, 2, length).tolist()) for _ in range(2)]
        committed = int(rng.integers(0, length + 1))
        recent = [
            Hypothesis(
                "spa",
                token_ids=ids[0][:committed] + own[committed:],
                score=0.0,
                is_complete=bool(rng.integers(2)),
                num_committed=committed,
                starts_word=(True, *(rng.random(length - 1) < 0.5).tolist()),
                frames=tuple(rng.integers(0, 20, length).tolist()),
                num_frames=20,
                heard_samples=int(rng.integers(0, 60_000)),
            )
            for own in ids
        ]
        num = policy.judge(recent, False).num_tokens
        newest = recent[-1]
        assert committed <= num <= length
        is_whole = newest.is_complete if num == length else newest.starts_word[num]
        assert num == committed or is_whole
        commits.append(num - committed)
    assert max(commits) > 1


def test_settings_refuse_what_no_policy_can_do() -> None:
    with pytest.raises(SettingsError) as caught:
        PolicySettings(wait_k=0, agreement_n=1, alignatt_frames=0)
    assert str(caught.value).splitlines() == [
        "`wait_k` must be at least 1, but is 0.",
        "`agreement_n` must be at least 2, but is 1.",
        "`alignatt_frames` must be at least 1, but is 0.",
    ]
