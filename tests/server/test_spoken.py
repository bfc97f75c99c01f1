"""Which of several candidates is spoken, and what becomes of speech that is in a target language already."""

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
from seamless_stream.server.changes import SameLanguage, TargetLanguage, Translation
from seamless_stream.server.languages import Languages, apply_translation
from seamless_stream.server.messages import SegmentFinal, Skipped
from seamless_stream.server.protocol import HEADER_BYTES
from tests.engine.test_engine import TALK
from tests.fakes import FakeTranslator
from tests.server.serving import running
from tests.server.test_dialogue import frames, run, translate
from tests.server.test_native import native, of, send, until

CAPABILITIES = FakeTranslator.capabilities
FOLDER = Path(seamless_stream.__file__).parent / "checkpoints" / "samples"


def told(spoken: str, targets: list[str], same: SameLanguage, *, transcribes: bool) -> list[Any]:
    """A segment of a session that may hear English and Spanish, in short."""
    change = Translation(
        source_candidates=["en", "es"], targets=[TargetLanguage(name) for name in targets], same_language=same
    )
    languages = apply_translation(Languages(transcribes=transcribes), change, CAPABILITIES)
    captions = Captions("native", 16_000)
    captions.follow(languages, CAPABILITIES, 0)
    codes = languages.codes(CAPABILITIES)
    scores = {code: math.log(0.97 if code == spoken else 0.01) for code in codes}
    events: list[Event] = [SegmentStarted(0, 0.0)]
    events += [Partial(0, code, f"{code} one", "", scores[code]) for code in codes]
    events += [Final(0, code, f"{code} one two", 0.0, 1.0, source_score=scores[code]) for code in codes]
    events += [Speech(0, code, np.ones(1_600, np.float32) / 2, 16_000) for code in codes]
    events.append(SegmentEnded(0, 0.0, 1.0, "silence"))
    found: list[Any] = []
    for event in events:
        for message in captions.convert(event, 0):
            if isinstance(message, bytes):
                found += ["speech"] if len(message) > HEADER_BYTES else []
            elif isinstance(message, SegmentFinal):
                assert message.source_language == {"eng": "en", "spa": "es"}[spoken]
                found.append((message.role, message.language))
            elif isinstance(message, Skipped):
                found.append((message.what, message.reason, message.language))
            elif message.type == "segment.direction":
                found.append((message.source_language, message.target_language))  # type: ignore[union-attr]
    return found


SKIPPED = ("translation", "same_language", "es")


@pytest.mark.parametrize(
    ("spoken", "targets", "same", "transcribes", "expected"),
    [
        ("eng", ["es"], "skip", True, [("en", "es"), ("target", "es"), ("source", "en"), "speech"]),
        ("spa", ["es"], "skip", True, [("es", None), SKIPPED, ("source", "es")]),
        ("spa", ["es"], "skip", False, [("es", None), SKIPPED]),
        ("spa", ["es"], "translate", True, [("es", "es"), ("target", "es"), "speech"]),
        ("eng", ["fr"], "skip", True, [("en", "fr"), ("target", "fr"), ("source", "en"), "speech"]),
        ("eng", ["fr"], "skip", False, [("en", "fr"), ("target", "fr"), "speech"]),
        (
            "spa",
            ["es", "fr"],
            "skip",
            True,
            [("es", "fr"), SKIPPED, ("source", "es"), ("target", "fr"), "speech"],
        ),
    ],
)
def test_a_segment_in_one_of_two_languages(
    spoken: str, targets: list[str], same: SameLanguage, transcribes: bool, expected: list[Any]
) -> None:
    assert told(spoken, targets, same, transcribes=transcribes) == expected


def test_a_declared_source_that_is_a_target_is_skipped_on_request() -> None:
    targets = [{"language": "es"}, {"language": "en"}]
    found = run(translate(source_language="en", targets=targets, same_language="skip"), to_bytes(TALK))
    finals = [(f["language"], f["role"], f["source_language"]) for f in of(found, "segment.final")]
    assert finals == [("es", "target", "en"), ("en", "source", "en")] * 3
    skipped = [(s["what"], s["reason"], s["language"]) for s in of(found, "segment.skipped")]
    assert skipped == [("translation", "same_language", "en")] * 3
    assert {done["language"] for done in of(found, "segment.audio_done")} == {"es"}


def test_candidates_may_be_declared_while_the_session_runs() -> None:
    def begin(language: str) -> dict[str, Any]:
        wanted = {"source_candidates": ["en", "fr"], "source_language": language}
        return translate(targets=[{"language": "es"}], **wanted)

    pause = to_bytes(np.zeros(16_000, np.float32))
    late = translate(targets=[{"language": "en"}])
    found = run(begin("en"), to_bytes(TALK), pause, begin("fr"), to_bytes(TALK), begin("auto"), late)
    directions = of(found, "segment.direction")
    assert [(d["source_language"], d["is_detected"]) for d in directions] == [("en", False)] * 3 + [
        ("fr", False)
    ] * 3
    roles = {(f["source_language"], f["language"], f["role"]) for f in of(found, "segment.final")}
    assert roles == {(name, name, "source") for name in ("en", "fr")} | {
        (name, "es", "target") for name in ("en", "fr")
    }
    assert [error["error"]["param"] for error in of(found, "error")] == [
        "session.translation.source_language",
        "session.translation.targets",
    ]


@pytest.mark.parametrize("same", ["skip", "translate"])
def test_real_speech_in_the_target_language_is_not_translated(
    same: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VADS, "silero", SileroVad)
    model = seamless_stream.load("phrasebook", device="cpu").model
    pause = np.zeros(16_000, np.float32)
    english, spanish = read(FOLDER / "english.flac"), read(FOLDER / "spanish.flac")
    talk = np.concatenate([english[: 7 * 16_000], pause, spanish[-7 * 16_000 :], pause])
    wanted = {"source_candidates": ["en", "es"], "targets": [{"language": "es"}], "same_language": same}

    async def scenario() -> list[Any]:
        async with running(model=model) as server, native(server) as socket:
            await send(socket, translate(**wanted), to_bytes(talk), {"type": "session.close"})
            return await until(socket, "session.closed")

    found = asyncio.run(scenario())
    assert of(found, "session.updated")[0]["session"]["translation"]["source_candidates"] == ["en", "es"]
    finals = of(found, "segment.final")
    said = {f["segment_id"]: f["source_language"] for f in finals}
    order = list(said.values())
    assert order[0] == "en" and order[-1] == "es" and order == sorted(order)
    spoken = {done["segment_id"] for done in of(found, "segment.audio_done")}
    for segment, source in said.items():
        mine = {(f["role"], f["language"]) for f in finals if f["segment_id"] == segment}
        skipped = [s["reason"] for s in of(found, "segment.skipped") if s["segment_id"] == segment]
        if source == "en":
            assert mine == {("source", "en"), ("target", "es")} and segment in spoken and not skipped
        elif same == "skip":
            assert mine == {("source", "es")} and segment not in spoken and skipped == ["same_language"]
        else:
            assert mine == {("target", "es")} and segment in spoken and not skipped
    assert set(frames(found)) == {0}
