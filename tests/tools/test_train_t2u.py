"""A T2U that is stopped goes on where it was, and one that is done is not trained twice."""

from pathlib import Path

import pytest
import torch

from tools.phrasebook.train_t2u import RATE, Trainer, Wanted, train

NOTHING = Wanted(torch.zeros(0, 8), torch.zeros(0, 8))


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    trainer = Trainer(tmp_path, NOTHING, "one")
    assert trainer.is_fresh and trainer.peak == RATE
    trainer.num_steps, trainer.seconds = 30, 90.0
    trainer.average["characters.weight"] += 1.0
    trainer.save({"a": 2})
    return tmp_path


def test_it_resumes_with_its_clock_and_its_rate(stopped: Path) -> None:
    again = Trainer(stopped, NOTHING, "one")
    assert (again.num_steps, again.seconds, again.peak, again.is_fresh) == (30, 90.0, RATE, False)
    assert not torch.equal(again.average["characters.weight"], again.model.characters.weight)


def test_for_another_main_model_it_begins_again_from_what_it_learnt(stopped: Path) -> None:
    again = Trainer(stopped, NOTHING, "two")
    assert (again.num_steps, again.seconds, again.peak) == (0, 0.0, RATE / 2)
    before = Trainer(stopped, NOTHING, "one").average["characters.weight"]
    assert torch.equal(again.model.characters.weight, before)


def test_weights_of_a_time_without_state_are_gone_on_from(stopped: Path) -> None:
    (stopped / "state.pt").unlink()
    again = Trainer(stopped, NOTHING, "one")
    assert (again.seconds, again.peak, again.is_fresh) == (0.0, RATE / 2, False)


def test_minutes_that_have_passed_are_not_trained_again(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(stopped, NOTHING, "one")
    monkeypatch.setattr(trainer, "check", lambda batch: "")
    train(trainer, [], [], 1.5, {"a": 2})
    assert trainer.num_steps == 30


def test_who_is_told_to_stop_saves_and_trains_no_more(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(stopped, NOTHING, "one")
    monkeypatch.setattr(trainer, "check", lambda batch: "")
    trainer.seconds = 91.0
    train(trainer, [], [], 60.0, {"a": 2}, stop=[15])
    assert (trainer.num_steps, Trainer(stopped, NOTHING, "one").seconds) == (30, 91.0)
