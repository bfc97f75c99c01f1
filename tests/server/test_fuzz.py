"""Random and hostile messages over real sockets: every connection ends in a documented way and nothing escapes.

`make fuzz` runs the same with FUZZ_EXAMPLES=20000.
"""

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from seamless_stream.server import protocol
from seamless_stream.server.commands import CLIENT_MESSAGES
from seamless_stream.server.protocol import NATIVE
from tests.server.serving import Server, on_a_thread, running
from tests.server.test_http import ask
from tests.server.test_pure import JSON, NAMES

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
DOCUMENTED = {1000, 1003, 1007, 1009, 1012, 1013, 4400, 4404, 4410, 4429}
LANGUAGE = {"type": "session.update", "session": {"audio": {"output": {"language": "es"}}}}

known = st.builds(
    lambda kind, rest: json.dumps(rest | {"type": kind}).encode(),
    st.sampled_from(list(CLIENT_MESSAGES)),
    st.dictionaries(NAMES, JSON, max_size=4),
)
valid = st.sampled_from(
    [
        json.dumps(LANGUAGE).encode(),
        b'{"type":"session.update","session":{"audio":{"input":{"format":{"rate":8000}}}}}',
        b'{"type":"session.input_audio_buffer.append","audio":"AAAAAAAA"}',
        b'{"type":"input_audio.flush","marker":"m"}',
        b'{"type":"ping"}',
        b'{"type":"session.close"}',
    ]
)
text = known | valid | st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
# (is text, data)
message = st.tuples(st.just(True), text) | st.tuples(st.just(False), st.binary(max_size=400))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    limits: dict[str, Any] = {"max_messages_per_s": 10_000, "max_message_bytes": 4_096}
    with on_a_thread(running(resume_grace_s=0.1, **limits)) as found:
        yield found


def outcome(server: Server, messages: list[tuple[bool, bytes]], *, is_native: bool) -> int:
    """The code with which the connection ends; a healthy one is asked whether it answers and then closed."""
    protocols: Any = [NATIVE] if is_native else None
    with connect(server.url, subprotocols=protocols, compression=None) as socket:
        with suppress(ConnectionClosed):
            for is_text, data in messages:
                socket.send(data, text=is_text)
            socket.send('{"type":"ping","id":"the end"}')
            read_until_pong(socket)
        socket.close()
        return socket.close_code or 0


def read_until_pong(socket: ClientConnection) -> None:
    while True:
        data = socket.recv(timeout=60)
        if isinstance(data, str) and json.loads(data).get("id") == "the end":
            return


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(messages=st.lists(message, max_size=8), is_native=st.booleans())
def test_random_messages_end_in_a_documented_way(
    server: Server, caplog: pytest.LogCaptureFixture, messages: list[tuple[bool, bytes]], is_native: bool
) -> None:
    caplog.clear()
    assert outcome(server, messages, is_native=is_native) in DOCUMENTED
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300), is_request=st.booleans())
def test_random_bytes_instead_of_a_request_are_refused(
    server: Server, caplog: pytest.LogCaptureFixture, data: bytes, is_request: bool
) -> None:
    caplog.clear()
    head = b"POST /v1/realtime/translations/client_secrets HTTP/1.1\r\nHost: x\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(data)
    request = head + data if is_request else data
    # Bytes that are no whole request may get no answer.
    with nullcontext() if is_request else suppress(IndexError, ConnectionError):
        status, _, _ = asyncio.run(ask(server.port, request, eof=True))
        assert 400 <= status < 500 or json.loads(data)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([(True, b'{"type":"ping","id":"\xff"}')], 1007),
        ([(True, b" " * 5_000)], 1009),
        ([(False, bytes(5_000))], 1009),
        ([(True, json.dumps(LANGUAGE).encode()), (False, b"odd")], protocol.BAD_MESSAGE),
        ([(True, b"[" * 4_000)], 1000),  # an error, and the session goes on
        ([(True, b'{"type":' * 400)], 1000),
        ([(False, bytes(320))], 1000),  # audio before a language
    ],
)
def test_hostile_messages_have_their_answer(
    server: Server, messages: list[tuple[bool, bytes]], code: int
) -> None:
    assert outcome(server, messages, is_native=True) == code
