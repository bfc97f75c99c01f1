"""The daemon as systemd starts it: socket, notices, log, and what SIGHUP reads again. One process, the real model."""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from seamless_stream.cli.logs import JsonFormatter, TextFormatter, begin_log, configure
from seamless_stream.errors import SettingsError
from seamless_stream.server import process
from seamless_stream.server.access import load_keys
from seamless_stream.settings import ServerSettings
from tests.server.certificates import make
from tests.server.serving import running
from tests.server.test_native import FAST, native, of, talk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals and no systemd")

PATIENCE_S = 240  # loading a model on a busy machine
CONFIGS = Path(__file__).parents[2] / "configs"
# Becomes the daemon with a listening socket as file 3, as systemd does it.
START = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "seamless_stream", "serve", *sys.argv[1:]])
"""


def open_socket(port: int, certificate: Path, key: str) -> connect:
    """Not `websockets.sync`: it loses one request in a hundred over TLS on Python 3.11.

    Its two threads use one OpenSSL object at once, and OpenSSL does not allow it (miguelgrinberg/python-engineio#461).
    """
    context = ssl.create_default_context(cafile=str(certificate))
    headers = {"Authorization": f"Bearer {key}"}
    url = f"wss://127.0.0.1:{port}/v1/realtime/translations"
    return connect(url, ssl=context, additional_headers=headers, open_timeout=PATIENCE_S)


async def assert_opens(port: int, certificate: Path, key: str) -> None:
    async with open_socket(port, certificate, key) as client:
        assert "session.created" in str(await client.recv())


class Notices:
    """What a daemon says to systemd, taken at once: the socket holds ten, and the watchdog says one every 0.1 s."""

    def __init__(self, listener: socket.socket, daemon: subprocess.Popen[bytes], log: Path) -> None:
        self.listener, self.daemon, self.log = listener, daemon, log
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    async def take(self) -> None:
        while True:
            text = await asyncio.get_running_loop().sock_recv(self.listener, 4096)
            self.queue.put_nowait(text.decode())

    async def heard(self, wanted: str) -> str:
        for _ in range(PATIENCE_S):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while wanted not in (text := await self.queue.get()):
                        pass
                    return text
            assert self.daemon.poll() is None, self.log.read_text()
        raise AssertionError(f"{wanted} was not said")


def test_sockets_notices_log_and_reload(tmp_path: Path) -> None:
    certificate, private = make(tmp_path, "127.0.0.1")
    keys, log = tmp_path / "keys.txt", tmp_path / "log"
    keys.write_text("old-key\n", encoding="utf-8")
    settings = {"keys_file": keys, "tls_certificate": certificate, "tls_key": private, "log_format": "json"}
    options = [f"--set=server.{name}={value}" for name, value in settings.items()]
    options += ["--model", "phrasebook", "--device", "cpu"]
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}

    async def scenario(daemon: subprocess.Popen[bytes], notices: Notices) -> None:
        taker = asyncio.create_task(notices.take())
        ready = re.search(r"port (\d+)\.", await notices.heard("READY=1"))
        assert ready is not None
        port = int(ready[1])
        await notices.heard("WATCHDOG=1")
        async with open_socket(port, certificate, "old-key") as old:
            assert "session.created" in str(await old.recv())
            (tmp_path / "before.pem").write_bytes(certificate.read_bytes())
            keys.write_text("new-key\n", encoding="utf-8")
            make(tmp_path, "127.0.0.1")
            daemon.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in await notices.heard("RELOADING=1")
            await notices.heard("READY=1")
            with pytest.raises(InvalidStatus, match="401"):
                await open_socket(port, certificate, "old-key")
            await assert_opens(port, certificate, "new-key")
            with pytest.raises(ssl.SSLError):
                await open_socket(port, tmp_path / "before.pem", "new-key")
            await old.send('{"type":"ping"}')  # who was there stays
            assert "pong" in str(await old.recv())
            private.write_text("broken", encoding="utf-8")
            daemon.send_signal(signal.SIGHUP)
            await notices.heard("READY=1")
            await assert_opens(port, certificate, "new-key")  # all as it was
            keys.write_text("# new-key\n", encoding="utf-8")
            daemon.send_signal(signal.SIGHUP)
            await notices.heard("READY=1")
            with pytest.raises(InvalidStatus, match="401"):  # no key is no reason to open to everybody
                await open_socket(port, certificate, "old-key")
            await assert_opens(port, certificate, "new-key")
        daemon.send_signal(signal.SIGTERM)
        await notices.heard("STOPPING=1")
        assert await asyncio.to_thread(daemon.wait, PATIENCE_S) == 0
        taker.cancel()

    command = [sys.executable, "-c", START, *options]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        log.open("w") as stream,
    ):
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        with subprocess.Popen(command, env=environment, stderr=stream) as daemon:
            try:
                asyncio.run(scenario(daemon, Notices(listener, daemon, log)))
            finally:
                daemon.kill()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = [line["message"] for line in lines]
    for wanted in ("listening", "session opened", "session closed", "keys and certificates are read again"):
        assert wanted in events
    refused = [line["message"] for line in lines if "stay as they were" in line["message"]]
    assert "tls_key" in refused[0] and "keys_file" in refused[1] and len(refused) == 2
    opened = next(line for line in lines if line["message"] == "session opened")
    assert opened["session"].startswith("sess_") and opened["dialect"] == "openai"
    assert "-key" not in log.read_text().replace("tls_key", "")


def test_a_line_of_the_log_has_the_fields_and_the_fault() -> None:
    record = logging.makeLogRecord({"name": "a.b", "levelname": "ERROR", "msg": "it is %d", "args": (5,)})
    record.session = "sess_1"
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"], line["session"]) == (
        "error",
        "a.b",
        "it is 5",
        "sess_1",
    )
    assert line["time"].endswith("Z") and "ValueError: why" in line["error"]
    text = TextFormatter().format(record)
    assert " error: it is 5 session=sess_1\n" in text and text.endswith("ValueError: why")


@pytest.mark.parametrize("is_verbose", [False, True])
def test_the_log_holds_no_key_and_no_text(is_verbose: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """`websockets` would write down whole requests and messages."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, ("seamless_stream", "seamless_stream.server", "websockets"))]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]

    async def scenario() -> list[Any]:
        headers, quiet = {"Authorization": "Bearer the-key"}, logging.getLogger("quiet")
        quiet.propagate = False
        async with running(keys=("the-key",)) as server:
            async with native(server, additional_headers=headers, logger=quiet) as client:
                return await talk(client, FAST)

    try:
        root.setLevel(logging.DEBUG)  # as `--verbose` does where nobody has set up a log before
        begin_log(is_verbose=True)
        configure("text", is_verbose=is_verbose)
        found = asyncio.run(scenario())
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
    log = capsys.readouterr().err
    assert "session opened" in log and "the-key" not in log and "session.created" not in log
    words = {word for final in of(found, "segment.final") for word in final["text"].split()}
    assert len(words) > 4 and not {word for word in words if word in log}


def test_several_sockets_are_too_many_and_those_of_others_are_not_ours() -> None:
    pid = str(os.getpid())
    assert process.inherited_socket({}) is None
    assert process.inherited_socket({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) is None
    with pytest.raises(SettingsError, match="LISTEN_FDS"):
        process.inherited_socket({"LISTEN_PID": pid, "LISTEN_FDS": "2"})


def test_an_inherited_socket_says_who_can_connect() -> None:
    settings = ServerSettings()
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:
        assert process.host_of(settings, open_to_all) == "0.0.0.0"
        with pytest.raises(SettingsError, match=r"but is 0\.0\.0\.0"):
            load_keys(settings, {}, process.host_of(settings, open_to_all))
    with socket.create_server(("127.0.0.1", 0)) as local, socket.socket(socket.AF_UNIX) as unix:
        for sock in (None, local, unix):
            assert load_keys(settings, {}, process.host_of(settings, sock)) == ()


def test_notices_reach_an_abstract_socket_and_nobody_without_one() -> None:
    process.Notifier({}).send("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearer:
        name = f"seamless-stream-test-{os.getpid()}"
        hearer.bind(f"\0{name}")
        hearer.settimeout(5)
        notify = process.Notifier({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "5000000"})
        notify.send("READY=1", "STATUS=fine")
        assert hearer.recv(100) == b"READY=1\nSTATUS=fine" and notify.watchdog_s == 5
    assert process.Notifier({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).watchdog_s == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd to ask")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for name in ("seamless-stream.service", "seamless-stream.socket"):
        text = (CONFIGS / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/opt/seamless-stream/bin/seamless-stream", sys.executable))
    units = [str(tmp_path / "seamless-stream.service"), str(tmp_path / "seamless-stream.socket")]
    found = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    ours = [line for line in found.stderr.splitlines() if "seamless-stream" in line]
    assert found.returncode == 0 and not ours, found.stderr
