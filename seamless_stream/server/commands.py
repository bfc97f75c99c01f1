"""What a client says, as typed values; the JSON Schema of the protocol is made from these classes.

Knows no JSON, no sockets, no sessions. What they mean is told in docs/protocol.md; `messages.py` has the answers.
"""

import typing
from dataclasses import dataclass, field
from typing import ClassVar, Final

from seamless_stream.server.changes import SessionChange

MAX_PAUSE_S: Final = 60  # that a client may tell of at once


@dataclass(frozen=True)
class SessionUpdate:
    """Change the configuration, all of it or nothing."""

    type: ClassVar[str] = "session.update"
    session: SessionChange
    event_id: str | None = None


@dataclass(frozen=True)
class AudioAppend:
    """Audio as base64 text."""

    type: ClassVar[str] = "session.input_audio_buffer.append"
    audio: str
    event_id: str | None = None


@dataclass(frozen=True)
class Silence:
    """Nothing was recorded for a while: it is heard as silence."""

    type: ClassVar[str] = "session.input_audio_buffer.silence"
    duration_ms: int = field(metadata={"minimum": 1, "maximum": 1000 * MAX_PAUSE_S})
    event_id: str | None = None


@dataclass(frozen=True)
class Flush:
    """Finish all audio so far and say so; the session goes on."""

    type: ClassVar[str] = "input_audio.flush"
    marker: str
    event_id: str | None = None


@dataclass(frozen=True)
class Ping:
    """For clients that cannot see the pings of WebSocket."""

    type: ClassVar[str] = "ping"
    id: str | None = None
    event_id: str | None = None


@dataclass(frozen=True)
class KeepAlive:
    """The client is there; without an answer."""

    type: ClassVar[str] = "KeepAlive"
    event_id: str | None = None


@dataclass(frozen=True)
class SessionClose:
    """Translate what is there, then close."""

    type: ClassVar[str] = "session.close"
    event_id: str | None = None


@dataclass(frozen=True)
class OutputPlayed:
    """How far the client has played the first output clock."""

    type: ClassVar[str] = "output_audio.played"
    up_to_sample: int
    event_id: str | None = None


@dataclass(frozen=True)
class OutputClear:
    """Speak nothing more of what has begun."""

    type: ClassVar[str] = "output_audio.clear"
    event_id: str | None = None


@dataclass(frozen=True)
class SessionResume:
    """The first message of a connection that follows a broken one: what the client has; -1: nothing."""

    type: ClassVar[str] = "session.resume"
    token: str
    last_seq: int
    last_frame: int
    event_id: str | None = None


ClientMessage = (
    SessionUpdate
    | AudioAppend
    | Silence
    | Flush
    | Ping
    | KeepAlive
    | SessionClose
    | OutputPlayed
    | OutputClear
    | SessionResume
)
CLIENT_MESSAGES: Final = {kind.type: kind for kind in typing.get_args(ClientMessage)}
