"""Segments: on scripted probabilities every rule by itself, on random ones the laws that hold for all streams."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio.segmenter import (
    SegmentAudio,
    SegmentClosed,
    Segmenter,
    SegmentEvent,
    SegmentOpened,
)
from seamless_stream.audio.vad import VAD_WINDOW_SAMPLES as WINDOW
from seamless_stream.audio.vad import WebrtcVad, Windows
from seamless_stream.errors import SettingsError
from seamless_stream.settings import SegmenterSettings

SETTINGS = SegmenterSettings(
    pre_roll_ms=320,
    min_speech_ms=192,
    hang_over_ms=608,
    hang_over_long_ms=256,
    soft_max_ms=10_000,
    hard_max_ms=14_000,
)
# In windows of 32 ms: pre-roll 10, onset 3, speech 6, hang-over 19 to 8, post-roll 7, maxima 313 and 438.


class Scripted:
    """Says what the script says; silence when it has ended."""

    def __init__(self, script: list[float]) -> None:
        self.script = script
        self.reset()

    def reset(self) -> None:
        self.windows, self.at = Windows(), 0

    def push(self, samples: np.ndarray) -> list[float]:
        num_windows = len(self.windows.push(samples))
        self.at += num_windows
        said = self.script[self.at - num_windows : self.at]
        return said + [0.0] * (num_windows - len(said))


def script(*runs: tuple[int, float]) -> list[float]:
    return [probability for num_windows, probability in runs for _ in range(num_windows)]


def noise(num_samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(num_samples).standard_normal(num_samples)).astype(np.float32)


def run(probabilities: list[float], samples: np.ndarray | None = None) -> list[SegmentEvent]:
    samples = noise(len(probabilities) * WINDOW) if samples is None else samples
    segmenter = Segmenter(Scripted(probabilities), SETTINGS)
    events = segmenter.push(samples) + segmenter.flush()
    check_laws(events, samples)
    return events


def check_laws(events: list[SegmentEvent], samples: np.ndarray) -> None:
    """Opened, audio without a gap, closed; the audio is the stream's; segments do not overlap."""
    end = 0
    expected: int | None = None
    for event in events:
        match event:
            case SegmentOpened(start):
                assert expected is None and start >= end
                expected = begin = start
            case SegmentAudio(start, piece):
                assert start == expected and len(piece)
                assert np.array_equal(piece, samples[start : start + len(piece)])
                expected = start + len(piece)
            case SegmentClosed(start, end, _):
                assert start == begin and end == expected and end - start <= 438 * WINDOW
                expected = None
    assert expected is None and end <= len(samples)


def closed(events: list[SegmentEvent]) -> list[tuple[float, float, str]]:
    """(first window, end window, reason) of each segment."""
    return [(e.start / WINDOW, e.end / WINDOW, e.reason) for e in events if isinstance(e, SegmentClosed)]


def test_one_segment_has_pre_roll_and_post_roll() -> None:
    assert closed(run(script((50, 0), (60, 0.9), (50, 0)))) == [(40, 117, "silence")]


def test_pre_roll_does_not_reach_before_the_stream() -> None:
    assert closed(run(script((4, 0), (60, 0.9), (50, 0)))) == [(0, 71, "silence")]


def test_clicks_and_short_bursts_open_nothing() -> None:
    assert run(script((50, 0), (2, 1), (1, 0), (2, 1), (1, 0), (2, 1), (50, 0))) == []  # no onset
    assert run(script((50, 0), (5, 1), (50, 0))) == []  # an onset, too little speech
    assert closed(run(script((50, 0), (6, 1), (50, 0)))) == [(40, 63, "silence")]


def test_hysteresis_bridges_weak_speech_but_does_not_begin_with_it() -> None:
    assert run(script((100, 0.45), (30, 0))) == []
    assert closed(run(script((50, 0), (10, 0.9), (60, 0.4), (50, 0)))) == [(40, 127, "silence")]
    assert closed(run(script((50, 0), (10, 0.9), (60, 0.3), (50, 0)))) == [(40, 67, "silence")]


def test_hang_over_joins_short_pauses() -> None:
    assert closed(run(script((20, 0), (30, 1), (18, 0), (30, 1), (30, 0)))) == [(10, 105, "silence")]
    two = closed(run(script((20, 0), (30, 1), (19, 0), (30, 1), (30, 0))))
    assert two == [(10, 57, "silence"), (59, 106, "silence")]


def test_pre_roll_does_not_reach_into_the_segment_before() -> None:
    script_of_two = script((20, 0), (30, 1), (19, 0), (3, 1))
    events = run([*script_of_two, *script((30, 1), (40, 0))])
    [first, second] = closed(events)
    assert first[1] <= second[0]


def test_hang_over_shrinks_with_the_length() -> None:
    # 12 windows of pause: too short for a young segment, enough after 9 s.
    assert len(closed(run(script((100, 1), (12, 0), (50, 1), (40, 0))))) == 1
    assert len(closed(run(script((281, 1), (12, 0), (50, 1), (40, 0))))) == 2


