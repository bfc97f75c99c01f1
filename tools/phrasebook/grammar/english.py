"""English of the phrasebook: spoken numbers, times, prices, dates and years, and the forms of a noun.

The functions that every language module has are those of `language.Language`; knows nothing of templates.
"""

import re

from tools.phrasebook.grammar.language import Forms

NUMBER_FORMS: tuple[str, ...] = ("",)
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_MONTHS = ("January February March April May June July August September October November December").split()
_ORDINALS = (
    "- first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_CURRENCIES = ("euros", "dollars", "pounds")
_VOWEL = r"(?!uni|use|euro|one)[aeiou]"  # as it sounds
_ARTICLE = re.compile(rf"\b([Aa]) (?={_VOWEL})")


def number(value: int, form: str = "") -> str:
    """British cardinal: 214 is "two hundred and fourteen"."""
    if value < 20:
        return _SMALL[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens] + (f"-{_SMALL[ones]}" if ones else "")
    if value < 1000:
        hundreds, rest = divmod(value, 100)
        return f"{_SMALL[hundreds]} hundred" + (f" and {number(rest)}" if rest else "")
    thousands, rest = divmod(value, 1000)
    joint = " and " if 0 < rest < 100 else " "
    return f"{number(thousands)} thousand" + (joint + number(rest) if rest else "")


def plural(singular: str) -> str:
    """Of a regular noun."""
    if singular.endswith(("s", "x", "ch", "sh")):
        return singular + "es"
    if singular.endswith("y") and singular[-2] not in "aeiou":
        return singular[:-1] + "ies"
    return singular + "s"


def noun(singular: str, many: str, gender: str) -> Forms:
    """With its articles and demonstratives."""
    one = "an" if re.match(_VOWEL, singular) else "a"
    many = many or plural(singular)
    return {
        "": singular, "s": many, "a": f"{one} {singular}", "the": f"the {singular}",
        "the_s": f"the {many}", "this": f"this {singular}", "these": f"these {many}", "gender": gender,
    }  # fmt: skip


def time(hour: int, minute: int) -> Forms:
    """Of the clock, hours 1 to 12."""
    if minute == 0:
        return {"": f"{number(hour)} o'clock"}
    apart = minute if minute <= 30 else 60 - minute
    words = {15: "a quarter", 30: "half"}.get(apart) or number(apart)
    if minute <= 30:
        return {"": f"{words} past {number(hour)}"}
    return {"": f"{words} to {number(hour % 12 + 1)}"}


def price(amount: int, currency: int) -> Forms:
    """Whole euros, dollars or pounds."""
    return {"": f"{number(amount)} {_CURRENCIES[currency]}"}


def exact_price(euros: int, cents: int) -> Forms:
    """Euros and cents."""
    return {"": f"{number(euros)} euros and {number(cents)} cents"}


def date(day: int, month: int) -> Forms:
    """With the article; months count from 0."""
    if day <= 20:
        ordinal = _ORDINALS[day]
    else:
        ordinal = "thirtieth" if day == 30 else f"{_TENS[day // 10]}-{_ORDINALS[day % 10]}"
    return {"": f"the {ordinal} of {_MONTHS[month]}"}


def year(value: int) -> Forms:
    """From 1950 on."""
    if 2000 <= value < 2010:
        return {"": number(value)}
    high, low = divmod(value, 100)
    return {"": f"{number(high)} {number(low)}"}


def finish(text: str) -> str:
    """The article before a number or an adjective: "an eight-year-old", "an orange scarf"."""
    return _ARTICLE.sub(r"\1n ", text)
