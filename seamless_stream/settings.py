"""The choices of a run: frozen dataclasses with their defaults, and one strict YAML loader with overrides.

Facts of a checkpoint are not here (see `models/<family>/config.py`). Nothing here knows what a setting does,
only which values are possible. Every class checks itself; all problems of a file are reported at once, each
with its path: "configs/live.yaml: `session.decoding.beams` must be at least 1, but is 0."
"""

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import yaml

from seamless_stream.errors import SettingsError

Task = Literal["s2st", "s2tt", "t2st", "t2tt", "asr"]
PolicyName = Literal["segment", "wait-k", "hold-n", "local-agreement", "alignatt"]
EncoderMode = Literal["chunked", "reencode", "windowed"]
VadName = Literal["silero", "webrtc"]
Pace = Literal["real-time", "fast"]
Latency = Literal["low", "balanced", "quality"]
Readers = Literal["local", "key", "all"]  # programs of this machine, whoever has an API key, everybody
LogFormat = Literal["text", "json"]

MAX_SEGMENT_MS: Final = 16_000

T = TypeVar("T")


def check(settings: object, *rules: tuple[str, bool, str]) -> None:
    """Raise one SettingsError with a sentence for every (name, is_fine, what it must be) that is not fine."""
    sentences = [
        f"`{name}` must be {wanted}, but is {getattr(settings, name)}."
        for name, is_fine, wanted in rules
        if not is_fine
    ]
    if sentences:
        raise SettingsError("\n".join(sentences))


@dataclass(frozen=True)
class DecodingSettings:
    """How the decoder searches. Beams and sampling exclude each other."""

    beams: int = 1
    length_penalty: float = 1.0  # > 0 favours longer hypotheses; only with beams
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0  # 0: no limit
    top_p: float = 1.0  # 1: no limit
    max_new_tokens: int = 256
    min_new_tokens: int = 0
    no_repeat_ngram: int = 0  # 0: off; n from 2 on: no n-gram of tokens appears twice
    seed: int | None = None  # of sampling; None: a new one each time

    def __post_init__(self) -> None:
        check(
            self,
            ("beams", self.beams >= 1, "at least 1"),
            ("beams", not (self.sample and self.beams > 1), "1 when `sample` is on"),
            # Beyond these, powers of a length overflow, or fall below what stands for a beam that is lost.
            ("length_penalty", -2 <= self.length_penalty <= 10, "from -2 to 10"),
            ("temperature", 0 < self.temperature < math.inf, "above 0"),
            ("top_k", self.top_k >= 0, "0 (all tokens) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            (
                "min_new_tokens",
                0 <= self.min_new_tokens <= self.max_new_tokens,
                f"from 0 to `max_new_tokens` = {self.max_new_tokens}",
            ),
            # With 1 not even the end may come: it stands in the prompt.
            (
                "no_repeat_ngram",
                self.no_repeat_ngram == 0 or self.no_repeat_ngram >= 2,
                "0 (off) or at least 2",
            ),
            ("seed", self.seed is None or 0 <= self.seed < 2**63, f"from 0 to {2**63 - 1}"),
        )


@dataclass(frozen=True)
class UnitDecodingSettings(DecodingSettings):
    """The same for acoustic units, where a family finds them one by one (SeamlessM4T v1)."""

    max_new_tokens: int = 1024  # 20 s; a checkpoint may allow less


@dataclass(frozen=True)
class SegmenterSettings:
    """Where speech is cut into segments; all durations in milliseconds of source audio."""

    pre_roll_ms: int = 300  # audio kept before the detected start
    min_speech_ms: int = 96  # shorter bursts open no segment
    hang_over_ms: int = 500  # silence that ends a young segment
    hang_over_long_ms: int = 200  # silence that ends a segment near its soft maximum
    soft_max_ms: int = 10_000  # from here on the first short dip ends the segment
    hard_max_ms: int = 14_000  # cut at the quietest point before this length
    threshold: float = 0.5  # of the detector's probability, from which on a window is speech

    def __post_init__(self) -> None:
        check(
            self,
            *((item.name, getattr(self, item.name) >= 0, "0 or more") for item in fields(self)),
            # Longer segments cost M4T its quality, and the features their memory.
            ("hard_max_ms", self.hard_max_ms <= MAX_SEGMENT_MS, f"at most {MAX_SEGMENT_MS}"),
            ("threshold", self.threshold <= 1, "at most 1"),
            (
                "soft_max_ms",
                self.soft_max_ms < self.hard_max_ms,
                f"below `hard_max_ms` = {self.hard_max_ms}",
            ),
        )


