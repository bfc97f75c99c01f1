"""Spoken numbers, clock times, prices, dates and years as slot classes, in each language.

Every value is one `Forms` per language. Knows the languages by their modules and nothing about templates.
"""

from collections.abc import Callable, Sequence
from operator import methodcaller

from tools.phrasebook.grammar import english, french, german, spanish
from tools.phrasebook.grammar.language import CURRENCIES, Forms, Language

Value = dict[str, Forms]
LANGUAGES: dict[str, Language] = {"eng": english, "spa": spanish, "fra": french, "deu": german}


def _value(say: Callable[[Language], Forms]) -> Value:
    return {code: say(language) for code, language in LANGUAGES.items()}


def number_value(number: int) -> Value:
    """Forms: "" to count, and those before a noun of some gender."""
    return _value(lambda language: {form: language.number(number, form) for form in language.NUMBER_FORMS})


def times() -> list[Value]:
    """Every five minutes of twelve hours."""
    return [_value(methodcaller("time", hour, minute)) for hour in range(1, 13) for minute in range(0, 60, 5)]


def whole_prices(numbers: Sequence[int]) -> list[Value]:
    """Each number of each currency."""
    return [
        _value(methodcaller("price", n, currency)) for n in numbers for currency in range(len(CURRENCIES))
    ]


def exact_prices() -> list[Value]:
    """Two to thirty euros and some cents."""
    return [
        _value(methodcaller("exact_price", n, cents))
        for n in range(2, 31)
        for cents in (10, 20, 25, 50, 60, 75, 80, 95)
    ]


def dates() -> list[Value]:
    """Days 1 to 28 of each month."""
    return [_value(methodcaller("date", day, month)) for month in range(12) for day in range(1, 29)]


def years() -> list[Value]:
    """Of the last century's second half and of this one."""
    return [_value(methodcaller("year", year)) for year in [*range(1950, 1999), *range(2000, 2026)]]


def digit_groups() -> list[Value]:
    """Three digits read one by one, as in telephone numbers."""

    def digits(n: int) -> Value:
        return _value(lambda language: {"": " ".join(language.number(int(digit)) for digit in f"{n:03d}")})

    return [digits(n) for n in range(100, 1000)]


def generated_classes() -> dict[str, list[Value]]:
    """The slot classes that are computed; all others are listed in words.txt."""
    ranges: dict[str, Sequence[int]] = {
        "few": range(2, 7),
        "count": range(2, 13),
        "number": range(2, 101),
        "age": range(18, 90),
        "childage": range(2, 18),
        "minutes": [5, 10, 15, 20, 25, 30, 35, 40, 45, 50],
        "room": [*range(101, 131), *range(201, 231), *range(301, 331), *range(401, 421)],
        "large": [*range(100, 1000, 50), *range(1000, 10000, 500)],
        "degrees": range(2, 41),
        "bus": range(2, 60),
    }
    classes = {name: [number_value(n) for n in numbers] for name, numbers in ranges.items()}
    classes |= {"time": times(), "date": dates(), "year": years(), "digits": digit_groups()}
    classes |= {"price": whole_prices([*range(2, 31), *range(35, 100, 5)]), "exact": exact_prices()}
    classes["fare"] = whole_prices([*range(100, 1000, 50), 1000, 1500, 2000, 3000])
    return classes
