"""Where speech is cut, how early text comes, how speech keeps up, as a client wants it: pure, and with real speech."""

import asyncio
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.audio.segmenter import SegmentClosed, Segmenter
from seamless_stream.audio.vad import VAD_WINDOW_SAMPLES
from seamless_stream.engine.engine import VADS
from seamless_stream.models.vad import SileroVad
from seamless_stream.server.changes import (
    Audio,
    Backlog,
    InputAudio,
    Policy,
    SessionChange,
    SpeechChange,
    Translation,
    TurnDetection,
    scopes,
)
from seamless_stream.server.commands import SessionUpdate
from seamless_stream.server.configuration import apply, initial
from seamless_stream.server.protocol import ProtocolError, message_schema
from seamless_stream.server.tuning import Tuning
from seamless_stream.settings import Latency, SegmenterSettings, SessionSettings
from tests.audio.test_segmenter import Scripted
from tests.engine.test_engine import TALK
from tests.fakes import FakeTranslator
from tests.server.serving import running
from tests.server.test_native import native, of, send, until

BASE = SessionSettings(target_languages=("es",))
FOLDER = Path(seamless_stream.__file__).parent / "checkpoints" / "samples"


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "event_id": "c1", "session": session}


def turns(**detection: Any) -> dict[str, Any]:
    audio = {"turn_detection": {"type": "server_vad"} | detection, "pacing": "fast"}
    return update(audio={"input": audio, "output": {"language": "es"}})


def test_what_goes_with_a_wish_keeps_its_proportion() -> None:
    tuning = Tuning().with_turns(TurnDetection(silence_duration_ms=250, max_segment_ms=7_000, threshold=0.3))
    found = tuning.settings(BASE).segmentation
    assert found == SegmenterSettings(
        threshold=0.3, hang_over_ms=250, hang_over_long_ms=100, soft_max_ms=5_000, hard_max_ms=7_000
    )
    assert Tuning().settings(BASE) == BASE


def test_a_number_wins_over_the_latency_and_later_wishes_keep_earlier_ones() -> None:
    tuning = Tuning().with_policy(Policy("low")).with_turns(TurnDetection(silence_duration_ms=800))
    tuning = tuning.with_turns(TurnDetection(threshold=0.7)).with_policy(Policy())
    found = tuning.settings(BASE)
    assert found.policy.alignatt_frames == 1 and found.policy.first_decode_ms == 640
    assert (found.segmentation.hang_over_ms, found.segmentation.soft_max_ms) == (800, 6_000)
    assert found.segmentation.threshold == 0.7


def test_session_updated_shows_what_the_engine_gets() -> None:
    change = SessionChange(
        Audio(InputAudio(turn_detection=TurnDetection(max_segment_ms=8_000))),
        Translation(policy=Policy("quality")),
        speech=SpeechChange(Backlog(target_ms=2_000, tempo_max=1.1)),
    )
    capabilities = FakeTranslator.capabilities
    config = apply(initial("native", BASE, capabilities), change, BASE, capabilities, is_open=False)
    tuned, shown = config.settings(BASE, capabilities), config.describe(BASE, capabilities)
    assert shown["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 700,
        "max_segment_ms": 8_000,
    }
    assert shown["translation"]["policy"] == {"latency": "quality"}
    backlog = {"target_ms": 2_000, "max_ms": 6_000, "tempo_max": 1.1, "overflow": "skip"}
    assert shown["speech"]["backlog"] == backlog
    assert (tuned.segmentation.hard_max_ms, tuned.policy.alignatt_frames) == (8_000, 4)
    assert (tuned.speech.target_backlog_s, tuned.speech.max_tempo) == (2.0, 1.1)