@dataclass(frozen=True)
class PolicySettings:
    """When text is committed while a segment is open. An encoder state ("frame") is 160 ms."""

    name: PolicyName = "alignatt"
    first_decode_ms: int = 1_000  # speech before the first hypothesis
    decode_every_ms: int = 320  # new audio before the next one
    wait_k: int = 3  # steps before the first word
    wait_k_step_ms: int = 320  # about a word of speech
    hold_n: int = 6  # last tokens that wait
    agreement_n: int = 2  # hypotheses that must agree
    alignatt_frames: int = 2  # last frames: a token that looks there waits
    sure_probability: float = 0.7  # a token of a smaller one waits longer
    unsure_frames: int = 16  # namely until what it looks at is so far back: 2.6 s
    rewind_frames: int = 25  # 4 s; a look back this far beyond what is committed is an error

    def __post_init__(self) -> None:
        check(
            self,
            ("first_decode_ms", self.first_decode_ms >= 0, "0 or more"),
            ("decode_every_ms", self.decode_every_ms >= 1, "at least 1"),
            ("wait_k", self.wait_k >= 1, "at least 1"),
            ("wait_k_step_ms", self.wait_k_step_ms >= 1, "at least 1"),
            ("hold_n", self.hold_n >= 0, "0 or more"),
            ("agreement_n", self.agreement_n >= 2, "at least 2"),
            ("alignatt_frames", self.alignatt_frames >= 1, "at least 1"),
            ("sure_probability", 0 <= self.sure_probability <= 1, "from 0 to 1"),
            ("unsure_frames", self.unsure_frames >= 1, "at least 1"),
            ("rewind_frames", self.rewind_frames >= 1, "at least 1"),
        )


@dataclass(frozen=True)
class SpeechSettings:
    """How translated speech is cut into pieces and how it keeps up."""

    target_backlog_s: float = 1.0  # unplayed speech up to which nothing is hurried
    max_backlog_s: float = 6.0  # beyond it clauses are left out
    first_piece_units: int = 25  # of 20 ms; how much of a segment must be there before it is begun
    piece_units: int = 50  # and before it is continued in the middle of a clause
    crossfade_ms: int = 30  # between two decodings of the same time; twice as much is held back
    max_tempo: float = 1.25

    def __post_init__(self) -> None:
        check(
            self,
            ("target_backlog_s", 0 <= self.target_backlog_s < math.inf, "0 or more"),
            (
                "max_backlog_s",
                self.target_backlog_s + 1 <= self.max_backlog_s < math.inf,
                f"at least 1 above `target_backlog_s` = {self.target_backlog_s}",
            ),
            ("first_piece_units", self.first_piece_units >= 1, "at least 1"),
            ("piece_units", self.piece_units >= 1, "at least 1"),
            ("crossfade_ms", 5 <= self.crossfade_ms <= 100, "from 5 to 100"),
            ("max_tempo", 1 <= self.max_tempo <= 1.25, "from 1 to 1.25"),
        )


@dataclass(frozen=True)
class EngineSettings:
    """How many sessions share the model."""

    max_sessions: int = 256
    max_load: float = (
        0.8  # part of the time that the model may be busy before it refuses another live session
    )

    def __post_init__(self) -> None:
        check(
            self,
            ("max_sessions", self.max_sessions >= 1, "at least 1"),
            ("max_load", 0 < self.max_load <= 1, "above 0 and at most 1"),
        )


