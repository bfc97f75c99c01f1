"""What the commands share: consoles, settings from arguments, a loaded model that says what it is."""

from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from seamless_stream.errors import SettingsError
from seamless_stream.settings import ModelSettings, Settings, Task, load_settings

if TYPE_CHECKING:
    from rich.progress import Progress

    from seamless_stream.engine.translator import Translator

# argument -> the setting that it overrides
OVERRIDES = {
    "model": "model.name",
    "device": "model.device",
    "dtype": "model.dtype",
    "offline": "model.offline",
    "to": "session.target_languages",
    "source_language": "session.source_language",
    "task": "session.task",
    "speaker": "session.speaker",
    "vad": "session.vad",
    "policy": "session.policy.name",
    "pace": "pace",
    "host": "server.host",
    "port": "server.port",
    "keys_file": "server.keys_file",
    "record": "server.record_dir",
    "beams": "session.decoding.beams",
    "length_penalty": "session.decoding.length_penalty",
    "sample": "session.decoding.sample",
    "temperature": "session.decoding.temperature",
    "top_k": "session.decoding.top_k",
    "top_p": "session.decoding.top_p",
    "seed": "session.decoding.seed",
    "max_new_tokens": "session.decoding.max_new_tokens",
    "no_repeat_ngram": "session.decoding.no_repeat_ngram",
}


def consoles(arguments: Namespace) -> tuple[Console, Console]:
    """Results go to the first (stdout), notes and progress to the second (stderr).

    Both print what they are given: names and texts may have brackets, which are no markup.
    """
    plain: dict[str, Any] = {"highlight": False, "soft_wrap": True, "emoji": False, "markup": False}
    return Console(**plain), Console(stderr=True, quiet=arguments.quiet, **plain)


def settings_of(
    arguments: Namespace,
    preset: Mapping[str, Any] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """`defaults`, YAML file, then `preset`, `--set`, and the options; raises SettingsError with all problems."""
    overrides: dict[str, Any] = dict(preset or {})
    for assignment in arguments.set:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise SettingsError(f"`--set` must be KEY=VALUE, but is {assignment}.")
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SettingsError(f"`{key}` must be a YAML value, but is {value}.") from None
    for name, path in OVERRIDES.items():
        value = getattr(arguments, name, None)
        if value is not None:
            overrides[path] = value
    return load_settings(arguments.config, overrides, defaults)


def progress_bar(notes: Console) -> "Progress":
    """For work of known length, on a terminal only."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal)


def load_translator(settings: ModelSettings, tasks: Iterable[Task], notes: Console) -> "Translator":
    """Load what the tasks need and say which checkpoint it is; raises CheckpointError, SettingsError."""
    from seamless_stream.engine.translator import load  # torch: commands that load nothing start without it

    with notes.status("loading the model"):
        translator = load(
            settings.name, settings.device, settings.dtype, tasks=tasks, offline=settings.offline
        )
    model = translator.model
    number_type = str(model.dtype).removeprefix("torch.")
    notes.print(f"model: {translator.description} ({model.device}, {number_type})")
    return translator


def output_directory(name: str) -> Path:
    """The directory, made if need be; raises SettingsError where that is impossible."""
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"`--output` must be a directory, but {path} is not: {error.strerror}."
        ) from error
    return path
