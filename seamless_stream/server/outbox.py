"""What waits to be sent to one client: numbered, bounded in bytes, and what can be spared left out in need.

Knows one socket and the two dialects; nothing of sessions.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from seamless_stream.server import messages
from seamless_stream.server.messages import Dialect, ServerMessage
from seamless_stream.server.protocol import write

RELIEF: Final = 8  # of the bytes allowed, one part of so many: beyond it what can be spared is left out
SPARED: Final = (messages.AudioAck, messages.Heartbeat)


class Outbox:
    """`put` never waits; `drain` sends until `close`, and then the rest."""

    def __init__(self, socket: ServerConnection, dialect: Dialect, max_bytes: int) -> None:
        self._socket = socket
        self._dialect = dialect
        self._max_bytes = max_bytes
        self._waiting: deque[str | bytes] = deque()
        self._num_bytes = 0
        self._num_messages = 0  # JSON messages so far: their seq
        self._has_changed = asyncio.Event()
        self._is_closed = False

    def put(self, message: ServerMessage | bytes) -> bool:
        """False when the client reads too slowly: everything unsent is given up."""
        if isinstance(message, bytes):
            data: str | bytes = message
        elif self._dialect != "native" and not isinstance(message, messages.OpenAIMessage):
            return True
        elif self._num_bytes > self._max_bytes // RELIEF and _is_spared(message):
            return True
        else:
            data = write(message, self._num_messages, with_seq=self._dialect == "native")
            self._num_messages += 1
        self._waiting.append(data)
        self._num_bytes += len(data)
        self._has_changed.set()
        if self._num_bytes <= self._max_bytes:
            return True
        self._waiting.clear()
        self._num_bytes = 0
        return False

    def close(self) -> None:
        """Nothing more will be put."""
        self._is_closed = True
        self._has_changed.set()

    async def drain(self) -> None:
        """Send everything, until it is closed or the socket is."""
        with suppress(ConnectionClosed):
            while self._waiting or not self._is_closed:
                if not self._waiting:
                    self._has_changed.clear()
                    await self._has_changed.wait()
                    continue
                data = self._waiting.popleft()
                await self._socket.send(data)
                self._num_bytes = max(0, self._num_bytes - len(data))


def _is_spared(message: ServerMessage) -> bool:
    is_empty_update = isinstance(message, messages.SegmentUpdated) and not message.append
    return is_empty_update or isinstance(message, SPARED)
