"""Which family loads which checkpoint: a plain table from `model_type` in config.json to the family's module.

Knows no family beyond its name and its module, which is imported when it is needed and not before.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch

from seamless_stream.errors import CheckpointError
from seamless_stream.models.base import Capabilities, SpeechTranslator, Task
from seamless_stream.models.checkpoint import CheckpointFiles, resolve
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
