"""Warnings of the sound itself: on recordings that are too loud, and on microphones that hear nobody."""

from pathlib import Path

import numpy as np
import pytest

from seamless_stream.audio import monitor
from seamless_stream.audio.files import read
from seamless_stream.audio.monitor import SILENCE_DBFS, Clipped, SoundMonitor
from seamless_stream.audio.pcm import Samples

SAMPLES = Path(monitor.__file__).parents[1] / "checkpoints" / "samples"
RATE = 16_000


def loud(name: str, above_db: float) -> Samples:
    """Its highest peak so far above full scale, and cut off there."""
    speech = read(SAMPLES / f"{name}.flac")
    gain = 10 ** (above_db / 20) / np.abs(speech).max()
    clipped: Samples = np.clip(speech * np.float32(gain), -1, 1).astype(np.float32)
    return clipped


@pytest.mark.parametrize("name", ["english", "spanish"])
@pytest.mark.parametrize("size", [161, 20_000])
def test_speech_that_is_cut_off_is_told_once(name: str, size: int) -> None:
    for above_db, is_told in ((-1, False), (0, False), (12, True)):
        sound, samples = SoundMonitor(RATE), loud(name, above_db)
        for at in range(0, len(samples), size):
            sound.push(samples[at : at + size])
        found = sound.clipped()
        assert len(found) == is_told and not sound.clipped()
        for each in found:
            assert each.end_ms - each.start_ms == 1000 and each.end_ms <= len(samples) // 16
            assert 1 <= each.percent <= 40


def test_it_is_told_again_when_it_was_over() -> None:
    sound, bad, good = SoundMonitor(8_000), np.ones(8_000, np.float32), np.zeros(8_000, np.float32)
    found: list[Clipped] = []
    for second in [bad, *[good] * 59, bad, *[good] * 60, bad]:
        sound.push(second)
        found += sound.clipped()
    assert [each.start_ms for each in found] == [0, 121_000]
    assert found[0].percent == 100


@pytest.mark.parametrize(("level", "told"), [(0.0, SILENCE_DBFS), (0.001, -60), (0.1, -20)])
def test_a_dead_microphone_is_told_apart_from_a_quiet_room(level: float, told: int) -> None:
    sound = SoundMonitor(RATE)
    for _ in range(31):
        sound.push(np.full(RATE, level, np.float32))
    assert sound.no_speech(29_999) is None
    found = sound.no_speech(30_500)
    assert found is not None
    assert (found.start_ms, found.end_ms, found.level_dbfs) == (0, 30_500, told)
    assert sound.no_speech(31_000) is None


def test_speech_begins_the_time_anew() -> None:
    sound = SoundMonitor(RATE)
    for level in (0.5, 0.01, 0.0):
        for _ in range(32):
            sound.push(np.full(RATE, level, np.float32))
    sound.spoke(32_000)  # found late, when more has come already
    assert sound.no_speech(61_000) is None
    found = sound.no_speech(63_000)
    assert found is not None and (found.start_ms, found.level_dbfs) == (32_000, -43)
    sound.spoke(64_000)
    assert sound.no_speech(80_000) is None
    found = sound.no_speech(95_000)
    assert found is not None and found.level_dbfs == SILENCE_DBFS
