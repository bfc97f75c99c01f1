"""A model that breaks on one word, in the decoder, in the T2U or in the vocoder, while others are in its batch.

The segment with the word fails and says so; everything else is what it is where nothing breaks.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from seamless_stream.engine.engine import Engine
from seamless_stream.events import Event, Failed, Final, Partial, SegmentEnded, SegmentStarted, Speech
from seamless_stream.models.base import DecoderStep, Units
from seamless_stream.nn.state import State
from seamless_stream.settings import PolicyName, SessionSettings
from tests.engine.test_engine import PAUSE, drain, in_order, listen
from tests.engine.test_streaming import with_policy, word_of
from tests.fakes import FakeDecoder, FakeState, FakeTranslator, speech

BAD = 0.55
TALK = np.concatenate([speech(0, 0.11, 0.22, 0.33, *PAUSE), speech(*[0.66, 0.77, 0.66, 0.88] * 2)])
SICK_TALK = np.concatenate(
    [
        speech(0, 0.11, 0.22, 0.33, *PAUSE),
        speech(0.44, 0.44, 0.44, BAD, BAD, *PAUSE),  # segment 1
        speech(0.66, 0.77, 0.66, 0.88),
    ]
)
BAD_TOKEN = int(word_of(BAD)[1:])
IN_TEXT = ("prompt", "step", "logits")
IN_SPEECH = ("units", "vocode", "samples")


class SickDecoder(FakeDecoder):
    """Raises, or gives no number, where it would say the bad word; or, as it begins, where it will."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.failed_rows: list[int] = []  # sizes of the batches that failed

    def step(
        self,
        token_ids: Tensor,
        state: State,
        *,
        counts: Tensor | None = None,
        num_logits: int = 1,
        with_attention: bool = False,
    ) -> DecoderStep:
        assert isinstance(state, FakeState)
        found = super().step(
            token_ids, state, counts=counts, num_logits=num_logits, with_attention=with_attention
        )
        is_bad = found.logits.argmax(2) == BAD_TOKEN  # [B, T]
        if self.fault == "logits":
            return replace(found, logits=found.logits.masked_fill(is_bad[:, :, None], torch.nan))
        breaks = (
            (state.words == BAD_TOKEN).any() and counts is not None
            if self.fault == "prompt"
            else is_bad.any()
        )
        if breaks:
            self.failed_rows.append(len(token_ids))
            raise RuntimeError("the decoder broke")
        return found


class SickTranslator(FakeTranslator):
    """Its fault: `prompt`, `step` or `logits` of the decoder, `units`, `vocode`, or the vocoder's `samples`."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.sick_decoder = SickDecoder(fault)
        if fault in IN_TEXT:
            self.decoder = self.sick_decoder

    def units(
        self, token_ids: list[list[int]], hidden: list[Tensor], language: str, **how: object
    ) -> list[Units]:
        if self.fault == "units" and any(BAD_TOKEN in ids for ids in token_ids):
            raise RuntimeError("the T2U broke")
        return super().units(token_ids, hidden, language, **how)  # type: ignore[arg-type]

    def vocode(self, unit_ids: list[list[int]], language: str, speaker: int) -> list[np.ndarray]:
        if self.fault == "vocode" and any(BAD_TOKEN in ids for ids in unit_ids):
            raise RuntimeError("the vocoder broke")
        found = super().vocode(unit_ids, language, speaker)
        if self.fault == "samples":
            return [
                samples * (np.nan if BAD_TOKEN in ids else 1)
                for ids, samples in zip(unit_ids, found, strict=True)
            ]
        return found


def together(
    model: FakeTranslator, settings: SessionSettings, chunk_samples: int
) -> tuple[list[Event], list[Event]]:
    """The events of a session that says the word, and of one beside it that does not."""
    engine = Engine(model)
    sick, healthy = engine.open(settings), engine.open(settings)
    heard: tuple[list[Event], list[Event]] = ([], [])
    for start in range(0, len(SICK_TALK), chunk_samples):
        for session, talk in ((sick, SICK_TALK), (healthy, TALK)):
            session.push(talk[start : start + chunk_samples])
        heard[0].extend(drain(engine, sick))
    for session in (sick, healthy):
        session.finish()
    heard[0].extend(drain(engine, sick))
    heard[1].extend(healthy.events())
    assert sick.is_done and healthy.is_done
    return heard


def without(number: int, events: Sequence[Event]) -> list[object]:
    return in_order([event for event in events if event.segment != number])


@pytest.mark.parametrize("policy", ["segment", "alignatt"])
@pytest.mark.parametrize("fault", [*IN_TEXT, *IN_SPEECH])
def test_only_the_segment_that_breaks_the_model_fails(
    fault: str, policy: PolicyName, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_policy(policy)
    is_open = policy != "segment"
    model = SickTranslator(fault)
    sick, healthy = together(model, settings, 1_600 if is_open else len(SICK_TALK))
    assert in_order(healthy) == in_order(listen(Engine(FakeTranslator()), [TALK], settings))
    sound = listen(Engine(FakeTranslator()), [SICK_TALK], settings)
    assert without(1, sick) == without(1, sound)
    mine = [event for event in sick if event.segment == 1]
    [failed] = [event for event in mine if isinstance(event, Failed)]
    assert ("NaN" if fault in ("logits", "samples") else "RuntimeError: the") in failed.message
    assert isinstance(mine[0], SegmentStarted) and isinstance(mine[-1], SegmentEnded)
    said = [event for event in mine if isinstance(event, Speech)]
    assert all(np.isfinite(event.samples).all() and BAD_TOKEN not in event.unit_ids for event in said)
    if is_open:
        assert any(isinstance(event, Partial) and event.committed for event in mine)
    else:
        assert any(isinstance(event, Final) for event in mine) == (fault in IN_SPEECH)
    if fault in ("prompt", "step"):
        assert max(model.sick_decoder.failed_rows) > 1  # it failed in company first
        assert "rows failed (RuntimeError): each goes on alone" in caplog.text


@pytest.mark.parametrize("fault", ["prompt", "step", "units", "vocode"])
def test_a_segment_fails_once_for_all_its_languages(fault: str) -> None:
    settings = replace(with_policy("alignatt"), target_languages=("es", "en"))
    events = listen(Engine(SickTranslator(fault)), [SICK_TALK], settings)
    assert [event.segment for event in events if isinstance(event, Failed)] == [1]
    assert [event.segment for event in events if isinstance(event, SegmentEnded)] == [0, 1, 2]
    sound = listen(Engine(FakeTranslator()), [SICK_TALK], settings)
    assert without(1, events) == without(1, sound)
