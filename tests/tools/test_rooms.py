"""What augmentation promises: same length, finite, the asked level and signal-to-noise ratio, the telephone's band."""

from collections.abc import Callable

import numpy as np
import pytest

from tools.phrasebook import rooms

Float32 = rooms.Float32


def tone_bursts(seconds: float = 1.0) -> Float32:
    """A stand-in for speech: harmonics of 150 Hz that stop and start four times a second."""
    time_s = np.arange(int(seconds * rooms.SAMPLE_RATE)) / rooms.SAMPLE_RATE
    harmonics = sum(np.sin(2 * np.pi * 150 * k * time_s) / k for k in range(1, 40))
    gate = np.where((time_s * 4) % 1 < 0.6, 1.0, 0.001)
    return np.asarray(0.1 * gate * harmonics, np.float32)


def band_power(samples: Float32, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rooms.SAMPLE_RATE)
    return float(power[(hertz >= low_hz) & (hertz < high_hz)].sum())


@pytest.mark.parametrize("seed", range(12))
def test_augmented_speech_keeps_its_length_and_is_finite(seed: int) -> None:
    speech = tone_bursts()
    out = rooms.augment(speech, np.random.default_rng(seed))
    assert out.shape == speech.shape
    assert out.dtype == np.float32
    assert np.all(np.isfinite(out))


def test_augmentation_is_decided_by_the_seed() -> None:
    speech = tone_bursts()
    once, again = (rooms.augment(speech, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("level_db", [-38.0, -24.0])
def test_level_is_the_level_of_the_speech_not_of_the_pauses(level_db: float) -> None:
    out = rooms.set_level(tone_bursts(), level_db)
    assert 20 * np.log10(rooms.speech_rms(out)) == pytest.approx(level_db, abs=0.01)
    padded = rooms.set_level(np.pad(tone_bursts(), 16_000), level_db)
    assert 20 * np.log10(rooms.speech_rms(padded)) == pytest.approx(level_db, abs=0.3)


def test_no_level_makes_speech_clip() -> None:
    assert np.abs(rooms.set_level(tone_bursts(), 0.0)).max() <= rooms.PEAK_LIMIT + 1e-6


def test_silence_stays_silence() -> None:
    assert not rooms.set_level(np.zeros(1_000, np.float32), -20.0).any()


@pytest.mark.parametrize("snr_db", [5.0, 20.0])
@pytest.mark.parametrize("seed", range(6))
def test_noise_has_the_asked_distance(snr_db: float, seed: int) -> None:
    speech = tone_bursts()
    noise = rooms.add_noise(speech, snr_db, np.random.default_rng(seed)) - speech
    ratio_db = 20 * np.log10(rooms.speech_rms(speech) / np.sqrt(np.mean(noise**2)))
    assert ratio_db == pytest.approx(snr_db, abs=0.05)


def test_noise_colour_falls_as_asked() -> None:
    noise = rooms.coloured_noise(160_000, 6.0, np.random.default_rng(0))
    per_octave_db = 10 * np.log10(band_power(noise, 400, 800) / band_power(noise, 800, 1_600))
    assert per_octave_db == pytest.approx(6.0 - 3.0, abs=0.5)  # the upper band is twice as wide


def test_a_room_keeps_the_direct_path_first() -> None:
    for seed in range(20):
        response = rooms.room_response(np.random.default_rng(seed))
        assert response[0] == 1.0
        assert not response[1:30].any()
        half = len(response) // 2
        assert np.sum(response[half:] ** 2) < 0.05 * np.sum(response[1:] ** 2)


def test_a_room_adds_a_tail_after_the_sound() -> None:
    click = np.zeros(8_000, np.float32)
    click[100] = 1.0
    out = rooms.reverberate(click, np.random.default_rng(1))
    assert np.abs(out[:100]).max() < 1e-5
    assert out[100] == pytest.approx(1.0, abs=1e-4)
    assert np.abs(out[200:2_000]).max() > 1e-3


def test_the_telephone_keeps_its_band_only() -> None:
    noise = rooms.coloured_noise(32_000, 0.0, np.random.default_rng(0))
    out = rooms.telephone(noise, np.random.default_rng(0))
    inside = band_power(out, 500, 3_000) / 2_500
    assert band_power(out, 4_500, 8_000) / 3_500 < 0.02 * inside
    assert band_power(out, 0, 100) / 100 < 0.02 * inside


@pytest.mark.parametrize("make", [rooms.noise, rooms.music, rooms.no_speech])
@pytest.mark.parametrize("seed", range(4))
def test_other_sounds_have_the_asked_length_and_differ(
    make: Callable[[int, np.random.Generator], Float32], seed: int
) -> None:
    sound, again, other = (make(9_000, np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    assert sound.shape == (9_000,) and sound.dtype == np.float32 and sound.std() > 0
    assert np.array_equal(sound, again) and not np.array_equal(sound, other)
    assert np.isfinite(sound).all()
