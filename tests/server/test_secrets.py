"""Client secrets: made and used by the public `openai` package, sync and async; what they may and may not do."""

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from seamless_stream.server import tokens
from seamless_stream.server.access import Access, Key
from seamless_stream.server.changes import SessionChange
from seamless_stream.server.tokens import ClientSecrets
from seamless_stream.settings import ServerSettings
from tests.server.serving import Server, on_a_thread, running
from tests.server.test_http import ask, code
from tests.server.test_openai import client_options, pieces, text_of

openai = pytest.importorskip("openai")

SESSION: Any = {"model": "auto", "audio": {"output": {"language": "es"}}}
LOUD = np.concatenate([0.3 * np.sin(np.arange(16_000) / 6), np.zeros(16_000)]).astype(np.float32)


def check_secret(secret: Any, lifetime_s: int) -> None:
    assert secret.value.startswith("ek_")
    assert abs(secret.expires_at - time.time() - lifetime_s) < 30
    assert secret.session.type == "translation" and secret.session.model == "fake"
    assert secret.session.audio.output.language == "es"


def test_the_sync_client_makes_a_secret_and_connects_with_it() -> None:
    with on_a_thread(running(keys=("right",))) as server:
        options = client_options(server)
        secret = openai.OpenAI(**options).realtime.translations.client_secrets.create(session=SESSION)
        check_secret(secret, 600)
        page = openai.OpenAI(**options | {"api_key": secret.value})
        for _ in range(2):  # it may begin several sessions
            with page.realtime.translations.connect(model="auto") as connection:
                for piece in pieces(LOUD):  # in the secret's language, without a session.update
                    connection.session.input_audio_buffer.append(audio=piece)
                connection.session.close()
                events = list(connection)
            assert text_of(events) and events[-1].type == "session.closed"
        with pytest.raises(openai.PermissionDeniedError):  # a secret makes no secrets
            page.realtime.translations.client_secrets.create(session=SESSION)


def test_the_async_client_does_too() -> None:
    async def scenario() -> list[Any]:
        async with running(keys=("right",)) as server:
            options = client_options(server)
            client = openai.AsyncOpenAI(**options)
            after: Any = {"anchor": "created_at", "seconds": 60}
            create = client.realtime.translations.client_secrets.create
            secret = await create(session=SESSION, expires_after=after)
            check_secret(secret, 60)
            page = openai.AsyncOpenAI(**options | {"api_key": secret.value})
            async with page.realtime.translations.connect(model="auto") as connection:
                await connection.session.close()
                events = [event async for event in connection]
            wrong = openai.AsyncOpenAI(**options | {"api_key": "wrong"}, max_retries=0)
            with pytest.raises(openai.AuthenticationError):
                await wrong.realtime.translations.client_secrets.create(session=SESSION)
            with pytest.raises(openai.BadRequestError, match="klingon"):
                await create(session={"model": "auto", "audio": {"output": {"language": "klingon"}}})
            with pytest.raises(openai.NotFoundError):
                await create(session={"model": "gpt"})
            await client.close()
            return events

    events = asyncio.run(scenario())
    assert events[0].session.audio.output.language == "es"


def test_sessions_of_a_secret_count_as_its_keys() -> None:
    async def scenario() -> None:
        async with running(keys=("right",), max_sessions_per_key=1) as server:
            status, answer = await create(server, {"session": {"audio": {"output": {"language": "fr"}}}})
            assert status == 200
            protocols: Any = ["seamless-stream.v1", f"openai-insecure-api-key.{answer['value']}"]
            async with connect(server.url, subprotocols=protocols) as socket:
                created = json.loads(await socket.recv())["session"]
                assert created["audio"]["output"]["language"] == "fr"
                with pytest.raises(InvalidStatus, match="429"):
                    async with connect(server.url, additional_headers={"Authorization": "Bearer right"}):
                        pass

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_type"),
        ("[" * 50_000, "invalid_json"),
        ("{}", "missing_field"),
        ('{"session":{},"expires_after":{"seconds":5}}', "invalid_value"),
        ('{"session":{},"expires_after":{"seconds":"60"}}', "invalid_type"),
        ('{"session":{"audio":{"input":{"format":{"rate":1}}}}}', "invalid_value"),
    ],
)
def test_wrong_bodies_get_their_error(body: str, expected: str) -> None:
    async def scenario() -> tuple[int, bytes]:
        async with running() as server:
            return await post(server, body)

    status, answer = asyncio.run(scenario())
    assert (status, code(answer)) == (400, expected)


