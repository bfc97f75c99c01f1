"""How long clients of the daemon wait while many of them speak at once, over real sockets, in real time.

    python -m tools.load [--clients 1,2,4,8,16,32,64] [--seconds 60] [--url ws://HOST:PORT] [--json FILE]

Starts `seamless-stream serve` as a process of its own, or asks the one at --url. Each client says the bundled English
or Spanish recording again and again, 100 ms each 100 ms, begins somewhere in the first five seconds, and has its
translation spoken. Per number of clients, one row:

  frame to ack    from the moment a frame was due to the first `audio.ack` that counts it; acks come each half second
  end to final    from the end of speech, as `segment.final` tells it, to the moment that this message has come
  finished        clients whose session ended as promised, with every segment it began told to its end
  refused         clients whom the server told that it is full; status 1 where others did not finish
  dropped         seconds of audio that the server left out, and segments of which it skipped something or failed

Moments are those of the schedule, so that a client which is late itself makes the times longer, not shorter.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

import seamless_stream
from seamless_stream.audio.files import read
from seamless_stream.audio.pcm import Samples, to_bytes
from seamless_stream.client.session import BUSY, address
from seamless_stream.server.protocol import NATIVE

FRAME_MS: Final = 100
FRAME_BYTES: Final = 3_200
PAUSE_SAMPLES: Final = 16_000  # between the end of a recording and its repetition
STAGGER_S: Final = 5.0
PATIENCE_S: Final = 300.0  # for what is not translated yet when the last word was said
START_S: Final = 300.0
SAMPLES: Final = Path(seamless_stream.__file__).parent / "checkpoints" / "samples"
RECORDINGS: Final = (("english", "es"), ("spanish", "en"))


@dataclass(frozen=True)
class Talk:
    """What a client says, as bytes that go round, and the language it wants."""

    pcm: bytes
    language: str

    @classmethod
    def of(cls, samples: Samples, language: str) -> "Talk":
        pcm = to_bytes(np.concatenate((samples, np.zeros(PAUSE_SAMPLES, np.float32))))
        return cls(pcm[: len(pcm) // FRAME_BYTES * FRAME_BYTES], language)

    def frame(self, number: int) -> bytes:
        place = number * FRAME_BYTES % len(self.pcm)
        return self.pcm[place : place + FRAME_BYTES]


@dataclass
class Client:
    """One session and what it saw; `speed`: seconds of speech in a second."""

    talk: Talk
    seconds: float
    speed: float = 1.0
    pacing: str = "realtime"
    ack_ms: list[float] = field(default_factory=list)
    finals: list[tuple[float, float]] = field(
        default_factory=list
    )  # end of speech in the source s, waited ms
    num_left_out: int = 0
    dropped_ms: int = 0
    refusal: str | None = None  # code of the error, or of the close
    is_finished: bool = False
    _num_acked: int = 0
    _begun: set[str] = field(default_factory=set)

    async def run(self, url: str, delay_s: float = 0.0) -> None:
        """Connect, speak, listen to the end."""
        await asyncio.sleep(delay_s)
        try:
            offered = [Subprotocol(NATIVE)]
            async with connect(url, subprotocols=offered, compression=None, max_size=None) as socket:
                audio = {"input": {"pacing": self.pacing}, "output": {"language": self.talk.language}}
                await socket.send(json.dumps({"type": "session.update", "session": {"audio": audio}}))
                self._start_s = asyncio.get_running_loop().time()
                speaking = asyncio.create_task(self._speak(socket))
                try:
                    async with asyncio.timeout(self.seconds / self.speed + PATIENCE_S):
                        async for data in socket:
                            if isinstance(data, str):
                                self._hear(json.loads(data))
                finally:
                    speaking.cancel()
                if not self.is_finished:
                    self.refusal = self.refusal or f"closed with {socket.close_code}"
        except InvalidStatus as error:
            self.refusal = json.loads(error.response.body or b"{}").get("error", {}).get("code", str(error))
        except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
            self.refusal = self.refusal or str(error) or type(error).__name__

    def _due_s(self, source_ms: float) -> float:
        """When, on the loop's clock, the source had said this much."""
        return self._start_s + source_ms / 1000 / self.speed

    async def _speak(self, socket: Any) -> None:
        loop = asyncio.get_running_loop()
        for number in range(round(self.seconds * 1000 / FRAME_MS)):
            await asyncio.sleep(max(0.0, self._due_s((number + 1) * FRAME_MS) - loop.time()))
            await socket.send(self.talk.frame(number))
        await socket.send('{"type":"session.close"}')

    def _hear(self, message: dict[str, Any]) -> None:
        now_s = asyncio.get_running_loop().time()
        match message["type"]:
            case "audio.ack":
                for number in range(self._num_acked, message["audio_seq"]):
                    self.ack_ms.append(1000 * (now_s - self._due_s((number + 1) * FRAME_MS)))
                self._num_acked = message["audio_seq"]
            case "segment.started":
                self._begun.add(message["segment_id"])
            case "segment.final":
                self.finals.append(
                    (message["end_ms"] / 1000, 1000 * (now_s - self._due_s(message["end_ms"])))
                )
            case "segment.ended":
                self._begun.discard(message["segment_id"])
            case "segment.skipped" | "segment.cancelled":
                self.num_left_out += 1
            case "error":
                self.refusal = message["error"]["code"]
            case "session.closed":
                self.dropped_ms = message["usage"]["dropped_ms"]
                self.is_finished = not self._begun and bool(self.finals)


