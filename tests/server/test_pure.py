"""What needs no socket: decoding, the input clock, random messages, text that only grows."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.events import Final, Partial, SegmentEnded, SegmentStarted
from seamless_stream.server.captions import Captions
from seamless_stream.server.commands import CLIENT_MESSAGES
from seamless_stream.server.intake import Intake, Mark, decode
from seamless_stream.server.messages import OutputTranscriptDelta
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


def test_mulaw_is_that_of_g711() -> None:
    samples = decode(bytes([0xFF, 0x7F, 0x80, 0x00, 0xF0]), "mulaw")
    assert (samples * 32_768).tolist() == [0, 0, 32_124, -32_124, 120]


def test_floats_that_are_no_samples_become_samples() -> None:
    data = np.array([np.nan, np.inf, -np.inf, 0.5, 7], "<f4").tobytes()
    assert decode(data, "f32le").tolist() == [0, 1, -1, 0.5, 1]


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
    captions = Captions("openai", 16_000)
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
