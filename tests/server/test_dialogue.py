"""Several target languages, captions of the source, two-way conversation: pure, over sockets, with real speech."""

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.engine.engine import VADS
from seamless_stream.events import Event, Final, Partial, SegmentEnded, SegmentStarted, Speech
from seamless_stream.models.vad import SileroVad
from seamless_stream.server.captions import Captions
from seamless_stream.server.changes import TargetLanguage, Translation, TwoWay
from seamless_stream.server.languages import Languages, apply_translation
from seamless_stream.server.protocol import HEADER, HEADER_BYTES, ProtocolError
from seamless_stream.server.spoken import Spoken
from tests.engine.test_engine import TALK
from tests.fakes import FakeTranslator
from tests.server.serving import running
from tests.server.test_native import native, of, send, until

CAPABILITIES = FakeTranslator.capabilities


def translate(pacing: str = "fast", **translation: Any) -> dict[str, Any]:
    audio = {"input": {"pacing": pacing, "transcription": {"enabled": True}}}
    return {
        "type": "session.update",
        "event_id": "c1",
        "session": {"audio": audio, "translation": translation},
    }


def frames(found: list[Any]) -> dict[int, bytes]:
    """Speech by the target's place; every clock has no hole."""
    speech: dict[int, bytes] = {}
    for frame in found:
        if isinstance(frame, bytes):
            _, _, flags, _, first_sample, _, size = HEADER.unpack(frame[:HEADER_BYTES])
            pcm = speech.get(flags >> 8, b"")
            assert first_sample == len(pcm) // 2 and size == len(frame) - HEADER_BYTES
            speech[flags >> 8] = pcm + frame[HEADER_BYTES:]
    return speech


def run(*messages: dict[str, Any] | bytes) -> list[Any]:
    async def scenario() -> list[Any]:
        async with running() as server, native(server) as socket:
            await send(socket, *messages, {"type": "session.close"})
            return await until(socket, "session.closed")

    return asyncio.run(scenario())


def test_two_languages_are_written_and_one_of_them_spoken() -> None:
    targets = [{"language": "es"}, {"language": "fr"}, {"language": "en", "speech": False}]
    found = run(translate(source_language="auto", targets=targets), to_bytes(TALK))
    updated = of(found, "session.updated")[0]["session"]
    assert [t["speech"] for t in updated["translation"]["targets"]] == [True, False, False]
    assert updated["audio"]["output"]["language"] == "es"
    finals = of(found, "segment.final")
    assert [(f["segment_id"], f["language"], f["role"]) for f in finals] == [
        (f"s{n}", language, "target") for n in range(3) for language in ("es", "fr", "en")
    ]
    assert set(frames(found)) == {0}
    assert {done["language"] for done in of(found, "segment.audio_done")} == {"es"}
    assert found[-1]["usage"]["segments"] == 3


def test_each_spoken_language_has_a_clock_of_its_own() -> None:
    found = run(translate(targets=[{"language": "es"}, {"language": "en"}]), to_bytes(TALK))
    speech = frames(found)
    assert set(speech) == {0, 1} and len(speech[0]) > 1_000
    done = of(found, "segment.audio_done")
    for language, place in (("es", 0), ("en", 1)):
        assert sum(d["samples"] for d in done if d["language"] == language) == len(speech[place]) // 2


def test_the_source_is_written_down_and_not_spoken() -> None:
    found = run(translate(source_language="en", targets=[{"language": "es"}]), to_bytes(TALK))
    assert of(found, "session.updated")[0]["session"]["audio"]["input"]["transcription"] == {"enabled": True}
    roles = {(f["language"], f["role"]) for f in of(found, "segment.final")}
    assert roles == {("es", "target"), ("en", "source")}
    assert set(frames(found)) == {0}


def test_targets_may_change_and_voices_may_not() -> None:
    found = run(
        translate(targets=[{"language": "es"}, {"language": "fr"}]),
        to_bytes(TALK),
        translate(targets=[{"language": "es", "speech": False}]),
        translate(targets=[{"language": "en"}, {"language": "es"}]),
        to_bytes(TALK),
    )
    [error] = of(found, "error")
    assert (
        error["error"]["code"] == "immutable_field"
        and error["error"]["param"] == "session.translation.targets"
    )
    [changed] = of(found, "segment.target_changed")
    assert changed["languages"] == ["en", "es"] and changed["language"] == "en"
    last = of(found, "segment.final")[-1]["segment_id"]
    assert {f["language"] for f in of(found, "segment.final") if f["segment_id"] == last} == {"en", "es"}


