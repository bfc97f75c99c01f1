"""Engine and sessions with a fake model: cut invariance, company invariance, failures, refusals."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from seamless_stream.engine.engine import Engine
from seamless_stream.engine.session import Session
from seamless_stream.errors import LanguageError, SettingsError
from seamless_stream.events import Event, Failed, Final, SegmentEnded, SegmentStarted, Skipped, Speech
from seamless_stream.settings import DecodingSettings, SessionSettings
from tests.fakes import FakeTranslator, speech

S2ST = SessionSettings(target_languages=("es",), task="s2st")
PAUSE = (0.0,) * 8
TALK = np.concatenate(
    [speech(0, 0, 0.11, 0.22, 0.33, *PAUSE), speech(0.44, 0.55, *PAUSE), speech(0.66, 0.77, 0.88)]
)


def cut(samples: np.ndarray, seed: int) -> list[np.ndarray]:
    """The same samples in random chunks, some of them empty."""
    random = np.random.default_rng(seed)
    places = np.sort(random.integers(0, len(samples), random.integers(0, 60)))
    return np.split(samples, places)


def drain(engine: Engine, session: Session) -> list[Event]:
    events: list[Event] = []
    while engine.step():
        events += session.events()
    return events + session.events()


def listen(engine: Engine, chunks: list[np.ndarray], settings: SessionSettings = S2ST) -> list[Event]:
    session = engine.open(settings)
    events: list[Event] = []
    for chunk in chunks:
        session.push(chunk)
        events += drain(engine, session)
    session.finish()
    events += drain(engine, session)
    assert session.is_done
    engine.close(session)
    return events


def in_order(events: list[Event]) -> list[object]:
    """Events segment by segment, without the time that the model worked, speech as a list.

    How the events of different segments interleave depends on when the engine was stepped; nothing else does.
    """
    result: list[object] = []
    for event in sorted(events, key=lambda event: event.segment):
        if isinstance(event, Final):
            event = replace(event, compute_s=0.0)
        result.append((event.unit_ids, event.samples.tolist()) if isinstance(event, Speech) else event)
    return result


def test_talk_becomes_segments_with_their_events_in_order() -> None:
    events = listen(Engine(FakeTranslator()), [TALK])
    one_segment = [SegmentStarted, Final, Speech, SegmentEnded]
    by_segment = [[type(e) for e in events if e.segment == number] for number in range(3)]
    assert by_segment == [one_segment] * 3
    finals = [event for event in events if isinstance(event, Final)]
    assert [final.segment for final in finals] == [0, 1, 2]
    assert all(final.language == "spa" and final.text for final in finals)
    assert all(a.end_s <= b.start_s for a, b in zip(finals, finals[1:], strict=False))
    assert finals[0].start_s < 0.32 <= finals[0].start_s + 0.35  # the pre-roll lies before the first tone
    assert events[-1].reason == "end_of_stream"  # type: ignore[union-attr]


@cache
def whole() -> list[object]:
    """What becomes of the talk in one push, alone."""
    return in_order(listen(Engine(FakeTranslator()), [TALK]))


@pytest.mark.parametrize("seed", range(8))
def test_cutting_the_audio_differently_changes_nothing(seed: int) -> None:
    assert in_order(listen(Engine(FakeTranslator()), cut(TALK, seed))) == whole()


@pytest.mark.parametrize("seed", range(3))
def test_strangers_in_the_batch_change_nothing(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Sessions of other lengths, languages and tasks that join and leave."""
    model = FakeTranslator()
    engine = Engine(model)
    random = np.random.default_rng(seed)
    strangers = [
        engine.open(SessionSettings(target_languages=("fr",), task="s2tt")),
        engine.open(replace(S2ST, target_languages=("en",), speaker=1)),
        engine.open(S2ST),
    ]
    session = engine.open(S2ST)
    for chunk in cut(TALK, seed):
        session.push(chunk)
        for stranger in strangers:
            stranger.push(speech(*random.choice([0.0, 0.3, 0.9], 12)))
        if random.random() < 0.3:
            engine.step()
        if strangers and random.random() < 0.1:
            engine.close(strangers.pop())
    session.finish()
    for stranger in strangers:
        stranger.finish()
    while engine.step():
        pass
    assert in_order(session.events()) == whole()
    assert max(model.batches) > 1 and not caplog.records  # no batch failed and was worked on row by row


def test_several_languages_come_from_one_encoding() -> None:
    model = FakeTranslator()
    settings = SessionSettings(target_languages=("es", "fr", "spanish"), task="s2tt")
    events = listen(Engine(model), [speech(0, 0.5, 0.6)], settings)
    assert [event.language for event in events if isinstance(event, Final)] == ["spa", "fra"]
    assert model.batches == [1]


