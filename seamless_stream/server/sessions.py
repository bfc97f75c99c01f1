"""All sessions of one server by their ids, whether they have a connection at the moment or not.

Knows when a session begins and ends to count it for its owner; knows no HTTP.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import suppress

from seamless_stream.server.access import Access
from seamless_stream.server.changes import SessionChange
from seamless_stream.server.messages import Dialect
from seamless_stream.server.served import ServedSession
from seamless_stream.server.service import Service


class Sessions:
    """`open` a session, `find` it again, `drain` them all."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._all: dict[str, tuple[ServedSession, asyncio.Task[None]]] = {}
        self._owners: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[ServedSession]:
        return iter([session for session, _ in self._all.values()])

    def open(self, owner: str, dialect: Dialect, change: SessionChange | None = None) -> ServedSession:
        """A new one, which counts for its owner until it is gone; `change`: how it begins."""
        session = ServedSession(self._service, dialect, change)
        self._access.enter(owner)
        self._owners[session.id] = owner
        task = asyncio.create_task(session.run())
        self._all[session.id] = (session, task)
        task.add_done_callback(lambda _: self._forget(session.id))
        return session

    def find(self, session_id: str) -> ServedSession | None:
        """None: there is none, or no longer."""
        found = self._all.get(session_id)
        return None if found is None else found[0]

    def heard_with(self, session_id: str, token: str | None) -> ServedSession | None:
        """The session that this token lets listen to."""
        session = self.find(session_id)
        if session is None or token is None:
            return None
        given = token.encode("utf-8", "surrogateescape")
        return session if secrets.compare_digest(given, session.listen_token.encode()) else None

    def has_room(self, owner: str) -> bool:
        """Whether this owner may have one more; a broken one of its own that nobody has come back to makes room."""
        return self._access.has_room(owner) or self._longest_left(owner) is not None

    def make_room(self, owner: str) -> None:
        """End the session that has been without a connection for the longest time, where that is needed."""
        session = self._longest_left(owner)
        if session is not None and not self._access.has_room(owner):
            session.leave()
            self._forget(session.id)

    async def drain(self) -> None:
        """Let all finish, as long as the settings allow."""
        for session in self:
            session.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._service.settings.drain_s):
                while self._all:  # noqa: ASYNC110 - there are few and this happens once
                    await asyncio.sleep(0.05)

    def close(self) -> None:
        """Nobody is waited for any more."""
        for session in self:
            session.leave()

    def _longest_left(self, owner: str) -> ServedSession | None:
        left = [(s.seat.left_s, s) for s in self if s.seat.left_s is not None and self._owners[s.id] == owner]
        return min(left, key=lambda pair: pair[0])[1] if left else None

    def _forget(self, session_id: str) -> None:
        if self._all.pop(session_id, None) is not None:
            self._access.leave(self._owners.pop(session_id))
