"""The form of the wire: reading and writing of messages, errors, close codes, binary frames, JSON Schema.

Pure: knows JSON and bytes, no sockets, no sessions, no model. What the messages mean is told in docs/protocol.md.
A message without one of its required fields, or with a wrong type, is a ProtocolError that names the field;
unknown fields are ignored, so that newer clients can talk to older servers.
"""

import base64
import binascii
import json
import math
import struct
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Final, Literal

from seamless_stream.server.changes import Encoding
from seamless_stream.server.commands import CLIENT_MESSAGES, AudioAppend, ClientMessage
from seamless_stream.server.messages import Error, ErrorDetail, ErrorType, ServerMessage

NATIVE: Final = "seamless-stream.v1"  # the subprotocol that asks for our own dialect
VERSION: Final = "1.0"
MAX_TEXT: Final = 256  # characters of an id, a marker or a language
MAX_ITEMS: Final = 64  # of a list: checked before any of them is read
MAX_INTEGER: Final = (1 << 63) - 1

# Close codes of our own; the others are those of RFC 6455.
NORMAL, UNSUPPORTED, INTERNAL, RESTART, TRY_LATER = 1000, 1003, 1011, 1012, 1013
RETRY_S: Final = 5  # after which somebody may have left a full server
BAD_MESSAGE, UNKNOWN, IDLE, TAKEN_OVER, SLOW_READER = 4400, 4404, 4408, 4409, 4410
TOO_LONG, TOO_FAST, WORKER_LOST = 4413, 4429, 4500


class ProtocolError(Exception):
    """Something the client did; with `close_code` the connection ends after the error was sent."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        close_code: int | None = None,
        kind: ErrorType = "invalid_request_error",
        event_id: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.close_code = close_code
        self.kind: ErrorType = kind
        self.event_id = event_id
        self.retry_after_ms = retry_after_ms

    def message(self) -> "Error":
        """What the client is told."""
        is_recoverable = self.close_code is None
        named = (self.kind, self.code, str(self), self.param, self.event_id)
        return Error(ErrorDetail(*named, is_recoverable, self.retry_after_ms))


def write(message: ServerMessage, number: int | str, *, with_seq: bool) -> str:
    """One server message as JSON; `number` makes its `event_id` and, in our dialect, its `seq`."""
    head: dict[str, Any] = {"type": message.type, "event_id": f"evt_{number}"}
    if with_seq:
        head["seq"] = number
    return json.dumps(head | _plain(message), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


# --- binary frames

HEADER: Final = struct.Struct("<BBHIQII")
HEADER_BYTES: Final = HEADER.size
INPUT_PCM: Final = 1
OUTPUT_PCM: Final = 2
INPUT_OPUS: Final = 3
# Flags of output frames.
FIRST, LAST, TORN, REPLAYED = 1, 2, 4, 8  # of its segment; speech was left out before it; sent before


def input_frame(data: bytes, encoding: Encoding) -> tuple[bytes, int]:
    """The audio of a framed message and the place of its first sample on the input clock; raises ProtocolError."""
    kind = INPUT_OPUS if encoding == "opus" else INPUT_PCM
    if len(data) >= HEADER_BYTES:
        version, found, _, _, first_sample, _, size = HEADER.unpack(data[:HEADER_BYTES])
        if (version, found, size) == (1, kind, len(data) - HEADER_BYTES):
            return data[HEADER_BYTES:], first_sample
    text = f"A message must begin with a header of {HEADER_BYTES} bytes: version 1, kind {kind}, the right length."
    raise ProtocolError("misframed_audio", text, close_code=BAD_MESSAGE)


def audio_frame(seq: int, place: int, first_sample: int, segment: int, pcm: bytes, flags: int) -> bytes:
    """Translated speech with its header; `seq` counts binary frames, `first_sample` is on the output clock of the
    language that has this place among the targets."""
    marks = place << 8 | flags
    return HEADER.pack(1, OUTPUT_PCM, marks, seq & 0xFFFFFFFF, first_sample, segment, len(pcm)) + pcm


def replayed(frame: bytes) -> bytes:
    """The same frame, once more."""
    return frame[:2] + bytes([frame[2] | REPLAYED]) + frame[3:]


# --- parsing


def payload(message: AudioAppend) -> bytes:
    """The bytes of base64 audio; raises ProtocolError where it is none."""
    try:
        return base64.b64decode(message.audio, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError(
            "invalid_base64", "`audio` must be base64.", param="audio", event_id=message.event_id
        ) from None


def parse(data: str) -> ClientMessage:
    """One JSON message of a client; raises ProtocolError."""
    try:
        tree = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # RecursionError: nested more deeply than any message of ours
        raise ProtocolError("invalid_json", "A message must be JSON, but is not.") from None
    if not isinstance(tree, dict):
        raise ProtocolError("invalid_json", "A message must be a JSON object, but is not.")
    event_id = tree.get("event_id")
    if not isinstance(event_id, str) or len(event_id) > MAX_TEXT or not _is_unicode(event_id):
        event_id = None
    kind = CLIENT_MESSAGES.get(tree["type"]) if isinstance(tree.get("type"), str) else None
    if kind is None:
        known = ", ".join(CLIENT_MESSAGES)
        raise ProtocolError(
            "unknown_type", f"`type` must be one of {known}.", param="type", event_id=event_id
        )
    try:
        message: ClientMessage = build(kind, tree, "")
    except ProtocolError as error:
        error.event_id = event_id
        raise
    return message


def _no_constant(name: str) -> None:
    raise ValueError(name)


@cache  # to find them takes longer than all else about a message
def hints_of(kind: Any) -> Mapping[str, Any]:
    """The types of a dataclass's fields."""
    return typing.get_type_hints(kind)