def test_failing_segment_fails_alone_and_the_session_goes_on() -> None:
    model = FakeTranslator(poison=0.5)
    engine = Engine(model)
    sick, healthy = engine.open(S2ST), engine.open(S2ST)
    poisoned = np.full(3200, 0.5, np.float32)
    for session in (sick, healthy):
        session.push(speech(0, 0.3, *PAUSE))
    sick.push(np.concatenate([poisoned, speech(*PAUSE), speech(0.4, *PAUSE)]))
    healthy.push(speech(0.6, *PAUSE))
    for session in (sick, healthy):
        session.finish()
    while engine.step():
        pass
    kinds = [(e.segment, type(e)) for e in sick.events() if isinstance(e, Final | Failed)]
    assert kinds == [(0, Final), (1, Failed), (2, Final)]
    assert not [e for e in healthy.events() if isinstance(e, Failed)]
    assert max(model.batches) > 1  # it failed in company first


def test_failure_says_what_happened() -> None:
    engine = Engine(FakeTranslator(poison=0.5))
    session = engine.open(S2ST, is_whole=True)
    session.push(np.full(3200, 0.5, np.float32))
    session.finish()
    [failed] = [event for event in drain(engine, session) if isinstance(event, Failed)]
    assert failed.message == "The model failed: RuntimeError: poisoned"


def test_text_is_a_segment_without_a_place_in_time() -> None:
    engine = Engine(FakeTranslator())
    session = engine.open(SessionSettings(target_languages=("es",), source_language="en", task="t2st"))
    session.push_text("a bb ccc")
    session.finish()
    events = drain(engine, session)
    assert [type(event) for event in events] == [SegmentStarted, Final, Speech, SegmentEnded]
    assert isinstance(events[1], Final) and events[1].start_s == events[1].end_s == 0


def test_whole_recording_is_one_segment_if_anybody_speaks() -> None:
    engine = Engine(FakeTranslator())
    for samples, expected in ((TALK, [(0.0, len(TALK) / 16_000)]), (speech(*PAUSE), [])):
        session = engine.open(S2ST, is_whole=True)
        for chunk in cut(samples, 1):
            session.push(chunk)
        session.finish()
        events = drain(engine, session)
        assert [(e.start_s, e.end_s) for e in events if isinstance(e, Final)] == expected


def test_limit_of_tokens_is_reported() -> None:
    settings = replace(S2ST, task="s2tt", decoding=DecodingSettings(max_new_tokens=2))
    events = listen(Engine(FakeTranslator()), [speech(0.2, 0.3, 0.4, 0.5)], settings)
    [skipped] = [event for event in events if isinstance(event, Skipped)]
    assert skipped == Skipped(0, "text", "`max_new_tokens` = 2 was reached")


def test_silence_costs_no_memory() -> None:
    session = Engine(FakeTranslator()).open(S2ST)
    second = np.zeros(16_000, np.float32)
    for _ in range(60):
        session.push(second)
    assert session.backlog_samples == 0 and session.num_segments == 0 and session.position_s == 60
    held = session._cutter._held  # type: ignore[attr-defined]
    assert len(held) < 20  # the pre-roll only


def test_finished_session_takes_no_audio() -> None:
    session = Engine(FakeTranslator()).open(S2ST)
    session.finish()
    with pytest.raises(SettingsError, match="finished session"):
        session.push(TALK)


def test_closing_drops_waiting_work() -> None:
    engine = Engine(FakeTranslator())
    session = engine.open(S2ST)
    session.push(TALK)
    engine.close(session)
    assert not engine.step()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            SessionSettings(target_languages=("es",)),
            "`task` must be one of asr, s2st, s2tt, t2st, t2tt with this checkpoint, but is None.",
        ),
        (SessionSettings(task="s2tt"), "`target_languages` must name at least one language, but is empty."),
        (
            SessionSettings(target_languages=("es",), task="t2tt"),
            "`source_language` must be given for text, but is empty.",
        ),
        (replace(S2ST, speaker=2), "`speaker` must be 0 to 1 with this checkpoint, but is 2."),
        (
            SessionSettings(target_languages=("es",), source_language="en", task="asr"),
            "`target_languages` must be the spoken language eng for asr, but is spa.",
        ),
    ],
)
def test_impossible_wishes_are_refused(settings: SessionSettings, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Engine(FakeTranslator()).open(settings)
    assert str(caught.value) == sentence


def test_language_without_a_voice_is_refused_for_speech_only() -> None:
    engine = Engine(FakeTranslator())
    with pytest.raises(LanguageError, match="with a voice"):
        engine.open(replace(S2ST, target_languages=("fr",)))
    engine.open(replace(S2ST, target_languages=("fr",), task="s2tt"))
