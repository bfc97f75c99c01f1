"""The probe of the event loop sees what holds it up."""

import asyncio
import time

from tools.bench_server import figures, probe


def test_a_loop_that_is_held_up_is_late_by_as_much() -> None:
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, time.sleep, 0.2)
        return await probe(0.4)

    late_ms = asyncio.run(scenario())
    assert max(late_ms) > 150 and len(late_ms) > 3
    assert "max" in figures([1.0, 2.0, 3.0])
