"""Conversions are exact where they can be, and clip where they must."""

import numpy as np
import pytest

from seamless_stream.audio import pcm
from seamless_stream.errors import AudioError


def test_int16_goes_there_and_back_exactly() -> None:
    every = np.arange(-32_768, 32_768).astype(np.int16)
    samples = pcm.to_float32(every)
    assert samples.dtype == np.float32 and samples.min() == -1.0 and samples.max() < 1.0
    assert np.array_equal(pcm.to_int16(samples), every)
    assert np.array_equal(pcm.from_bytes(pcm.to_bytes(samples)), samples)


def test_too_loud_is_clipped_and_not_wrapped() -> None:
    loud = np.array([-3.0, -1.0, 0.0, 1.0, 3.0], dtype=np.float32)
    assert pcm.to_int16(loud).tolist() == [-32_768, -32_768, 0, 32_767, 32_767]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 2**14, -(2**15)], np.int16),
        ([0, 2**30, -(2**31)], np.int32),
        ([128, 192, 0], np.uint8),
        ([0.0, 0.5, -1.0], np.float32),
        ([0.0, 0.5, -1.0], np.float64),
    ],
)
def test_every_pcm_type(values: list[float], dtype: type) -> None:
    samples = pcm.to_float32(np.array(values, dtype=dtype))
    assert samples.dtype == np.float32
    assert samples.tolist() == [0.0, 0.5, -1.0]


def test_unknown_type_and_odd_bytes_are_named() -> None:
    with pytest.raises(AudioError, match="int64"):
        pcm.to_float32(np.zeros(3, np.int64))
    with pytest.raises(AudioError, match="3 bytes"):
        pcm.from_bytes(b"abc")


def test_mix_down_is_the_mean_for_any_cuts() -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((1_000, 6)).astype(np.float32)
    mono = pcm.mix_down(samples)
    np.testing.assert_allclose(mono, samples.mean(axis=1), atol=1e-6)
    assert np.array_equal(np.concatenate([pcm.mix_down(samples[i : i + 1]) for i in range(1_000)]), mono)
    assert pcm.mix_down(mono) is mono


def test_clipped_values_are_counted() -> None:
    samples = np.array([0.0, 0.99, 1.0, -1.0, 32_767 / 32_768, 1.5], dtype=np.float32)
    assert pcm.count_clipped(samples) == 4