@dataclass(frozen=True)
class ServerSettings:
    """Where the daemon listens and what it allows a client."""

    host: str = "127.0.0.1"
    port: int = 8765  # 0: any free one
    keys_file: str | None = None  # one API key a line; also SEAMLESS_STREAM_API_KEYS, separated by commas
    allows_anonymous: bool = False  # no key needed although other machines can connect
    allowed_origins: tuple[str, ...] = ()  # of browser pages; a request without Origin is no browser's
    tls_certificate: str | None = None  # PEM files
    tls_key: str | None = None
    max_sessions: int = 64
    max_sessions_per_key: int = 64
    max_message_bytes: int = 1_048_576
    max_messages_per_s: int = 500
    max_ahead_ms: int = 10_000  # audio that is held for a session before it is dropped or not read
    max_unsent_bytes: int = 8_388_608  # of one connection, before a slow reader is closed
    max_session_s: int = 14_400
    idle_timeout_s: float = 60.0  # without any sign of life
    drain_s: float = 10.0  # after SIGTERM, for what is not translated yet
    metrics_readers: Readers = "local"
    log_format: LogFormat = "text"
    record_dir: str | None = None  # sessions are stored there, audio and text; None: nothing is stored
    max_record_mb: int = 512  # of one session
    resume_grace_s: float = 90.0  # that a session lives on after its connection broke; 0: not at all
    resume_url: str | None = None  # told to clients when the server stops: where they may begin again
    replay_bytes: int = 4_194_304  # of what was sent, kept for a client that resumes
    max_listeners: int = 100  # of one session

    def __post_init__(self) -> None:
        limits = (
            *("max_sessions", "max_sessions_per_key", "max_messages_per_s", "max_session_s"),
            "max_record_mb",
        )
        check(
            self,
            ("port", 0 <= self.port <= 65_535, "from 0 to 65535"),
            *((name, getattr(self, name) >= 1, "at least 1") for name in limits),
            ("max_message_bytes", self.max_message_bytes >= 1_024, "at least 1024"),
            ("max_ahead_ms", self.max_ahead_ms >= 1_000, "at least 1000"),
            ("max_unsent_bytes", self.max_unsent_bytes >= 65_536, "at least 65536"),
            ("idle_timeout_s", 0 < self.idle_timeout_s < math.inf, "above 0"),
            ("drain_s", 0 <= self.drain_s < math.inf, "0 or more"),
            ("resume_grace_s", 0 <= self.resume_grace_s < math.inf, "0 or more"),
            ("resume_url", (self.resume_url or "wss://").startswith(("ws://", "wss://")), "like wss://HOST"),
            ("replay_bytes", self.replay_bytes >= 0, "0 or more"),
            ("max_listeners", self.max_listeners >= 0, "0 or more"),
            (
                "tls_key",
                (self.tls_key is None) == (self.tls_certificate is None),
                "given with `tls_certificate`",
            ),
        )


@dataclass(frozen=True)
class ModelSettings:
    """Which checkpoint, and where it runs."""

    name: str = "auto"  # auto, phrasebook, v2-large, a directory or a hub id
    device: str | None = None  # None: cuda when there is one, else cpu
    dtype: str | None = None  # None: float32 on cpu, float16 on cuda
    offline: bool = False  # never ask the hub


@dataclass(frozen=True)
class SessionSettings:
    """What one session wants from the model; languages in any form that `languages.py` resolves."""

    target_languages: tuple[str, ...] = ()
    unspoken_languages: tuple[str, ...] = ()  # of which only the text is wanted, where the task gives speech
    source_language: str | None = None  # needed for text input and for asr; speech needs none
    task: Task | None = None  # None: chosen by what goes in and what is wanted
    speaker: int = 0
    vad: VadName = "silero"
    encoder: EncoderMode | None = None  # None: what suits the checkpoint
    policy: PolicySettings = field(default_factory=PolicySettings)
    speech: SpeechSettings = field(default_factory=SpeechSettings)
    is_live: bool = False  # somebody listens: rather leave something out than fall behind
    explains: bool = False  # an event Decided for every hypothesis: why text waits
    decoding: DecodingSettings = field(default_factory=DecodingSettings)
    unit_decoding: UnitDecodingSettings = field(default_factory=UnitDecodingSettings)
    segmentation: SegmenterSettings = field(default_factory=SegmenterSettings)

    def __post_init__(self) -> None:
        check(self, ("speaker", self.speaker >= 0, "0 or more"))


