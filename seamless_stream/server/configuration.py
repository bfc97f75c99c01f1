"""The configuration of one served session: what a client may change, when, and what it is told.

Pure: messages and the checkpoint's capabilities in, a new configuration or a ProtocolError out; a refused change
changes nothing.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from seamless_stream import __version__
from seamless_stream.engine.engine import check_session, speech_task, target_language
from seamless_stream.errors import LanguageError, SettingsError
from seamless_stream.models.base import Capabilities
from seamless_stream.server.messages import AudioFormat, Dialect, Encoding, Mode, Pacing, SessionChange
from seamless_stream.server.protocol import VERSION, ProtocolError
from seamless_stream.settings import ServerSettings, SessionSettings

MIN_RATE: Final = 8_000
MAX_RATE: Final = 48_000
OPENAI_RATE: Final = 24_000  # of both directions, where nothing else is asked for
NATIVE_RATE: Final = 16_000  # what the model hears and says


@dataclass(frozen=True)
class Configuration:
    """What one session does now."""

    language: str | None  # as the client wrote it
    code: str | None = None  # as the checkpoint calls it
    encoding: Encoding = "s16le"
    input_rate: int = NATIVE_RATE
    output_rate: int = NATIVE_RATE
    pacing: Pacing = "realtime"
    voice: int = 0
    mode: Mode | None = None  # None: speech where the language has a voice

    def effective_mode(self, capabilities: Capabilities) -> Mode:
        """What it will be if nothing more is said."""
        if self.mode is not None:
            return self.mode
        has_voice = self.code in capabilities.speech_languages and "s2st" in capabilities.tasks
        return "speech" if has_voice else "text"

    def settings(self, base: SessionSettings, capabilities: Capabilities) -> SessionSettings:
        """For the engine."""
        return replace(
            base,
            target_languages=() if self.code is None else (self.code,),
            task=speech_task(capabilities, speaks=self.effective_mode(capabilities) == "speech"),
            speaker=self.voice,
            is_live=self.pacing == "realtime",
        )

    def describe(self, capabilities: Capabilities) -> dict[str, Any]:
        """The `audio` of session.created and session.updated."""
        channels = {"type": "audio/pcm", "channels": 1}
        return {
            "input": {
                "format": channels | {"encoding": self.encoding, "rate": self.input_rate},
                "pacing": self.pacing,
                "transcription": None,
                "noise_reduction": None,
            },
            "output": {
                "format": channels | {"encoding": "s16le", "rate": self.output_rate},
                "language": self.language,
                "voice": self.voice,
                "mode": None if self.code is None else self.effective_mode(capabilities),
            },
        }


def initial(dialect: Dialect, base: SessionSettings, capabilities: Capabilities) -> Configuration:
    """Before the first session.update; the language is the one of the server's settings, if it has one."""
    rate = OPENAI_RATE if dialect == "openai" else NATIVE_RATE
    blank = Configuration(None, input_rate=rate, output_rate=rate, voice=base.speaker)
    if base.task in ("s2tt", "s2st"):
        blank = replace(blank, mode="text" if base.task == "s2tt" else "speech")
    if not base.target_languages:
        return blank
    return _with_language(blank, base.target_languages[0], base, capabilities)


def apply(
    old: Configuration,
    change: SessionChange,
    base: SessionSettings,
    capabilities: Capabilities,
    *,
    is_open: bool,
) -> Configuration:
    """The configuration after a session.update; `is_open`: audio was heard, so that only the language may change."""
    new, audio = old, change.audio
    if audio is not None and audio.input is not None:
        new = _with_input_format(new, audio.input.format)
        new = replace(new, pacing=audio.input.pacing or new.pacing)
    if audio is not None and audio.output is not None:
        output = audio.output
        new = _with_output_format(new, output.format)
        voice = new.voice if output.voice is None else output.voice
        new = replace(new, voice=voice, mode=output.mode or new.mode)
        if not 0 <= voice < max(1, capabilities.num_speakers):
            raise ProtocolError(
                "invalid_value",
                f"`voice` must be 0 to {capabilities.num_speakers - 1}, but is {voice}.",
                param="session.audio.output.voice",
            )
    if is_open and new != old:
        raise ProtocolError(
            "immutable_field",
            "After the first audio only `audio.output.language` can change.",
            param="session.audio",
        )
    language = audio.output.language if audio is not None and audio.output is not None else None
    if language is not None or (new.language is not None and new != old):
        return _with_language(new, language or new.language or "", base, capabilities)
    return new


def _with_language(
    old: Configuration, language: str, base: SessionSettings, capabilities: Capabilities
) -> Configuration:
    param = "session.audio.output.language"
    try:
        code = target_language(language, capabilities.target_languages)
        new = replace(old, language=language, code=code)
        check_session(new.settings(base, capabilities), capabilities)
    except LanguageError as error:
        raise ProtocolError("invalid_language", str(error), param=param) from error
    except SettingsError as error:
        raise ProtocolError("invalid_value", str(error), param="session.audio.output") from error
    return new


def _with_input_format(old: Configuration, wanted: AudioFormat | None) -> Configuration:
    if wanted is None:
        return old
    rate = _rate(wanted, old.input_rate, "session.audio.input.format")
    return replace(old, input_rate=rate, encoding=wanted.encoding or old.encoding)


def _with_output_format(old: Configuration, wanted: AudioFormat | None) -> Configuration:
    if wanted is None:
        return old
    path = "session.audio.output.format"
    if wanted.encoding not in (None, "s16le"):
        raise ProtocolError("invalid_value", "`encoding` of output must be s16le.", param=f"{path}.encoding")
    return replace(old, output_rate=_rate(wanted, old.output_rate, path))


def _rate(wanted: AudioFormat, old: int, path: str) -> int:
    if wanted.channels not in (None, 1):
        raise ProtocolError("invalid_value", "`channels` must be 1.", param=f"{path}.channels")
    rate = old if wanted.rate is None else wanted.rate
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ProtocolError(
            "invalid_value", f"`rate` must be {MIN_RATE} to {MAX_RATE} Hz.", param=f"{path}.rate"
        )
    return rate


def introduce(capabilities: Capabilities, settings: ServerSettings) -> dict[str, Any]:
    """What session.created tells a client of our own dialect besides the configuration."""
    return {
        "server": f"seamless_stream {__version__}",
        "protocol": {"name": "seamless-stream", "version": VERSION},
        "capabilities": {
            "source_languages": list(capabilities.source_languages),
            "text_targets": list(capabilities.target_languages),
            "speech_targets": list(capabilities.speech_languages),
            "input_encodings": ["s16le", "f32le", "mulaw"],
            "input_rates": [MIN_RATE, MAX_RATE],
            "voices": capabilities.num_speakers,
            "features": ["binary_audio", "flush_marker", "resume", "listeners"],
        },
        "limits": {
            "max_message_bytes": settings.max_message_bytes,
            "max_messages_per_s": settings.max_messages_per_s,
            "max_ahead_ms": settings.max_ahead_ms,
            "max_session_s": settings.max_session_s,
            "idle_timeout_ms": round(1000 * settings.idle_timeout_s),
            "replay_bytes": settings.replay_bytes,
        },
    }
