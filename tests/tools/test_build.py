"""The stages of `make phrasebook`: what is needed is looked for first, and a rehearsal is whole."""

import importlib.util
import sys

import pytest

from seamless_stream.models.checkpoint import PHRASEBOOK_DIRECTORY
from tools.phrasebook import build
from tools.phrasebook.build import REHEARSAL, Scale, stages


@pytest.mark.parametrize("scale", [Scale(), REHEARSAL], ids=["full", "rehearsal"])
def test_every_stage_is_a_program_of_the_phrasebook(scale: Scale) -> None:
    names = [stage[0] for stage in stages(scale, PHRASEBOOK_DIRECTORY)]
    assert names[0] == "needs" and names[-3:] == ["export", "evaluate", "card"]
    assert all(importlib.util.find_spec(f"tools.phrasebook.{name}") for name in names)


def test_a_rehearsal_trains_with_discriminators_too() -> None:
    for scale in (Scale(), REHEARSAL):
        assert scale.warm_minutes < scale.vocoder_minutes
    [first, _] = [stage for stage in stages(REHEARSAL, PHRASEBOOK_DIRECTORY) if stage[0] == "train_vocoder"]
    assert first[first.index("--warm-minutes") + 1] == "0.2"


@pytest.mark.parametrize("words", [["--steps", "5"], ["--output", "x"], ["--t2u-minutes", "1"]])
def test_a_rehearsal_takes_no_sizes(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "run", lambda stage, work: pytest.fail("it must not begin"))
    monkeypatch.setattr(sys, "argv", ["build", "--rehearse", *words])
    with pytest.raises(SystemExit):
        build.main()


def test_chosen_sizes_reach_the_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(build, "run", lambda stage, work: seen.append(stage))
    monkeypatch.setattr(sys, "argv", ["build", "--steps", "7", "--vocoder-minutes", "3"])
    build.main()
    assert ["train", "--steps", "7"] in seen
    assert [stage[-1] for stage in seen if stage[0] == "train_vocoder"] == ["3.0", "--guessed"]
    assert any("33.0" in stage for stage in seen)
