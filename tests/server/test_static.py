"""The page's files over HTTP: types, tags, the policy, nothing outside the folder; and whose pages may connect."""

import asyncio
import http.client
import re

import pytest

from seamless_stream.server.access import Access, Key
from seamless_stream.server.static import PAGE, files
from seamless_stream.settings import ServerSettings
from tests.server.serving import running

Answer = tuple[int, dict[str, str], bytes]


def get(*requests: tuple[str, dict[str, str]]) -> list[Answer]:
    """The answers of a running server."""

    def ask(port: int, path: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.putrequest("GET", path, skip_accept_encoding=True)  # takes the path as it is
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        found = (answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    async def scenario() -> list[Answer]:
        async with running(keys=("secret",)) as server:
            return [await asyncio.to_thread(ask, server.port, *request) for request in requests]

    return asyncio.run(scenario())


def test_the_page_comes_with_its_policy_and_a_tag() -> None:
    [(status, headers, body)] = get(("/", {}))
    assert status == 200
    assert body == (PAGE / "index.html").read_bytes()
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache" and headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    tag = headers["etag"]
    again, other, changed = get(
        ("/", {"If-None-Match": f'"else", W/{tag}'}),
        ("/page/client.js?x=1", {}),
        ("/", {"If-None-Match": '"old"'}),
    )
    assert again[0] == 304 and again[1]["etag"] == tag and again[2] == b""
    assert other[0] == 200 and other[1]["content-type"].startswith("text/javascript")
    assert other[1]["access-control-allow-origin"] == "*"
    assert changed[0] == 200


def test_there_is_nothing_outside_the_folder() -> None:
    paths = ["/page/../app.py", "/page/%2e%2e/app.py", "/page//etc/passwd", "/page/", "/page", "/style.css"]
    assert [answer[0] for answer in get(*((path, {}) for path in paths))] == [404] * len(paths)


def test_every_file_is_served_and_asks_no_other_host() -> None:
    assert {f"/page/{path.name}" for path in PAGE.iterdir()} == set(files()) - {"/"}
    for path, file in files().items():
        hosts = set(re.findall(r"(?:https?|wss?)://[^\s\"'`)]+", file.body.decode()))
        assert hosts <= {"http://www.w3.org/2000/svg"}, path


@pytest.mark.parametrize(
    ("origin", "host", "with_keys", "without"),
    [
        (None, "here:80", True, True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True, True),
        ("http://localhost:8765", "localhost:8765", True, True),
        ("http://[::1]:8765", "[::1]:8765", True, True),
        ("https://host.example", "host.example", True, False),  # may be any site's name for this machine
        ("https://host.example", "other.example", False, False),
        ("http://127.0.0.1:1", "127.0.0.1:8765", False, False),
        ("null", "127.0.0.1:8765", False, False),
        ("http://allowed.example", "here", True, True),
    ],
)
def test_whose_pages_may_connect(origin: str | None, host: str, with_keys: bool, without: bool) -> None:
    settings = ServerSettings(allowed_origins=("http://allowed.example",))
    assert Access(settings, (Key("key"),)).is_origin_allowed(origin, host) is with_keys
    assert Access(settings, ()).is_origin_allowed(origin, host) is without
