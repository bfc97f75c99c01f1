"""What the recordings of people say, against the grammar's own number words."""

import pytest

from tools.phrasebook.grammar.values import LANGUAGES
from tools.phrasebook.human import FOLDERS, PACKAGES, words


@pytest.mark.parametrize("language", FOLDERS)
def test_number_words_are_those_of_the_grammar(language: str) -> None:
    said = words(language)
    for number in [*range(21), *range(30, 100, 10)]:
        assert said[str(number)] == LANGUAGES[language].number(number)
    assert {f"day-{i}" for i in range(7)} | {f"mon-{i}" for i in range(12)} <= set(said)


def test_packages_are_named() -> None:
    assert PACKAGES["fra"] == "asterisk-core-sounds-fr-g722"
