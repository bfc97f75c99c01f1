"""The configuration of one served session: what a client may change, when, and what it is told.

Pure: messages and the checkpoint's capabilities in, a new configuration or a ProtocolError out; a refused change
changes nothing.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from seamless_stream.engine.engine import check_session, speech_task, target_language
from seamless_stream.errors import LanguageError, SettingsError
from seamless_stream.models.base import Capabilities
from seamless_stream.models.languages import resolve_language
from seamless_stream.server import opus
from seamless_stream.server.changes import (
    AudioFormat,
    CaptionMode,
    CaptionsChange,
    Duplex,
    Encoding,
    Framing,
    Mode,
    Pacing,
    SessionChange,
    is_given,
    merged,
    scopes,
)
from seamless_stream.server.languages import Languages, Named, apply_translation, single
from seamless_stream.server.messages import Dialect
from seamless_stream.server.protocol import ProtocolError
from seamless_stream.server.tuning import Tuning, describe_backlog, describe_turns
from seamless_stream.settings import SessionSettings

OPENAI_RATE: Final = 24_000  # of both directions, where nothing else is asked for
NATIVE_RATE: Final = 16_000  # what the model hears and says


@dataclass(frozen=True)
class Configuration:
    """What one session does now."""

    languages: Languages = Languages()
    encoding: Encoding = "s16le"
    input_rate: int = NATIVE_RATE
    output_rate: int = NATIVE_RATE
    pacing: Pacing = "realtime"
    framing: Framing = "none"  # of binary messages
    caption_mode: CaptionMode = "stable+unstable"
    caption_interval_ms: int = 0  # between updates of which nothing is settled
    has_words: bool = False  # times of words
    voice: int = 0
    mode: Mode | None = None  # None: speech where the language has a voice
    tuning: Tuning = Tuning()
    duplex: Duplex = Duplex("full", "auto")
    unspoken: tuple[str, ...] | None = None  # as it was at the first audio

    @property
    def code(self) -> str | None:
        """The first target, as the checkpoint calls it; None: there is none yet."""
        return self.languages.targets[0].code if self.languages.targets else None

    def effective_mode(self, capabilities: Capabilities) -> Mode:
        """What it will be if nothing more is said."""
        if self.mode is not None:
            return self.mode
        return "speech" if self.languages.spoken(capabilities) else "text"

    def begun(self, capabilities: Capabilities) -> "Configuration":
        """At the first audio: what was only a default is now fixed."""
        mode, unspoken = self.effective_mode(capabilities), self.languages.unspoken(capabilities)
        return replace(self, mode=mode, unspoken=unspoken)

    def settings(self, base: SessionSettings, capabilities: Capabilities) -> SessionSettings:
        """For the engine."""
        unspoken = self.languages.unspoken(capabilities) if self.unspoken is None else self.unspoken
        codes = self.languages.codes(capabilities)
        source = self.languages.source
        # Who speaks may have to be found by comparing whole texts, which a policy that commits early does not score.
        compares = self.languages.possible and source is None and not capabilities.names_source
        base = self.tuning.settings(base)
        return replace(
            base,
            target_languages=codes,
            unspoken_languages=unspoken,
            source_language=None if source is None or self.languages.possible else source.code,
            task=speech_task(capabilities, speaks=self.effective_mode(capabilities) == "speech"),
            speaker=self.voice,
            is_live=self.pacing == "realtime",
            explains=base.explains or self.has_words,
            policy=replace(base.policy, name="segment") if compares else base.policy,
        )

    def describe(self, base: SessionSettings, capabilities: Capabilities) -> dict[str, dict[str, Any]]:
        """All of it, as `SessionChange` has it: what session.created and session.updated show."""
        tuned = self.tuning.settings(base)
        return {
            "audio": self._describe_audio(tuned, capabilities),
            "translation": self.languages.describe(capabilities)
            | {"policy": {"latency": self.tuning.latency}},
            "captions": {
                "mode": self.caption_mode,
                "min_interval_ms": self.caption_interval_ms,
                "words": self.has_words,
            },
            "speech": {"backlog": describe_backlog(tuned)},
            "duplex": asdict(self.duplex),
        }

    def _describe_audio(self, tuned: SessionSettings, capabilities: Capabilities) -> dict[str, Any]:
        channels, languages = {"type": "audio/pcm", "channels": 1}, self.languages
        return {
            "input": {
                "format": channels | {"encoding": self.encoding, "rate": self.input_rate},
                "pacing": self.pacing,
                "framing": self.framing,
                "transcription": {"enabled": True} if languages.is_transcribed(capabilities) else None,
                "noise_reduction": None,
                "turn_detection": describe_turns(tuned),
            },
            "output": {
                "format": channels | {"encoding": "s16le", "rate": self.output_rate},
                "language": languages.targets[0].name if languages.targets else None,
                "voice": self.voice,
                "mode": None if self.code is None else self.effective_mode(capabilities),
            },
        }


def initial(dialect: Dialect, base: SessionSettings, capabilities: Capabilities) -> Configuration:
    """Before the first session.update; the language is the one of the server's settings, if it has one."""
    rate = OPENAI_RATE if dialect == "openai" else NATIVE_RATE
    # A client of the OpenAI dialect cannot be told what was silenced.
    duplex = Duplex("full", "off" if dialect == "openai" else "auto")
    blank = Configuration(input_rate=rate, output_rate=rate, voice=base.speaker, duplex=duplex)
    if base.task in ("s2tt", "s2st"):
        blank = replace(blank, mode="text" if base.task == "s2tt" else "speech")
    if base.source_language is not None:
        code = resolve_language(base.source_language, capabilities.source_languages)
        blank = replace(blank, languages=Languages(source=Named(base.source_language, code)))
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
    """The configuration after a session.update; `is_open`: audio was heard, so that only languages may change."""
    new, audio = old, change.audio
    if audio is not None and audio.input is not None:
        new = _with_input_format(new, audio.input.format)
        new = replace(
            new, pacing=audio.input.pacing or new.pacing, framing=audio.input.framing or new.framing
        )
        new = replace(new, tuning=new.tuning.with_turns(audio.input.turn_detection))
        if audio.input.transcription is not None:
            languages = replace(new.languages, transcribes=audio.input.transcription.enabled)
            new = replace(new, languages=languages)
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
    if change.captions is not None:
        new = _with_captions(new, change.captions)
    new = replace(new, duplex=merged(new.duplex, change.duplex))
    if change.speech is not None:
        new = replace(new, tuning=new.tuning.with_backlog(change.speech.backlog))
    if change.translation is not None:
        new = replace(new, tuning=new.tuning.with_policy(change.translation.policy))
        new = replace(new, languages=apply_translation(new.languages, change.translation, capabilities))
    new.tuning.check(base)
    language = audio.output.language if audio is not None and audio.output is not None else None
    if language is not None:
        new = _with_language(new, language, base, capabilities)
    elif new.languages.targets and new != old:
        _check(new, base, capabilities)
    if is_open:
        _check_open(old, new, change, base, capabilities)
    return new


