"""fbank against transformers' extractor, Kaldi's own code, and itself under every cut."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio.fbank import HOP_SAMPLES, NUM_MEL_BINS, WINDOW_SAMPLES, Fbank, fbank
from seamless_stream.errors import AudioError


def noise(num_samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shaped = np.cumsum(rng.standard_normal(num_samples)) * 0.02 + rng.standard_normal(num_samples) * 0.2
    envelope = 0.01 + np.abs(np.sin(np.arange(num_samples) / 3000.0))
    return (level * shaped * envelope).astype(np.float32)


def reference(samples: np.ndarray) -> np.ndarray:
    extractor = pytest.importorskip("transformers").SeamlessM4TFeatureExtractor()
    return extractor._extract_fbank_features(samples)


@pytest.mark.parametrize("num_samples", [400, 559, 560, 561, 16_000, 16_160, 80_123])
@pytest.mark.parametrize("level", [1e-4, 0.1, 1.0])
def test_equals_transformers(num_samples: int, level: float) -> None:
    samples = noise(num_samples, num_samples, level)
    ours, theirs = fbank(samples), reference(samples)
    assert ours.shape == theirs.shape == (1 + (num_samples - 400) // 160, NUM_MEL_BINS)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-6, rtol=0)


def test_equals_transformers_on_silence_and_full_scale() -> None:
    square = np.sign(np.sin(np.arange(16_000) / 20.0)).astype(np.float32)
    half_silent = np.concatenate((np.zeros(8_000, np.float32), square))
    np.testing.assert_allclose(fbank(half_silent), reference(half_silent), atol=2e-6, rtol=0)
    assert np.all(fbank(np.zeros(1_000, np.float32)) == np.float32(np.log(1.192092955078125e-07)))


def test_agrees_with_kaldi() -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "povey"
    options.mel_opts.num_bins = NUM_MEL_BINS
    options.mel_opts.low_freq, options.mel_opts.high_freq = 20.0, 8_000.0
    online = knf.OnlineFbank(options)
    samples = noise(32_000)
    online.accept_waveform(16_000, (samples * 2.0**15).tolist())
    online.input_finished()
    theirs = np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])
    # Kaldi computes in float32 throughout, hence the wider bound.
    np.testing.assert_allclose(fbank(samples), theirs, atol=2e-3, rtol=0)
    assert np.abs(fbank(samples) - theirs).mean() < 2e-5


def test_too_short_gives_no_frame() -> None:
    assert fbank(np.zeros(0, np.float32)).shape == (0, NUM_MEL_BINS)
    assert fbank(np.zeros(WINDOW_SAMPLES - 1, np.float32)).shape == (0, NUM_MEL_BINS)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 2_500), max_size=30), seed=st.integers(0, 1_000))
def test_any_cuts_give_the_same_bits(cuts: list[int], seed: int) -> None:
    samples = noise(sum(cuts) + 700, seed)
    stream = Fbank()
    pieces, at = [], 0
    for cut in [*cuts, 700]:
        pieces.append(stream.push(samples[at : at + cut]))
        at += cut
    pieces.append(stream.flush())
    assert np.array_equal(np.concatenate(pieces), fbank(samples))


def test_every_block_length_gives_the_same_bits() -> None:
    samples = noise(WINDOW_SAMPLES + 299 * HOP_SAMPLES)
    whole = fbank(samples)  # 300 frames: crosses the block edge of 256
    for num_frames in [*range(1, 20), 33, 64, 129, 255, 256, 257]:
        part = fbank(samples[: WINDOW_SAMPLES + (num_frames - 1) * HOP_SAMPLES])
        assert np.array_equal(part, whole[:num_frames]), num_frames


def test_the_input_is_not_changed_and_wrong_input_is_named() -> None:
    samples = noise(1_000)
    before = samples.copy()
    fbank(samples)
    assert np.array_equal(samples, before)
    with pytest.raises(AudioError, match="2-D"):
        fbank(np.zeros((2, 1_000), np.float32))
    with pytest.raises(AudioError, match="float64"):
        fbank(np.zeros(1_000))  # type: ignore[arg-type]


def test_is_faster_than_transformers() -> None:
    samples = noise(160_000)
    reference(samples), fbank(samples)

    def best_ms(function: object) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            function(samples)  # type: ignore[operator]
            times.append((time.perf_counter() - start) * 1e3)
        return min(times)

    assert best_ms(fbank) < best_ms(reference)
