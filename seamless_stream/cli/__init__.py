"""The command line `seamless-stream`: a thin caller of the package that turns errors into one line and a status.

Knows arguments, the terminal and exit statuses. Commands are imported when they run, so that `--help` is quick.
"""

import io
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module

from seamless_stream.cli.logs import begin_log
from seamless_stream.cli.parser import parse
from seamless_stream.errors import SeamlessStreamError

INTERRUPTED = 130  # as shells say after Ctrl-C
BROKEN_PIPE = 141  # as shells say when the reader of our output has gone
INTERNAL = 70  # EX_SOFTWARE: a fault of ours, not of the input

Command = Callable[[Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; only `--help` and wrong usage raise SystemExit."""
    arguments = parse(sys.argv[1:] if argv is None else list(argv))
    begin_log(is_verbose=arguments.verbose)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to stop
    try:
        command: Command = import_module(f"seamless_stream.cli.{arguments.module}").run
        return command(arguments)
    except SeamlessStreamError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            return BROKEN_PIPE
        complain(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        complain("interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; the flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        complain(f"an internal fault: {type(error).__name__}: {error}; --verbose shows where.")
        logging.getLogger(__name__).debug("internal fault", exc_info=True)
        return INTERNAL


def complain(message: str) -> None:
    """One line on stderr; one per problem where there are several."""
    for line in message.splitlines():
        print(f"seamless-stream: {line}", file=sys.stderr)
