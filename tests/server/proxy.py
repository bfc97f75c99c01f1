"""A bad network between a client and a server of this machine: it cuts, stalls, delays, and forgets one of its ends."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

Fault = Literal["cut", "stall", "half-open"]
PIECE = 2_048


@dataclass
class Plan:
    """What happens to the next connections: each is cut after so many bytes of either direction."""

    random: random.Random
    cuts_left: int
    max_up: int
    max_down: int

    def next(self) -> tuple[int, int, Fault | None]:
        """Bytes up, bytes down, and what then happens."""
        if not self.cuts_left:
            return 1 << 60, 1 << 60, None
        self.cuts_left -= 1
        up, down = self.random.randrange(self.max_up), self.random.randrange(self.max_down)
        return up, down, self.random.choice(["cut", "stall", "half-open"])


class Proxy:
    """Every connection through it gets the next part of the plan."""

    def __init__(self, port: int, plan: Plan) -> None:
        self._port = port
        self._plan = plan
        self._forgotten: list[asyncio.StreamWriter] = []  # ends that do not know that the other one is gone
        self.num_cuts = 0

    async def handle(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._port)
        up, down, fault = self._plan.next()
        over = asyncio.Event()
        tasks = [
            asyncio.create_task(self._pass(client_in, server_out, up, over)),
            asyncio.create_task(self._pass(server_in, client_out, down, over)),
            asyncio.create_task(over.wait()),
        ]
        await asyncio.wait(
            tasks[:2], return_when=asyncio.ALL_COMPLETED if fault is None else "FIRST_COMPLETED"
        )
        if over.is_set():
            self.num_cuts += 1
            if fault == "stall":
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client_out.transport.abort()
        if over.is_set() and fault == "half-open":
            self._forgotten.append(server_out)
        else:
            server_out.transport.abort()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int, over: asyncio.Event
    ) -> None:
        """So many bytes; then, or at an end, nothing more."""
        with suppress(OSError):
            while data := await source.read(PIECE):
                if self._plan.random.random() < 0.05:
                    await asyncio.sleep(0.002)
                sink.write(data[:left])
                await sink.drain()
                left -= len(data)
                if left <= 0:
                    over.set()
                    return
            if sink.can_write_eof():
                sink.write_eof()

    def close(self) -> None:
        for writer in self._forgotten:
            writer.transport.abort()


@asynccontextmanager
async def bad_network(port: int, plan: Plan) -> AsyncIterator[tuple[Proxy, int]]:
    """A proxy in front of `port`, and its own port."""
    proxy = Proxy(port, plan)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        proxy.close()
