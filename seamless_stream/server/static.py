"""The files of the web page as HTTP answers: types, entity tags, a Content-Security-Policy without any other host.

Pure: a path and the headers of the request in, a response or None out. The files are read once, and only those can be
asked for: no path of a request ever reaches the file system.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Response

PAGE: Final = Path(__file__).parent / "page"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# `blob:` is the visitor's own file, which plays while it is translated.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), display-capture=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class File:
    """One file of the page."""

    body: bytes
    type: str
    tag: str


@cache
def files() -> Mapping[str, File]:
    """The page's files by the paths under which they are asked for."""
    found = {f"/page/{path.name}": _read(path) for path in PAGE.iterdir() if path.suffix in TYPES}
    return MappingProxyType({"/": found["/page/index.html"]} | found)


def _read(path: Path) -> File:
    body = path.read_bytes()
    return File(body, TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def answer(path: str, headers: Headers) -> Response | None:
    """The answer to a request for `path`; None where the page has no such file."""
    file = files().get(path)
    if file is None:
        return None
    # Asked again each time and answered by a tag: a new version of the server never meets an old script.
    fields = Headers({"Cache-Control": "no-cache", "ETag": file.tag, "Connection": "close"} | HEADERS)
    known = ",".join(headers.get_all("If-None-Match")).split(",")
    if file.tag in (tag.strip().removeprefix("W/") for tag in known):
        return Response(HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_MODIFIED.phrase, fields)
    fields["Content-Type"] = file.type
    fields["Content-Length"] = str(len(file.body))
    if file.type.startswith("text/javascript"):
        fields["Access-Control-Allow-Origin"] = "*"  # pages elsewhere may import client.js
    return Response(HTTPStatus.OK, HTTPStatus.OK.phrase, fields, file.body)