@pytest.mark.parametrize(
    ("translation", "param"),
    [
        ({"targets": []}, "session.translation.targets"),
        ({"targets": "es"}, "session.translation.targets"),
        ({"targets": [{"language": "klingon"}]}, "session.translation.targets[0].language"),
        ({"targets": [{"language": "es"}, {"language": "spa"}]}, "session.translation.targets"),
        ({"targets": [{"language": "fr", "speech": True}]}, "session.translation.targets[0].language"),
        ({"targets": [{"language": "fr", "speech": 1}]}, "session.translation.targets[0].speech"),
        ({"two_way": {"a": "en"}}, "session.translation.two_way.b"),
        ({"two_way": {"a": "en", "b": "es"}, "source_language": "fr"}, "session.translation.source_language"),
        ({"source_language": "klingon"}, "session.translation.source_language"),
        ({"source_candidates": ["en"]}, "session.translation.source_candidates"),
        ({"source_candidates": ["en", "klingon"]}, "session.translation.source_candidates[1]"),
        ({"source_candidates": ["en", "eng"]}, "session.translation.source_candidates"),
        ({"source_candidates": ["en", "es"], "source_language": "fr"}, "session.translation.source_language"),
        (
            {"source_candidates": ["en", "fr"], "two_way": {"a": "en", "b": "es"}},
            "session.translation.source_candidates",
        ),
        ({"same_language": "maybe"}, "session.translation.same_language"),
    ],
)
def test_wrong_languages_are_named(translation: dict[str, Any], param: str) -> None:
    async def scenario() -> dict[str, Any]:
        async with running() as server, native(server) as socket:
            await send(socket, translate(**translation))
            error: dict[str, Any] = (await until(socket, "error"))[-1]["error"]
            return error

    error = asyncio.run(scenario())
    assert error["param"] == param and error["recoverable"] and error["event_id"] == "c1"


def test_two_people_declare_who_speaks() -> None:
    pair = {"a": "en", "b": "es"}
    found = run(
        translate(two_way=pair, source_language="en"),
        to_bytes(np.concatenate([TALK, np.zeros(16_000, np.float32)])),
        translate(source_language="es"),
        to_bytes(TALK),
    )
    shown = of(found, "session.updated")[0]["session"]["translation"]
    assert shown["two_way"] == pair and shown["same_language"] == "skip"
    directions = of(found, "segment.direction")
    assert [(d["source_language"], d["target_language"]) for d in directions] == [("en", "es")] * 3 + [
        ("es", "en")
    ] * 3
    assert not any(d["is_detected"] for d in directions)
    roles = [(f["language"], f["role"]) for f in of(found, "segment.final")]
    assert roles == [("en", "source"), ("es", "target")] * 3 + [("en", "target"), ("es", "source")] * 3
    done = [(d["segment_id"], d["language"]) for d in of(found, "segment.audio_done")]
    assert done == [(f"s{n}", "es" if n < 3 else "en") for n in range(6)]
    assert set(frames(found)) == {0, 1}


def spoken(language: str) -> Speech:
    return Speech(0, language, np.ones(1_600, np.float32) / 2, 16_000)


def two_way() -> Captions:
    languages = apply_translation(Languages(), Translation(two_way=TwoWay("en", "es")), CAPABILITIES)
    captions = Captions("native", 16_000)
    captions.follow(languages, CAPABILITIES, 0)
    return captions


@pytest.mark.parametrize(("scores", "source"), [((-0.1, -0.4), "en"), ((-0.4, -0.1), "es")])
def test_who_spoke_is_found_at_the_end_and_speech_waits_for_it(
    scores: tuple[float, float], source: str
) -> None:
    events: list[Event] = [
        SegmentStarted(0, 0.0),
        Final(0, "eng", "one", 0.0, 1.0, score=scores[0]),
        spoken("eng"),
        Final(0, "spa", "uno", 0.0, 1.0, score=scores[1]),
        spoken("spa"),
        SegmentEnded(0, 0.0, 1.0, "silence"),
    ]
    captions = two_way()
    found = [message for event in events for message in captions.convert(event, 0)]
    kinds = ["frame" if isinstance(message, bytes) else message.type for message in found]
    assert kinds == [
        *("segment.started", "segment.direction", "segment.final", "segment.final", "frame", "frame"),
        *("segment.audio_done", "segment.ended"),
    ]
    assert found[1].source_language == source and found[1].is_detected  # type: ignore[union-attr]
    assert found[-2].language == ("es" if source == "en" else "en")  # type: ignore[union-attr]


