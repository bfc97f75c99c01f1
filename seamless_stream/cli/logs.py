"""The log of a command, and that of a daemon: one line an event, as text or as JSON, with what it is about as fields.

Knows logging only. What is logged holds no text of a session and no key; fields are given as `extra`.
"""

import json
import logging
import sys
import time
from typing import Any, Final

from seamless_stream.settings import LogFormat

PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def begin_log(*, is_verbose: bool) -> None:
    """Faults on stderr, or everything; what any command does first."""
    level = logging.DEBUG if is_verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(name)s: %(message)s", stream=sys.stderr)
    for name in ("httpx", "httpcore", "huggingface_hub", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)  # their debug lines would drown ours
    # Below it are requests and messages, with their keys.
    logging.getLogger("websockets").setLevel(logging.INFO)


def configure(form: LogFormat, *, is_verbose: bool) -> None:
    """Send everything to stderr in this form: what the daemon does, and the faults of all others."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if is_verbose:
        return
    root.setLevel(logging.WARNING)
    logging.getLogger("seamless_stream").setLevel(logging.WARNING)
    logging.getLogger("seamless_stream.server").setLevel(logging.INFO)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it logs every stranger's broken request


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in PLAIN}


def _moment(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, the fields, and `error` with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {"time": _moment(record), "level": record.levelname.lower(), "logger": record.name}
        line |= {"message": record.getMessage()} | _fields(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback after it."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_moment(record)} {record.levelname.lower()}: {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
