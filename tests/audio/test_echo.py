"""The echo guard on real speech: it silences our own from a room, lets people through, and loses no place in time."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio import echo
from seamless_stream.audio.echo import EchoGuard, likeness
from seamless_stream.audio.files import read
from seamless_stream.audio.own_speech import EDGE_SAMPLES, LOW_STEP, HalfDuplex, OwnSpeech, lower
from seamless_stream.audio.pcm import Samples
from tools.phrasebook import rooms

SAMPLES = Path(echo.__file__).parents[1] / "checkpoints" / "samples"
RATE = 16_000


@pytest.fixture(scope="module")
def ours() -> Samples:
    """What the daemon says: 6 s of English."""
    return read(SAMPLES / "english.flac")[RATE : 7 * RATE]


@pytest.fixture(scope="module")
def people() -> Samples:
    """What somebody else says: 12 s of Spanish."""
    return read(SAMPLES / "spanish.flac")[: 12 * RATE]


def room(samples: Samples, seed: int = 1, level_db: float = -30.0) -> Samples:
    """As a microphone hears it of a loudspeaker."""
    rng = np.random.default_rng(seed)
    return rooms.set_level(rooms.reverberate(rooms.equalize(samples, rng), rng), level_db)


def placed(samples: Samples, start: int, length: int) -> Samples:
    """In the hiss of a microphone."""
    whole = np.random.default_rng(2).normal(0, 3e-4, length).astype(np.float32)
    whole[start : start + len(samples)] += samples[: length - start]
    return whole


def through(guard: EchoGuard | HalfDuplex, heard: Samples, size: int = 320) -> Samples:
    parts = [guard.push(heard[at : at + size]) for at in range(0, len(heard), size)]
    return np.concatenate([*parts, guard.flush()])


def spoken(samples: Samples) -> np.ndarray:
    """[n] frames of 20 ms with speech in them."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    rms: np.ndarray = np.sqrt(np.mean(np.square(frames), axis=1))
    return rms > 0.01 * np.abs(samples).max() + 1e-3


def silent(samples: Samples) -> np.ndarray:
    return ~np.any(samples[: len(samples) // 320 * 320].reshape(-1, 320), axis=1)


@pytest.mark.parametrize("delay_ms", [20, 250, 900])
def test_an_echo_is_silenced_and_told(ours: Samples, delay_ms: int) -> None:
    delay = delay_ms * 16
    heard = placed(room(ours), 2 * RATE + delay, 10 * RATE)
    guard = EchoGuard()
    guard.speech.say(ours, 2 * RATE)
    out = through(guard, heard)
    assert len(out) == len(heard)
    is_echo = spoken(placed(room(ours), 2 * RATE + delay, 10 * RATE) - placed(ours[:0], 0, 10 * RATE))
    assert np.count_nonzero(is_echo) > 100
    assert np.mean(silent(out)[is_echo]) > 0.98  # the beginning too
    found = guard.finish()  # one for each sentence
    assert found[0].start == pytest.approx(2 * RATE + delay, abs=0.6 * RATE)
    assert [each.lag for each in found] == pytest.approx([delay] * len(found), abs=32)
    assert sum(each.num_silenced for each in found) == 320 * np.count_nonzero(silent(out))


def test_with_headphones_everybody_else_is_heard(ours: Samples, people: Samples) -> None:
    guard = EchoGuard()
    guard.speech.say(ours, RATE)
    heard = placed(people, 0, len(people))
    assert np.array_equal(through(guard, heard), heard)
    assert guard.finish() == []


def test_who_speaks_behind_the_echo_is_heard(ours: Samples, people: Samples) -> None:
    start = 7 * RATE
    heard = placed(room(ours), RATE, 20 * RATE)
    heard[start + RATE : start + RATE + len(people)] += people[: 12 * RATE]
    guard = EchoGuard()
    guard.speech.say(ours, RATE)
    out = through(guard, heard)
    assert np.array_equal(out[start + RATE :], heard[start + RATE :])
    assert np.mean(silent(out[RATE:start])) > 0.6


def test_somebody_who_talks_louder_over_it_is_heard(ours: Samples, people: Samples) -> None:
    echoed = placed(room(ours, level_db=-45), RATE, 12 * RATE)
    loud = rooms.set_level(people, -25)
    guard = EchoGuard()
    guard.speech.say(ours, RATE)
    out = through(guard, echoed + loud)
    both = spoken(loud) & spoken(echoed)
    assert np.mean(silent(out)[both]) < 0.2


def test_the_first_echo_is_found_before_anything_waits(ours: Samples) -> None:
    """Not certain: nothing waits until an echo was found, so its beginning is heard, and that of the next is not."""
    guard = EchoGuard(is_certain=False)
    guard.speech.say(ours[: 3 * RATE], RATE)
    guard.speech.say(ours[3 * RATE :], 6 * RATE)
    heard = placed(room(ours[: 3 * RATE]), RATE + 1_600, 12 * RATE)
    heard += placed(room(ours[3 * RATE :]), 6 * RATE + 1_600, 12 * RATE)
    assert len(guard.push(heard[: RATE + 4_000])) == RATE + 4_000
    out = np.concatenate((heard[: RATE + 4_000], through(guard, heard[RATE + 4_000 :])))
    is_echo = spoken(room(ours[3 * RATE :]))
    later = silent(out[6 * RATE + 1_600 :])[: len(is_echo)]
    assert np.mean(later[is_echo]) > 0.97
    first, second = guard.finish()
    assert first.num_silenced < first.end - first.start
    assert first.end < second.start


def test_nothing_waits_while_nothing_is_said(people: Samples) -> None:
    guard = EchoGuard()
    for at in range(0, len(people), 333):
        assert np.array_equal(guard.push(people[at : at + 333]), people[at : at + 333])


@pytest.fixture(scope="module")
def echoed(ours: Samples) -> tuple[Samples, Samples]:
    """Six seconds that a microphone hears, and what is left of them when they come 0.1 s at a time."""
    heard = placed(room(ours[: 4 * RATE]), RATE, 6 * RATE)
    return heard, guarded(ours, heard, [1_600] * 60)


def guarded(ours: Samples, heard: Samples, sizes: list[int]) -> Samples:
    guard, at, parts = EchoGuard(), 0, []
    guard.speech.say(ours[: 4 * RATE], RATE)
    for size in sizes:
        parts.append(guard.push(heard[at : at + size]))
        at += size
    return np.concatenate([*parts, guard.flush()])


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 9_000), min_size=1, max_size=40))
def test_the_cuts_do_not_matter(ours: Samples, echoed: tuple[Samples, Samples], cuts: list[int]) -> None:
    heard, expected = echoed
    found = guarded(ours, heard, [*cuts, 6 * RATE])
    assert len(found) == len(expected) == len(heard)
    # What is still undecided at the end goes as it is.
    assert np.array_equal(found[: 5 * RATE], expected[: 5 * RATE])


