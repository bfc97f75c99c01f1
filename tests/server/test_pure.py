"""What needs no socket: decoding, the input clock, random messages, text that only grows."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.events import Final, Partial, SegmentEnded, SegmentStarted
from seamless_stream.server.captions import Captions
from seamless_stream.server.changes import CaptionMode
from seamless_stream.server.commands import CLIENT_MESSAGES
from seamless_stream.server.intake import Intake, Mark, decode
from seamless_stream.server.messages import OutputTranscriptDelta, SegmentFinal, SegmentUpdated
from seamless_stream.server.protocol import ProtocolError, parse

NAMES = st.sampled_from(
    ["type", "session", "audio", "input", "output", "format", "rate", "language", "marker", "id", "event_id"]
) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(kind=st.sampled_from([*CLIENT_MESSAGES, "nothing"]), rest=st.dictionaries(NAMES, JSON, max_size=5))
@settings(max_examples=300, deadline=None)
def test_random_objects_are_messages_or_protocol_errors(kind: str, rest: dict[str, object]) -> None:
    try:
        message = parse(json.dumps(rest | {"type": kind}))
    except ProtocolError as error:
        json.dumps(str(error)).encode()
    else:
        assert message.type == kind


@given(data=st.text(max_size=60))
def test_random_text_is_a_protocol_error(data: str) -> None:
    with pytest.raises(ProtocolError):
        parse(data)


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"translation": {"targets": [{"language": "x"}] * 60_000}}, "translation.targets"),
        ({"translation": {"source_candidates": ["x"] * 65}}, "translation.source_candidates"),
        ({"audio": {"input": {"turn_detection": {"threshold": 10**400}}}}, "turn_detection.threshold"),
        ({"speech": {"backlog": {"target_ms": -(10**400)}}}, "speech.backlog.target_ms"),
    ],
    ids=["a million characters", "65 items", "no float", "no integer"],
)
def test_what_is_too_much_is_refused_before_it_is_read(session: dict[str, object], param: str) -> None:
    """On the event loop: everybody would wait for it."""
    message = json.dumps({"type": "session.update", "event_id": "c1", "session": session})
    started_s = time.process_time()
    with pytest.raises(ProtocolError) as refused:
        parse(message)
    assert time.process_time() - started_s < 0.5
    assert (refused.value.code, refused.value.event_id) == ("invalid_value", "c1")
    assert (refused.value.param or "").endswith(param) and len(str(refused.value)) < 100


def test_mulaw_is_that_of_g711() -> None:
    samples = decode(bytes([0xFF, 0x7F, 0x80, 0x00, 0xF0]), "mulaw")
    assert (samples * 32_768).tolist() == [0, 0, 32_124, -32_124, 120]


def test_floats_that_are_no_samples_become_samples() -> None:
    data = np.array([np.nan, np.inf, -np.inf, 0.5, 7], "<f4").tobytes()
    assert decode(data, "f32le").tolist() == [0, 1, -1, 0.5, 1]


def test_a_pause_does_not_hold_up_what_comes_behind_it() -> None:
    """A minute of silence is told when it is over: the model has it at once, and then the speech."""
    intake = Intake("s16le", 16_000, 10_000, is_paced=True)
    intake.pause(60_000)
    intake.push(b"\x01\x01" * 1_600)
    taken = [intake.take(0.0) for _ in range(61)]
    assert [len(item) for item in taken if isinstance(item, np.ndarray)] == [16_000] * 60 + [1_600]
    assert not np.any(taken[59]) and np.any(taken[60])
    intake.pause(60_000)  # but not as often as it likes
    assert intake.take(0.0) is None
    assert [intake.take(10.0) is None for _ in range(12)] == [False] * 11 + [True]


def test_dropped_audio_becomes_silence_of_its_length() -> None:
    intake = Intake("s16le", 16_000, 1_000, is_paced=False)
    intake.push(b"\x01\x01" * 16_000)
    assert not intake.has_room and intake.credit_ms == 0
    assert intake.drop(bytes(2 * 1_600)) == (1_000, 1_100)
    assert intake.drop(bytes(2 * 1_600)) == (1_100, 1_200)
    intake.put(Mark("m"))
    taken = []
    while (item := intake.take(0.0)) is not None:
        taken.append(item)
    assert [np.abs(item).max() > 0 for item in taken[:-1]] == [True, False]
    assert [len(item) for item in taken[:-1]] == [16_000, 3_200] and taken[-1] == Mark("m")
    assert intake.received_ms == 1_200 and intake.dropped_ms == 200 and intake.waiting_ms == 0


def test_a_paced_intake_gives_hardly_more_than_time_passes() -> None:
    intake = Intake("s16le", 16_000, 60_000, is_paced=True)
    intake.push(bytes(2 * 16_000 * 20))
    given_s = 0.0
    for second in range(11):
        while (item := intake.take(float(second))) is not None:
            given_s += len(item) / 16_000
    assert given_s == pytest.approx(1 + 1.1 * 10, abs=0.05)


def test_what_the_worker_refuses_comes_first_again() -> None:
    intake = Intake("s16le", 16_000, 60_000, is_paced=False)
    intake.push(np.arange(20_000, dtype="<i2").tobytes())
    first = intake.take(0.0)
    assert isinstance(first, np.ndarray)
    intake.give_back(first)
    assert intake.waiting_ms == 1_250
    again = intake.take(0.0)
    assert isinstance(again, np.ndarray) and np.array_equal(first, again)


@pytest.mark.parametrize(("code", "expected"), [("eng", "one two. three"), ("jpn", "one two.three")])
def test_deltas_carry_their_own_spaces(code: str, expected: str) -> None:
    captions = Captions("openai", 16_000, targets=(code,))
    events = [
        SegmentStarted(0, 0.0),
        Partial(0, code, "one", " tw"),
        Partial(0, code, "one two", ""),
        Final(0, code, "one two.", 0.0, 1.0),
        SegmentEnded(0, 0.0, 1.0, "silence"),
        SegmentStarted(1, 2.0),
        Final(1, code, "three", 2.0, 3.0),
    ]
    found = [message for event in events for message in captions.convert(event, 0)]
    assert "".join(m.delta for m in found if isinstance(m, OutputTranscriptDelta)) == expected


MODES = st.sampled_from(["stable+unstable", "stable", "final"])
STEPS = st.lists(
    st.tuples(st.text("ab ", max_size=3), st.text("xy", max_size=2), st.integers(0, 300), MODES), max_size=12
)


@given(steps=STEPS, interval_ms=st.sampled_from([0, 150, 1_000]), is_fixed=st.booleans())
def test_in_every_mode_no_word_is_lost_late_or_taken_back(
    steps: list[tuple[str, str, int, CaptionMode]], interval_ms: int, is_fixed: bool
) -> None:
    captions = Captions("native", 16_000, targets=("spa",), min_interval_ms=interval_ms)
    captions.convert(SegmentStarted(0, 0.0), 0)
    committed, shown, rev, now_s, told_s = "", "", 0, 100.0, -1e9
    unstable = None
    for more, pending, pause_ms, mode in steps:
        now_s += pause_ms / 1000
        captions.mode = mode if not is_fixed else steps[0][3]
        committed += more
        found = captions.convert(Partial(0, "spa", committed, pending), 0, now_s)
        if not found:
            found = list(captions.due(now_s))
        for message in found:
            assert isinstance(message, SegmentUpdated)
            shown, rev = shown + message.append, rev + 1
            assert (message.stable, message.rev) == (shown, rev) and committed.startswith(shown)
            assert message.append or now_s - told_s >= interval_ms / 1000
            told_s, unstable = now_s, message.unstable
        assert shown == committed or captions.mode == "final"
        assert captions.mode == "stable+unstable" or not [m for m in found if m.unstable]  # type: ignore[union-attr]
    now_s += 1.001
    for message in captions.due(now_s):  # the last unstable text comes at last
        assert isinstance(message, SegmentUpdated) and not message.append
        unstable, rev = message.unstable, rev + 1
    if steps and captions.mode == "stable+unstable":
        assert unstable == steps[-1][1]
    assert not list(captions.due(now_s + 10))
    [final] = captions.convert(Final(0, "spa", committed + "!", 0.0, 1.0), 0, now_s)
    assert isinstance(final, SegmentFinal)
    assert shown + final.append == final.text == committed + "!" and final.rev == rev + 1
    assert not list(captions.due(now_s + 10))