@pytest.mark.parametrize(
    ("session", "param", "text"),
    [
        (turns(max_segment_ms=20_000), "audio.input.turn_detection.max_segment_ms", "2000 to 16000, but is 20000"),
        (turns(threshold=1.5), "audio.input.turn_detection.threshold", "0 to 1, but is 1.5"),
        (turns(threshold="high"), "audio.input.turn_detection.threshold", "must be a number"),
        (turns(type="semantic_vad"), "audio.input.turn_detection.type", "one of server_vad"),
        (update(translation={"policy": {"latency": "none"}}), "translation.policy.latency", "low, balanced, quality"),
        (update(speech={"backlog": {"overflow": "merge"}}), "speech.backlog.overflow", "one of skip"),
        (update(speech={"backlog": {"tempo_max": 2}}), "speech.backlog.tempo_max", "1 to 1.25, but is 2"),
        (
            update(speech={"backlog": {"target_ms": 5_500}}),
            "speech.backlog.max_ms",
            "at least 1000 above `target_ms` = 5500, but is 6000",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_named_with_its_limit(session: dict[str, Any], param: str, text: str) -> None:
    async def scenario() -> tuple[dict[str, Any], dict[str, Any]]:
        async with running() as server, native(server) as socket:
            created = (await until(socket, "session.created"))[-1]["session"]
            await send(socket, session)
            error: dict[str, Any] = (await until(socket, "error"))[-1]["error"]
            await send(socket, update())
            updated = (await until(socket, "session.updated"))[-1]["session"]
            assert {name: created[name] for name in updated} == updated  # nothing has changed
            return error, updated

    error, _ = asyncio.run(scenario())
    assert error["param"] == f"session.{param}" and text in error["message"] and error["event_id"] == "c1"


@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.6, 1.0]), min_size=1, max_size=12),
    threshold=st.floats(0, 1),
    prefix_ms=st.integers(0, 1_000),
    silence_ms=st.integers(100, 5_000),
    max_ms=st.integers(2_000, 16_000),
    latency=st.sampled_from(get_args(Latency)),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_allowed_gives_segments_that_are_short_enough(
    probabilities: list[float],
    threshold: float,
    prefix_ms: int,
    silence_ms: int,
    max_ms: int,
    latency: Latency,
) -> None:
    wish = TurnDetection("server_vad", threshold, prefix_ms, silence_ms, max_ms)
    tuning = Tuning().with_turns(wish).with_policy(Policy(latency))
    tuning.check(BASE)
    script = [probability for probability in probabilities for _ in range(60)]  # of 1.9 s
    cutter = Segmenter(Scripted(script), tuning.settings(BASE).segmentation)
    found = cutter.push(np.zeros(len(script) * VAD_WINDOW_SAMPLES, np.float32)) + cutter.flush()
    lengths = [event.end - event.start for event in found if isinstance(event, SegmentClosed)]
    assert all(0 < length <= -(-max_ms * 16 // VAD_WINDOW_SAMPLES) * VAD_WINDOW_SAMPLES for length in lengths)
    assert lengths or max(probabilities) < max(threshold, 0.01)


def test_a_latency_that_the_servers_settings_leave_no_room_for() -> None:
    base = SessionSettings(segmentation=SegmenterSettings(soft_max_ms=8_000, hard_max_ms=11_000))
    with pytest.raises(ProtocolError, match="soft_max_ms") as caught:
        Tuning().with_policy(Policy("quality")).check(base)
    assert caught.value.param == "session.translation.policy.latency"


def test_each_field_has_a_scope_in_the_schema_and_is_refused_by_it() -> None:
    """After the first audio what is of the scope `session` is named and refused, unless it says what is so anyway."""
    refused = {
        "audio.input.turn_detection.silence_duration_ms": turns(silence_duration_ms=300),
        "translation.policy.latency": update(translation={"policy": {"latency": "low"}}),
        "speech.backlog.max_ms": update(speech={"backlog": {"max_ms": 9_000}}),
        "captions.words": update(captions={"words": True}),
        "audio.output.voice": update(audio={"output": {"voice": 1}}),
        "translation.two_way.a": update(translation={"two_way": {"a": "en", "b": "es"}}),
        "translation.source_language": update(translation={"source_language": "en"}),
    }
    same = turns(silence_duration_ms=500) | {"event_id": "same"}

    async def scenario() -> list[Any]:
        async with running() as server, native(server) as socket:
            await send(socket, turns(), to_bytes(TALK), *refused.values(), same, {"type": "session.close"})
            return await until(socket, "session.closed")

    found = asyncio.run(scenario())
    assert [error["error"]["param"] for error in of(found, "error")] == [
        f"session.{path}" for path in refused
    ]
    assert {error["error"]["code"] for error in of(found, "error")} == {"immutable_field"}
    assert len(of(found, "session.updated")) == 2
    declared = {".".join(path): scope for path, scope in scopes()}
    assert refused.keys() <= declared.keys() | {"translation.source_language"}
    tree = message_schema(SessionUpdate)["properties"]["session"]
    for path, scope in declared.items():
        node = tree
        for name in path.split("."):
            node = node.get("anyOf", [node])[0]["properties"][name]
        assert node["x-scope"] == scope, path
    limits = tree["properties"]["audio"]["anyOf"][0]["properties"]["input"]["anyOf"][0]["properties"]
    found_limits = limits["turn_detection"]["anyOf"][0]["properties"]["max_segment_ms"]
    assert (found_limits["minimum"], found_limits["maximum"]) == (2_000, 16_000)


@pytest.fixture(scope="module")
def phrasebook() -> Any:
    return seamless_stream.load("phrasebook", device="cpu").model


def hear(model: Any, samples: np.ndarray, *messages: dict[str, Any]) -> list[Any]:
    async def scenario() -> list[Any]:
        async with running(model=model) as server, native(server) as socket:
            await send(socket, *messages, to_bytes(samples), {"type": "session.close"})
            return await until(socket, "session.closed")

    return asyncio.run(scenario())


def test_real_speech_is_cut_as_it_is_asked_for(phrasebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", SileroVad)
    english = read(FOLDER / "english.flac")[: 14 * 16_000]
    text = {"output": {"language": "es", "mode": "text"}}

    def ends(**detection: Any) -> list[dict[str, Any]]:
        found = hear(phrasebook, english, update(audio=text), turns(**detection))
        assert not of(found, "error") and of(found, "segment.final")
        return of(found, "segment.ended")

    usual = ends()
    short = ends(max_segment_ms=2_000, silence_duration_ms=100)
    padded = ends(prefix_padding_ms=900, silence_duration_ms=1_500)
    assert len(short) > len(usual) > len(padded)
    assert max(end["end_ms"] - end["start_ms"] for end in short) <= 2_000
    assert padded[0]["start_ms"] < usual[0]["start_ms"]


def test_a_threshold_decides_what_is_speech(phrasebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(SileroVad):
        """Is never quite sure."""

        def push(self, samples: np.ndarray) -> list[float]:
            return [0.5 * probability for probability in super().push(samples)]

    monkeypatch.setitem(VADS, "silero", Half)
    english = read(FOLDER / "english.flac")[: 5 * 16_000]
    assert not of(hear(phrasebook, english, turns(threshold=0.6)), "segment.started")
    assert of(hear(phrasebook, english, turns(threshold=0.25)), "segment.final")


def test_low_latency_commits_more_while_somebody_speaks(
    phrasebook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VADS, "silero", SileroVad)
    english = read(FOLDER / "english.flac")[: 8 * 16_000]

    def num_early(latency: str) -> int:
        """Characters that stood before the end of their segment."""
        found = hear(phrasebook, english, turns(), update(translation={"policy": {"latency": latency}}))
        return sum(len(told["append"]) for told in of(found, "segment.updated"))

    assert num_early("low") > num_early("quality")
