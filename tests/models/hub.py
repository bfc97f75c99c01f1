"""A Hugging Face hub of one repository, on the loopback, as far as `snapshot_download` asks: for tests of pulling."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HUB_ID = "acme/tiny"


@dataclass
class Hub:
    """What is served; a test may change it between calls."""

    files: dict[str, bytes]
    commit: str = "a" * 40
    url: str = ""
    requests: list[str] = field(default_factory=list)  # `GET /path`, with the range where one was asked for
    cut_after: int | None = None  # bytes of a body after which the connection breaks, once


def read_files(directory: Path) -> dict[str, bytes]:
    """The files of a checkpoint directory."""
    return {file.name: file.read_bytes() for file in directory.iterdir()}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _file(self, name: str) -> None:
        hub, body = self.hub, self.hub.files[name]
        headers = {"X-Repo-Commit": hub.commit, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        rest = body[start:]
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        if self.command == "GET" and hub.cut_after is not None and len(rest) > hub.cut_after:
            self._answer(200, headers, rest[: hub.cut_after], length=len(rest))
            hub.cut_after = None
            self.close_connection = True
            return
        self._answer(206 if start else 200, headers, rest)

    def do_GET(self) -> None:
        hub = self.hub
        hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        name = self.path.rsplit("/", 1)[-1]
        if self.path == f"/{HUB_ID}/resolve/{hub.commit}/{name}" and name in hub.files:
            self._file(name)
        elif self.path.split("?")[0] in (
            f"/api/models/{HUB_ID}/revision/{at}" for at in ("main", hub.commit)
        ):
            siblings = [{"rfilename": name} for name in hub.files]
            answer = {"id": HUB_ID, "sha": hub.commit, "siblings": siblings, "tags": [], "private": False}
            self._answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())
        elif self.path.startswith(f"/api/models/{HUB_ID}/tree/{hub.commit}"):
            entries = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in hub.files.items()
            ]
            self._answer(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())
        elif HUB_ID in self.path:
            self._answer(404, {"X-Error-Code": "RevisionNotFound"}, b"")
        else:
            self._answer(404, {"X-Error-Code": "RepoNotFound"}, b"")

    do_HEAD = do_GET


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve `files` on the loopback until the block ends."""
    hub = Hub(files)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
