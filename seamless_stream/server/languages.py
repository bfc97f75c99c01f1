"""Which languages a served session translates between, what of it is spoken, and what a client may say about it.

Pure: messages and the checkpoint's capabilities in, a new value or a ProtocolError out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from seamless_stream.engine.engine import target_language
from seamless_stream.errors import LanguageError
from seamless_stream.models.base import Capabilities
from seamless_stream.models.languages import resolve_language
from seamless_stream.server.changes import SameLanguage, TargetLanguage, Translation, TwoWay
from seamless_stream.server.protocol import ProtocolError

MAX_TARGETS: Final = 8
MAX_CANDIDATES: Final = 4  # each is one more text that the model writes of every segment
AUTO: Final = "auto"
PARAM: Final = "session.translation"


@dataclass(frozen=True)
class Named:
    """A language as the client wrote it and as the checkpoint calls it."""

    name: str
    code: str


@dataclass(frozen=True)
class Target(Named):
    """One to translate into; `speech` None: where it has a voice."""

    speech: bool | None = None


@dataclass(frozen=True)
class Languages:
    """All of a session; no target: none is known yet."""

    targets: tuple[Target, ...] = ()
    source: Named | None = None  # what is spoken, where the client has said so
    candidates: tuple[Named, ...] = ()  # for what is spoken
    is_two_way: bool = False  # the targets are the candidates, and each is translated into the other
    transcribes: bool = False
    same_language: SameLanguage = "translate"

    @property
    def possible(self) -> tuple[Named, ...]:
        """Languages that a segment may be spoken in, where that is a matter of each segment."""
        return self.targets if self.is_two_way else self.candidates

    @property
    def skips_same(self) -> bool:
        """Whether what is spoken in a target language is not translated into it."""
        return self.is_two_way or self.same_language == "skip"

    def codes(self, capabilities: Capabilities) -> tuple[str, ...]:
        """All that the engine writes, the targets first."""
        codes = [target.code for target in self.targets]
        if self.is_transcribed(capabilities) and self.source is not None:
            codes.append(self.source.code)
        codes += [named.code for named in self.possible]
        return tuple(dict.fromkeys(codes))

    def is_transcribed(self, capabilities: Capabilities) -> bool:
        """Whether there are captions of what was said."""
        if not self.transcribes or self.is_two_way:
            return False
        if self.source is None or self.candidates:
            return bool(self.candidates)
        return "asr" in capabilities.tasks and self.source.code in capabilities.target_languages

    def spoken(self, capabilities: Capabilities) -> tuple[str, ...]:
        """Targets that have a voice and are not asked to be silent."""
        voices = capabilities.speech_languages if "s2st" in capabilities.tasks else ()
        return tuple(
            target.code for target in self.targets if target.code in voices and target.speech is not False
        )

    def unspoken(self, capabilities: Capabilities) -> tuple[str, ...]:
        """What the engine must not speak where it speaks at all; a single target is not among them."""
        spoken = self.spoken(capabilities)
        if len(self.targets) == 1 and self.targets[0].speech is not False:
            spoken = (self.targets[0].code,)
        return tuple(code for code in self.codes(capabilities) if code not in spoken)

    @property
    def names(self) -> dict[str, str]:
        """From the checkpoint's codes to the client's words."""
        known = [*self.candidates, *([] if self.source is None else [self.source]), *self.targets]
        return {named.code: named.name for named in known}

    def describe(self, capabilities: Capabilities) -> dict[str, Any]:
        """The `translation` of session.created and session.updated."""
        spoken = self.spoken(capabilities)
        pair = [target.name for target in self.targets] if self.is_two_way else None
        return {
            "source_language": AUTO if self.source is None else self.source.name,
            "source_candidates": [named.name for named in self.candidates],
            "targets": [{"language": t.name, "speech": t.code in spoken} for t in self.targets],
            "same_language": "skip" if self.skips_same else "translate",
            "two_way": None if pair is None else dict(zip("ab", pair, strict=True)),
        }


def single(old: Languages, name: str, code: str) -> Languages:
    """One target in the place of all others."""
    return replace(old, targets=(Target(name, code),), is_two_way=False)


def apply_translation(old: Languages, change: Translation, capabilities: Capabilities) -> Languages:
    """The languages after a session.update; raises ProtocolError."""
    new = old
    if change.targets is not None:
        new = replace(new, targets=_targets(change.targets, capabilities), is_two_way=False)
    if change.two_way is not None:
        new = replace(new, targets=_pair(change.two_way, capabilities), is_two_way=True, candidates=())
    if change.source_candidates is not None:
        new = replace(new, candidates=_candidates(change.source_candidates, capabilities))
    if change.same_language is not None:
        new = replace(new, same_language=change.same_language)
    if change.source_language is not None:
        source = None
        if change.source_language != AUTO:
            code = _source(change.source_language, capabilities, f"{PARAM}.source_language")
            source = Named(change.source_language, code)
        new = replace(new, source=source)
    _check_source(new)
    return new


def _check_source(new: Languages) -> None:
    if new.is_two_way and new.candidates:
        text = "`source_candidates` must be left out with `two_way`, whose languages they are."
        raise ProtocolError("invalid_value", text, param=f"{PARAM}.source_candidates")
    if new.possible and new.source is not None and new.source.code not in [n.code for n in new.possible]:
        whose = "the two of `two_way`" if new.is_two_way else "`source_candidates`"
        text = f"`source_language` must be one of {whose}, or auto."
        raise ProtocolError("invalid_value", text, param=f"{PARAM}.source_language")


def _targets(wanted: Sequence[TargetLanguage], capabilities: Capabilities) -> tuple[Target, ...]:
    if not 1 <= len(wanted) <= MAX_TARGETS:
        text = f"`targets` must be 1 to {MAX_TARGETS} languages, but is {len(wanted)}."
        raise ProtocolError("invalid_value", text, param=f"{PARAM}.targets")
    found = []
    for place, target in enumerate(wanted):
        path = f"{PARAM}.targets[{place}].language"
        allowed = capabilities.target_languages
        if target.speech:
            allowed = capabilities.speech_languages if "s2st" in capabilities.tasks else ()
        find = partial(target_language, target.language, allowed, speaks=bool(target.speech))
        found.append(Target(target.language, _found(find, path), target.speech))
    if len({target.code for target in found}) < len(found):
        raise ProtocolError(
            "invalid_value", "`targets` must be different languages.", param=f"{PARAM}.targets"
        )
    return tuple(found)


def _pair(wanted: TwoWay, capabilities: Capabilities) -> tuple[Target, ...]:
    _check_writes("two_way", capabilities)
    for name in (wanted.a, wanted.b):
        _source(name, capabilities, f"{PARAM}.two_way")
    return _targets([TargetLanguage(wanted.a), TargetLanguage(wanted.b)], capabilities)


def _candidates(wanted: Sequence[str], capabilities: Capabilities) -> tuple[Named, ...]:
    if not wanted:
        return ()
    path = f"{PARAM}.source_candidates"
    _check_writes("source_candidates", capabilities)
    if not 2 <= len(wanted) <= MAX_CANDIDATES:
        text = f"`source_candidates` must be 2 to {MAX_CANDIDATES} languages or none, but is {len(wanted)}."
        raise ProtocolError("invalid_value", text, param=path)
    found = []
    for place, name in enumerate(wanted):
        code = _source(name, capabilities, f"{path}[{place}]")
        find = partial(target_language, code, capabilities.target_languages)
        found.append(Named(name, _found(find, f"{path}[{place}]")))
    if len({named.code for named in found}) < len(found):
        raise ProtocolError("invalid_value", "`source_candidates` must be different languages.", param=path)
    return tuple(found)


def _check_writes(field: str, capabilities: Capabilities) -> None:
    if "asr" not in capabilities.tasks:
        text = f"`{field}` needs a checkpoint that can write down what is said, but this one cannot."
        raise ProtocolError("invalid_value", text, param=f"{PARAM}.{field}")


def _source(name: str, capabilities: Capabilities, path: str) -> str:
    return _found(partial(resolve_language, name, capabilities.source_languages), path)


def _found(find: Callable[[], str], path: str) -> str:
    try:
        return find()
    except LanguageError as error:
        raise ProtocolError("invalid_language", str(error), param=path) from error
