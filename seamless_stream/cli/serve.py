"""`seamless-stream serve`: loads the model, starts the worker and lets the server run until it is told to stop."""

import errno
import logging
import os
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

from seamless_stream.cli.logs import configure
from seamless_stream.cli.shared import consoles, load_translator, settings_of
from seamless_stream.engine.worker import Observer, Worker
from seamless_stream.errors import SettingsError
from seamless_stream.server.access import Access, load_keys
from seamless_stream.server.app import TRANSLATIONS
from seamless_stream.server.configuration import initial
from seamless_stream.server.metrics import Metrics
from seamless_stream.server.process import host_of, inherited_socket, serve
from seamless_stream.server.protocol import ProtocolError
from seamless_stream.server.recording import Recorder
from seamless_stream.server.service import Service
from seamless_stream.settings import ServerSettings, Task

log = logging.getLogger("seamless_stream.server.serve")


def run(arguments: Namespace) -> int:
    """0 when it was told to stop and all sessions are over."""
    settings = settings_of(arguments)
    server = settings.server
    arguments.quiet |= server.log_format == "json"
    configure(server.log_format, is_verbose=arguments.verbose)
    _, notes = consoles(arguments)
    sock = inherited_socket(os.environ)
    host = host_of(server, sock)
    keys = load_keys(server, host=host)
    tasks: set[Task] = {"s2st", "s2tt"} if settings.session.task is None else {settings.session.task}
    translator = load_translator(settings.model, tasks, notes)
    try:
        initial("native", settings.session, translator.capabilities)
    except ProtocolError as error:
        raise SettingsError(str(error)) from error
    scheme = "ws" if server.tls_certificate is None else "wss"

    def started(port: int) -> None:
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{TRANSLATIONS}"
        log.info("listening", extra={"url": url, "model": translator.name}) if arguments.quiet else None
        notes.print(f"listening: {url}")

    metrics = Metrics()
    with ExitStack() as stack:
        observers: list[Observer] = [metrics]
        if server.record_dir is not None:
            recorder = Recorder(Path(server.record_dir), translator.name, server.max_record_mb << 20)
            stack.callback(recorder.close)
            observers.append(recorder)
            notes.print(f"recording: every session is stored in {server.record_dir}")
        worker = stack.enter_context(Worker(translator.engine, observers))
        told = (translator.capabilities, translator.name, settings.session, server, metrics)
        service = Service(worker, *told, translator.revision)
        try:
            serve(service, Access(server, keys), started, sock)
        except OSError as error:
            raise SettingsError(_cannot_listen(server, error)) from error
    return 0


def _cannot_listen(server: ServerSettings, error: OSError) -> str:
    reason = "it is taken" if error.errno == errno.EADDRINUSE else str(error)
    return f"`server.port` must be free at {server.host}, but {server.port} is not: {reason}."
