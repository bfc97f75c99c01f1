"""Processes that train one network together have the same gradients and clock, and stop at the same step."""

import json
from pathlib import Path

import pytest
import torch

from tools.phrasebook.team import Team, gathered


def take_part(team: Team, folder: Path) -> None:
    used, unused = (torch.nn.Parameter(torch.zeros(2, 3)) for _ in range(2))
    used.grad = torch.full((2, 3), float(1 + team.rank))
    team.average_gradients([used, unused])
    assert unused.grad is None
    votes = [team.agrees(True), team.agrees(team.is_leader), team.agrees(False)]
    told = team.of_leader(0.1 * (1 + team.rank))
    (folder / f"{team.rank}.json").write_text(json.dumps([used.grad.tolist(), votes, told]))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_all_have_the_mean_gradient_and_the_leaders_clock_and_one_is_enough_to_stop(
    size: int, tmp_path: Path
) -> None:
    with gathered(size, take_part, tmp_path) as team:
        take_part(team, tmp_path)
    mean = (1 + size) / 2
    wanted = [[[mean] * 3] * 2, [True, size == 1, False], 0.1]
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(size)] == [wanted] * size
    assert [team.rank, team.size, team.is_leader] == [0, size, True]
