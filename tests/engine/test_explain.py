"""What `session.explains` tells: every decision, with the place in the source and the rule behind it."""

from dataclasses import replace

import numpy as np
import pytest

from seamless_stream.engine.engine import Engine
from seamless_stream.engine.policy import AlignAtt, HoldN, LocalAgreement, Rule, Segment, WaitK
from seamless_stream.events import Decided, Event, Final, SegmentStarted
from seamless_stream.settings import PolicyName, SegmenterSettings
from tests.engine.test_engine import PAUSE, listen
from tests.engine.test_policy import hypothesis
from tests.engine.test_streaming import LONG, STREAMING, with_policy
from tests.fakes import FakeTranslator, speech

TWICE = np.concatenate([LONG, speech(0.22, 0.33, 0.44, 0.55), speech(*PAUSE)])


def decisions(events: list[Event], segment: int) -> list[Decided]:
    return [event for event in events if isinstance(event, Decided) and event.segment == segment]


@pytest.mark.parametrize("name", ["local-agreement", "alignatt"])
def test_every_token_was_committed_by_a_decision_that_is_told(name: PolicyName) -> None:
    events = listen(Engine(FakeTranslator()), [TWICE], replace(with_policy(name), explains=True, task="s2tt"))
    finals = [event for event in events if isinstance(event, Final)]
    assert len(finals) > 1
    for final in finals:
        told = decisions(events, final.segment)
        assert [one.num_before for one in told] == [0, *(one.num_committed for one in told[:-1])]
        assert told[-1].num_committed == len(final.token_ids) and told[-1].rule == "end"
        assert {one.rule for one in told} - {"end", "none", "first"} == {
            {"alignatt": "attention", "local-agreement": "agreement"}[name]
        }
        for one in told:
            assert one.from_s == final.start_s < one.until_s <= final.end_s
            assert one.num_before <= one.num_committed <= one.num_believed <= one.num_guarded
            assert bool(one.guard) == (len(one.pieces) > one.num_guarded)  # the tones come in a loop
            assert bool(one.frames) == (name == "alignatt")


def test_nothing_is_told_unless_it_is_asked_for() -> None:
    events = listen(Engine(FakeTranslator()), [LONG], STREAMING)
    assert not [event for event in events if isinstance(event, Decided)]


def test_segment_that_goes_on_hears_from_before_its_own_beginning() -> None:
    settings = replace(
        STREAMING,
        explains=True,
        task="s2tt",
        segmentation=SegmenterSettings(soft_max_ms=3_500, hard_max_ms=4_000),
    )
    events = listen(Engine(FakeTranslator()), [LONG], settings)
    starts = [event.start_s for event in events if isinstance(event, SegmentStarted)]
    told = decisions(events, 1)
    assert {one.from_s for one in told} == {told[0].from_s}
    assert 0 < starts[1] - told[0].from_s < 2


def test_rules_name_the_token_that_they_are_about() -> None:
    def verdict(policy: AlignAtt | HoldN | LocalAgreement | Segment | WaitK, *words: str) -> tuple[Rule, int]:
        frames = (2, 9, 16, 5)
        found = policy.judge([hypothesis(w, frames[: len(w.split())]) for w in words], False)
        return found.rule, found.place

    alignatt = AlignAtt(num_frames=4, rewind_frames=25, sure_probability=0.7, unsure_frames=12)
    assert verdict(alignatt, "_a _b _c _d") == ("attention", 2)
    assert verdict(alignatt, "_a _b") == ("none", 2)
    cut = alignatt.judge([hypothesis("_a b _c _d", (2, 9), complete=False)], False)
    assert (cut.rule, cut.place, cut.num_tokens, cut.num_believed) == ("unknown", 2, 2, 2)
    word = alignatt.judge([hypothesis("_a _b c", (2, 9, 16))], False)
    assert (word.rule, word.place, word.num_tokens, word.num_believed) == ("attention", 2, 1, 2)
    back = replace(hypothesis("_a _b _c _d", (3, 40, 35, 14), committed=2), num_frames=60)
    assert (alignatt.judge([back], False).rule, alignatt.judge([back], False).place) == ("rewind", 3)
    assert verdict(HoldN(1), "_a _b _c") == ("hold-n", 2)
    assert verdict(LocalAgreement(2), "_a _b") == ("first", 0)
    assert verdict(LocalAgreement(2), "_a _b", "_a _c") == ("agreement", 1)
    assert verdict(Segment(), "_a _b") == ("segment", 0)
    assert verdict(WaitK(k=3, step_ms=320), "_a _b _c") == ("wait-k", 1)