def _check_open(
    old: Configuration,
    new: Configuration,
    change: SessionChange,
    base: SessionSettings,
    capabilities: Capabilities,
) -> None:
    """After the first audio: what is of the scope `session` must be as it was; what was asked for is named first."""
    was, now = old.describe(base, capabilities), new.describe(base, capabilities)
    wrong = [path for path, scope in scopes() if scope == "session" and _at(was, path) != _at(now, path)]
    if wrong:
        raise _immutable(".".join(next((path for path in wrong if is_given(change, path)), wrong[0])))
    _check_open_languages(old, new)


def _check_open_languages(old: Configuration, new: Configuration) -> None:
    """What is spoken may change among candidates alone, and only where it is declared; there the targets may not."""
    was, now = old.languages, new.languages
    is_found = was.source is None or now.source is None
    if was.source != now.source and (is_found or not was.possible):
        raise _immutable("translation.source_language")
    if was.possible and was.targets != now.targets:
        raise _immutable("translation.targets")
    fixed = old.unspoken or ()
    for target in now.targets:
        if target.speech is not None and target.speech == (target.code in fixed) and old.mode == "speech":
            raise _immutable("translation.targets", f"`speech` of {target.name}")


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        tree = None if tree is None else tree[name]
    return tree


def _immutable(path: str, what: str | None = None) -> ProtocolError:
    text = f"After the first audio {what or f'`{path}`'} cannot change."
    return ProtocolError("immutable_field", text, param=f"session.{path}")


def _with_language(
    old: Configuration, language: str, base: SessionSettings, capabilities: Capabilities
) -> Configuration:
    try:
        code = target_language(language, capabilities.target_languages)
    except LanguageError as error:
        raise ProtocolError("invalid_language", str(error), param="session.audio.output.language") from error
    except SettingsError as error:
        raise ProtocolError("invalid_value", str(error), param="session.audio.output") from error
    new = replace(old, languages=single(old.languages, language, code))
    _check(new, base, capabilities)
    return new


def _check(new: Configuration, base: SessionSettings, capabilities: Capabilities) -> None:
    """Whether the engine would take it; raises ProtocolError."""
    try:
        check_session(new.settings(base, capabilities), capabilities)
    except LanguageError as error:
        raise ProtocolError("invalid_language", str(error), param="session.audio.output.language") from error
    except SettingsError as error:
        raise ProtocolError("invalid_value", str(error), param="session.audio.output") from error


def _with_input_format(old: Configuration, wanted: AudioFormat | None) -> Configuration:
    if wanted is None:
        return old
    path = "session.audio.input.format"
    rate = old.input_rate if wanted.rate is None else wanted.rate
    if (wanted.encoding or old.encoding) == "opus" and not (opus.IS_AVAILABLE and rate == opus.RATE):
        text = f"`encoding` opus needs a `rate` of {opus.RATE}."
        if not opus.IS_AVAILABLE:
            text = "`encoding` opus is not possible here: the server lacks the extra `media`."
        raise ProtocolError("invalid_value", text, param=f"{path}.encoding")
    return replace(old, input_rate=rate, encoding=wanted.encoding or old.encoding)


def _with_captions(old: Configuration, wanted: CaptionsChange) -> Configuration:
    interval_ms = old.caption_interval_ms if wanted.min_interval_ms is None else wanted.min_interval_ms
    has_words = old.has_words if wanted.words is None else wanted.words
    mode = wanted.mode or old.caption_mode
    return replace(old, caption_mode=mode, caption_interval_ms=interval_ms, has_words=has_words)


def _with_output_format(old: Configuration, wanted: AudioFormat | None) -> Configuration:
    if wanted is None:
        return old
    if wanted.encoding not in (None, "s16le"):
        param = "session.audio.output.format.encoding"
        raise ProtocolError("invalid_value", "`encoding` of output must be s16le.", param=param)
    return replace(old, output_rate=old.output_rate if wanted.rate is None else wanted.rate)
