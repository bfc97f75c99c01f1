"""The daemon as a process: signals, TLS, sockets and notices of systemd. It answers what `app.py` answers.

Knows the operating system; nothing of sessions. What systemd wants is a few environment variables and datagrams, so
that no library is needed: see sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3).
"""

import asyncio
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from seamless_stream.errors import SettingsError
from seamless_stream.server.access import Access, load_keys
from seamless_stream.server.app import listening
from seamless_stream.server.service import Service
from seamless_stream.settings import ServerSettings

log = logging.getLogger(__name__)

FIRST_FD: Final = 3  # of those that systemd hands over
STOP: Final = (signal.SIGTERM, signal.SIGINT)


def serve(
    service: Service, access: Access, started: Callable[[int], None], sock: socket.socket | None = None
) -> None:
    """Until SIGTERM or Ctrl-C, which drain; a second one ends the process at once. Raises SettingsError, OSError.

    `sock` listens already; otherwise host and port of the settings are listened at.
    """
    asyncio.run(_serve(service, access, load_tls(service.settings), sock, started))


async def _serve(
    service: Service,
    access: Access,
    tls: ssl.SSLContext | None,
    sock: socket.socket | None,
    started: Callable[[int], None],
) -> None:
    loop, stop, notify = asyncio.get_running_loop(), asyncio.Event(), Notifier(os.environ)

    def reload() -> None:
        notify.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        _reload(service.settings, host_of(service.settings, sock), access, tls)
        notify.send("READY=1")

    async with listening(service, access, tls, sock) as (app, port):
        _listen(loop, dict.fromkeys(STOP, stop.set))
        if hasattr(signal, "SIGHUP"):
            _listen(loop, {signal.SIGHUP: reload})
        watchdog = asyncio.create_task(_feed_watchdog(notify, lambda: service.worker.is_alive))
        started(port)
        notify.send("READY=1", f"STATUS=Listening at port {port}.")
        await stop.wait()
        notify.send("STOPPING=1", "STATUS=Finishing the open sessions.")
        for number in STOP:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
        log.info("stopping", extra={"sessions": access.num_sessions})
        await app.drain()
        watchdog.cancel()


def _listen(loop: asyncio.AbstractEventLoop, calls: Mapping[signal.Signals, Callable[[], None]]) -> None:
    for number, call in calls.items():
        with suppress(NotImplementedError):  # Windows: Ctrl-C ends at once there
            loop.add_signal_handler(number, call)


# What can change while it runs.


def _reload(settings: ServerSettings, host: str, access: Access, tls: ssl.SSLContext | None) -> None:
    """Keys and certificates as their files are now; where they cannot be used, all stays as it was."""
    try:
        keys = load_keys(settings, host=host)
        if tls is not None:
            load_tls(settings)  # into another context first: half a change would be worse than none
            _load_certificate(tls, settings)
        access.replace_keys(keys)
    except SettingsError as error:
        log.error("keys and certificates stay as they were: %s", error)
    else:
        log.info("keys and certificates are read again", extra={"keys": len(keys)})


def load_tls(settings: ServerSettings) -> ssl.SSLContext | None:
    """None without a certificate; raises SettingsError where it cannot be used."""
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: ServerSettings) -> None:
    """New connections get it, also where the context is in use."""
    assert settings.tls_certificate is not None
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"`server.tls_certificate` and `server.tls_key` cannot be used: {error}."
        ) from error


# systemd.


def inherited_socket(environment: Mapping[str, str]) -> socket.socket | None:
    """The one that systemd listens at for us; raises SettingsError where there are several."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    number = environment.get("LISTEN_FDS", "0")
    if number != "1":
        raise SettingsError(f"`LISTEN_FDS` must be 1, but is {number}: one socket is served.")
    return socket.socket(fileno=FIRST_FD)


def host_of(settings: ServerSettings, sock: socket.socket | None) -> str:
    """Where connections come in: at an inherited socket, else where the settings say."""
    if sock is None:
        return settings.host
    return "localhost" if isinstance(sock.getsockname(), str | bytes) else str(sock.getsockname()[0])


class Notifier:
    """Tells systemd how it goes, where it wants to hear."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if is_ours else 0.0  # 0: none

    def send(self, *lines: str) -> None:
        """One notice; nobody hears it where systemd has not started us."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)  # a manager that is busy must not stop the daemon
            channel.sendto("\n".join(lines).encode(), address)


async def _feed_watchdog(notify: Notifier, is_fine: Callable[[], bool]) -> None:
    """While the event loop and the worker's thread run; a long step of the model is no reason to be killed."""
    if notify.watchdog_s <= 0:
        return
    while True:
        if is_fine():
            notify.send("WATCHDOG=1")
        await asyncio.sleep(notify.watchdog_s / 2)
