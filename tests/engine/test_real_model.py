"""The engine with SeamlessM4T v2 itself (random weights): cuts and strangers must not change the answer.

Tokens and units are compared exactly, samples within float32 rounding: matrix products of another batch size add
up in another order.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import seamless_stream
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.segment import Piece
from seamless_stream.engine.translator import Translator
from seamless_stream.events import Event, Failed, Final, SegmentEnded, Speech
from seamless_stream.settings import DecodingSettings, PolicySettings, SessionSettings
from tests.engine.test_engine import PAUSE, TALK, cut
from tests.fakes import speech

SETTINGS = SessionSettings(
    target_languages=("es", "fr"), task="s2st", decoding=DecodingSettings(max_new_tokens=5)
)


@pytest.fixture(scope="module")
def translator(tiny: Path) -> Translator:
    return seamless_stream.load(str(tiny), device="cpu")


def answers(events: list[Event]) -> list[tuple[int, str, tuple[int, ...], tuple[int, ...], str]]:
    spoken = {(e.segment, e.language): e.unit_ids for e in events if isinstance(e, Speech)}
    return sorted(
        (e.segment, e.language, e.token_ids, spoken.get((e.segment, e.language), ()), e.text)
        for e in events
        if isinstance(e, Final)
    )


def waves(events: list[Event]) -> dict[tuple[int, str], np.ndarray]:
    return {(e.segment, e.language): e.samples for e in events if isinstance(e, Speech)}


def listen(engine: Engine, chunks: list[np.ndarray]) -> list[Event]:
    session = engine.open(SETTINGS)
    for chunk in chunks:
        session.push(chunk)
        engine.step()
    session.finish()
    while engine.step():
        pass
    events = session.events()
    engine.close(session)
    return events


def test_cuts_change_nothing(translator: Translator) -> None:
    expected = answers(listen(translator.engine, [TALK]))
    assert len(expected) == 6 and all(tokens and units for _, _, tokens, units, _ in expected)
    for seed in range(2):
        assert answers(listen(translator.engine, cut(TALK, seed))) == expected


def test_strangers_change_nothing(translator: Translator) -> None:
    engine = translator.engine
    alone = listen(engine, [TALK])
    session = engine.open(SETTINGS)
    strangers = [
        engine.open(replace(SETTINGS, target_languages=("en", "fr"), speaker=1)),
        engine.open(replace(SETTINGS, decoding=DecodingSettings(beams=2, max_new_tokens=3))),
    ]
    for number, stranger in enumerate(strangers):
        stranger.push(np.concatenate([speech(0.3, 0.1 * number, 0.7, *PAUSE)] * 2))
        stranger.finish()
    session.push(TALK)
    session.finish()
    while engine.step():
        pass
    together = session.events()
    for one in (session, *strangers):
        engine.close(one)
    assert answers(together) == answers(alone)
    for key, samples in waves(alone).items():
        np.testing.assert_allclose(waves(together)[key], samples, atol=1e-5)


def test_translate_gives_what_the_model_says(translator: Translator) -> None:
    translation = translator.translate(TALK, target_language="es", decoding=SETTINGS.decoding)
    assert translation.text and translation.unit_ids and len(translation.speech)
    assert np.abs(translation.speech).max() <= 1
    beams = translator.translate(
        text="Where is the station?", source_language="en", target_language="es", beams=2
    )
    assert beams.task == "t2st" and isinstance(beams.text, str)


def test_segment_too_short_for_the_features_fails_alone(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = translator.engine.open(replace(SETTINGS, policy=PolicySettings("segment")))
    session.push(TALK)
    session.finish()
    too_short = Piece(np.zeros(300, np.float32), is_last=True)
    monkeypatch.setattr(session.segments[0], "take", lambda num_samples: too_short)
    while translator.engine.step():
        pass
    events = session.events()
    translator.engine.close(session)
    assert [type(event).__name__ for event in events if event.segment == 0][1:] == ["Failed", "SegmentEnded"]
    assert isinstance(events[-1], SegmentEnded)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_answers_and_speaks(tiny: Path, dtype: str) -> None:
    """As on an accelerator, the whole way; how near it is to float32 says nothing with random weights."""
    engine = seamless_stream.load(str(tiny), device="cpu", dtype=dtype).engine
    events = listen(engine, [TALK])
    assert not [event for event in events if isinstance(event, Failed)]
    found = answers(events)
    assert len(found) == 6 and all(tokens and units for _, _, tokens, units, _ in found)
    assert all(
        samples.dtype == np.float32 and np.isfinite(samples).all() for samples in waves(events).values()
    )
    assert answers(listen(engine, cut(TALK, 1))) == found
