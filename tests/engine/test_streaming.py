"""The engine while segments are open, with a fake model: commits, pieces of speech, relief, refusals, new targets."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from seamless_stream.engine.engine import Engine
from seamless_stream.engine.load import Relief
from seamless_stream.engine.session import Session
from seamless_stream.errors import BusyError, LanguageError, SettingsError
from seamless_stream.events import (
    Event,
    Failed,
    Final,
    Partial,
    SegmentEnded,
    SegmentStarted,
    Skipped,
    Speech,
    TargetsChanged,
)
from seamless_stream.settings import (
    DecodingSettings,
    EngineSettings,
    PolicyName,
    PolicySettings,
    SegmenterSettings,
    SessionSettings,
    SpeechSettings,
)
from tests.engine.test_engine import PAUSE, cut, drain, in_order, listen
from tests.fakes import FIRST_WORD, NUM_WORDS, FakeTranslator, speech

LONG = speech(0, *(0.11 * (1 + i % 8) for i in range(40)), *PAUSE)  # 6.4 s without a pause: 40 words
SHORT_STEPS = {"first_decode_ms": 0, "decode_every_ms": 160}
STREAMING = SessionSettings(
    target_languages=("es",),
    task="s2st",
    policy=PolicySettings("alignatt", alignatt_frames=8, **SHORT_STEPS),  # type: ignore[arg-type]
    speech=SpeechSettings(first_piece_units=4, piece_units=6),
)
ALL: tuple[PolicyName, ...] = ("segment", "wait-k", "hold-n", "local-agreement", "alignatt")


def with_policy(name: PolicyName, **choices: int) -> SessionSettings:
    return replace(STREAMING, policy=PolicySettings(name, **{**SHORT_STEPS, **choices}))  # type: ignore[arg-type]


def word_of(level: float) -> str:
    """What the fake model says to a tone in Spanish."""
    return f"w{FIRST_WORD + int(1000 * np.float32(level)) % NUM_WORDS}"


def final_text(events: list[Event]) -> str:
    [final] = [event for event in events if isinstance(event, Final)]
    return final.text


@pytest.mark.parametrize("name", ALL)
def test_committed_text_is_never_taken_back(name: PolicyName) -> None:
    events = listen(Engine(FakeTranslator()), cut(LONG, 1), with_policy(name))
    committed = [event.committed for event in events if isinstance(event, Partial)]
    texts = [*committed, final_text(events)]
    for before, after in zip(texts, texts[1:], strict=False):
        assert after.startswith(before)
    assert (len(set(committed)) > 5) == (name != "segment")
    assert len(final_text(events).split()) >= 40


@cache
def uncut(name: PolicyName) -> list[object]:
    """What becomes of the talk, twice, in two pushes."""
    return in_order(listen(Engine(FakeTranslator()), [LONG, LONG], with_policy(name)))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_cuts_change_neither_partials_nor_pieces_of_speech(name: PolicyName, seed: int) -> None:
    events = listen(Engine(FakeTranslator()), cut(np.concatenate([LONG, LONG]), seed), with_policy(name))
    assert in_order(events) == uncut(name)


def test_speech_comes_while_the_segment_is_open() -> None:
    events = listen(Engine(FakeTranslator()), cut(LONG, 3), STREAMING)
    kinds = [type(event) for event in events]
    assert kinds.count(Speech) > 3 and kinds.index(Speech) < kinds.index(Final)
    assert kinds[-1] is SegmentEnded
    whole = listen(Engine(FakeTranslator()), [LONG], with_policy("segment"))
    assert final_text(events) == final_text(whole)
    for a, b in ((events, whole),):
        units = [[unit for e in run if isinstance(e, Speech) for unit in e.unit_ids] for run in (a, b)]
        lengths = [sum(len(e.samples) for e in run if isinstance(e, Speech)) for run in (a, b)]
        assert units[0] == units[1] and lengths[0] == lengths[1]


def test_open_segment_that_fails_keeps_its_text_and_the_session_goes_on() -> None:
    engine = Engine(FakeTranslator(poison=0.625))
    poisoned = np.full(4000, 0.625, np.float32)
    audio = np.concatenate([LONG[: 16_000 * 4], poisoned, LONG[16_000 * 4 :], LONG])
    events = listen(engine, cut(audio, 2), STREAMING)
    first = [event for event in events if event.segment == 0]
    assert [type(e) for e in first if isinstance(e, Failed | Final | SegmentEnded)] == [Failed, SegmentEnded]
    assert any(isinstance(e, Partial) and e.committed for e in first)
    assert [type(e) for e in events if e.segment == 1 and isinstance(e, Final | SegmentEnded)] == [
        Final,
        SegmentEnded,
    ]


def test_speech_without_a_pause_loses_and_repeats_no_word_where_it_is_cut() -> None:
    levels = [0.11 * (1 + i % 8) for i in range(16)]
    audio = speech(0, *(level for level in levels for _ in range(6)), *PAUSE)  # 15 s; each level lasts 0.96 s
    settings = replace(
        STREAMING,
        task="s2tt",
        policy=PolicySettings("alignatt", alignatt_frames=12, **SHORT_STEPS),  # type: ignore[arg-type]
        segmentation=SegmenterSettings(soft_max_ms=3_500, hard_max_ms=4_000),
    )
    events = listen(Engine(FakeTranslator()), cut(audio, 4), settings)
    ended = [event for event in events if isinstance(event, SegmentEnded)]
    assert [event.reason for event in ended].count("hard_max") >= 3
    words = [w for e in events if isinstance(e, Final) for w in e.text.split() if w != "w10"]  # w10: silence
    runs = [(word, len(list(run))) for word, run in itertools.groupby(words)]
    assert [word for word, _ in runs] == [word_of(level) for level in levels]
    # The fake model gives the word on a border to the louder side; a cut may fall into a word.
    assert all(5 <= count <= 7 for _, count in runs)
    assert in_order(events) == in_order(listen(Engine(FakeTranslator()), [audio], settings))


def test_targets_change_at_the_next_segment() -> None:
    engine = Engine(FakeTranslator())
    session = engine.open(STREAMING)
    session.push(LONG[:40_000])
    events = drain(engine, session)
    engine.change_targets(session, ["english", "es"])
    with pytest.raises(LanguageError):
        engine.change_targets(session, ["fra"])  # has no voice
    session.push(np.concatenate([LONG[40_000:], LONG]))
    session.finish()
    events += drain(engine, session)
    assert {e.language for e in events if isinstance(e, Final) and e.segment == 0} == {"spa"}
    assert {e.language for e in events if isinstance(e, Final) and e.segment == 1} == {"eng", "spa"}
    assert {e.language for e in events if isinstance(e, Speech) and e.segment == 1} == {"eng", "spa"}
    [changed] = [event for event in events if isinstance(event, TargetsChanged)]
    assert changed == TargetsChanged(1, ("eng", "spa"))
    assert isinstance(events[events.index(changed) - 1], SegmentStarted)


@pytest.mark.parametrize(("before", "after"), [("spa eng", "spa"), ("eng spa", "spa"), ("spa", "eng")])
def test_a_change_of_targets_loses_no_word_where_the_speech_is_cut(before: str, after: str) -> None:
    """A language that goes gets its last words, one that stays hears on from where it was."""
    wanted = replace(
        STREAMING,
        task="s2tt",
        policy=PolicySettings("alignatt", alignatt_frames=12, **SHORT_STEPS),  # type: ignore[arg-type]
        segmentation=SegmenterSettings(soft_max_ms=1_900, hard_max_ms=2_000),
    )
    levels = [0.11 * (1 + i % 8) for i in range(12)]
    audio = speech(
        0, *(level for level in levels for _ in range(2))
    )  # however it is cut, a whole word of each
    engine = Engine(FakeTranslator())
    session = engine.open(replace(wanted, target_languages=tuple(before.split())))
    session.push(audio[:16_000])
    events = drain(engine, session)
    engine.change_targets(session, after.split())
    for chunk in np.array_split(audio[16_000:], 30):
        session.push(chunk)
        events += drain(engine, session)
    session.finish()
    events += drain(engine, session)
    assert any(isinstance(e, SegmentEnded) and (e.segment, e.reason) == (0, "hard_max") for e in events)
    finals = [e for e in events if isinstance(e, Final) and (e.language == after or after not in before)]
    said = iter([word for final in finals for word in final.text.split()])
    missing = [level for level in levels if word_of(level) not in said]  # in this order
    assert not missing


def test_a_least_number_of_tokens_adds_none_to_what_is_committed() -> None:
    free, held = (
        [
            event.token_ids
            for event in listen(Engine(FakeTranslator()), cut(LONG, 3), replace(STREAMING, decoding=decoding))
            if isinstance(event, Final)
        ]
        for decoding in (DecodingSettings(), DecodingSettings(min_new_tokens=20))
    )
    assert held == free


def test_long_steps_do_not_make_the_overload_that_they_relieve() -> None:
    policy = PolicySettings("alignatt", decode_every_ms=2_000)
    engine = Engine(FakeTranslator())
    session = engine.open(replace(STREAMING, is_live=True, policy=policy))
    audio = np.concatenate([LONG, LONG])
    session.push(audio[:67_200])  # one stall of 4.2 s; from here on the model is idle
    levels = []
    for chunk in np.split(audio[67_200:168_000], 63):
        drain(engine, session)
        levels.append(session.overload_level)
        session.push(chunk)
    assert levels[0] <= 2 and max(levels) <= 2 and levels[-1] == 0


def overloaded(seconds_behind: float, **choices: object) -> tuple[Session, list[Event]]:
    """A live session that gets so much audio at once that it is behind."""
    engine = Engine(FakeTranslator())
    session = engine.open(replace(STREAMING, is_live=True, **choices))  # type: ignore[arg-type]
    audio = np.concatenate([LONG] * (1 + int(seconds_behind / 6.4)))
    session.push(audio[: int(seconds_behind * 16_000)])
    return session, drain(engine, session)


def test_live_session_that_is_behind_takes_larger_steps() -> None:
    _, relaxed = overloaded(0.7)
    session, events = overloaded(5.0)
    assert session.overload_level == 0  # it has caught up
    partials = [event for event in events if isinstance(event, Partial)]
    assert len(partials) <= 5 and len(partials[0].committed.split()) > 20
    not_live = listen(Engine(FakeTranslator()), [LONG[:80_000]], STREAMING)
    assert sum(isinstance(event, Partial) for event in not_live) > 10
    assert sum(isinstance(event, Partial) for event in relaxed) >= 1


def test_live_session_that_is_far_behind_says_what_it_leaves_out() -> None:
    _, events = overloaded(40.0, segmentation=SegmenterSettings(soft_max_ms=5_000, hard_max_ms=6_000))
    dropped = [e for e in events if isinstance(e, Skipped) and e.what == "audio"]
    assert dropped and all("too slow" in event.reason for event in dropped)
    ended = [event.segment for event in events if isinstance(event, SegmentEnded)]
    finals = [event.segment for event in events if isinstance(event, Final)]
    assert ended == sorted(ended) and set(ended) <= set(finals)


def test_muted_session_skips_speech_and_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seamless_stream.engine.load.Overload.relief", lambda *_: Relief(is_mute=True))
    events = listen(Engine(FakeTranslator()), [LONG], replace(STREAMING, is_live=True))
    assert not [event for event in events if isinstance(event, Speech)]
    skipped = [event for event in events if isinstance(event, Skipped)]
    assert {event.what for event in skipped} == {"speech"}
    left_out = " ".join(event.reason.removeprefix("the model is too slow: ") for event in skipped)
    assert left_out == final_text(events)


def test_session_without_a_listener_leaves_nothing_out() -> None:
    audio = np.concatenate([LONG] * 6)
    events = listen(Engine(FakeTranslator()), [audio], STREAMING)
    assert not [event for event in events if isinstance(event, Skipped)]
    assert sum(len(e.text.split()) for e in events if isinstance(e, Final)) >= 240


def test_engine_refuses_a_session_too_many() -> None:
    engine = Engine(FakeTranslator(), EngineSettings(max_sessions=2))
    first = engine.open(STREAMING)
    engine.open(STREAMING)
    with pytest.raises(BusyError, match="has 2 of them"):
        engine.open(STREAMING)
    engine.close(first)
    engine.open(STREAMING)


def test_engine_refuses_a_live_session_that_it_has_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(FakeTranslator())
    live = replace(STREAMING, is_live=True)
    sessions = [engine.open(live) for _ in range(2)]
    seconds = iter(range(10**6))
    monkeypatch.setattr(engine._runner, "_clock", lambda: 0.01 * next(seconds))  # each call takes 10 ms
    for start in range(0, len(LONG), 1600):
        for session in sessions:
            session.push(LONG[start : start + 1600])
        while engine.step():
            pass
    assert 0.05 < engine.load
    engine.settings = EngineSettings(max_load=engine.load * 1.2)
    with pytest.raises(BusyError, match=r"2 sessions take \d+ % of it"):
        engine.open(live)
    engine.open(STREAMING)  # nobody listens: it may take its time
    engine.settings = EngineSettings(max_load=min(1.0, engine.load * 1.6))
    engine.open(live)


def test_work_for_a_recording_is_no_load_of_live_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(FakeTranslator(), EngineSettings(max_load=0.9))
    ticks = iter(range(10**6))
    monkeypatch.setattr(engine._runner, "_clock", lambda: 0.05 * next(ticks))
    listen(engine, [LONG] * 5, STREAMING)
    live = engine.open(replace(STREAMING, is_live=True))
    beside = engine.open(STREAMING)
    beside.push(np.concatenate([LONG] * 3))
    for _ in range(20):
        live.push(np.zeros(1_600, np.float32))
        drain(engine, live)
    assert engine.load < 0.2
    engine.open(replace(STREAMING, is_live=True))


def test_a_neighbour_that_cannot_be_written_does_not_make_others_hear_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = final_text(listen(Engine(FakeTranslator()), [LONG], STREAMING))
    engine = Engine(FakeTranslator())
    mine, other = engine.open(STREAMING), engine.open(STREAMING)
    make = engine._writings

    def refuse(session: Session, *rest: object) -> object:
        if session is other:
            raise ValueError("no line")
        return make(session, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_writings", refuse)
    events: list[Event] = []
    for chunk in np.split(LONG[: len(LONG) // 20 * 20], 20):
        for session in (mine, other):
            session.push(chunk)
        events += drain(engine, mine)
    for session in (mine, other):
        session.finish()
    events += drain(engine, mine)
    assert final_text(events) == expected
    assert any(isinstance(event, Failed) and "no line" in event.message for event in other.events())


def test_stats_say_what_a_session_holds() -> None:
    engine = Engine(FakeTranslator())
    session = engine.open(STREAMING)
    session.push(LONG[:32_000])
    [before] = engine.stats()
    assert before["waiting_s"] > 1.5 and before["nbytes"] > 4 * 16_000 * 1.5
    drain(engine, session)
    [after] = engine.stats()
    assert after["waiting_s"] < 0.2 and after["position_s"] == 2.0 and after["unplayed_s"] > 0


def test_policies_are_refused_where_the_checkpoint_cannot() -> None:
    model = FakeTranslator()
    model.capabilities = replace(model.capabilities, has_alignment=False)  # type: ignore[misc]
    with pytest.raises(
        SettingsError, match="must be one of segment, wait-k, hold-n, local-agreement with fake"
    ):
        Engine(model).open(STREAMING)
    model.capabilities = replace(model.capabilities, encoder_modes=())  # type: ignore[misc]
    with pytest.raises(SettingsError, match="`policy.name` must be segment with fake"):
        Engine(model).open(with_policy("wait-k"))
    with pytest.raises(SettingsError, match="`encoder` must be left out with fake"):
        Engine(model).open(replace(with_policy("segment"), encoder="chunked"))
