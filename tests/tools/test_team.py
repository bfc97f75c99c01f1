"""Processes that train one network together have the same gradients and clock, and stop at the same step."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from tools.phrasebook.team import Team, asked_to_stop, gathered


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


def test_a_signal_asks_to_stop_and_does_nothing_else() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        asked = asked_to_stop()
        assert asked == []
        for number in numbers:
            os.kill(os.getpid(), number)
        assert asked == list(numbers)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
