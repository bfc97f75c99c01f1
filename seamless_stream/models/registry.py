"""Which family loads which checkpoint: a plain table from `model_type` in config.json to a loader.

Knows no family beyond its name and its loader, which is imported when it is needed and not before.
"""

from collections.abc import Callable, Iterable

import torch

from seamless_stream.errors import CheckpointError
from seamless_stream.models.base import TASKS, SpeechTranslator, Task
from seamless_stream.models.checkpoint import CheckpointFiles, resolve
from seamless_stream.models.tensors import NoInitialValues

Loader = Callable[[CheckpointFiles, torch.device, torch.dtype, Iterable[Task] | None], SpeechTranslator]


def _load_seamless_m4t_v2(
    files: CheckpointFiles, device: torch.device, dtype: torch.dtype, tasks: Iterable[Task] | None
) -> SpeechTranslator:
    from seamless_stream.models.seamless_m4t.model import load

    return load(files, device=device, dtype=dtype, tasks=tasks)


def _load_speech_to_text(
    files: CheckpointFiles, device: torch.device, dtype: torch.dtype, tasks: Iterable[Task] | None
) -> SpeechTranslator:
    from seamless_stream.models.speech_to_text.model import load

    return load(files, device=device, dtype=dtype, tasks=tasks)


def _load_speech_to_text_2(
    files: CheckpointFiles, device: torch.device, dtype: torch.dtype, tasks: Iterable[Task] | None
) -> SpeechTranslator:
    from seamless_stream.models.speech_to_text_2.model import load

    return load(files, device=device, dtype=dtype, tasks=tasks)


LOADERS: dict[str, Loader] = {
    "seamless_m4t_v2": _load_seamless_m4t_v2,
    "speech_to_text": _load_speech_to_text,
    "speech-encoder-decoder": _load_speech_to_text_2,
}
TASKS_OF_FAMILY: dict[str, tuple[Task, ...]] = {
    "seamless_m4t_v2": TASKS,
    "speech_to_text": ("asr", "s2tt"),
    "speech_to_text_2": ("asr", "s2tt"),
}


def families_with(task: Task) -> list[str]:
    """Families of which some checkpoint can do a task."""
    return [family for family, tasks in TASKS_OF_FAMILY.items() if task in tasks]


def model_type(files: CheckpointFiles) -> str:
    """`model_type` of config.json; raises CheckpointError for one that no family here loads."""
    found = files.config.get("model_type")
    if found not in LOADERS:
        names = ", ".join(LOADERS)
        raise CheckpointError(
            f"`model_type` of `{files.directory}` must be one of {names}, but is {found!r}."
        )
    return str(found)


def load_files(
    files: CheckpointFiles,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    tasks: Iterable[Task] | None = None,
) -> SpeechTranslator:
    """Load a resolved checkpoint; only the components that `tasks` (default: all) need."""
    load = LOADERS[model_type(files)]
    with NoInitialValues():
        return load(files, torch.device(device), dtype, tasks)


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
