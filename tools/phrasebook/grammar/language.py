"""What the module of a language has; the grammar knows languages only by this."""

from typing import Protocol

Forms = dict[
    str, str
]  # form name -> text; "" is the plain form, "gender" the noun's where the language has it
CURRENCIES = ("euros", "dollars", "pounds")


class Language(Protocol):
    """A module beside this one, named in `values.LANGUAGES`."""

    NUMBER_FORMS: tuple[str, ...]  # "" to count; the others are genders, before a noun

    def number(self, value: int, form: str = "") -> str:
        """A cardinal, 0 to 9999."""

    def noun(self, singular: str, many: str, gender: str) -> Forms:
        """The forms of a noun; `many` is empty where the plural is regular."""

    def time(self, hour: int, minute: int) -> Forms:
        """Of the clock, hours 1 to 12, every five minutes."""

    def price(self, amount: int, currency: int) -> Forms:
        """A whole number of `CURRENCIES[currency]`."""

    def exact_price(self, euros: int, cents: int) -> Forms:
        """Euros and cents."""

    def date(self, day: int, month: int) -> Forms:
        """With the article; months count from 0."""

    def year(self, value: int) -> Forms:
        """1950 to 2025."""

    def finish(self, text: str) -> str:
        """A filled template after what happens between its words, such as contractions."""
