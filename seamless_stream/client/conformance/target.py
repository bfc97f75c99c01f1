"""The server that is held to its promises, its connections, and the list of the checks.

Speaks raw WebSocket, so that the client of this package cannot cover up a fault. Knows no promise.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from seamless_stream.audio.pcm import Samples, to_bytes
from seamless_stream.client.session import address
from seamless_stream.client.wire import Frame, read_frame
from seamless_stream.server.protocol import NATIVE

CHUNK_BYTES: Final = 6_400  # 200 ms
RATE: Final = 16_000


class Broken(Exception):
    """A promise that does not hold."""


class Unsuited(Exception):
    """This server cannot be asked, and why."""


@dataclass
class Target:
    """The server that is asked, and what it is asked with."""

    url: str
    language: str
    speech: Samples  # with a pause or more in it, 16 kHz
    key: str | None = None
    patience_s: float = 60.0
    whole: "asyncio.Future[Wire] | None" = None

    def __post_init__(self) -> None:
        self.url = address(self.url)

    @asynccontextmanager
    async def socket(
        self, *, more: str = "", subprotocol: str | None = NATIVE, is_configured: bool = False
    ) -> AsyncIterator["Wire"]:
        """A connection; `is_configured`: which has asked for the language, at the pace of a file."""
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        offered = None if subprotocol is None else [Subprotocol(subprotocol)]
        async with connect_socket(
            self.url + more,
            subprotocols=offered,
            additional_headers=headers,
            compression=None,
            close_timeout=1,
        ) as socket:
            wire = Wire(socket, self.patience_s)
            if is_configured:
                await wire.until("session.created")
                await wire.say(self.configuration())
            yield wire

    def configuration(self) -> dict[str, Any]:
        """The session.update of most checks."""
        audio = {"input": {"pacing": "fast"}, "output": {"language": self.language}}
        return {"type": "session.update", "event_id": "c1", "session": {"audio": audio, "no_such_field": 1}}

    @property
    def pcm(self) -> list[bytes]:
        """The speech as messages."""
        data = to_bytes(self.speech)
        return [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]


@dataclass
class Wire:
    """A connection that remembers what came."""

    socket: ClientConnection
    patience_s: float
    texts: list[dict[str, Any]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    async def say(self, *messages: dict[str, Any] | bytes | str) -> None:
        for message in messages:
            await self.socket.send(message if isinstance(message, bytes | str) else json.dumps(message))

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next message of this type with these fields; what comes before is remembered."""
        try:
            async with asyncio.timeout(self.patience_s):
                while True:
                    data = await self.socket.recv()
                    if isinstance(data, bytes):
                        self.frames.append(read_frame(data))
                        continue
                    self.texts.append(json.loads(data))
                    last = self.texts[-1]
                    if last.get("type") == kind and all(
                        last.get(name) == wanted for name, wanted in fields.items()
                    ):
                        return last
        except TimeoutError:
            raise Broken(f"no {kind} within {self.patience_s:g} s") from None
        except ConnectionClosed:
            raise Broken(
                f"no {kind} before the connection was closed with {self.socket.close_code}"
            ) from None

    async def closed(self) -> int | None:
        """The close code."""
        try:
            async with asyncio.timeout(self.patience_s):
                while True:
                    data = await self.socket.recv()
                    if isinstance(data, str):
                        self.texts.append(json.loads(data))
        except ConnectionClosed:
            return self.socket.close_code
        except TimeoutError:
            raise Broken(f"the connection was not closed within {self.patience_s:g} s") from None

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.texts if message.get("type") == kind]


def need(holds: object, text: str) -> None:
    """Raises Broken."""
    if not holds:
        raise Broken(text)


Check = Callable[[Target], Awaitable[None]]
CHECKS: Final[dict[str, Check]] = {}


def check(function: Check) -> Check:
    """Put it on the list under its own name."""
    CHECKS[function.__name__.replace("_", "-")] = function
    return function
