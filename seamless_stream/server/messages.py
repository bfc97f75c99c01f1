"""What the server says, as typed values; the JSON Schema of the protocol is made from these classes.

Knows no JSON, no sockets, no sessions. What they mean is told in docs/protocol.md; `commands.py` has what clients say.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Dialect = Literal["openai", "native"]
Role = Literal["source", "target"]
WarningCode = Literal[
    "audio_dropped",
    "audio_too_fast",
    "audio_stalled",
    "falling_behind",
    "speech_backlog",
    "clipping",
    "no_speech",
    "echo_suspected",
]
EndReason = Literal["silence", "pause", "max_length", "flush", "close", "drain"]
ErrorType = Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]


@dataclass(frozen=True)
class SessionCreated:
    """The first message: the configuration and what this server can do."""

    type: ClassVar[str] = "session.created"
    session: dict[str, Any]


@dataclass(frozen=True)
class SessionUpdated:
    """The whole configuration as it is now."""

    type: ClassVar[str] = "session.updated"
    session: dict[str, Any]


@dataclass(frozen=True)
class OutputTranscriptDelta:
    """More of the translation; carries its own spaces."""

    type: ClassVar[str] = "session.output_transcript.delta"
    delta: str
    elapsed_ms: int


@dataclass(frozen=True)
class InputTranscriptDelta:
    """More of what was said; carries its own spaces."""

    type: ClassVar[str] = "session.input_transcript.delta"
    delta: str
    elapsed_ms: int


@dataclass(frozen=True)
class OutputAudioDelta:
    """Translated speech as base64 text."""

    type: ClassVar[str] = "session.output_audio.delta"
    delta: str
    sample_rate: int
    elapsed_ms: int
    channels: int = 1
    format: Literal["pcm16"] = "pcm16"


@dataclass(frozen=True)
class OfSegment:
    """What every message about one segment begins with."""

    segment_id: str


@dataclass(frozen=True)
class SegmentStarted(OfSegment):
    """Speech began."""

    type: ClassVar[str] = "segment.started"
    start_ms: int


@dataclass(frozen=True)
class Caption(OfSegment):
    """The text of a segment in one language; `append` is what is new of it."""

    language: str
    role: Role | None
    rev: int
    append: str


@dataclass(frozen=True)
class SegmentUpdated(Caption):
    """`stable` never changes again and has grown by `append`; `unstable` may change."""

    type: ClassVar[str] = "segment.updated"
    stable: str
    unstable: str


@dataclass(frozen=True)
class Word:
    """When something was said that this word translates, or is."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class SegmentFinal(Caption):
    """The finished text of a segment in one language."""

    type: ClassVar[str] = "segment.final"
    text: str
    start_ms: int
    end_ms: int
    reason: EndReason
    lag_ms: int
    words: list[Word] | None = None
    source_language: str | None = None  # what was spoken, where that is known


@dataclass(frozen=True)
class SegmentCancelled(OfSegment):
    """A segment that could not be translated; what was stable stays."""

    type: ClassVar[str] = "segment.cancelled"
    message: str


@dataclass(frozen=True)
class SegmentAudioDone(OfSegment):
    """All speech of a segment in one language was sent: where it lies on the output clock of that language."""

    type: ClassVar[str] = "segment.audio_done"
    language: str
    first_sample: int
    samples: int


@dataclass(frozen=True)
class SegmentEnded(OfSegment):
    """Nothing more will come for this segment."""

    type: ClassVar[str] = "segment.ended"
    start_ms: int
    end_ms: int
    reason: EndReason


@dataclass(frozen=True)
class Skipped(OfSegment):
    """Something was left out on purpose, and why."""

    type: ClassVar[str] = "segment.skipped"
    what: str
    reason: str
    language: str | None = None  # where it was left out of one alone


@dataclass(frozen=True)
class TargetChanged(OfSegment):
    """From this segment on the translation is in other languages; `language` is the first of them."""

    type: ClassVar[str] = "segment.target_changed"
    language: str
    languages: list[str]


