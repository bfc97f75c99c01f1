"""The simulated clock, what counts as a lag, and that the gain of batching compares the same work."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from seamless_stream.engine.segment import Segment
from seamless_stream.events import Final, Partial, Skipped
from seamless_stream.models.base import SpeechTranslator
from seamless_stream.settings import PolicySettings
from tools.bench_sessions import (
    CHUNK_S,
    CHUNK_SAMPLES,
    SAMPLE_RATE,
    Clock,
    Ear,
    Lags,
    Row,
    Speaker,
    Track,
    bench_batching,
    line,
    load_tracks,
    play,
    run,
)


class FakeSession:
    """One segment that ends after half a second."""

    def __init__(self) -> None:
        self.segments = [Segment(0, 0, [])]
        self.position_s = 0.0

    def push(self, samples: np.ndarray) -> None:
        [segment] = self.segments
        segment.num_given += len(samples)
        self.position_s += len(samples) / SAMPLE_RATE

    def finish(self) -> None:
        """What was heard is what there is."""

    def events(self) -> list[object]:
        events, self.segments[0].events = self.segments[0].events, []
        return list(events)


class FakeEngine:
    """Says something about every chunk, half a second late on the clock."""

    def __init__(self, session: FakeSession, times: list[float]) -> None:
        self._session, self._times = session, times
        self._heard_s = 0.0

    def step(self) -> bool:
        if self._session.position_s == self._heard_s:
            return False
        self._heard_s = self._session.position_s
        self._times[0] += 0.5
        text = " ".join(["word"] * round(self._heard_s / CHUNK_S))
        self._session.segments[0].events.append(Partial(0, "spa", text, "later"))
        return True


def test_a_lag_counts_from_the_newest_audio_that_was_heard() -> None:
    times = [0.0]  # a timer that only the engine moves
    session = FakeSession()
    speaker = Speaker(session, iter([np.zeros(CHUNK_SAMPLES, np.float32)] * 2), 1.0)  # type: ignore[arg-type]
    clock, lags = Clock(lambda: times[0]), Lags()
    play(FakeEngine(session, times), [speaker], clock, lags)  # type: ignore[arg-type]
    # The second chunk comes at 1.2 s and waits until the first one's step is over at 1.6 s.
    assert lags.words == pytest.approx([0.5, 0.9])
    assert clock.busy_s == pytest.approx(1.0) and clock.now_s == pytest.approx(2.1)


def test_only_audio_and_speech_count_as_dropped() -> None:
    session, lags = FakeSession(), Lags()
    ear = Ear(session, 0.0)  # type: ignore[arg-type]
    session.segments[0].events += [
        Skipped(0, "text", "a guard acted"),
        Skipped(0, "audio", "the model is too slow"),
        Final(0, "spa", "two words", 0.0, 1.0),
    ]
    ear.read(3.0, lags)
    assert (lags.num_dropped, lags.num_guarded) == (1, 1)
    assert lags.words == [3.0, 3.0] and lags.finals == [3.0]


def test_a_count_is_carried_only_in_time_and_whole() -> None:
    good = dict(sessions=1, speaks=False, num_words=9, lag_p50_s=0.1, lag_p95_s=0.9, lag_p99_s=2.0)
    good |= dict(final_p50_s=0.1, final_p95_s=0.2, speech_p95_s=None, num_dropped=0, num_guarded=0)
    good |= dict(num_failed=0, max_level=0, busy=0.5, held_kb=1.0, rss_kb=1.0)
    assert Row(**good).is_carried  # type: ignore[arg-type]
    for worse in ({"lag_p95_s": 1.1}, {"lag_p95_s": None}, {"num_dropped": 1}, {"num_failed": 1}):
        assert not Row(**{**good, **worse}).is_carried  # type: ignore[arg-type]
    assert line(Row(**good)).count("|") == 16  # type: ignore[arg-type]


def test_a_track_goes_round() -> None:
    track = Track(np.arange(5 * CHUNK_SAMPLES // 2, dtype=np.float32), "spa")
    first, second, third = itertools.islice(track.chunks(CHUNK_SAMPLES), 3)
    assert first[0] == CHUNK_SAMPLES and third[0] == CHUNK_SAMPLES // 2
    assert second[0] == 2 * CHUNK_SAMPLES and second[CHUNK_SAMPLES // 2] == 0


def test_it_runs(phrasebook: SpeechTranslator) -> None:
    tracks = load_tracks(Path("nowhere"))
    policy = PolicySettings(name="segment")
    row = run(phrasebook, tracks, 1, 2.5, "cpu", policy, speaks=False)
    assert row.sessions == 1 and row.lag_p50_s is not None and row.num_failed == 0
    found = bench_batching(phrasebook, tracks, 2, 1, 1, "cpu", policy, speaks=False)
    assert found["gain"] > 0 and found["least"] == found["most"]
