"""Tempo keeps the pitch and joins without clicks; pauses are shortened and speech is not touched."""

import numpy as np
import pytest

from seamless_stream.audio.stretch import SAMPLE_RATE, PauseTrimmer, Tempo, crossfade

PIECES = np.random.default_rng(0).integers(1, 3000, 200)


def tone(frequency_hz: float, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave: np.ndarray = amplitude * np.sin(2 * np.pi * frequency_hz * time_s)
    return wave.astype(np.float32)


def streamed(stage: Tempo | PauseTrimmer, samples: np.ndarray) -> np.ndarray:
    """Cut at odd places."""
    out, start = [], 0
    for size in PIECES:
        out.append(stage.push(samples[start : start + size]))
        start += size
    assert start >= len(samples)
    return np.concatenate([*out, stage.flush()])


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * len(samples)))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / (8 * len(samples))


@pytest.mark.parametrize("tempo", [1.05, 1.1, 1.25])
@pytest.mark.parametrize("frequency_hz", [97.0, 220.0, 441.0])
def test_tempo_keeps_the_pitch(tempo: float, frequency_hz: float) -> None:
    samples = tone(frequency_hz, 4.0)
    faster = streamed(Tempo(tempo), samples)
    assert len(faster) == pytest.approx(len(samples) / tempo, rel=0.02)
    assert pitch_hz(faster) == pytest.approx(frequency_hz, rel=0.01)
    steepest = np.abs(np.diff(samples)).max()
    assert np.abs(np.diff(faster)).max() <= 1.2 * steepest  # no clicks
    assert np.abs(faster).max() <= 0.5 * 1.01
    inner = faster[2000:-2000]
    levels = np.sqrt(np.mean(inner[: len(inner) // 800 * 800].reshape(-1, 800) ** 2, axis=1))
    assert levels.min() > 0.8 * levels.max()  # frames that meet out of phase would cancel


def test_cuts_of_the_input_change_nothing() -> None:
    samples = np.random.default_rng(1).standard_normal(40_000).astype(np.float32) * 0.1
    for make in (lambda: Tempo(1.2), PauseTrimmer):
        whole = make()
        np.testing.assert_array_equal(
            streamed(make(), samples), np.concatenate([whole.push(samples), whole.flush()])
        )


def test_tempo_is_used_again_after_a_flush() -> None:
    stage, samples = Tempo(1.2), tone(200.0, 1.0)
    first, second = streamed(stage, samples), streamed(stage, samples)
    np.testing.assert_array_equal(first, second)
    assert stage.push(samples[:100]).size == 0
    np.testing.assert_array_equal(stage.flush(), samples[:100])  # too short to be changed


def test_tempo_holds_little() -> None:
    stage = Tempo(1.25)
    for _ in range(300):
        stage.push(tone(150.0, 0.05))
        assert stage._input.size < 2000


@pytest.mark.parametrize("pause_ms, kept_ms", [(0, 0), (100, 100), (120, 120), (130, 120), (900, 120)])
def test_long_pauses_are_shortened(pause_ms: int, kept_ms: int) -> None:
    hum = tone(31.0, pause_ms / 1000, 0.002)
    speech = tone(200.0, 0.5)
    out = streamed(PauseTrimmer(), np.concatenate([speech, hum, speech]))
    assert len(out) == 2 * len(speech) + kept_ms * SAMPLE_RATE // 1000
    np.testing.assert_array_equal(out[: len(speech)], speech)
    np.testing.assert_array_equal(out[-len(speech) :], speech)
    quiet = out[len(speech) : -len(speech)]
    assert quiet.size == 0 or np.abs(np.diff(quiet)).max() < 5e-4


def test_a_crossfade_of_the_same_is_the_same() -> None:
    samples = tone(100.0, 0.03)
    np.testing.assert_allclose(crossfade(samples, samples), samples, atol=1e-6)
