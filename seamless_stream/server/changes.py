"""What a client may ask for in a session, as typed values; part of the messages and of the JSON Schema made from them.

None everywhere: leave it as it is. Whether it can be had is decided in configuration.py and languages.py.
"""

from dataclasses import dataclass
from typing import Literal

Encoding = Literal["s16le", "f32le", "mulaw", "opus"]
Framing = Literal["none", "header"]
Mode = Literal["speech", "text"]
Pacing = Literal["realtime", "fast"]


@dataclass(frozen=True)
class AudioFormat:
    """How samples are written; mono."""

    type: Literal["audio/pcm"] = "audio/pcm"
    encoding: Encoding | None = None
    rate: int | None = None
    channels: int | None = None


@dataclass(frozen=True)
class Transcription:
    """Whether captions of what was said are wanted too."""

    enabled: bool = True


@dataclass(frozen=True)
class InputAudio:
    """What the client sends."""

    format: AudioFormat | None = None
    pacing: Pacing | None = None
    framing: Framing | None = None
    transcription: Transcription | None = None


@dataclass(frozen=True)
class OutputAudio:
    """What the client wants back."""

    language: str | None = None
    format: AudioFormat | None = None
    voice: int | None = None
    mode: Mode | None = None


@dataclass(frozen=True)
class Audio:
    """Both directions."""

    input: InputAudio | None = None
    output: OutputAudio | None = None


@dataclass(frozen=True)
class TargetLanguage:
    """One language of the translation; `speech` left out: where it has a voice."""

    language: str
    speech: bool | None = None


@dataclass(frozen=True)
class TwoWay:
    """The languages of a conversation."""

    a: str
    b: str


@dataclass(frozen=True)
class Translation:
    """From which language into which; a source of "auto" is not said."""

    source_language: str | None = None
    targets: list[TargetLanguage] | None = None
    two_way: TwoWay | None = None


@dataclass(frozen=True)
class CaptionsChange:
    """What captions hold."""

    words: bool | None = None


@dataclass(frozen=True)
class SessionChange:
    """The part of a session's configuration that a client may set."""

    audio: Audio | None = None
    translation: Translation | None = None
    captions: CaptionsChange | None = None


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
