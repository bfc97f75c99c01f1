"""`seamless-stream serve`: loads the model, starts the worker and lets the server run until it is told to stop."""

import errno
import logging
from argparse import Namespace

from seamless_stream.cli.shared import consoles, load_translator, settings_of
from seamless_stream.engine.worker import Worker
from seamless_stream.errors import SettingsError
from seamless_stream.server.access import Access, load_keys
from seamless_stream.server.app import TRANSLATIONS
from seamless_stream.server.configuration import initial
from seamless_stream.server.metrics import Metrics
from seamless_stream.server.process import serve
from seamless_stream.server.protocol import ProtocolError
from seamless_stream.server.served import Service
from seamless_stream.settings import ServerSettings, Task


def run(arguments: Namespace) -> int:
    """0 when it was told to stop and all sessions are over."""
    _, notes = consoles(arguments)
    settings = settings_of(arguments)
    server = settings.server
    keys = load_keys(server)
    if not arguments.verbose:
        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it logs every stranger's broken request
    tasks: set[Task] = {"s2st", "s2tt"} if settings.session.task is None else {settings.session.task}
    translator = load_translator(settings.model, tasks, notes)
    try:
        initial("native", settings.session, translator.capabilities)
    except ProtocolError as error:
        raise SettingsError(str(error)) from error
    scheme = "ws" if server.tls_certificate is None else "wss"

    def started(port: int) -> None:
        host = f"[{server.host}]" if ":" in server.host else server.host
        notes.print(f"listening: {scheme}://{host}:{port}{TRANSLATIONS}", markup=False)

    metrics = Metrics()
    with Worker(translator.engine, (metrics,)) as worker:
        name = settings.model.name
        service = Service(worker, translator.capabilities, name, settings.session, server, metrics)
        try:
            serve(service, Access(server, keys), started)
        except OSError as error:
            raise SettingsError(_cannot_listen(server, error)) from error
    return 0


def _cannot_listen(server: ServerSettings, error: OSError) -> str:
    reason = "it is taken" if error.errno == errno.EADDRINUSE else str(error)
    return f"`server.port` must be free at {server.host}, but {server.port} is not: {reason}."
