"""What a session says to its client: numbered, bounded in bytes, what can be spared left out in need, the rest kept.

Knows the two dialects; nothing of sockets or of what is said. A connection takes the messages one by one; when another
one follows it, `rewind` goes back to what that client has.
"""

import asyncio
from collections import deque
from typing import Final

from seamless_stream.server import messages
from seamless_stream.server.messages import Dialect, Gap, ServerMessage
from seamless_stream.server.protocol import BAD_MESSAGE, ProtocolError, replayed, write

RELIEF: Final = 8  # of the bytes allowed, one part of so many: beyond it what can be spared is left out
SPARED: Final = (messages.AudioAck, messages.Heartbeat)


class Kept:
    """Messages in their order, with their size and how many of them are text."""

    def __init__(self) -> None:
        self.items: deque[str | bytes] = deque()
        self.num_bytes = 0
        self.num_texts = 0

    def __len__(self) -> int:
        return len(self.items)

    def append(self, item: str | bytes) -> None:
        """At the end."""
        self.items.append(item)
        self._count(item, 1)

    def push_front(self, item: str | bytes) -> None:
        """Before all others."""
        self.items.appendleft(item)
        self._count(item, 1)

    def pop(self) -> str | bytes:
        """The last one."""
        return self._count(self.items.pop(), -1)

    def pop_front(self) -> str | bytes:
        """The first one."""
        return self._count(self.items.popleft(), -1)

    def _count(self, item: str | bytes, sign: int) -> str | bytes:
        self.num_bytes += sign * len(item)
        self.num_texts += sign * isinstance(item, str)
        return item


class Outbox:
    """`put` never waits; a connection calls `begin` and then `next` until it gives None."""

    def __init__(self, dialect: Dialect, max_unsent_bytes: int, replay_bytes: int) -> None:
        self._dialect = dialect
        self._max_unsent_bytes = max_unsent_bytes
        self._replay_bytes = replay_bytes
        self._sent, self._waiting = Kept(), Kept()
        self._num_texts = self._num_frames = (
            0  # put so far: the seq of the next message, the number of the next frame
        )
        self._reader = 0  # who may take; only the newest
        self._is_read = True
        self._has_changed = asyncio.Event()
        self._is_closed = False

    def put(self, message: ServerMessage | bytes) -> bool:
        """False when the client reads too slowly: whoever reads should be stopped."""
        if isinstance(message, bytes):
            data: str | bytes = message
            self._num_frames += 1
        elif self._dialect != "native" and not isinstance(message, messages.OpenAIMessage):
            return True
        elif self._is_spared(message):
            return True
        else:
            data = write(message, self._num_texts, with_seq=self._dialect == "native")
            self._num_texts += 1
        self._waiting.append(data)
        self._has_changed.set()
        if not self._is_read:
            self._forget()
            return True
        return self._waiting.num_bytes <= self._max_unsent_bytes

    def welcome(self, message: ServerMessage) -> None:
        """The first message of all, however long: room is made for it."""
        self.put(message)
        self._max_unsent_bytes += self.unsent_bytes

    def close(self) -> None:
        """Nothing more will be put."""
        self._is_closed = True
        self._has_changed.set()

    @property
    def is_empty(self) -> bool:
        """Whether everything was taken."""
        return not self._waiting

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent."""
        return self._waiting.num_bytes

    # A connection's side.

    def begin(self) -> int:
        """A new reader; the one before gets nothing more."""
        self._reader += 1
        self._is_read = True
        self._has_changed.set()
        return self._reader

    def pause(self) -> None:
        """Nobody reads for now."""
        self._is_read = False
        self._forget()

    async def next(self, reader: int) -> str | bytes | None:
        """The next message; None: there will be none for this reader."""
        while reader == self._reader:
            if self._waiting:
                data = self._waiting.pop_front()
                self._sent.append(data)
                self._forget()
                return data
            if self._is_closed:
                return None
            self._has_changed.clear()
            await self._has_changed.wait()
        return None

    def rewind(self, last_seq: int, last_frame: int) -> Gap | None:
        """Go on behind what the client has; what it has missed and is no longer kept, if there is anything.

        Raises ProtocolError where it cannot have received so much.
        """
        num_texts = self._num_texts - self._waiting.num_texts  # of what was taken once
        num_frames = self._num_frames - (len(self._waiting) - self._waiting.num_texts)
        for name, last, count in (("last_seq", last_seq, num_texts), ("last_frame", last_frame, num_frames)):
            if not -1 <= last < count:
                text = f"`{name}` must be -1 to {count - 1}, but is {last}."
                raise ProtocolError("invalid_value", text, param=name, close_code=BAD_MESSAGE)
        num_missed = num_texts + num_frames - (last_seq + 1) - (last_frame + 1)
        num_lost = num_missed - len(self._sent)
        first_seq = num_texts - self._sent.num_texts
        first_frame = num_frames - (len(self._sent) - self._sent.num_texts)
        for _ in range(min(num_missed, len(self._sent))):
            data = self._sent.pop()
            self._waiting.push_front(replayed(data) if isinstance(data, bytes) else data)
        if num_lost <= 0:
            return None
        return Gap(last_seq + 1, first_seq - 1, last_frame + 1, first_frame - 1)

    def _forget(self) -> None:
        """Keep as much as is allowed, the newest; what is unsent only falls while nobody reads."""
        while self._sent.num_bytes > self._replay_bytes:
            self._sent.pop_front()
        while not self._is_read and self._waiting.num_bytes > self._max_unsent_bytes:
            (self._sent or self._waiting).pop_front()  # the oldest first, so that what is lost has no holes

    def _is_spared(self, message: ServerMessage) -> bool:
        if self._is_read and self._waiting.num_bytes <= self._max_unsent_bytes // RELIEF:
            return False
        is_empty_update = isinstance(message, messages.SegmentUpdated) and not message.append
        return is_empty_update or isinstance(message, SPARED)