async def post(server: Server, body: str) -> tuple[int, bytes]:
    data = body.encode()
    head = (
        "POST /v1/realtime/translations/client_secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer right\r\n"
    )
    status, _, answer = await ask(server.port, f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return status, answer


async def create(server: Server, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    status, answer = await post(server, json.dumps(body))
    return status, json.loads(answer)


def test_a_secret_ends_with_its_time_and_is_whole_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ClientSecrets()
    made = secrets.create("owner", SessionChange(), 60, 1_000.0)
    assert made is not None
    token, expires_at = made
    assert expires_at == 1_060
    found = secrets.find(token, 1_059.0)
    assert found is not None and found.owner == "owner"
    assert secrets.find(token, 1_060.0) is None
    assert secrets.find(token[:-1], 1_000.0) is None and secrets.find(token + "0", 1_000.0) is None
    monkeypatch.setattr(tokens, "MAX_SECRETS_PER_OWNER", 1)
    assert secrets.create("owner", SessionChange(), 60, 1_030.0) is None
    assert secrets.create("owner", SessionChange(), 60, 1_061.0) is not None  # the first one is over


def test_who_asks_for_too_many_secrets_may_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_SECRETS_PER_OWNER", 1)

    async def scenario() -> list[Any]:
        async with running(keys=("right",)) as server:
            return [await create(server, {"session": {}}) for _ in range(2)]

    (first, _), (second, answer) = asyncio.run(scenario())
    assert (first, second, answer["error"]["code"]) == (200, 429, "too_many_secrets")
    assert answer["error"]["type"] == "rate_limit_error"


def test_a_key_may_only_do_what_its_scopes_say() -> None:
    """A key for making secrets begins no session itself, but its secrets do; and the other way round."""
    keys = ("right secrets", "speaker translate", "both translate,metrics")

    async def opens(server: Server, key: str) -> int:
        try:
            async with connect(server.url, additional_headers={"Authorization": f"Bearer {key}"}):
                return 101
        except InvalidStatus as error:
            if error.response.status_code == 403:
                assert code(error.response.body or b"") == "insufficient_scope"
            return error.response.status_code

    async def scenario() -> None:
        async with running(keys=keys, metrics_readers="key") as server:
            assert await opens(server, "right") == 403 and await opens(server, "speaker") == 101
            status, answer = await create(server, {"session": {}})
            assert status == 200 and await opens(server, answer["value"]) == 101
            for key, expected in (("right", 403), ("speaker", 403), ("both", 200), (answer["value"], 403)):
                head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
                assert (await ask(server.port, head.encode()))[0] == expected
        async with running(keys=("right translate",)) as server:
            status, answer = await create(server, {"session": {}})
            assert (status, answer["error"]["code"]) == (403, "insufficient_scope")
            assert "`secrets`" in answer["error"]["message"]

    asyncio.run(scenario())


def test_secrets_end_with_the_scope_that_made_them() -> None:
    access = Access(ServerSettings(), (Key("one"),))
    grant = access.grant("Bearer one", [], 0.0)
    assert grant is not None
    made = access.secrets.create(grant.owner, SessionChange(), 60, 0.0)
    assert made is not None and access.grant(f"Bearer {made[0]}", [], 0.0) is not None
    access.replace_keys((Key.of("one translate"),))
    assert access.grant(f"Bearer {made[0]}", [], 0.0) is None
