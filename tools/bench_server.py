"""How late the daemon's event loop wakes while the model is fully busy: everybody's answers are late by as much.

    python -m tools.bench_server --clients 8 --seconds 20

Runs the server with the phrasebook in this process, and clients in another one that send speech in real time. Prints
the loop's lateness (p50, p95, p99, max) idle and under load, how busy the model was, and the time from a ping to its
pong as the clients saw it. The bar is a p99 below 20 ms; status 1 where it is not met.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.engine.worker import Worker
from seamless_stream.server.access import Access
from seamless_stream.server.app import listening
from seamless_stream.server.metrics import Metrics
from seamless_stream.server.service import Service
from seamless_stream.settings import ServerSettings, SessionSettings

BAR_MS = 20.0
PROBE_S = 0.01
SAMPLE = Path(seamless_stream.__file__).parent / "checkpoints" / "samples" / "english.flac"


class Busy(Metrics):
    """Adds up the engine's steps."""

    busy_s = 0.0

    def stepped(self, duration_s: float) -> None:
        super().stepped(duration_s)
        self.busy_s += duration_s


async def probe(seconds: float) -> list[float]:
    """How much too late a sleep of 10 ms ended, ms."""
    loop, late_ms = asyncio.get_running_loop(), []
    end_s = loop.time() + seconds
    while (asked_s := loop.time()) < end_s:
        await asyncio.sleep(PROBE_S)
        late_ms.append(1000 * max(0.0, loop.time() - asked_s - PROBE_S))
    return late_ms


@contextmanager
def before_others() -> Iterator[None]:
    """All threads of this process have the processor when they want it (Linux, as root)."""
    threads = [int(name) for name in os.listdir("/proc/self/task")]
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def figures(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:5.1f}  p95 {cuts[94]:5.1f}  p99 {cuts[98]:5.1f}  max {max(values):5.1f} ms"


async def client(url: str, pcm: bytes, stop: asyncio.Event) -> list[float]:
    """Speech in a circle, 100 ms each 100 ms, with pings between; how long these took, ms."""
    times: list[float] = []
    async with connect(url, subprotocols=["seamless-stream.v1"], compression=None) as socket:  # type: ignore[list-item]
        await socket.send('{"type":"session.update","session":{"audio":{"output":{"language":"es"}}}}')

        async def hear() -> None:
            async for data in socket:
                if isinstance(data, str) and '"pong"' in data:
                    times.append(1000 * (time.perf_counter() - float(json.loads(data)["id"])))

        hearing = asyncio.create_task(hear())
        place = 0
        while not stop.is_set() and not hearing.done():
            await socket.send(pcm[place : place + 3_200])
            place = (place + 3_200) % (len(pcm) // 3_200 * 3_200)
            await socket.send(json.dumps({"type": "ping", "id": str(time.perf_counter())}))
            await asyncio.sleep(0.1)
        hearing.cancel()
    return times


async def clients(url: str, count: int) -> None:
    """Until nobody holds our stdin open any more."""
    pcm, stop = to_bytes(read(SAMPLE)), asyncio.Event()
    talking = [asyncio.create_task(client(url, pcm, stop)) for _ in range(count)]
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    print(json.dumps([value for times in await asyncio.gather(*talking) for value in times]))


async def bench(options: argparse.Namespace) -> float:
    translator = seamless_stream.load("phrasebook", device="cpu")
    metrics = Busy()
    settings = ServerSettings(port=0)
    with Worker(translator.engine, (metrics,)) as worker:
        capabilities = translator.capabilities
        service = Service(worker, capabilities, "phrasebook", SessionSettings(), settings, metrics)
        async with listening(service, Access(settings, ())) as (_, port):
            idle = await probe(3.0)
            print(f"idle       {figures(idle)}")
            url = f"ws://127.0.0.1:{port}/v1/realtime/translations"
            command = [sys.executable, "-m", "tools.bench_server", "--url", url]
            command += ["--clients", str(options.clients)]
            pipe = subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
            while not metrics.busy_s:
                if process.returncode is not None:
                    raise SystemExit(f"The clients' process ended with {process.returncode}.")
                await asyncio.sleep(0.1)
            await asyncio.sleep(3.0)
            before_s, started_s = metrics.busy_s, time.perf_counter()
            with before_others() if options.alone else nullcontext():
                busy = await probe(options.seconds)
            share = (metrics.busy_s - before_s) / (time.perf_counter() - started_s)
            print(f"{options.clients:3} clients {figures(busy)}   model busy {100 * share:.0f} % of the time")
            output, _ = await process.communicate(b"")  # else Python 3.11 leaves its stdin open
    pongs: list[Any] = json.loads(output)
    p99_ms = statistics.quantiles(busy, n=100)[98]
    print(f"ping-pong  {figures(pongs)}")
    return p99_ms


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument(
        "--alone", action="store_true", help="before all other programs of a busy machine; root"
    )
    parser.add_argument("--url", help=argparse.SUPPRESS)  # the clients' process
    options = parser.parse_args()
    if options.url is not None:
        asyncio.run(clients(options.url, options.clients))
        return 0
    p99_ms = asyncio.run(bench(options))
    print(f"p99 {p99_ms:.1f} ms, the bar is {BAR_MS:.0f} ms")
    return int(p99_ms > BAR_MS)


if __name__ == "__main__":
    sys.exit(main())
