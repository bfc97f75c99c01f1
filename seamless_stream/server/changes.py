"""What a client may ask for in a session, as typed values; part of the messages and of the JSON Schema made from them.

None everywhere: leave it as it is. Every field says until when it may change and which numbers it takes, to the parser,
to the configuration and to the schema alike. Whether it can be had is decided in configuration.py and languages.py.
"""

import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Final, Literal, TypeVar

from seamless_stream.settings import MAX_SEGMENT_MS, Latency

DuplexMode = Literal["full", "half"]
EchoGuardMode = Literal["auto", "on", "off"]
CaptionMode = Literal["stable+unstable", "stable", "final"]
Encoding = Literal["s16le", "f32le", "mulaw", "opus"]
Framing = Literal["none", "header"]
Mode = Literal["speech", "text"]
SameLanguage = Literal["translate", "skip"]  # of what is spoken in a target language
Pacing = Literal["realtime", "fast"]
Scope = Literal["session", "live"]  # may change before the first audio; at any time

MIN_RATE: Final = 8_000
MAX_RATE: Final = 48_000

T = TypeVar("T")


def choice(scope: Scope, minimum: float | None = None, maximum: float | None = None) -> Any:
    """A field that may be left out; what is None here is not limited."""
    limits = {"minimum": minimum, "maximum": maximum}
    known = {name: limit for name, limit in limits.items() if limit is not None}
    return field(default=None, metadata={"x-scope": scope} | known)


@dataclass(frozen=True)
class AudioFormat:
    """How samples are written; mono."""

    type: Literal["audio/pcm"] = "audio/pcm"
    encoding: Encoding | None = choice("session")
    rate: int | None = choice("session", MIN_RATE, MAX_RATE)
    channels: int | None = choice("session", 1, 1)


@dataclass(frozen=True)
class Transcription:
    """Whether captions of what was said are wanted too."""

    enabled: bool = field(default=True, metadata={"x-scope": "session"})


@dataclass(frozen=True)
class TurnDetection:
    """Where speech is cut into segments."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float | None = choice("session", 0, 1)
    prefix_padding_ms: int | None = choice("session", 0, 1_000)
    silence_duration_ms: int | None = choice("session", 100, 5_000)
    max_segment_ms: int | None = choice("session", 2_000, MAX_SEGMENT_MS)


@dataclass(frozen=True)
class InputAudio:
    """What the client sends."""

    format: AudioFormat | None = None
    pacing: Pacing | None = choice("session")
    framing: Framing | None = choice("session")
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = None


@dataclass(frozen=True)
class OutputAudio:
    """What the client wants back."""

    language: str | None = choice("live")
    format: AudioFormat | None = None
    voice: int | None = choice("session", 0)
    mode: Mode | None = choice("session")


@dataclass(frozen=True)
class Audio:
    """Both directions."""

    input: InputAudio | None = None
    output: OutputAudio | None = None


@dataclass(frozen=True)
class TargetLanguage:
    """One language of the translation; `speech` left out: where it has a voice."""

    language: str
    speech: bool | None = choice("session")


@dataclass(frozen=True)
class TwoWay:
    """The languages of a conversation."""

    a: str = field(metadata={"x-scope": "session"})
    b: str = field(metadata={"x-scope": "session"})


@dataclass(frozen=True)
class Policy:
    """Early words, or better sentences."""

    latency: Latency | None = choice("session")


@dataclass(frozen=True)
class Translation:
    """From which language into which; a source of "auto" is not said, or found among the candidates."""

    source_language: str | None = choice("live")
    source_candidates: list[str] | None = choice("session")
    targets: list[TargetLanguage] | None = choice("live")
    same_language: SameLanguage | None = choice("session")
    two_way: TwoWay | None = None
    policy: Policy | None = None


@dataclass(frozen=True)
class CaptionsChange:
    """What captions hold and how often they come."""

    mode: CaptionMode | None = choice("live")
    min_interval_ms: int | None = choice("live", 0, 10_000)
    words: bool | None = choice("session")


@dataclass(frozen=True)
class Backlog:
    """How translated speech keeps up: faster from `target_ms` of it on, left out beyond `max_ms`."""

    target_ms: int | None = choice("session", 0, 60_000)
    max_ms: int | None = choice("session", 1_000, 120_000)
    tempo_max: float | None = choice("session", 1, 1.25)
    overflow: Literal["skip"] | None = choice("session")


@dataclass(frozen=True)
class SpeechChange:
    """What is heard of the translation."""

    backlog: Backlog | None = None


@dataclass(frozen=True)
class Duplex:
    """Whether both sides may speak at once, and what is done about our own voice in the input."""

    mode: DuplexMode | None = choice("session")
    echo_guard: EchoGuardMode | None = choice("session")


@dataclass(frozen=True)
class SessionChange:
    """The part of a session's configuration that a client may set."""

    audio: Audio | None = None
    translation: Translation | None = None
    captions: CaptionsChange | None = None
    speech: SpeechChange | None = None
    duplex: Duplex | None = None


def merged(old: T, change: T | None) -> T:
    """`old` with what a change of the same kind says."""
    if change is None:
        return old
    items = {item.name: getattr(change, item.name) for item in fields(change)}  # type: ignore[arg-type]
    return replace(old, **{name: item for name, item in items.items() if item is not None})  # type: ignore[type-var]


def scopes(kind: Any = SessionChange) -> Iterator[tuple[tuple[str, ...], Scope]]:
    """The path and the scope of everything that can be set; a list counts as one thing."""
    hints = typing.get_type_hints(kind)
    for item in fields(kind):
        inner = next((part for part in typing.get_args(hints[item.name]) if is_dataclass(part)), None)
        if inner is not None:
            yield from (((item.name, *path), scope) for path, scope in scopes(inner))
        elif "x-scope" in item.metadata:
            yield (item.name,), item.metadata["x-scope"]


def is_given(change: Any, path: tuple[str, ...]) -> bool:
    """Whether a change says anything there."""
    for name in path:
        change = None if change is None else getattr(change, name)
    return change is not None


# --- the body of a request for a client secret


@dataclass(frozen=True)
class ExpiresAfter:
    """How long the secret can begin sessions."""

    anchor: Literal["created_at"] = "created_at"
    seconds: int | None = None


@dataclass(frozen=True)
class SecretSession(SessionChange):
    """How the sessions begin, and with which model."""

    model: str | None = None


@dataclass(frozen=True)
class SecretRequest:
    """Make a client secret."""

    session: SecretSession
    expires_after: ExpiresAfter | None = None