def build(kind: Any, tree: object, path: str) -> Any:
    """A dataclass of `kind` from plain JSON values; raises ProtocolError that names the first wrong field."""
    if not isinstance(tree, dict):
        raise ProtocolError("invalid_type", f"`{path}` must be an object.", param=path)
    hints, values = hints_of(kind), {}
    for item in fields(kind):
        inner = f"{path}.{item.name}" if path else item.name
        if item.name in tree:
            values[item.name] = _value(hints[item.name], tree[item.name], inner)
            _check_limits(values[item.name], item.metadata, inner)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ProtocolError("missing_field", f"`{inner}` must be given.", param=inner)
    return kind(**values)


def _check_limits(value: object, limits: Mapping[str, Any], path: str) -> None:
    """Those of `changes.choice`."""
    low, high = limits.get("minimum", -math.inf), limits.get("maximum", math.inf)
    if isinstance(value, int | float) and not low <= value <= high:
        wanted = f"{low} to {high}" if high < math.inf else f"at least {low}"
        raise ProtocolError("invalid_value", f"`{path}` must be {wanted}, but is {value}.", param=path)


def _value(hint: Any, value: object, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # only `X | None` appears here
        inner = next(argument for argument in arguments if argument is not types.NoneType)
        return None if value is None else _value(inner, value, path)
    if is_dataclass(hint):
        return build(hint, value, path)
    if origin is list:
        if not isinstance(value, list):
            raise ProtocolError("invalid_type", f"`{path}` must be a list.", param=path)
        if len(value) > MAX_ITEMS:
            text = f"`{path}` must have at most {MAX_ITEMS} items, but has {len(value)}."
            raise ProtocolError("invalid_value", text, param=path)
        return [_value(arguments[0], item, f"{path}[{place}]") for place, item in enumerate(value)]
    if origin is Literal:
        if value not in arguments:
            known = ", ".join(map(str, arguments))
            raise ProtocolError("invalid_value", f"`{path}` must be one of {known}.", param=path)
        return value
    if isinstance(value, int) and abs(value) > MAX_INTEGER:  # JSON has no bound, floats have one
        raise ProtocolError("invalid_value", f"`{path}` must be a number of 64 bits.", param=path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        word = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}[hint]
        raise ProtocolError("invalid_type", f"`{path}` must be {word}.", param=path)
    if isinstance(value, str) and path != "audio" and (len(value) > MAX_TEXT or not _is_unicode(value)):
        raise ProtocolError(
            "invalid_value", f"`{path}` must be text of at most {MAX_TEXT} characters.", param=path
        )
    return value


def _is_unicode(text: str) -> bool:
    """JSON can write half of a surrogate pair, which no answer could carry."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


# --- schema


def schema() -> dict[str, Any]:
    """JSON Schema of every message, made from the classes that the server itself uses."""
    client = [message_schema(kind) for kind in typing.get_args(ClientMessage)]
    server = [message_schema(kind, event_id=True) for kind in typing.get_args(ServerMessage)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{NATIVE} (version {VERSION})",
        "$defs": {"client": {"oneOf": client}, "server": {"oneOf": server}},
    }


def message_schema(kind: Any, *, event_id: bool = False) -> dict[str, Any]:
    """JSON Schema of one message; `event_id`: with what every message of the server begins with."""
    found = _schema(kind)
    found["title"] = kind.type
    found["description"] = kind.__doc__
    found["properties"] = {"type": {"const": kind.type}} | found["properties"]
    found["required"] = ["type", *found["required"]]
    if event_id:
        found["properties"] |= {"event_id": {"type": "string"}, "seq": {"type": "integer"}}
        found["required"].append("event_id")
    return found


def _schema(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = next(argument for argument in arguments if argument is not types.NoneType)
        return {"anyOf": [_schema(inner), {"type": "null"}]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        value = arguments[1]
        return {"type": "object"} | ({} if value is Any else {"additionalProperties": _schema(value)})
    if is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        required = [i.name for i in fields(hint) if i.default is MISSING and i.default_factory is MISSING]
        properties = {item.name: _schema(hints[item.name]) | dict(item.metadata) for item in fields(hint)}
        return {"type": "object", "properties": properties, "required": required}
    return {"type": {int: "integer", float: "number", str: "string", bool: "boolean"}[hint]}
