"""Who holds a session: its connection now, and the token with which another connection may take its place.

Knows no messages and no sockets. The token is another one after each use; the one that was used is good until the
client shows that it has the new one, so that a connection may break at any point of a resume.
"""

import secrets
from typing import Protocol

from seamless_stream.server.protocol import TAKEN_OVER, UNKNOWN, ProtocolError


class Reader(Protocol):
    """The connection that a session has now."""

    def end(self, code: int) -> None:
        """Close it; the session goes on."""


class Seat:
    """Of one session, empty since `now_s`."""

    def __init__(self, now_s: float) -> None:
        self.token = _draw()
        self._used: str | None = None  # the token before, while the client may not have the new one
        self._reader: Reader | None = None
        self.left_s: float | None = now_s  # since when there is no connection
        self.taken_s = 0.0
        self.epoch = 0  # connections so far

    @property
    def is_taken(self) -> bool:
        """Whether there is a connection."""
        return self._reader is not None

    def take(self, reader: Reader, now_s: float) -> None:
        """A connection is there; one before it is closed."""
        self.end(TAKEN_OVER)
        self._reader, self.left_s, self.taken_s = reader, None, now_s
        self.epoch += 1

    def leave(self, reader: Reader, now_s: float) -> bool:
        """It is no longer there; False: another one has followed it before."""
        if reader is not self._reader:
            return False
        self._reader, self.left_s = None, now_s
        return True

    def end(self, code: int) -> None:
        """Close the connection, if there is one."""
        if self._reader is not None:
            self._reader.end(code)

    def admits(self, token: str) -> bool:
        """Whether who says this may take it."""
        given = token.encode()
        allowed = [self.token] if self._used is None else [self.token, self._used]
        return any([secrets.compare_digest(given, each.encode()) for each in allowed])

    def rotate(self, used: str) -> None:
        """Another token; the one that was used is good until `confirm`."""
        self._used, self.token = used, _draw()

    def confirm(self) -> None:
        """The client has said something behind the resume: it has the new token."""
        self._used = None


def _draw() -> str:
    return f"rt_{secrets.token_urlsafe(24)}"


def unknown_session() -> ProtocolError:
    """What a connection hears that wants to go on with a session which is not there, or not its own."""
    text = "There is no such session, or its time is over, or the token is another one's."
    return ProtocolError("unknown_session", text, close_code=UNKNOWN)
