"""Resampling: no drift, the same for any cuts, and the tone stays where it was."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio.resample import Resampler
from seamless_stream.errors import AudioError


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def in_cuts(resampler: Resampler, samples: np.ndarray, cuts: list[int]) -> np.ndarray:
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(resampler.push(samples[at : at + cut]))
        at += cut
    return np.concatenate([*pieces, resampler.push(samples[at:]), resampler.flush()])


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([8_000, 11_025, 44_100, 48_000]), cuts=st.lists(st.integers(0, 3_000), max_size=20)
)
def test_any_cuts_equal_one_shot(rate: int, cuts: list[int]) -> None:
    samples = np.random.default_rng(len(cuts)).standard_normal(sum(cuts) + 500).astype(np.float32)
    expected = soxr.resample(samples, rate, 16_000, quality="HQ")
    assert np.array_equal(in_cuts(Resampler(rate), samples, cuts), expected)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_does_not_drift_and_keeps_the_tone(rate: int) -> None:
    out = in_cuts(Resampler(rate), tone(rate, 5.0), [rate // 100] * 400)
    assert abs(len(out) - 80_000) <= 1
    inside = slice(1_000, 79_000)
    assert np.abs(out[inside] - tone(16_000, 5.0)[inside]).max() < 1e-3


def test_flush_begins_a_new_stream() -> None:
    resampler, samples = Resampler(48_000), tone(48_000, 0.5)
    first = in_cuts(resampler, samples, [100, 1_000])
    assert np.array_equal(in_cuts(resampler, samples, [7]), first)


def test_equal_rates_pass_through() -> None:
    resampler, samples = Resampler(16_000), tone(16_000, 0.1)
    assert resampler.push(samples) is samples
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize("rate", [0, 7_999, 192_001])
def test_impossible_rates_are_named(rate: int) -> None:
    with pytest.raises(AudioError, match=f"`rate_in` must be 8000 to 192000 Hz, but is {rate}"):
        Resampler(rate)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_a_click_stays_where_it_was_after_minutes(rate: int) -> None:
    """The filter's clock is a ratio of integers: no drift that minutes could add up."""
    resampler, second = Resampler(rate, quality="LQ"), np.zeros(rate, np.float32)
    click = second.copy()
    click[rate // 3] = 1.0
    pieces = [resampler.push(second) for _ in range(180)]
    pieces += [resampler.push(click), resampler.push(second), resampler.flush()]
    out = np.concatenate(pieces)
    assert abs(len(out) - 182 * 16_000) <= 1
    assert abs(int(np.argmax(np.abs(out))) - (180 + rate // 3 / rate) * 16_000) <= 1


@pytest.mark.parametrize("rate", [8_001, 12_345, 37_800, 191_999])
def test_odd_rates_keep_the_tone(rate: int) -> None:
    out = in_cuts(Resampler(rate), tone(rate, 1.0), [rate // 30] * 20)
    assert abs(len(out) - 16_000) <= 1
    inside = slice(1_000, 15_000)
    assert np.abs(out[inside] - tone(16_000, 1.0)[inside]).max() < 1e-3