def test_audio_that_was_dropped_keeps_its_place(ours: Samples) -> None:
    """Half a second, then a minute, which is more than is looked at."""
    for gap in (RATE // 2, 60 * RATE):
        guard = EchoGuard()
        out = [guard.push(placed(ours[:0], 0, RATE)), guard.flush()]
        guard.skip(gap)
        guard.speech.say(ours, guard.now)
        out.append(through(guard, placed(room(ours), 1_600, 8 * RATE)))
        assert sum(map(len, out)) == 9 * RATE
        assert guard.finish()[0].start >= gap + RATE
        assert np.mean(silent(out[-1])[: 6 * 50]) > 0.6


def test_a_long_echo_is_told_in_parts(ours: Samples) -> None:
    whole = np.tile(ours, 4)
    guard, found = EchoGuard(), []
    guard.speech.say(whole, 0)
    heard = placed(room(whole), 800, 25 * RATE)
    for at in range(0, len(heard), 1_600):
        guard.push(heard[at : at + 1_600])
        found += guard.found()
    found += guard.finish()
    assert len(found) >= 2
    assert all(before.end <= after.start for before, after in zip(found, found[1:], strict=False))
    assert all(each.end - each.start <= echo.MAX_ECHO_SAMPLES for each in found)


def test_pieces_are_the_whole_again(ours: Samples) -> None:
    """Cut anywhere, on the low rate: else the likeness would break at every seam."""
    speech, at = OwnSpeech(), 0
    for size in (3_001, 8_002, 5_555, 16_000):
        speech.say(ours[at : at + size], 0)
        at += size
    whole = lower(np.pad(ours[:32_000], EDGE_SAMPLES))
    found = speech.low(0, 32_000)
    assert float(np.abs(found - whole)[:-8].max()) < 1e-5
    assert likeness(found[: 4 * RATE // LOW_STEP // 5], whole).argmax() == 0


def test_a_client_that_tells_moves_what_was_not_played() -> None:
    speech = OwnSpeech()
    second = np.ones(RATE, np.float32)
    speech.say(second, 0)
    speech.say(second, 100)
    assert speech.stretches(0, 10 * RATE) == [(0, RATE), (RATE, 2 * RATE)]
    speech.played(0, RATE // 2)  # nothing yet
    assert speech.stretches(0, 10 * RATE) == [(RATE // 2, RATE * 3 // 2), (RATE * 3 // 2, RATE * 5 // 2)]
    speech.played(1_000, RATE // 2 + 2_000)  # a tremble
    assert speech.stretches(0, 10 * RATE)[0] == (RATE // 2, RATE * 3 // 2)
    speech.played(RATE, 5 * RATE)  # it was held up between
    assert speech.stretches(0, 10 * RATE)[1] == (5 * RATE, 6 * RATE)
    speech.clear(5 * RATE + 10)
    assert speech.stretches(0, 10 * RATE)[1] == (5 * RATE, 5 * RATE + 10)


def test_what_was_not_played_is_not_forgotten() -> None:
    speech = OwnSpeech()
    speech.played(0, 0)
    speech.say(np.ones(RATE, np.float32), 0)
    speech.forget(20 * RATE)
    speech.played(100, 20 * RATE)
    assert speech.sounds(20 * RATE, 20 * RATE + 1)
    speech.played(RATE, 21 * RATE)
    speech.forget(30 * RATE)
    assert not speech.sounds(0, 30 * RATE)


def test_half_duplex_is_deaf_while_we_speak(people: Samples) -> None:
    guard = HalfDuplex()
    guard.speech.played(0, 0)
    guard.speech.say(np.ones(2 * RATE, np.float32), 3 * RATE)
    out = through(guard, people)
    is_deaf = out != people
    assert np.array_equal(out[: 2 * RATE], people[: 2 * RATE])
    assert not np.any(out[3 * RATE : 5 * RATE])
    assert np.array_equal(out[6 * RATE :], people[6 * RATE :])
    assert guard.num_silenced >= np.count_nonzero(is_deaf) and len(out) == len(people)
