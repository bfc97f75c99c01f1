"""What `seamless-stream serve` reads before it listens: keys, and what they open; and that the schema is whole."""

import asyncio
import json
from pathlib import Path

import pytest

from seamless_stream.errors import SettingsError
from seamless_stream.server.access import ENVIRONMENT, Access, Key, load_keys
from seamless_stream.server.changes import SessionChange
from seamless_stream.server.commands import CLIENT_MESSAGES
from seamless_stream.server.protocol import schema
from seamless_stream.settings import ServerSettings
from tests.server.serving import running
from tests.server.test_http import ask, get


def test_other_addresses_need_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"server\.host"):
        load_keys(ServerSettings(host="0.0.0.0"), {})
    assert load_keys(ServerSettings(host="0.0.0.0", allows_anonymous=True), {}) == ()
    file = tmp_path / "keys"
    file.write_text("# ours\none\n\n two \nfour\tmetrics, translate\n", encoding="utf-8")
    settings = ServerSettings(host="0.0.0.0", keys_file=str(file))
    assert load_keys(settings, {ENVIRONMENT: "three, "}) == (
        *(Key("three"), Key("one"), Key("two")),
        Key("four", frozenset({"translate", "metrics"})),
    )
    file.write_text("secret translate,fly\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="translate, secrets, metrics") as caught:
        load_keys(settings, {})
    assert "fly" not in str(caught.value)  # it may be a part of a key


def test_without_its_last_key_a_server_does_not_open_to_everybody(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# one\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="allows_anonymous"):
        load_keys(ServerSettings(keys_file=str(file)), {})
    assert load_keys(ServerSettings(keys_file=str(file)), {ENVIRONMENT: "two"}) == (Key("two"),)
    assert load_keys(ServerSettings(keys_file=str(file), allows_anonymous=True), {}) == ()
    assert load_keys(ServerSettings(), {}) == ()


def test_only_a_whole_key_opens() -> None:
    access = Access(ServerSettings(), (Key("one"), Key("two")))
    grants = [access.grant(f"Bearer {key}", [], 0.0) for key in ("one", "two", "tw", "", "two two")]
    assert grants[0] and grants[1] and grants[0].owner != grants[1].owner and grants[2:] == [None] * 3
    assert access.grant(None, ["seamless-stream.v1", "bearer.two"], 0.0) == grants[1]
    assert access.grant("Basic two", [], 0.0) is None


def test_replaced_keys_open_no_longer_nor_do_their_secrets() -> None:
    access = Access(ServerSettings(), (Key("one"), Key("two")))
    old = access.grant("Bearer one", [], 0.0)
    assert old is not None
    made = access.secrets.create(old.owner, SessionChange(), 60, 0.0)
    assert made is not None
    secret = f"Bearer {made[0]}"
    grant = access.grant(secret, [], 0.0)
    assert grant is not None and grant.owner == old.owner and grant.change == SessionChange()
    access.replace_keys((Key("two"),))
    assert access.grant("Bearer one", [], 0.0) is None and access.grant(secret, [], 0.0) is None
    assert access.grant("Bearer two", [], 0.0) is not None


def test_the_schema_is_served() -> None:
    async def scenario() -> tuple[int, dict[str, str], bytes]:
        async with running() as server:
            return await ask(server.port, get("/v1/schema.json"))

    status, headers, body = asyncio.run(scenario())
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == json.loads(json.dumps(schema()))


def test_the_schema_and_the_document_know_every_message() -> None:
    document = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    server = [message["title"] for message in schema()["$defs"]["server"]["oneOf"]]
    assert not [name for name in [*CLIENT_MESSAGES, *server] if name not in document]
