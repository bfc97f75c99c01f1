"""Clients that are gone without a word: their sessions, memory and files are given back."""

import asyncio
import gc
import os
import sys
from pathlib import Path

import pytest

from seamless_stream.server.served import ServedSession
from tests.server.serving import Server, running
from tests.server.test_metrics import TALK_PCM
from tests.server.test_native import FAST, PATIENCE_S, native, send, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells")

MAX_GROWTH_BYTES = 12 << 20  # what one sound session of each of the hundred would take is four times as much


def num_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def vanish(server: Server, number: int) -> None:
    """In the middle of speech, of the handshake, or of nothing."""
    if number % 4 == 3:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /v1/realtime/translations HTTP/1.1\r\nHost: x\r\nUpgr")
        await asyncio.sleep(0.01)
        writer.transport.abort()
        return
    async with native(server) as socket:
        if number % 4:
            await send(socket, FAST, TALK_PCM)
            await until(socket, "session.updated")
        socket.transport.abort()


async def hundred(server: Server) -> None:
    """Ten at a time."""
    for start in range(0, 100, 10):
        await asyncio.gather(*[vanish(server, start + offset) for offset in range(10)])
    await settled(server)


async def settled(server: Server) -> None:
    """All sessions are over, and their sockets and tasks are gone too: no file more or less for a while."""
    files = [0]
    async with asyncio.timeout(PATIENCE_S):
        while server.app._sessions or server.app._service.worker._sessions or len(set(files[-10:])) > 1:
            await asyncio.sleep(0.05)
            files.append(num_files())
    gc.collect()


def test_a_hundred_clients_that_vanish_leave_nothing() -> None:
    async def scenario() -> None:
        async with running(resume_grace_s=0.1) as server:
            await hundred(server)  # pools and caches fill, as far as so many at once fill them
            files, memory = num_files(), resident_bytes()
            await hundred(server)
            assert num_files() == files
            assert resident_bytes() - memory < MAX_GROWTH_BYTES
            assert not [item for item in gc.get_objects() if type(item) is ServedSession]
            assert server.app._access.num_sessions == 0

    asyncio.run(scenario())
