"""The guards on plain values: what they cut, what they leave alone, and what they say."""

import math
from dataclasses import replace

import numpy as np
import pytest

from seamless_stream.engine.guards import break_loop, doubt_short, guard, limit_length, loop_tokens
from seamless_stream.engine.hypothesis import Hypothesis


def heard(tokens: list[int], seconds: float = 10.0, committed: int = 0) -> Hypothesis:
    """A complete hypothesis of which every even token begins a word."""
    return Hypothesis(
        "spa",
        tuple(tokens),
        -0.3,
        is_complete=True,
        num_committed=committed,
        starts_word=tuple(token % 2 == 0 for token in tokens),
        frames=tuple(range(len(tokens))),
        num_frames=60,
        heard_samples=int(seconds * 16_000),
    )


@pytest.mark.parametrize("period", [1, 2, 5, 16])
@pytest.mark.parametrize("broken", [0, 1])
def test_a_loop_is_kept_once(period: int, broken: int) -> None:
    phrase = [100 + 2 * i for i in range(period)]
    tokens = [2, 4, 6, *phrase * 9, *phrase[:broken]]
    guarded = break_loop(heard(tokens))
    kept = guarded.hypothesis.token_ids
    assert len(kept) == 3 + period
    assert list(kept) == tokens[: 3 + period]
    assert guarded.reason.startswith(f"The decoder repeated {period} tokens")
    assert not guarded.hypothesis.is_complete
    assert len(guarded.hypothesis.frames) == len(guarded.hypothesis.starts_word) == len(kept)


def test_what_people_do_repeat_stays() -> None:
    for tokens in (
        [2, 4, 4, 4],  # no, no, no
        [2, 8, 8, 8, 8, 8],  # five digits alike
        [2, 10, 12, 10, 12, 10, 12],  # knock knock, three times
        [10, 12, 10, 12, 10, 12, 10, 12, 14],  # over, and goes on
        [],
    ):
        hypothesis = heard(tokens)
        assert break_loop(hypothesis).hypothesis is hypothesis
        assert break_loop(hypothesis).reason == ""


def test_random_text_has_no_loops() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert loop_tokens(tuple(rng.integers(4, 700, 100).tolist())) == (0, 0)


def test_a_loop_that_was_committed_stays_but_grows_no_longer() -> None:
    tokens = [2, *[4, 6] * 8]
    guarded = break_loop(heard(tokens, committed=9))
    assert len(guarded.hypothesis.token_ids) == 9
    everything = heard(tokens, committed=len(tokens))
    assert break_loop(everything).hypothesis is everything


def test_more_tokens_than_the_time_allows_are_held_between_words() -> None:
    tokens = [2 * i for i in range(2, 62)]
    guarded = limit_length(heard(tokens, seconds=2.5))
    assert len(guarded.hypothesis.token_ids) == 29
    assert guarded.reason == "The decoder gave 60 tokens for 2.5 s of sound."
    tokens[29] += 1  # does not begin a word, so the cut goes before the token in front of it
    assert len(limit_length(heard(tokens, seconds=2.5)).hypothesis.token_ids) == 28
    assert len(limit_length(heard(tokens, seconds=2.5, committed=40)).hypothesis.token_ids) == 40


@pytest.mark.parametrize("seconds", [0.3, 0.7, 0.8])  # a burst with its pre-roll and post-roll
def test_nothing_is_believed_of_a_sentence_for_a_burst_of_sound(seconds: float) -> None:
    guarded = limit_length(heard([2 * i for i in range(2, 11)], seconds))
    assert guarded.hypothesis.token_ids == ()
    assert guarded.reason == f"The decoder gave 9 tokens for {seconds} s of sound."
    word = heard([2, 3, 5], seconds)
    assert limit_length(word).hypothesis is word


def test_a_fast_speaker_and_a_written_text_are_left_alone() -> None:
    tokens = [2 * i for i in range(2, 62)]
    assert limit_length(heard(tokens, seconds=5.5)).reason == ""
    assert limit_length(heard(tokens, seconds=0.0)).reason == ""


def test_what_the_decoder_doubts_itself_is_left_out_of_a_short_segment() -> None:
    unsure = replace(heard([2, 4], seconds=1.0), probabilities=(0.9, 0.3))  # 0.52 each
    doubted = doubt_short(unsure, math.log(0.6))
    assert doubted.hypothesis.token_ids == () and not doubted.hypothesis.is_complete
    assert doubted.reason == "The decoder was only 52% sure of what it made of 1.0 s of sound."
    for fine, least in (
        (unsure, math.log(0.5)),
        (unsure, None),  # most checkpoints have no bound
        (replace(unsure, probabilities=()), math.log(0.6)),  # beams do not know them
        (replace(unsure, heard_samples=2 * 16_000), math.log(0.6)),
        (replace(unsure, heard_samples=0), math.log(0.6)),  # text
        (replace(unsure, num_committed=2), math.log(0.6)),
    ):
        assert doubt_short(fine, least).hypothesis is fine
    begun = doubt_short(replace(unsure, num_committed=1), math.log(0.6)).hypothesis
    assert begun.token_ids == (2,)


def test_the_first_guard_that_acts_gives_the_reason() -> None:
    both = guard(heard([2 * i for i in range(2, 40)] + [4, 6] * 20, seconds=2.5))
    assert both.reason.startswith("The decoder repeated 2 tokens")
    assert len(both.hypothesis.token_ids) == 29
    fine = heard([2, 4, 6])
    assert guard(fine).hypothesis is fine
