"""Latency by hand: small cases whose values follow from the formulas on paper."""

import pytest

from seamless_stream.evaluation import latency
from seamless_stream.evaluation.segmentation import least_error_segments, soft_segments


def test_wait_for_a_second_then_a_word_a_second() -> None:
    delays = [1000, 2000, 3000, 4000]
    assert latency.average_lagging(delays, 4000, 4) == 1000
    assert latency.length_adaptive_average_lagging(delays, 4000, 4) == 1000
    assert latency.differentiable_average_lagging(delays, 4000) == 1000
    assert latency.average_proportion(delays, 4000, 4) == 10 / 16
    assert latency.yaal(delays, 4000, 4) == 1000


def test_long_hypotheses_are_no_reward_but_for_al() -> None:
    delays = [4000] * 8
    assert latency.average_lagging(delays, 4000, 4) == 4000  # the first word is at the end already
    early = [1000, 1000, 2000, 2000, 3000, 3000, 4000, 4000]
    assert latency.average_lagging(early, 4000, 4) < latency.length_adaptive_average_lagging(early, 4000, 4)


def test_yaal_does_not_count_what_is_flushed_at_the_end() -> None:
    assert latency.yaal([1000, 4000, 4000], 4000, 3) == 1000
    assert latency.yaal([4000, 4000], 4000, 2) is None
    assert latency.yaal([5000, 6000], 4000, 2, recording_end_ms=9000) == (5000 + 6000 - 2000) / 2
    assert latency.yaal([5000, 9000], 4000, 2, recording_end_ms=9000) == 5000


def test_words_after_the_end() -> None:
    assert latency.average_lagging([5000, 6000], 4000, 2) == 5000
    assert latency.end_offset([5000, 6000], 4000) == 2000
    assert latency.relative_end([5000, 6000], 4000) == 1.5


def test_speech_is_played_in_order_and_gaps_are_counted() -> None:
    played = latency.intervals_of([1000, 1200, 4000], [500, 500, 100])
    assert played == [(1000, 500), (1500, 500), (4000, 100)]
    assert latency.discontinuities(played) == [2000]
    assert latency.end_offset([1000, 1200, 4000], 3000, played) == 1100


def test_average_token_delay_of_text_in_one_chunk() -> None:
    # Two words at 600 ms: the source has two tokens of 300 ms, the words follow the first and the second.
    assert latency.average_token_delay([600, 600]) == (300 + 0) / 2
    assert latency.average_token_delay([600, 600], elapsed=[700, 700]) == (400 + 100) / 2


def test_erasure() -> None:
    shown = [["a"], ["a", "b"], ["a", "c"], ["x"]]
    assert latency.normalized_erasure(shown) == (1 + 2, 1)
    assert latency.normalized_erasure([]) == (0, 0)


def test_drift() -> None:
    assert latency.drift_per_minute([30, 60, 90], [1.0, 1.5, 2.0]) == pytest.approx(1.0)
    assert latency.drift_per_minute([30], [1.0]) is None


def test_shares_of_a_policy_that_waits_for_the_end() -> None:
    early, expected = latency.simultaneous_shares([[1000, 4000, 4000, 4000]], [4000], [1000])
    assert (early, expected) == (25, 75)


def test_soft_segments() -> None:
    references = [["the", "cat"], ["a", "dog"]]
    assert soft_segments(references, ["the", "cat", "a", "dog"], by_character=False) == [0, 0, 1, 1]
    assert soft_segments(references, ["the", "cats", "dog"], by_character=False) == [0, 0, 1]
    assert soft_segments([[], []], ["x"], by_character=False) == [None]
    assert soft_segments(references, [], by_character=False) == []


def test_least_error_segments() -> None:
    references = [["The", "cat"], [], ["a", "dog"]]
    assert least_error_segments(references, ["the", "cat", "a", "dog"]) == [0, 0, 2, 2]
    assert least_error_segments(references, []) == []
    assert least_error_segments([["x"]], ["y", "z"]) == [0, 0]
