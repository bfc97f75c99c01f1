"""The loop that trains the vocoder: alone, in a team, and until it is told to stop."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tools.phrasebook.shards import ClipSet, ClipWriter
from tools.phrasebook.team import Team, gathered
from tools.phrasebook.train_vocoder import CROP_UNITS, Trainer, UnitClips, train
from tools.phrasebook.units import NUM_UNITS, UNIT_SAMPLES

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
STEPS = 3


def clips(folder: Path) -> UnitClips:
    """Noise of some seconds."""
    count = 4 * CROP_UNITS
    rng = np.random.default_rng(0)
    if not folder.exists():
        with ClipWriter(folder) as writer:
            writer.append("a", "v", rng.integers(-9_000, 9_000, count * UNIT_SAMPLES).astype(np.int16), "A.")
    return UnitClips(ClipSet(folder), 1, [np.arange(count, dtype=np.int16) % 40])


def new_trainer(folder: Path, team: Team) -> Trainer:
    torch.manual_seed(1)
    return Trainer(folder, torch.device("cpu"), torch.ones(NUM_UNITS, 2), team)


def learn(team: Team, folder: Path) -> None:
    """STEPS steps, the last ones with judges; what this process has then goes into a file."""
    torch.set_num_threads(1)
    trainer = new_trainer(folder / str(team.rank), team)
    stop: list[int] = []
    step = trainer.step

    def counted(batch: Batch, rate: float, adversarial: bool) -> dict[str, float]:
        if team.is_leader and trainer.num_steps == STEPS - 1:
            stop.append(1)
        return step(batch, rate, adversarial=trainer.num_steps > 0)

    trainer.step = counted  # type: ignore[method-assign]
    train(trainer, [clips(folder / "speech")], minutes=60, warm_minutes=0, stop=stop)
    have = {
        f"{name}.{k}": v
        for name in ("vocoder", "judges")
        for k, v in getattr(trainer, name).state_dict().items()
    }
    save_file(have | {"lift": trainer.lift.weight.detach()}, folder / f"{team.rank}.safetensors")


def test_all_of_a_team_have_the_same_weights_after_steps_on_different_crops(tmp_path: Path) -> None:
    clips(tmp_path / "speech")
    with gathered(2, learn, tmp_path) as team:
        learn(team, tmp_path)
    [first, second] = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    assert all(torch.equal(first[name], second[name]) for name in first)
    alone = new_trainer(tmp_path / "alone", Team())
    fresh = alone.vocoder.state_dict()
    assert any(not torch.equal(first[f"vocoder.{name}"], fresh[name]) for name in fresh)
    # the leader saves
    assert [path.parent.parent.name for path in tmp_path.glob("*/vocoder/state.pt")] == ["0"]


def test_who_is_told_to_stop_saves_what_it_has_learnt(tmp_path: Path) -> None:
    learn(Team(), tmp_path)
    again = new_trainer(tmp_path / "0", Team())
    assert again.num_steps == STEPS and 0 < again.seconds < 3600
    learnt = load_file(tmp_path / "0.safetensors")
    assert torch.equal(again.lift.weight, learnt["lift"])
