"""The scheduler with integers: turns, order, bounds."""

from seamless_stream.engine.scheduler import Scheduler


def drained(scheduler: Scheduler[str]) -> list[list[str]]:
    batches = []
    while batch := scheduler.next_batch():
        batches.append([item.work for item in batch])
    return batches


def test_nothing_waits_nothing_comes() -> None:
    assert Scheduler[str](8, 100).next_batch() == []


def test_sessions_take_turns_and_keep_their_own_order() -> None:
    scheduler: Scheduler[str] = Scheduler(2, 100)
    for work in ("a1", "a2", "a3"):
        scheduler.add(1, work, 1)
    scheduler.add(2, "b1", 1)
    scheduler.add(3, "c1", 1)
    assert drained(scheduler) == [["a1", "b1"], ["c1", "a2"], ["a3"]]
    assert len(scheduler) == 0


def test_single_session_fills_a_batch() -> None:
    scheduler: Scheduler[str] = Scheduler(3, 100)
    for work in ("a1", "a2", "a3", "a4"):
        scheduler.add(1, work, 1)
    assert drained(scheduler) == [["a1", "a2", "a3"], ["a4"]]


def test_batch_is_bounded_by_audio_and_long_work_is_not_passed_over() -> None:
    scheduler: Scheduler[str] = Scheduler(8, 10)
    scheduler.add(1, "a1", 6)
    scheduler.add(2, "b1", 5)
    scheduler.add(3, "c1", 1)
    assert drained(scheduler) == [["a1"], ["b1", "c1"]]


def test_work_beyond_the_bound_goes_alone() -> None:
    scheduler: Scheduler[str] = Scheduler(8, 10)
    scheduler.add(1, "a1", 99)
    scheduler.add(1, "a2", 1)
    assert drained(scheduler) == [["a1"], ["a2"]]


def test_removed_session_leaves_nothing() -> None:
    scheduler: Scheduler[str] = Scheduler(8, 10)
    scheduler.add(1, "a1", 1)
    scheduler.add(2, "b1", 1)
    scheduler.remove(1)
    scheduler.remove(7)
    assert drained(scheduler) == [["b1"]]