@dataclass(frozen=True)
class SegmentDirection(OfSegment):
    """Which candidate is spoken, detected or declared, and the first language that it is translated into, if it is."""

    type: ClassVar[str] = "segment.direction"
    source_language: str
    target_language: str | None
    is_detected: bool


@dataclass(frozen=True)
class Gap:
    """What a client has missed and the server has no longer, inclusive; empty where `from` is behind `to`."""

    from_seq: int
    to_seq: int
    from_frame: int
    to_frame: int


@dataclass(frozen=True)
class SessionResumed:
    """The session goes on: what was received of the client by now."""

    type: ClassVar[str] = "session.resumed"
    session: dict[str, Any]
    epoch: int
    message_seq: int
    audio_seq: int
    received_samples: int
    received_ms: int
    gap: Gap | None


@dataclass(frozen=True)
class TranscriptSnapshot:
    """The text so far: finished captions, the open ones, and whether these are all."""

    type: ClassVar[str] = "transcript.snapshot"
    segments: list[SegmentFinal]
    open: list[SegmentUpdated]
    is_whole: bool


@dataclass(frozen=True)
class AudioAck:
    """How much audio arrived, how much the model has heard, how much more may be sent now."""

    type: ClassVar[str] = "audio.ack"
    message_seq: int
    audio_seq: int
    received_ms: int
    processed_ms: int
    dropped_ms: int
    credit_ms: int


@dataclass(frozen=True)
class Heartbeat:
    """How the session fares."""

    type: ClassVar[str] = "heartbeat"
    server_time_ms: int
    lag_ms: int
    input_queue_ms: int
    speech_backlog_ms: int
    overload_level: int
    realtime_factor: float


@dataclass(frozen=True)
class Warn:
    """Something the client should know; `detail` depends on `code`."""

    type: ClassVar[str] = "warning"
    code: WarningCode
    detail: dict[str, int]


@dataclass(frozen=True)
class Flushed:
    """Everything before the flush is translated and sent."""

    type: ClassVar[str] = "input_audio.flushed"
    marker: str
    processed_ms: int


@dataclass(frozen=True)
class OutputCleared:
    """Frames before these places are to be thrown away, one for each output clock."""

    type: ClassVar[str] = "output_audio.cleared"
    next_samples: list[int]


@dataclass(frozen=True)
class Pong:
    """The answer to ping."""

    type: ClassVar[str] = "pong"
    id: str | None


@dataclass(frozen=True)
class GoAway:
    """The server will close this connection."""

    type: ClassVar[str] = "session.go_away"
    reason: Literal["drain"]
    time_left_ms: int
    resume_url: str | None = None


@dataclass(frozen=True)
class SessionClosed:
    """The last message."""

    type: ClassVar[str] = "session.closed"
    reason: str
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorDetail:
    """What was wrong; `recoverable`: the session goes on. `retry_after_ms`: then it may go well."""

    type: ErrorType
    code: str
    message: str
    param: str | None
    event_id: str | None
    recoverable: bool
    retry_after_ms: int | None = None


@dataclass(frozen=True)
class Error:
    """Something the client sent was refused, or the session has failed."""

    type: ClassVar[str] = "error"
    error: ErrorDetail


OpenAIMessage = (
    SessionCreated
    | SessionUpdated
    | InputTranscriptDelta
    | OutputTranscriptDelta
    | OutputAudioDelta
    | SessionClosed
    | Pong
    | Error
)
NativeOnly = (
    SegmentStarted
    | SegmentUpdated
    | SegmentFinal
    | SegmentCancelled
    | SegmentAudioDone
    | SegmentEnded
    | Skipped
    | TargetChanged
    | SegmentDirection
    | SessionResumed
    | TranscriptSnapshot
    | AudioAck
    | Heartbeat
    | Warn
    | Flushed
    | OutputCleared
    | GoAway
)
ServerMessage = OpenAIMessage | NativeOnly
