"""Several processes of one machine that train one network: each takes a part of the batch, all the mean gradient.

Much of a training step uses one core however many threads torch has: augmenting, CTC, small operations. Knows torch's
`distributed` and the moments of start and stop; nothing of networks and losses.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def asked_to_stop() -> list[int]:
    """The signals that have asked this process to stop; from now on they do nothing else."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: asked.append(number))
    return asked


def default_size() -> int:
    """How many processes are fastest on this machine."""
    return 1 if torch.cuda.is_available() else min(2, os.cpu_count() or 1)


class Team:
    """This process's place in the team; the leader is the one that logs, checks and saves."""

    def __init__(self, rank: int = 0, size: int = 1, meeting: str = "") -> None:
        self.rank, self.size = rank, size
        self.is_leader = rank == 0
        if size > 1:
            if sys.platform == "linux":  # the name of the machine need not lead to itself
                os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
            dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)

    def agrees(self, opinion: bool) -> bool:
        """Whether all are of this opinion."""
        if self.size == 1:
            return opinion
        votes = torch.tensor(int(opinion))
        dist.all_reduce(votes, dist.ReduceOp.MIN)
        return bool(votes)

    def of_leader(self, value: float) -> float:
        """What the leader has here, for all; float64."""
        told = torch.tensor(value, dtype=torch.float64)
        if self.size > 1:
            dist.broadcast(told, 0)
        return float(told)

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace the gradients by the mean of everybody's; all must have them of the same parameters."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def _join(work: Callable[..., Any], rank: int, size: int, meeting: str, *arguments: Any) -> None:
    work(Team(rank, size, meeting), *arguments)


@contextmanager
def gathered(size: int, work: Callable[..., Any], *arguments: Any) -> Iterator[Team]:
    """The leader's place; `size` - 1 other processes run `work(team, *arguments)`, and are waited for at the end."""
    if size == 1:
        yield Team()
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        context = mp.get_context("spawn")
        others = [
            context.Process(target=_join, args=(work, rank, size, meeting, *arguments), daemon=True)
            for rank in range(1, size)
        ]
        for other in others:
            other.start()
        yield Team(0, size, meeting)
        for other in others:
            other.join()
        dist.destroy_process_group()