def test_beyond_the_soft_maximum_a_dip_is_enough() -> None:
    found = closed(run(script((320, 1), (3, 0), (50, 1), (40, 0))))
    assert found[0] == (0, 323, "soft_max")
    assert found[1][0] == 323 and found[1][2] == "silence"


def test_hard_maximum_cuts_at_the_quietest_place_and_loses_nothing() -> None:
    probabilities = script((20, 0), (600, 1), (40, 0))
    samples = noise(len(probabilities) * WINDOW)
    quiet = slice(400 * WINDOW, 402 * WINDOW)  # within the last two seconds of the first 14
    samples[quiet] *= 0.01
    events = run(probabilities, samples)
    assert closed(events) == [(10, 401, "hard_max"), (401, 627, "silence")]


def test_audio_is_handed_out_as_it_comes() -> None:
    probabilities = script((20, 0), (100, 1))
    segmenter, samples = Segmenter(Scripted(probabilities), SETTINGS), noise(120 * WINDOW)
    handed = []
    for at in range(0, len(samples), WINDOW):
        events = segmenter.push(samples[at : at + WINDOW])
        handed.append(sum(len(e.samples) for e in events if isinstance(e, SegmentAudio)) // WINDOW)
    assert handed[:25] == [0] * 25
    assert handed[25] == 16  # pre-roll 10, then the six windows that made sure of it
    assert handed[26:] == [1] * 94


def test_the_end_of_the_stream_closes_with_the_last_sample() -> None:
    samples = noise(30 * WINDOW + 100)
    events = run(script((40, 1)), samples)
    assert closed(events) == [(0, 30 + 100 / WINDOW, "end_of_stream")]


def test_flush_begins_a_new_stream_at_zero() -> None:
    segmenter, samples = Segmenter(Scripted(script((10, 0), (30, 1))), SETTINGS), noise(40 * WINDOW + 7)
    first = segmenter.push(samples) + segmenter.flush()
    assert closed(segmenter.push(samples) + segmenter.flush()) == closed(first) != []
    assert segmenter.flush() == []


def as_values(events: list[SegmentEvent]) -> list[object]:
    return [(e.start, e.samples.tobytes()) if isinstance(e, SegmentAudio) else e for e in events]


def in_cuts(segmenter: Segmenter, samples: np.ndarray, cuts: list[int]) -> list[SegmentEvent]:
    events, at = [], 0
    for cut in cuts:
        events += segmenter.push(samples[at : at + cut])
        at += cut
    return events + segmenter.push(samples[at:]) + segmenter.flush()


runs = st.lists(st.tuples(st.integers(1, 200), st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0])), max_size=12)


@settings(max_examples=25, deadline=None)
@given(runs=runs, cuts=st.lists(st.integers(0, 30_000), max_size=30), rest=st.integers(0, 600))
def test_any_cuts_give_the_same_events(runs: list[tuple[int, float]], cuts: list[int], rest: int) -> None:
    probabilities = script(*runs)
    samples = noise(len(probabilities) * WINDOW + rest)
    whole = run(probabilities, samples)
    cut = in_cuts(Segmenter(Scripted(probabilities), SETTINGS), samples, cuts)
    assert as_values(cut) == as_values(whole)


@settings(max_examples=40, deadline=None)
@given(
    runs=runs,
    chosen=st.builds(
        SegmenterSettings,
        pre_roll_ms=st.integers(0, 1_000),
        min_speech_ms=st.integers(0, 1_000),
        hang_over_ms=st.integers(0, 1_000),
        hang_over_long_ms=st.integers(0, 1_000),
        soft_max_ms=st.integers(0, 900),
        hard_max_ms=st.integers(1_000, 14_000),
    ),
)
def test_the_laws_hold_for_all_settings(runs: list[tuple[int, float]], chosen: SegmenterSettings) -> None:
    probabilities = script(*runs)
    samples = noise(len(probabilities) * WINDOW)
    segmenter = Segmenter(Scripted(probabilities), chosen)
    check_laws(segmenter.push(samples) + segmenter.flush(), samples)


@pytest.mark.parametrize("pre_roll_ms", [0, 1_000])
def test_a_candidate_that_reaches_the_hard_maximum_is_not_heard_again(pre_roll_ms: int) -> None:
    """Words so sparse that the longest segment has too little speech: it vanishes, and what follows is heard."""
    chosen = replace(
        SETTINGS, pre_roll_ms=pre_roll_ms, min_speech_ms=1_000, soft_max_ms=900, hard_max_ms=1_000
    )
    probabilities = script(*[(3, 1), (4, 0)] * 20, (50, 0), (60, 1), (50, 0))
    samples = noise(len(probabilities) * WINDOW)
    segmenter = Segmenter(Scripted(probabilities), chosen)
    events = segmenter.push(samples) + segmenter.flush()
    check_laws(events, samples)
    assert closed(events) and closed(events)[-1][1] > 190


