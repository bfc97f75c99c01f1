"""The ring: what goes in comes out in order, whatever the cuts, also across threads; what does not fit is counted."""

import threading
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seamless_stream.audio.ring import Ring


def frames(start: int, num: int, channels: int = 1) -> np.ndarray:
    return np.arange(start, start + num, dtype=np.float32)[:, None].repeat(channels, 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40), st.integers(1, 2))
def test_order_is_kept_and_losses_are_counted(steps: list[tuple[int, int]], channels: int) -> None:
    ring = Ring(10, channels)
    written, read, num_lost, position = [], [], 0, 0
    for num_in, num_out in steps:
        room = 10 - ring.available
        took = ring.write(frames(position, num_in, channels))
        assert took == min(num_in, room)
        written += list(range(position, position + took))
        num_lost += num_in - took
        position += num_in
        out = ring.read(num_out)
        assert out.shape[1] == channels
        read += out[:, 0].tolist()
    assert ring.lost == num_lost
    assert read + ring.read(10)[:, 0].tolist() == written


def test_one_channel_may_be_flat_and_a_short_read_leaves_the_rest() -> None:
    ring = Ring(8)
    ring.write(np.array([1, 2], np.float32))
    out = np.full((4, 1), 9, np.float32)
    assert ring.read_into(out) == 2
    assert out[:, 0].tolist() == [1, 2, 9, 9]


def test_two_threads_lose_and_mix_up_nothing() -> None:
    ring = Ring(64)
    total = 2_000

    def write() -> None:
        position = 0
        while position < total:
            num = min(17, total - position, 64 - ring.available)
            position += ring.write(frames(position, num))
            time.sleep(0)  # hand over, or each side would spin for its whole share of time

    writer = threading.Thread(target=write)
    writer.start()
    heard: list[float] = []
    while len(heard) < total and (writer.is_alive() or ring.available):
        heard += ring.read(13)[:, 0].tolist()
        time.sleep(0)
    writer.join()
    assert heard == list(range(total)) and ring.lost == 0
