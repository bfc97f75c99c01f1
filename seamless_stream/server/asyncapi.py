"""The AsyncAPI 3.0 document of the daemon, made from the message classes as the JSON Schema is.

Pure. https://www.asyncapi.com/docs/reference/specification/v3.0.0; what the messages mean is told in docs/protocol.md.
"""

from typing import Any, Final, get_args

from seamless_stream import __version__
from seamless_stream.server import commands, messages
from seamless_stream.server.commands import ClientMessage
from seamless_stream.server.messages import NativeOnly, OpenAIMessage
from seamless_stream.server.protocol import HEADER_BYTES, NATIVE, VERSION, message_schema

PATH: Final = "/v1/realtime/translations"
LISTENED: Final = (
    messages.TranscriptSnapshot,
    messages.SegmentStarted,
    messages.SegmentUpdated,
    messages.SegmentFinal,
    messages.SegmentCancelled,
    messages.SegmentEnded,
    messages.SegmentDirection,
    messages.TargetChanged,
    messages.SessionClosed,
    messages.Pong,
)
OPENAI_CLIENT: Final = (
    commands.SessionUpdate,
    commands.AudioAppend,
    commands.Silence,
    commands.Ping,
    commands.KeepAlive,
    commands.SessionClose,
)
OPENAI_ONLY: Final = (
    messages.InputTranscriptDelta,
    messages.OutputTranscriptDelta,
    messages.OutputAudioDelta,
)
# What no class describes: binary messages.
BINARY: Final = {
    "client.audio": (
        "samples in the declared format, or with `framing: header` a header and then these",
        "AudioIn",
    ),
    "server.speech": (f"a header of {HEADER_BYTES} bytes, little-endian, and then s16le samples", "AudioOut"),
}


def document() -> dict[str, Any]:
    """Everything that is said over the sockets of this server."""
    client, server = get_args(ClientMessage), get_args(OpenAIMessage) + get_args(NativeOnly)
    native = (
        [f"client.{kind.type}" for kind in client],
        [f"server.{kind.type}" for kind in server if kind not in OPENAI_ONLY],
    )
    openai = (
        [f"client.{kind.type}" for kind in OPENAI_CLIENT],
        [f"server.{kind.type}" for kind in get_args(OpenAIMessage)],
    )
    listened = [f"server.{kind.type}" for kind in LISTENED]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "seamless_stream",
            "version": VERSION,
            "description": f"Live speech translation over WebSocket. Made by seamless_stream {__version__}.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8765",
                "protocol": "ws",
                "description": "Where `seamless-stream serve` listens unless it is told otherwise.",
                "security": [{"$ref": "#/components/securitySchemes/key"}],
            }
        },
        "channels": {
            "native": _channel(
                PATH,
                f"With the subprotocol {NATIVE}.",
                [*native[0], "client.audio", *native[1], "server.speech"],
            ),
            "openai": _channel(
                PATH, "The events of OpenAI's realtime translations.", [*openai[0], *openai[1]]
            ),
            "captions": _channel(f"{PATH}/{{session}}/captions", "For listeners.", listened)
            | {"parameters": {"session": {"description": "The session's id."}}},
        },
        "operations": {
            "native.say": _operation("receive", "native", [*native[0], "client.audio"]),
            "native.hear": _operation("send", "native", [*native[1], "server.speech"]),
            "openai.say": _operation("receive", "openai", openai[0]),
            "openai.hear": _operation("send", "openai", openai[1]),
            "captions.hear": _operation("send", "captions", listened),
        },
        "components": {
            "messages": {f"client.{kind.type}": _message(kind, is_of_server=False) for kind in client}
            | {f"server.{kind.type}": _message(kind, is_of_server=True) for kind in server}
            | {name: _binary(text, title) for name, (text, title) in BINARY.items()},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key or a client secret."}
            },
        },
    }


def _channel(address: str, text: str, names: list[str]) -> dict[str, Any]:
    refs = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    query = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("model", "resume", "token")},
    }
    return {
        "address": address,
        "description": text,
        "messages": refs,
        "bindings": {"ws": {"method": "GET", "query": query}},
    }


def _operation(action: str, channel: str, names: list[str]) -> dict[str, Any]:
    """`send` and `receive` are what the server does."""
    refs = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": refs}


def _message(kind: Any, *, is_of_server: bool) -> dict[str, Any]:
    """Of one class."""
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": kind.__doc__,
        "contentType": "application/json",
        "payload": message_schema(kind, event_id=is_of_server),
    }


def _binary(text: str, title: str) -> dict[str, Any]:
    return {
        "name": title,
        "title": title,
        "summary": f"A binary message: {text}.",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }
