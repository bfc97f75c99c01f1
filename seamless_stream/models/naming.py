"""How a checkpoint's tensor names become ours: one table of pairs a family, read in both directions.

In a pair a `{}` stands for a layer number; what follows the listed name (`.weight`, `.bias`) is kept.
"""

import re
from collections.abc import Iterable

Pairs = list[tuple[str, str]]


def under(theirs: str, ours: str, pairs: Iterable[tuple[str, str]]) -> Pairs:
    """The pairs of a part, with the part's names in front."""
    return [(f"{theirs}.{their}", f"{ours}.{our}") for their, our in pairs]


class NameTable:
    """Pairs of (theirs, ours); no name is the beginning of another up to a dot's end."""

    def __init__(self, pairs: Pairs) -> None:
        self._to_ours = _compile(pairs)
        self._to_theirs = _compile((ours, theirs) for theirs, ours in pairs)

    def to_ours(self, name: str) -> str | None:
        """Our name of a checkpoint's tensor; None for a name that the table lacks."""
        return _translate(name, self._to_ours)

    def to_theirs(self, name: str) -> str | None:
        """The checkpoint's name of one of our tensors: the inverse, for tools that write checkpoints."""
        return _translate(name, self._to_theirs)


def _compile(pairs: Iterable[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    compiled = []
    for source, target in pairs:
        pattern = re.escape(source).replace(r"\{\}", r"(\d+)")
        first, *rest = target.split("{}")
        replacement = first + "".join(f"\\g<{number}>{part}" for number, part in enumerate(rest, 1))
        compiled.append((re.compile(rf"^{pattern}(?=\.weight$|\.bias$|$)"), replacement))
    return compiled


def _translate(name: str, table: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, replacement in table:
        if pattern.match(name):
            return pattern.sub(replacement, name, count=1)
    return None
