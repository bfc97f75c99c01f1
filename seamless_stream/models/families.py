"""What each family can do in general, for a refusal that says which others can: tables, nothing is loaded."""

from seamless_stream.errors import LanguageError
from seamless_stream.models.base import TASKS, Task
from seamless_stream.models.languages import LANGUAGES, SPEECH_CODES, resolve_language

TASKS_OF_FAMILY: dict[str, tuple[Task, ...]] = {
    "seamless_m4t_v2": TASKS,
    "seamless_m4t": TASKS,
    "speech_to_text": ("asr", "s2tt"),
    "speech_to_text_2": ("s2tt",),
}


# What the released checkpoints of a family write; a checkpoint of one's own may know others.
TARGETS_OF_FAMILY: dict[str, frozenset[str]] = {
    "seamless_m4t_v2": frozenset(row.code for row in LANGUAGES),
    "seamless_m4t": frozenset(row.code for row in LANGUAGES),
    "speech_to_text": frozenset("eng cat deu est fra ita nld pes por ron rus spa".split()),
    "speech_to_text_2": frozenset("arb cat deu tur".split()),
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