# Settings of a session that belong together, for every policy. "balanced" is whatever is set.
LATENCIES: Final[dict[Latency, dict[str, dict[str, Any]]]] = {
    "low": {
        "policy": {
            "first_decode_ms": 640,
            "alignatt_frames": 1,
            "sure_probability": 0.5,
            "unsure_frames": 8,
            "wait_k": 2,
            "hold_n": 4,
        },
        "segmentation": {"hang_over_ms": 320, "hang_over_long_ms": 160, "soft_max_ms": 6_000},
    },
    "balanced": {},
    "quality": {
        "policy": {
            "first_decode_ms": 1_600,
            "alignatt_frames": 4,
            "sure_probability": 0.8,
            "unsure_frames": 32,
            "wait_k": 6,
            "hold_n": 10,
            "agreement_n": 3,
        },
        "segmentation": {"hang_over_ms": 700, "hang_over_long_ms": 300, "soft_max_ms": 12_000},
    },
}


@dataclass(frozen=True)
class Settings:
    """One run: the whole content of a YAML file in `configs/`."""

    model: ModelSettings = field(default_factory=ModelSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    pace: Pace = "real-time"
    guards_echo: bool = True  # `live` from a microphone to a loudspeaker leaves out what it hears of itself


def load_settings(
    path: Path | str | None = None,
    overrides: Mapping[str, object] | None = None,
    defaults: Mapping[str, object] | None = None,
) -> Settings:
    """Read a YAML file (None: an empty one) and lay `overrides` over it, keys like "session.decoding.beams".

    `defaults` are keys of the file's first level that it may leave out.

    Raises SettingsError that lists every unknown key, wrong type and impossible value with its path.
    """
    tree = {**(defaults or {}), **({} if path is None else _read_yaml(Path(path)))}
    for dotted, value in (overrides or {}).items():
        _lay_over(tree, dotted.split("."), value)
    problems: list[str] = []
    settings = _build(Settings, tree, "", problems)
    if problems or settings is None:
        where = "" if path is None else f"{path}: "
        raise SettingsError("\n".join(where + problem for problem in problems))
    return settings


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: the settings file cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: the settings file is not valid YAML: {reason}.") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: the settings file must hold keys with values, but is {_show(tree)}.")
    return tree


def _lay_over(tree: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        inner = tree.get(key)
        if not isinstance(inner, dict):
            inner = tree[key] = {}
        tree = inner
    tree[keys[-1]] = value


def _build(kind: type[T], tree: object, prefix: str, problems: list[str]) -> T | None:
    """A dataclass of `kind` from plain YAML values; None if there are problems, which are appended."""
    if not isinstance(tree, Mapping):
        problems.append(f"`{prefix.rstrip('.')}` must hold keys with values, but is {_show(tree)}.")
        return None
    hints = typing.get_type_hints(kind)
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    before = len(problems)
    problems += [_unknown(prefix, str(key), names) for key in tree if key not in names]
    values = {
        name: _convert(hints[name], tree[name], f"{prefix}{name}", problems) for name in names if name in tree
    }
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except SettingsError as error:
        problems += [line.replace("`", f"`{prefix}", 1) for line in str(error).splitlines()]
        return None


def _unknown(prefix: str, key: str, names: list[str]) -> str:
    near = get_close_matches(key, names, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(names)}."
    return f"`{prefix}{key}` is no setting; {hint}"


def _convert(hint: Any, value: object, path: str, problems: list[str]) -> Any:
    """`value` as `hint` demands; anything else is a problem."""
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, f"{path}.", problems)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # only `X | None` appears here
        inner = next(argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _convert(inner, value, path, problems)
    if origin is Literal:
        if value not in arguments:
            known = ", ".join(map(str, arguments))
            problems.append(f"`{path}` must be one of {known}, but is {_show(value)}.")
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(arguments[0], item, path, problems) for item in items)
    return _plain(hint, value, path, problems)


def _plain(hint: type, value: object, path: str, problems: list[str]) -> object:
    """bool, int, float and str; an integer is a float too, but a bool is no integer."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        word = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}[hint]
        problems.append(f"`{path}` must be {word}, but is {_show(value)}.")
    return value


def _show(value: object) -> str:
    return "empty" if value is None else repr(value)
