"""Loads words.txt and templates/*.txt and renders any instance of a template in every language.

A template has slots `{class}`, `{class.form}`, `{class2}` (another value of the same class),
`{class?masculine/feminine}` (agrees with that slot's gender; a third is neuter) and `{number@class}` (a
number before that slot's noun). Knows nothing about how instances are chosen.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tools.phrasebook.grammar.language import Forms
from tools.phrasebook.grammar.values import LANGUAGES, Value, generated_classes

HERE = Path(__file__).parent
_SLOT = re.compile(r"\{([a-z]+)(2?)(?:\.([a-z_]+)|\?([^{}]*/[^{}]*)|@([a-z]+2?))?\}")
_FIRST_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Template:
    """One template; `slots` are the slot names in order of first use, the same in each language."""

    domain: str
    text: dict[str, str]
    slots: tuple[str, ...]
    radices: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.radices)


@dataclass(frozen=True)
class Grammar:
    """All templates and slot classes."""

    languages: tuple[str, ...]
    classes: dict[str, list[Value]]
    templates: tuple[Template, ...]

    def render(self, template: Template, index: int) -> dict[str, str]:
        """The sentence of instance `index` (0 to size - 1) in each language."""
        chosen = self._choose(template, index)
        return {
            language: _begin(LANGUAGES[language].finish(_fill(text, language, chosen)))
            for language, text in template.text.items()
        }

    def unfinished(self, template: Template, index: int) -> str:
        """The English sentence of an instance before its language's finishing touches."""
        return _begin(_fill(template.text["eng"], "eng", self._choose(template, index)))

    def _choose(self, template: Template, index: int) -> dict[str, Value]:
        if not 0 <= index < template.size:
            raise IndexError(f"`index` must be below {template.size}, but is {index}.")
        picks: dict[str, int] = {}
        for slot, radix in zip(template.slots, template.radices, strict=True):
            index, pick = divmod(index, radix)
            # A second value of a class skips the first one, so "from Rome to Rome" cannot occur.
            first = picks.get(slot.removesuffix("2")) if slot.endswith("2") else None
            picks[slot] = pick + 1 if first is not None and pick >= first else pick
        return {slot: self.classes[slot.removesuffix("2")][pick] for slot, pick in picks.items()}


def _fill(text: str, language: str, chosen: dict[str, Value]) -> str:
    def replace(match: re.Match[str]) -> str:
        name, second, form, agreeing, noun = match.groups()
        forms = chosen[name + second][language]
        if noun is not None:
            return forms.get(chosen[noun][language].get("gender", ""), forms[""])
        if agreeing is not None:
            by_gender = dict(zip("mfn", agreeing.split("/"), strict=False))
            return str(by_gender.get(forms["gender"], by_gender["m"]))
        return forms[form or ""]

    return _SLOT.sub(replace, text)


def _begin(text: str) -> str:
    """With a capital letter."""
    first = _FIRST_LETTER.search(text)
    assert first is not None, text
    return text[: first.start()] + first[0].upper() + text[first.end() :]


def load_grammar(folder: Path = HERE) -> Grammar:
    """Reads words.txt and templates/*.txt below `folder`."""
    languages, classes = _load_words(folder / "words.txt")
    classes |= generated_classes()
    templates = [
        template
        for path in sorted((folder / "templates").glob("*.txt"))
        for template in _load_templates(path, languages, classes)
    ]
    return Grammar(languages, classes, tuple(templates))


def _lines(path: Path) -> Iterator[str]:
    for raw in path.read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        if line and not line.startswith("#"):
            yield line


def _columns(line: str, count: int, path: Path) -> list[str]:
    columns = [column.strip() for column in line.split("|")]
    if len(columns) != count or not all(columns):
        raise ValueError(f"`{path.name}` must have {count} columns in each line, but has {line!r}.")
    return columns


def _load_words(path: Path) -> tuple[tuple[str, ...], dict[str, list[Value]]]:
    lines = _lines(path)
    languages = tuple(column.strip() for column in next(lines).split("|"))
    classes: dict[str, list[Value]] = {}
    values: list[Value] = []
    for line in lines:
        if line.startswith("["):
            values = classes.setdefault(line[1:-1], [])
            continue
        columns = _columns(line, len(languages), path)
        values.append({lang: _word(lang, column) for lang, column in zip(languages, columns, strict=True)})
    return languages, classes


def _word(language: str, column: str) -> Forms:
    """`singular`, `singular/plural`, and a last word m, f, n or x for the gender."""
    gender = ""
    if re.search(r" [mfnx]$", column):
        column, gender = column[:-2].strip(), column[-1]
    singular, _, plural = column.partition("/")
    return LANGUAGES[language].noun(singular, plural, gender)


def _load_templates(
    path: Path, languages: tuple[str, ...], classes: dict[str, list[Value]]
) -> Iterator[Template]:
    lines = _lines(path)
    header = tuple(column.strip() for column in next(lines).split("|"))
    if header != languages:
        raise ValueError(f"`{path.name}` must begin with the languages {languages}, but has {header}.")
    for line in lines:
        text = dict(zip(languages, _columns(line, len(languages), path), strict=True))
        slots = {language: _slots_of(part) for language, part in text.items()}
        first = slots[languages[0]]
        if any(set(other) != set(first) for other in slots.values()):
            raise ValueError(f"`{path.name}` must have the same slots in each language, but has {line!r}.")
        radices = tuple(len(classes[slot.removesuffix("2")]) - slot.endswith("2") for slot in first)
        yield Template(path.stem, text, first, radices)


def _slots_of(text: str) -> tuple[str, ...]:
    leftover = _SLOT.sub("", text)
    if "{" in leftover or "}" in leftover:
        raise ValueError(f"A template must have only well-formed slots, but has {text!r}.")
    names = dict.fromkeys(match[1] + match[2] for match in _SLOT.finditer(text))
    # First values before second ones: `_choose` needs the first to skip it.
    return tuple(sorted(names, key=lambda name: name.endswith("2")))
