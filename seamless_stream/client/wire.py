"""The wire as a client sees it: messages to JSON, JSON and frames to typed values, and these to the engine's events.

Pure: knows JSON and bytes, no sockets. The classes are those of `server.messages`; what they mean is told in
docs/protocol.md. Fields and messages that are not known are ignored, a wrong type of a known field is a RemoteError.
"""

import json
import types
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Final, Literal

from seamless_stream import events
from seamless_stream.audio.pcm import Samples, from_bytes
from seamless_stream.errors import RemoteError
from seamless_stream.server import messages
from seamless_stream.server.commands import ClientMessage
from seamless_stream.server.messages import ServerMessage
from seamless_stream.server.protocol import HEADER, HEADER_BYTES, MAX_INTEGER, OUTPUT_PCM, hints_of

KINDS: Final = {kind.type: kind for kind in typing.get_args(ServerMessage)}


@dataclass(frozen=True, eq=False)
class SpeechFrame:
    """A piece of translated speech; `first_sample` is its place on the output clock of its language."""

    number: int
    segment_id: str
    language: str
    first_sample: int
    samples: Samples
    rate: int


@dataclass(frozen=True)
class ConnectionLost:
    """The session lives; another connection is tried. `SessionResumed` says that there is one."""

    reason: str


Incoming = ServerMessage | SpeechFrame | ConnectionLost


def write(message: ClientMessage) -> str:
    """JSON without what is None, which leaves things as they are."""
    return json.dumps({"type": message.type} | _plain(message), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        items = {item.name: getattr(value, item.name) for item in fields(value)}
        return {name: _plain(item) for name, item in items.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def parse(data: str) -> dict[str, Any]:
    """The JSON object of a message; raises RemoteError."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict) or not isinstance(tree.get("type"), str):
        raise RemoteError(f"The server must send JSON objects with a `type`, but sent {data[:60]!r}.")
    return tree


def read(tree: dict[str, Any]) -> ServerMessage | None:
    """A message of the server; None where this version knows none of its type. Raises RemoteError."""
    kind = KINDS.get(tree["type"])
    if kind is None:
        return None
    message: ServerMessage = _build(kind, tree, tree["type"])
    return message


def _build(kind: Any, tree: object, path: str) -> Any:
    if not isinstance(tree, dict):
        raise _wrong(path, "an object")
    hints, values = hints_of(kind), {}
    for item in fields(kind):
        if item.name in tree:
            values[item.name] = _value(hints[item.name], tree[item.name], f"{path}.{item.name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise _wrong(f"{path}.{item.name}", "given")
    return kind(**values)


def _value(hint: Any, value: object, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # only `X | None`, and X may be a Literal
        inner = next(argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _value(inner, value, path)
    if is_dataclass(hint):
        return _build(hint, value, path)
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(path, "a list")
        return [_value(arguments[0], item, path) for item in value]
    expected = {dict: dict, Literal: str}.get(origin, hint)  # words may be added to a Literal
    if isinstance(value, int) and abs(value) > MAX_INTEGER:  # more than a float can hold
        raise _wrong(path, "a number of 64 bits")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)  # JSON has one kind of number
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise _wrong(path, expected.__name__)
    return value


def _wrong(path: str, what: str) -> RemoteError:
    return RemoteError(f"`{path}` of the server must be {what}, but is not.")


# --- speech


@dataclass(frozen=True)
class Frame:
    """A binary message as it is."""

    flags: int
    place: int  # of the language among the targets
    number: int
    first_sample: int
    segment: int
    pcm: bytes


def read_frame(data: bytes) -> Frame:
    """Raises RemoteError where it is none."""
    if len(data) >= HEADER_BYTES:
        version, kind, flags, number, first_sample, segment, size = HEADER.unpack(data[:HEADER_BYTES])
        if (version, kind, size) == (1, OUTPUT_PCM, len(data) - HEADER_BYTES) and not size % 2:
            return Frame(flags & 0xFF, flags >> 8, number, first_sample, segment, data[HEADER_BYTES:])
    raise RemoteError(f"The server must send frames with a header of {HEADER_BYTES} bytes, but does not.")


class Targets:
    """Which language a place means, segment by segment."""

    def __init__(self, session: dict[str, Any]) -> None:
        self.begin(session)

    def begin(self, session: dict[str, Any]) -> None:
        """As the server described the session before the first segment."""
        targets = (session.get("translation") or {}).get("targets") or []
        self.rate: int = session["audio"]["output"]["format"]["rate"]
        self._changes = [(0, [target["language"] for target in targets])]  # from this segment on

    def follow(self, message: messages.TargetChanged) -> None:
        """Other languages from a segment on."""
        self._changes.append((number_of(message.segment_id), message.languages))

    def speech(self, frame: Frame) -> SpeechFrame:
        """With its language and rate."""
        names = next(names for first, names in reversed(self._changes) if first <= frame.segment)
        language = names[frame.place] if frame.place < len(names) else ""
        samples = from_bytes(frame.pcm)
        return SpeechFrame(
            frame.number, f"s{frame.segment}", language, frame.first_sample, samples, self.rate
        )


def number_of(segment_id: str) -> int:
    """7 of `s7`; raises RemoteError."""
    if not segment_id[1:].isdecimal():
        raise RemoteError(f"`segment_id` of the server must be like s7, but is {segment_id[:20]!r}.")
    return int(segment_id[1:])


# --- events


def to_event(message: Incoming) -> events.Event | None:
    """What a session of the engine would have told, for `seamless_stream.sinks`; None where it tells nothing such."""
    if not isinstance(message, messages.OfSegment | SpeechFrame):
        return None
    segment = number_of(message.segment_id)
    match message:
        case SpeechFrame():
            return events.Speech(segment, message.language, message.samples, message.rate)
        case messages.SegmentStarted():
            return events.SegmentStarted(segment, message.start_ms / 1000)
        case messages.SegmentUpdated():
            return events.Partial(segment, message.language, message.stable, message.unstable)
        case messages.SegmentFinal():
            times = message.start_ms / 1000, message.end_ms / 1000
            return events.Final(segment, message.language, message.text, *times)
        case messages.SegmentEnded():
            return events.SegmentEnded(
                segment, message.start_ms / 1000, message.end_ms / 1000, message.reason
            )
        case messages.SegmentCancelled():
            return events.Failed(segment, message.message)
        case messages.Skipped():
            return events.Skipped(segment, message.what, message.reason, message.language)
        case messages.TargetChanged():
            return events.TargetsChanged(segment, tuple(message.languages))
    return None
