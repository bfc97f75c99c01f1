"""The AsyncAPI document: all messages, every reference leads somewhere, and it is served.

No light validator of AsyncAPI 3.0 can be had from PyPI, so what the specification demands of these objects is checked
here: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import asyncio
import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any, get_args

from seamless_stream.server.asyncapi import document
from seamless_stream.server.commands import ClientMessage
from seamless_stream.server.messages import ServerMessage
from tests.server.serving import running

DOCUMENT = json.loads(json.dumps(document()))
ALLOWED = {
    "channels": {
        "address",
        "messages",
        "title",
        "summary",
        "description",
        "servers",
        "parameters",
        "bindings",
    },
    "operations": {
        "action",
        "channel",
        "title",
        "summary",
        "description",
        "security",
        "bindings",
        "messages",
    },
    "servers": {"host", "protocol", "description", "security"},
}


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        yield from ([tree["$ref"]] if "$ref" in tree else [])
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from references(item)


def follow(reference: str) -> Any:
    place = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        place = place[part]
    return place


def test_all_messages_are_there_once() -> None:
    expected = [f"client.{kind.type}" for kind in get_args(ClientMessage)]
    expected += [f"server.{kind.type}" for kind in get_args(ServerMessage)]
    found = DOCUMENT["components"]["messages"]
    assert sorted(found) == sorted([*expected, "client.audio", "server.speech"])
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in found)  # the form of a component's name
    native = DOCUMENT["channels"]["native"]["messages"]
    assert "server.audio.ack" in native and "server.session.output_audio.delta" not in native
    used = {name for channel in DOCUMENT["channels"].values() for name in channel["messages"]}
    assert used == set(found)


def test_the_form_is_that_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0" and {"title", "version"} <= set(DOCUMENT["info"])
    for kind, allowed in ALLOWED.items():
        assert all(set(item) <= allowed for item in DOCUMENT[kind].values()), kind
    found = list(references(DOCUMENT))
    assert len(found) > 80 and all(follow(reference) for reference in found)
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        # An operation names messages by their place in its own channel.
        assert all(item["$ref"].startswith(f"{channel}/messages/") for item in operation["messages"])
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))
    for message in DOCUMENT["components"]["messages"].values():
        assert message["summary"] and message["payload"]["type"] in ("object", "string")


def test_it_is_served() -> None:
    async def scenario() -> Any:
        async with running() as server:
            url = f"http://127.0.0.1:{server.port}/v1/asyncapi.json"
            with await asyncio.to_thread(urllib.request.urlopen, url, timeout=20) as answer:
                return json.load(answer)

    assert asyncio.run(scenario()) == DOCUMENT
