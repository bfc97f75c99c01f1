"""Windows, and the webrtc detector: on their grid for any cuts, and right on plain cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio.vad import VAD_WINDOW_SAMPLES, WebrtcVad, Windows
from seamless_stream.errors import AudioError


def vowel(num_samples: int) -> np.ndarray:
    """A hundred pulses a second through two formants: what webrtc takes for a voice."""
    time_s = np.arange(num_samples) / 16_000
    harmonics = range(1, 30)
    gains = [
        np.exp(-(((100 * k - 700) / 300) ** 2)) + 0.5 * np.exp(-(((100 * k - 1_200) / 300) ** 2))
        for k in harmonics
    ]
    tones = [gain * np.sin(2 * np.pi * 100 * k * time_s) for k, gain in zip(harmonics, gains, strict=True)]
    return (0.1 * np.sum(tones, axis=0)).astype(np.float32)


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 1_500), max_size=20))
def test_windows_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    samples = np.random.default_rng(len(cuts)).standard_normal(sum(cuts)).astype(np.float32)
    windows, found, at = Windows(), [], 0
    for cut in cuts:
        found += windows.push(samples[at : at + cut])
        at += cut
    assert all(len(window) == VAD_WINDOW_SAMPLES for window in found)
    assert np.array_equal(np.concatenate([*found, windows.rest]), samples)


def test_webrtc_hears_a_vowel_and_no_silence() -> None:
    quiet = np.zeros(16_000, np.float32)
    probabilities = WebrtcVad().push(np.concatenate((quiet, vowel(16_000), quiet)))
    assert len(probabilities) == 48_000 // VAD_WINDOW_SAMPLES
    assert set(probabilities) <= {0.0, 1.0}
    assert sum(probabilities[:30]) == 0
    assert np.mean(probabilities[32:62]) > 0.9
    assert sum(probabilities[-20:]) == 0


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 3_000), max_size=20))
def test_webrtc_does_not_depend_on_the_cuts(cuts: list[int]) -> None:
    rng = np.random.default_rng(1)
    samples = np.concatenate(
        (vowel(8_000), 0.001 * rng.standard_normal(20_000).astype(np.float32), vowel(9_000))
    )
    vad, found, at = WebrtcVad(), [], 0
    for cut in cuts:
        found += vad.push(samples[at : at + cut])
        at += cut
    found += vad.push(samples[at:])
    assert found == WebrtcVad().push(samples)


def test_reset_forgets_the_stream() -> None:
    vad, samples = WebrtcVad(), vowel(8_000)
    first = vad.push(samples)
    vad.push(samples[:100])
    vad.reset()
    assert vad.push(samples) == first


def test_wrong_samples_are_named() -> None:
    with pytest.raises(AudioError, match="int16"):
        WebrtcVad().push(np.zeros(512, np.int16))  # type: ignore[arg-type]
