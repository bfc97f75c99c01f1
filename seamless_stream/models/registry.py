"""Which family loads which checkpoint: a plain table from `model_type` in config.json to the family's module.

Knows no family beyond its name and its module, which is imported when it is needed and not before.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch

from seamless_stream.errors import CheckpointError, LanguageError
from seamless_stream.models.base import TASKS, Capabilities, SpeechTranslator, Task
from seamless_stream.models.checkpoint import CheckpointFiles, resolve
from seamless_stream.models.languages import LANGUAGES, SPEECH_CODES, resolve_language
from seamless_stream.models.tensors import NoInitialValues


class Family(Protocol):
    """What the `model.py` of a family offers."""

    def load(
        self,
        files: CheckpointFiles,
        *,
        device: torch.device,
        dtype: torch.dtype,
        tasks: Iterable[Task] | None = None,
    ) -> SpeechTranslator:
        """Load what `tasks` (default: all) need; raises CheckpointError with everything that does not fit."""

    def capabilities(self, files: CheckpointFiles) -> Capabilities:
        """What a checkpoint can do, without its weights; raises CheckpointError."""


def _seamless_m4t() -> Family:
    from seamless_stream.models.seamless_m4t import model

    return model


def _speech_to_text() -> Family:
    from seamless_stream.models.speech_to_text import model

    return model


def _speech_to_text_2() -> Family:
    from seamless_stream.models.speech_to_text_2 import model

    return model


FAMILIES: dict[str, Callable[[], Family]] = {
    "seamless_m4t_v2": _seamless_m4t,
    "seamless_m4t": _seamless_m4t,
    "speech_to_text": _speech_to_text,
    "speech-encoder-decoder": _speech_to_text_2,
}
TASKS_OF_FAMILY: dict[str, tuple[Task, ...]] = {
    "seamless_m4t_v2": TASKS,
    "seamless_m4t": TASKS,
    "speech_to_text": ("asr", "s2tt"),
    "speech_to_text_2": ("asr", "s2tt"),
}


# What the released checkpoints of a family write; a checkpoint of one's own may know others.
TARGETS_OF_FAMILY: dict[str, frozenset[str]] = {
    "seamless_m4t_v2": frozenset(row.code for row in LANGUAGES),
    "seamless_m4t": frozenset(row.code for row in LANGUAGES),
    "speech_to_text": frozenset("eng deu spa fra ita nld pes por ron rus".split()),
    "speech_to_text_2": frozenset({"deu"}),
}
FAMILIES_WITH_UNIT_SEARCH = ("seamless_m4t",)


def families_writing(language: str, *, speaks: bool = False) -> list[str]:
    """Families with released checkpoints that write a language (any spelling), or say it; none for no language."""
    families = families_with("s2st") if speaks else list(TARGETS_OF_FAMILY)
    try:
        code = resolve_language(language, SPEECH_CODES if speaks else [row.code for row in LANGUAGES])
    except LanguageError:
        return []
    return [family for family in families if code in TARGETS_OF_FAMILY[family]]


def families_with(task: Task) -> list[str]:
    """Families of which some checkpoint can do a task."""
    return [family for family, tasks in TASKS_OF_FAMILY.items() if task in tasks]


def model_type(files: CheckpointFiles) -> str:
    """`model_type` of config.json; raises CheckpointError for one that no family here loads."""
    found = files.config.get("model_type")
    if found not in FAMILIES:
        names = ", ".join(FAMILIES)
        raise CheckpointError(
            f"`model_type` of `{files.directory}` must be one of {names}, but is {found!r}."
        )
    return str(found)


def capabilities(files: CheckpointFiles) -> Capabilities:
    """What a checkpoint can do when all of it is loaded, from its small files; raises CheckpointError."""
    return FAMILIES[model_type(files)]().capabilities(files)


def load_files(
    files: CheckpointFiles,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    tasks: Iterable[Task] | None = None,
) -> SpeechTranslator:
    """Load a resolved checkpoint; only the components that `tasks` (default: all) need."""
    family = FAMILIES[model_type(files)]()
    with NoInitialValues():
        return family.load(files, device=torch.device(device), dtype=dtype, tasks=tasks)


def load_model(
    name: str,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    tasks: Iterable[Task] | None = None,
    offline: bool = False,
) -> SpeechTranslator:
    """Resolve a name as `checkpoint.resolve` does, and load it; raises CheckpointError."""
    return load_files(resolve(name, offline=offline), device=device, dtype=dtype, tasks=tasks)