def test_text_waits_until_the_language_is_sure() -> None:
    def partial(language: str, committed: str, share: float) -> Partial:
        return Partial(0, language, committed, "", math.log(share))

    events: list[Event] = [
        SegmentStarted(0, 0.0),
        partial("eng", "a", 0.4),
        partial("spa", "b", 0.6),
        partial("eng", "a train", 0.05),
        spoken("eng"),
        partial("spa", "un tren", 0.95),
        partial("eng", "a train leaves", 0.05),
    ]
    captions = two_way()
    found = [message for event in events for message in captions.convert(event, 0)]
    kinds = ["frame" if isinstance(message, bytes) else message.type for message in found]
    assert kinds == [
        "segment.started",
        "segment.direction",
        *["segment.updated"] * 2,
        "frame",
        "segment.updated",
    ]
    assert found[1].source_language == "es" and found[1].is_detected  # type: ignore[union-attr]
    told = [(m.language, m.role, m.append) for m in (found[2], found[3], found[5])]  # type: ignore[union-attr]
    assert told == [("en", "target", "a train"), ("es", "source", "un tren"), ("en", "target", " leaves")]


def test_a_checkpoint_that_knows_what_it_heard_decides() -> None:
    finals = {
        "eng": Final(0, "eng", "one", 0.0, 1.0, score=-0.1, source_score=-3.0),
        "spa": Final(0, "spa", "uno", 0.0, 1.0, score=-0.4, source_score=-0.05),
    }
    assert Spoken(("eng", "spa")).likely(finals) == "spa"


def test_a_source_that_is_also_a_target_is_one_caption() -> None:
    change = Translation("en", targets=[TargetLanguage("en"), TargetLanguage("es")])
    languages = apply_translation(Languages(transcribes=True), change, CAPABILITIES)
    assert languages.codes(CAPABILITIES) == ("eng", "spa")
    with pytest.raises(ProtocolError, match="different"):
        apply_translation(languages, Translation(targets=[TargetLanguage("en")] * 2), CAPABILITIES)


def test_real_speech_of_both_languages_finds_its_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", SileroVad)
    model = seamless_stream.load("phrasebook", device="cpu").model
    folder = Path(seamless_stream.__file__).parent / "checkpoints" / "samples"
    pause = np.zeros(16_000, np.float32)
    english, spanish = read(folder / "english.flac"), read(folder / "spanish.flac")
    talk = np.concatenate([english[: 7 * 16_000], pause, spanish[-7 * 16_000 :], pause])

    async def scenario() -> list[Any]:
        async with running(model=model) as server, native(server) as socket:
            await send(
                socket, translate(two_way={"a": "en", "b": "es"}), to_bytes(talk), {"type": "session.close"}
            )
            return await until(socket, "session.closed")

    found = asyncio.run(scenario())
    directions = [(d["source_language"], d["is_detected"]) for d in of(found, "segment.direction")]
    assert len(directions) >= 3
    assert directions[0] == ("en", True) and directions[-1] == ("es", True)
    kinds = [message["type"] for message in found if isinstance(message, dict)]
    assert kinds.index("segment.updated") < kinds.index("segment.final")  # it is known while somebody speaks
    assert set(frames(found)) == {0, 1}


def test_a_language_without_a_voice_is_refused_as_the_engine_refuses_it() -> None:
    change = Translation(targets=[TargetLanguage("en"), TargetLanguage("fr", speech=True)])
    with pytest.raises(ProtocolError, match="Languages with a voice") as caught:
        apply_translation(Languages(), change, CAPABILITIES)
    assert caught.value.param == "session.translation.targets[1].language"
    assert apply_translation(Languages(), Translation(targets=[TargetLanguage("fr")]), CAPABILITIES).targets
