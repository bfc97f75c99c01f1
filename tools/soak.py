"""Whether an hour of speech through the daemon's socket leaves it as small and as quick as it was after two minutes.

    python -m tools.soak [--minutes 60] [--speed 2] [--model phrasebook] [--json FILE]

Starts `seamless-stream serve` as a process of its own, which may hold a minute of audio that the model has not taken.
One client says the bundled English recording again and again, `--speed` times as fast as real time, in one session.
Prints, each minute of the source, the server's resident memory and the median wait from the end of speech to its final,
by the clock. An hour takes half an hour. Choose a speed that the machine keeps up with: if it
does not, the wait grows.
Passes if the last minute is no more than 100 ms of the clock slower and 4 MB larger than minute 2.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tools.load import Client, Talk, serving, talks_of_the_package

REFERENCE: Final = 2  # the first minute makes buffers and caches
MAX_MEMORY_CHANGE_MB: Final = 4.0  # the server keeps 4 MiB of what it said for a client that resumes
MAX_WAIT_CHANGE_MS: Final = 100.0
SETTINGS: Final = ("server.max_ahead_ms=60000", "server.max_messages_per_s=5000")


@dataclass(frozen=True)
class Minute:
    """One of the source."""

    number: int
    rss_mb: float  # at its end
    wait_ms: float | None  # median of the finals in it
    num_finals: int


def rss_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    for row in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if row.startswith("VmRSS:"):
            return int(row.split()[1]) / 1024
    return 0.0


async def soak(
    url: str,
    pid: int,
    talk: Talk,
    minutes: int,
    speed: float,
    tell: Callable[[Minute], None],
    minute_s: float = 60.0,
) -> tuple[list[Minute], Client]:
    """One session; `tell` hears each minute soon after it is over."""
    client = Client(talk, minutes * minute_s, speed, "fast")
    running = asyncio.create_task(client.run(url))
    found: list[Minute] = []
    sizes_mb: list[float] = []
    for number in range(1, minutes + 1):
        await asyncio.wait([running], timeout=minute_s / speed)
        sizes_mb.append(rss_mb(pid))
        if number > 1:
            found.append(minute_of(client, number - 1, sizes_mb[-2], minute_s))
            tell(found[-1])
    await running
    found.append(minute_of(client, minutes, sizes_mb[-1], minute_s))
    tell(found[-1])
    return found, client


def minute_of(client: Client, number: int, size_mb: float, minute_s: float) -> Minute:
    """What is known of it."""
    waits = [wait for end_s, wait in client.finals if (number - 1) * minute_s <= end_s < number * minute_s]
    return Minute(number, size_mb, statistics.median(waits) if waits else None, len(waits))


def verdict(minutes: Sequence[Minute]) -> tuple[bool, str]:
    """Whether the last minute is as the second was."""
    second, last = minutes[REFERENCE - 1], minutes[-1]
    if second.wait_ms is None or last.wait_ms is None:
        return False, "no speech came to its end in minute 2, or in the last one"
    size_mb, wait_ms = last.rss_mb - second.rss_mb, last.wait_ms - second.wait_ms
    is_flat = size_mb <= MAX_MEMORY_CHANGE_MB and wait_ms <= MAX_WAIT_CHANGE_MS
    return (
        is_flat,
        f"memory {size_mb:+.1f} MB, wait {wait_ms:+.0f} ms from minute {second.number} to {last.number}",
    )


def line(minute: Minute) -> str:
    wait = "-" if minute.wait_ms is None else f"{minute.wait_ms:.0f}"
    return f"minute {minute.number:3}   memory {minute.rss_mb:7.1f} MB   wait {wait:>6} ms   finals {minute.num_finals}"


async def run(options: argparse.Namespace) -> int:
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    async with serving("--model", options.model, *words) as (url, pid):
        talk = talks_of_the_package()[0]
        found, client = await soak(
            url, pid, talk, options.minutes, options.speed, lambda minute: print(line(minute), flush=True)
        )
    if options.json is not None:
        options.json.write_text(
            json.dumps([asdict(minute) for minute in found], indent=1) + "\n", encoding="utf-8"
        )
    is_flat, text = verdict(found)
    end = "finished" if client.is_finished else f"not finished: {client.refusal}"
    print(f"{text}; session {end}, {client.dropped_ms} ms dropped, {client.num_left_out} segments left out")
    return int(not (is_flat and client.is_finished and not client.dropped_ms))


def main(words: Sequence[str] | None = None) -> int:
    """1 where it grew, slowed down or did not finish."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--minutes", type=int, default=60, help="of speech, at least 3; default: 60")
    parser.add_argument("--speed", type=float, default=2.0, help="times real time; default: 2")
    parser.add_argument("--model", default="phrasebook")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(words)
    if options.minutes <= REFERENCE:  # it would be compared with itself
        parser.error(f"--minutes must be above {REFERENCE}, but is {options.minutes}")
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
