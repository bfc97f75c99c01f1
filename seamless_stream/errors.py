"""Every error that this package raises on purpose.

    SeamlessStreamError
    ├── AudioError          a recording cannot be read, or is no audio
    │   └── NoSpeechError   it can, but nobody speaks in it
    ├── SettingsError       a choice of the user is impossible (language, task, option, YAML file)
    │   └── LanguageError   an unknown language, or one that the checkpoint cannot do
    ├── CheckpointError     a checkpoint is missing, damaged, or not what it says
    ├── ModelError          the model failed on this input; other inputs are not affected
    ├── BusyError           there is no room for another session now
    └── RemoteError         a server cannot be reached, refuses, or has ended the session

Messages are sentences of one form: "`chunk_ms` must be a multiple of 10, but is 25."
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


class SeamlessStreamError(Exception):
    """Root of all errors raised on purpose; `exit_status` is what the command line returns for it."""

    exit_status = 1


class AudioError(SeamlessStreamError):
    """A recording cannot be opened or decoded."""

    exit_status = 3


class NoSpeechError(AudioError):
    """A recording holds sound, but no speech."""

    exit_status = 8


class SettingsError(SeamlessStreamError):
    """A setting, option or file of settings is impossible; lists all problems at once."""

    exit_status = 4


class LanguageError(SettingsError):
    """A language is unknown, or the checkpoint cannot do it."""

    exit_status = 5


class CheckpointError(SeamlessStreamError):
    """A checkpoint is missing, damaged, or of another kind than its configuration says."""

    exit_status = 6


class ModelError(SeamlessStreamError):
    """The model failed on one input."""

    exit_status = 7


class BusyError(SeamlessStreamError):
    """No room for another session now; it may be there later, or elsewhere."""

    exit_status = 9


class RemoteError(SeamlessStreamError):
    """A server cannot be reached, refuses, or has ended the session."""

    exit_status = 10


@contextmanager
def writing(path: Path, kind: type[SeamlessStreamError], file: IO[Any] | None = None) -> Iterator[None]:
    """Raises `kind` where nothing can be written to `path`, and gives up `file`: what it holds it would write again."""
    try:
        yield
    except OSError as error:
        if file is not None:
            with suppress(OSError):
                file.close()
        raise kind(f"`{path}` cannot be written: {error.strerror}.") from error
