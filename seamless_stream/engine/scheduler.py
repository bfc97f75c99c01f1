"""Who goes next: queues and counts, not a tensor in it, testable with integers.

Sessions take turns, one piece of work each and round; the work of one session stays in order.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Work = TypeVar("Work")


@dataclass(frozen=True)
class Scheduled(Generic[Work]):
    """A piece of work and whose it is."""

    session_id: int
    work: Work
    cost_samples: int  # source audio in it, the measure of a batch's size


class Scheduler(Generic[Work]):
    """Round-robin batches, bounded by their number of pieces and by their audio.

    Its queues are bounded by who fills them: a session holds back its audio while too much of it waits.
    """

    def __init__(self, max_batch: int, max_batch_samples: int) -> None:
        self._max_batch = max_batch
        self._max_batch_samples = max_batch_samples
        self._waiting: OrderedDict[int, deque[Scheduled[Work]]] = OrderedDict()  # first key: whose turn it is

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    def add(self, session_id: int, work: Work, cost_samples: int) -> None:
        """Append work of a session behind its earlier work."""
        queue = self._waiting.setdefault(session_id, deque())
        queue.append(Scheduled(session_id, work, cost_samples))

    def remove(self, session_id: int) -> None:
        """Forget all work of a session."""
        self._waiting.pop(session_id, None)

    def next_batch(self) -> list[Scheduled[Work]]:
        """Take the next pieces: at least one where any waits, else an empty list."""
        batch: list[Scheduled[Work]] = []
        room_samples = self._max_batch_samples
        while self._waiting and len(batch) < self._max_batch:
            session_id, queue = next(iter(self._waiting.items()))
            if batch and queue[0].cost_samples > room_samples:
                break  # it keeps its turn, so a long segment is never passed over
            batch.append(queue.popleft())
            room_samples -= batch[-1].cost_samples
            self._waiting.move_to_end(session_id)
            if not queue:
                del self._waiting[session_id]
        return batch