@dataclass(frozen=True)
class Row:
    """A number of clients; times are p50, p95, p99 and the longest, ms."""

    clients: int
    finished: int
    refused: int
    failures: list[str]  # of the others
    ack_ms: list[float]
    final_ms: list[float]
    finals: int
    dropped_s: float
    left_out: int


def spread(values: Sequence[float]) -> list[float]:
    """p50, p95, p99, max; of nothing: nothing."""
    if len(values) < 2:
        return [float(value) for value in values] * 4
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return [round(value, 1) for value in (cuts[49], cuts[94], cuts[98], max(values))]


async def measure(url: str, talks: Sequence[Talk], count: int, seconds: float) -> Row:
    """All at once, one after another in the first seconds."""
    clients = [Client(talks[i % len(talks)], seconds) for i in range(count)]
    stagger_s = min(STAGGER_S, seconds / 2)
    await asyncio.gather(*(client.run(url, i * stagger_s / count) for i, client in enumerate(clients)))
    return Row(
        clients=count,
        finished=sum(client.is_finished for client in clients),
        refused=sum(client.refusal in BUSY for client in clients),
        failures=sorted({client.refusal for client in clients if client.refusal} - set(BUSY)),
        ack_ms=spread([value for client in clients for value in client.ack_ms]),
        final_ms=spread([value for client in clients for _, value in client.finals]),
        finals=sum(len(client.finals) for client in clients),
        dropped_s=sum(client.dropped_ms for client in clients) / 1000,
        left_out=sum(client.num_left_out for client in clients),
    )


HEAD: Final = (
    "| clients | finished | refused | frame to ack p50 | p95 | p99 | max ms | end to final p50 | p95 | p99 | max ms"
    " | finals | dropped s | left out |\n" + "|---:" * 14 + "|"
)


def line(row: Row) -> str:
    """Of the table."""
    times = [
        f"{value:.0f}" for values in (row.ack_ms, row.final_ms) for value in values or [float("nan")] * 4
    ]
    cells = [
        row.clients,
        f"{row.finished} of {row.clients}",
        row.refused,
        *times,
        row.finals,
        f"{row.dropped_s:.1f}",
        row.left_out,
    ]
    told = f"  {', '.join(row.failures)}" if row.failures else ""
    return "| " + " | ".join(map(str, cells)) + " |" + told


# --- the server


@asynccontextmanager
async def serving(*options: str) -> AsyncIterator[tuple[str, int]]:
    """A daemon on any free port, of this Python: its address and process id."""
    command = [sys.executable, "-m", "seamless_stream", "serve", "--port", "0", *options]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    told = b""
    try:
        async with asyncio.timeout(START_S):
            while not told.startswith(b"listening: "):
                told = await process.stderr.readline()
                if not told:
                    raise SystemExit(f"The server did not start: status {await process.wait()}.")
        reading = asyncio.create_task(process.stderr.read())  # a full pipe would stop it
        yield told.decode().removeprefix("listening: ").strip(), process.pid
        reading.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def talks_of_the_package() -> list[Talk]:
    return [Talk.of(read(SAMPLES / f"{name}.flac"), language) for name, language in RECORDINGS]


async def table(options: argparse.Namespace, tell: Callable[[str], None]) -> list[Row]:
    """All rows against one server."""

    async def rows(url: str) -> list[Row]:
        tell(HEAD)
        found = []
        for count in options.clients:
            found.append(await measure(url, talks_of_the_package(), count, options.seconds))
            tell(line(found[-1]))
        return found

    if options.url is not None:
        return await rows(address(options.url))
    async with serving("--model", options.model) as (url, _):
        return await rows(url)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4, 8, 16, 32, 64]
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="that each client speaks; default: 60")
    parser.add_argument("--url", help="of a server that runs already; without it, one is started")
    parser.add_argument("--model", default="phrasebook", help="for the one that is started")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """1 where a client that was not refused did not finish."""
    options = parse(words)
    rows = asyncio.run(table(options, lambda text: print(text, flush=True)))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return int(any(row.finished + row.refused < row.clients for row in rows))


if __name__ == "__main__":
    sys.exit(main())
