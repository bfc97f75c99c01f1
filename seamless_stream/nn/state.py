"""What a streaming module remembers between chunks, as an explicit value that the session owns.

A state is a frozen dataclass of tensors (or of tuples of further states), batch in dim 0 of every tensor.
The four verbs below are all that a scheduler needs to batch any set of sessions; no module is ever touched.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


def _leaves(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, State):
        for part in fields(value):
            yield from _leaves(getattr(value, part.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _leaves(item)


def _zip(join: Callable[[list[Tensor]], Tensor], values: Sequence[Any]) -> Any:
    """Walk equal trees in step and join their leaves."""
    first = values[0]
    if isinstance(first, Tensor):
        return join(list(values))
    if isinstance(first, tuple):
        return tuple(_zip(join, parts) for parts in zip(*values, strict=True))
    if isinstance(first, State):
        parts = {f.name: _zip(join, [getattr(v, f.name) for v in values]) for f in fields(first)}
        return type(first)(**parts)
    return first  # None: a part that this state does not have


@dataclass(frozen=True, eq=False)
class State:
    """Base of all streaming states. Leaves are tensors only, batch first; lengths are [B] tensors."""

    @classmethod
    def stack(cls, states: Sequence[Self]) -> Self:
        """Batch the states of several sessions; all need equal time lengths."""
        result: Self = _zip(torch.cat, states)
        return result

    def split(self) -> list[Self]:
        """The inverse of `stack`: one state of batch 1 per row."""
        size = next(_leaves(self)).shape[0]
        return [self.reorder(torch.tensor([row])) for row in range(size)]

    def reorder(self, rows: Tensor) -> Self:
        """Pick rows [B'] int64, as beam search does; a row may be taken several times."""

        def pick(parts: list[Tensor]) -> Tensor:
            return parts[0].index_select(0, rows.to(parts[0].device))

        result: Self = _zip(pick, [self])
        return result

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors of this state hold."""
        return sum(leaf.numel() * leaf.element_size() for leaf in _leaves(self))


def ending_at(x: Tensor, ends: Tensor | None, count: int) -> Tensor:
    """The `count` positions of dim 2 of x before each row's own end [B] (None: the end of x).

    What would lie before position 0 is filled with anything: it is older than the segment, and masked.
    """
    if ends is None:
        return x[:, :, x.shape[2] - count :]
    places = (ends[:, None] - count + torch.arange(count, device=x.device)).clamp(min=0)  # [B, count]
    shape = (x.shape[0], 1, count) + (1,) * (x.dim() - 3)
    return torch.take_along_dim(x, places.view(shape), dim=2)