@settings(max_examples=25, deadline=None)
@given(runs=runs)
def test_all_confident_speech_is_in_a_segment(runs: list[tuple[int, float]]) -> None:
    probabilities = script(*runs, (30, 0.0))
    covered = np.zeros(len(probabilities), dtype=bool)
    for start, end, _ in closed(run(probabilities)):
        covered[int(start) : int(end)] = True
    at = 0
    for speech, group in _groups(probabilities):
        if speech and group >= 10:
            assert covered[at : at + group].all()
        at += group


def _groups(probabilities: list[float]) -> list[tuple[bool, int]]:
    speech = np.array([p >= 0.5 for p in probabilities])
    edges = [0, *(np.flatnonzero(np.diff(speech)) + 1).tolist(), len(speech)]
    return [(bool(speech[a]), b - a) for a, b in pairwise(edges)]


def test_endless_silence_needs_no_memory() -> None:
    segmenter, silence = Segmenter(WebrtcVad(), SETTINGS), np.zeros(16_000, np.float32)
    for _ in range(3):
        segmenter.push(silence)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    assert all(segmenter.push(silence) == [] for _ in range(60))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 60_000  # the pre-roll; a minute of samples would be 3.8 MB


def test_the_clock_is_exact_after_ten_hours() -> None:
    """The same sound, heard at the start and ten hours later, has the same times plus ten hours, to the sample."""
    late = 10 * 3_600 * 16_000 // WINDOW
    probabilities = script((20, 0), (60, 1), (40, 0), (500, 1), (40, 0))
    samples = noise(len(probabilities) * WINDOW + 100)

    def times(first_window: int) -> list[tuple[object, ...]]:
        segmenter = Segmenter(Scripted(probabilities), SETTINGS)
        segmenter._now = first_window  # as after so much silence, which would take a minute to push
        shift = first_window * WINDOW
        events = segmenter.push(samples) + segmenter.flush()
        return [
            (type(e), e.start - shift, e.end - shift if isinstance(e, SegmentClosed) else None)
            for e in events
        ]

    assert len(times(0)) > 10
    assert times(late) == times(0)


def test_the_clock_counts_silence() -> None:
    """Ten minutes of silence push the clock as far as ten minutes are long, whatever the pushes."""
    minute, probabilities = np.zeros(60 * 16_000, np.float32), [0.0] * (600 * 16_000 // WINDOW)
    segmenter = Segmenter(Scripted([*probabilities, *script((60, 1), (50, 0))]), SETTINGS)
    assert all(segmenter.push(minute) == [] for _ in range(10))
    events = segmenter.push(noise(120 * WINDOW)) + segmenter.flush()
    assert closed(events) == [(18_740, 18_817, "silence")]


def test_no_settings_allow_sixteen_seconds() -> None:
    with pytest.raises(SettingsError, match="at most 16000"):
        SegmenterSettings(hard_max_ms=16_001)
    chosen = SegmenterSettings(soft_max_ms=15_000, hard_max_ms=16_000)
    segmenter, samples = Segmenter(Scripted([1.0] * 2_000), chosen), noise(2_000 * WINDOW)
    found = closed(segmenter.push(samples) + segmenter.flush())
    assert len(found) > 3 and max(end - start for start, end, _ in found) * WINDOW <= 16 * 16_000


def test_the_defaults_are_the_facts() -> None:
    chosen = SegmenterSettings()
    assert (chosen.pre_roll_ms, chosen.soft_max_ms, chosen.hard_max_ms) == (300, 10_000, 14_000)


def test_a_buffer_that_the_caller_fills_again_does_no_harm() -> None:
    probabilities = script((20, 0), (60, 1), (40, 0))
    samples = noise(len(probabilities) * WINDOW)
    segmenter, buffer, events = Segmenter(Scripted(probabilities), SETTINGS), np.zeros(WINDOW, np.float32), []
    for at in range(0, len(samples), WINDOW):
        buffer[:] = samples[at : at + WINDOW]
        events += segmenter.push(buffer)
    check_laws(events + segmenter.flush(), samples)


def spoken() -> np.ndarray:
    """Two sentences with pauses, from a synthesizer."""
    engine = pytest.importorskip("py_nanotts", reason="needs a synthesizer: pip install py-nanotts").NanoTTS()
    first, second = (
        np.frombuffer(engine.speak(text, voice="en-GB"), np.int16).astype(np.float32) / 32_768
        for text in ("Where is the train station, please?", "I would like two coffees.")
    )
    quiet = (0.0005 * np.random.default_rng(0).standard_normal(20_000)).astype(np.float32)
    return np.concatenate((quiet, first, quiet, second, quiet))


def test_two_sentences_are_two_segments() -> None:
    samples = spoken()
    segmenter = Segmenter(WebrtcVad(), SegmenterSettings())
    events = segmenter.push(samples) + segmenter.flush()
    check_laws(events, samples)
    assert [reason for _, _, reason in closed(events)] == ["silence", "silence"]
    again = in_cuts(Segmenter(WebrtcVad(), SegmenterSettings()), samples, [160] * 300)
    assert as_values(again) == as_values(events)
