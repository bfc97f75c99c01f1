"""Spoken numbers, clock times, prices, dates and years, and noun forms, in each language.

Every value is one `Forms` per language: a mapping from form name to text; "" is the plain form and
"gender" is "m" or "f" where the language has it. Knows nothing about templates.
A new language needs an entry in NUMBER, NOUN and the small tables below.
"""

from collections.abc import Callable, Sequence

Forms = dict[str, str]
Value = dict[str, Forms]

_ENG_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_ENG_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_SPA_SMALL = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro "
    "veinticinco veintiséis veintisiete veintiocho veintinueve"
).split()
_SPA_TENS = "- - - treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
_SPA_HUNDREDS = (
    "- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
).split()
_ENG_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_SPA_MONTHS = (
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
).split()
_ENG_ORDINALS = (
    "- first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_CURRENCIES = (("euros", "euros", "m"), ("dollars", "dólares", "m"), ("pounds", "libras", "f"))


def english_number(number: int) -> str:
    """British cardinal: 214 is "two hundred and fourteen"."""
    if number < 20:
        return _ENG_SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _ENG_TENS[tens] + (f"-{_ENG_SMALL[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ENG_SMALL[hundreds]} hundred" + (f" and {english_number(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    joint = " and " if 0 < rest < 100 else " "
    return f"{english_number(thousands)} thousand" + (joint + english_number(rest) if rest else "")


def _spanish_below_hundred(number: int) -> str:
    if number < 30:
        return _SPA_SMALL[number]
    tens, ones = divmod(number, 10)
    return _SPA_TENS[tens] + (f" y {_SPA_SMALL[ones]}" if ones else "")


def spanish_number(number: int, gender: str = "") -> str:
    """Cardinal; gender "m" or "f" is the form before a noun of that gender, "" the counting form."""
    if number >= 1000:
        thousands, rest = divmod(number, 1000)
        head = "mil" if thousands == 1 else f"{spanish_number(thousands, gender or 'm')} mil"
        return head + (f" {spanish_number(rest, gender)}" if rest else "")
    if number == 100:
        return "cien"
    if number > 100:
        hundreds, rest = divmod(number, 100)
        head = _SPA_HUNDREDS[hundreds]
        if gender == "f" and hundreds > 1:
            head = head[:-2] + "as"
        return head + (f" {spanish_number(rest, gender)}" if rest else "")
    text = _spanish_below_hundred(number)
    if text.endswith("uno") and gender == "f":
        return text[:-1] + "a"
    if text.endswith("uno") and gender == "m":
        return "veintiún" if number == 21 else text[:-1]
    return text


NUMBER: dict[str, Callable[[int, str], str]] = {
    "eng": lambda number, gender: english_number(number),
    "spa": spanish_number,
}


def number_value(number: int) -> Value:
    """Forms: "" to count, "m" and "f" before a noun."""
    return {
        language: {"": speak(number, ""), "m": speak(number, "m"), "f": speak(number, "f")}
        for language, speak in NUMBER.items()
    }


def english_plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def spanish_plural(noun: str) -> str:
    if noun[-1] in "aeiouáéó":
        return noun + "s"
    if noun.endswith("z"):
        return noun[:-1] + "ces"
    for accented, plain in (("ón", "on"), ("án", "an"), ("és", "es"), ("ín", "in")):
        if noun.endswith(accented):
            return noun[: -len(accented)] + plain + "es"
    return noun + "es"


def english_noun(singular: str, plural: str, gender: str) -> Forms:
    one = "an" if singular[0] in "aeiou" and not singular.startswith(("uni", "euro", "one")) else "a"
    plural = plural or english_plural(singular)
    return {
        "": singular, "s": plural, "a": f"{one} {singular}", "the": f"the {singular}",
        "the_s": f"the {plural}", "this": f"this {singular}", "these": f"these {plural}", "gender": gender,
    }  # fmt: skip


def spanish_noun(singular: str, plural: str, gender: str) -> Forms:
    """Gender "x" is a feminine noun that takes "el" and "un", such as agua."""
    plural = plural or spanish_plural(singular)
    article, one = ("la", "una") if gender == "f" else ("el", "un")
    a_or_e = "este" if gender == "m" else "esta"
    these, the_s = ("estos", "los") if gender == "m" else ("estas", "las")
    return {
        "": singular, "s": plural, "a": f"{one} {singular}", "the": f"{article} {singular}",
        "the_s": f"{the_s} {plural}", "this": f"{a_or_e} {singular}", "these": f"{these} {plural}",
        "gender": "m" if gender == "m" else "f",
    }  # fmt: skip


NOUN: dict[str, Callable[[str, str, str], Forms]] = {"eng": english_noun, "spa": spanish_noun}


def _english_time(hour: int, minute: int) -> str:
    if minute == 0:
        return f"{english_number(hour)} o'clock"
    apart = minute if minute <= 30 else 60 - minute
    words = {15: "a quarter", 30: "half"}.get(apart) or english_number(apart)
    if minute <= 30:
        return f"{words} past {english_number(hour)}"
    return f"{words} to {english_number(hour % 12 + 1)}"


def _spanish_time(hour: int, minute: int) -> Forms:
    shown = hour if minute <= 30 else hour % 12 + 1
    text = "la una" if shown == 1 else f"las {spanish_number(shown)}"
    if minute:
        apart = minute if minute <= 30 else 60 - minute
        words = {15: "cuarto", 30: "media"}.get(apart) or spanish_number(apart)
        text += f" {'y' if minute <= 30 else 'menos'} {words}"
    return {"": text, "be": f"{'es' if shown == 1 else 'son'} {text}"}


def times() -> list[Value]:
    """Every five minutes of twelve hours; Spanish has the form "be" with es or son."""
    return [
        {"eng": {"": _english_time(hour, minute)}, "spa": _spanish_time(hour, minute)}
        for hour in range(1, 13)
        for minute in range(0, 60, 5)
    ]


def whole_prices(numbers: Sequence[int]) -> list[Value]:
    return [
        {"eng": {"": f"{english_number(n)} {many}"}, "spa": {"": f"{spanish_number(n, gender)} {spanish}"}}
        for n in numbers
        for many, spanish, gender in _CURRENCIES
    ]


def exact_prices() -> list[Value]:
    """Two to thirty euros and some cents."""
    return [
        {
            "eng": {"": f"{english_number(n)} euros and {english_number(cents)} cents"},
            "spa": {"": f"{spanish_number(n, 'm')} euros con {spanish_number(cents, 'm')} céntimos"},
        }
        for n in range(2, 31)
        for cents in (10, 20, 25, 50, 60, 75, 80, 95)
    ]


def _english_ordinal(day: int) -> str:
    if day <= 20:
        return _ENG_ORDINALS[day]
    return "thirtieth" if day == 30 else f"{_ENG_TENS[day // 10]}-{_ENG_ORDINALS[day % 10]}"


def dates() -> list[Value]:
    """Days 1 to 28 of each month, with the article in both languages."""
    return [
        {
            "eng": {"": f"the {_english_ordinal(day)} of {_ENG_MONTHS[month]}"},
            "spa": {"": f"el {'primero' if day == 1 else spanish_number(day)} de {_SPA_MONTHS[month]}"},
        }
        for month in range(12)
        for day in range(1, 29)
    ]


def _english_year(year: int) -> str:
    if 2000 <= year < 2010:
        return english_number(year)
    high, low = divmod(year, 100)
    return f"{english_number(high)} {english_number(low)}"


def years() -> list[Value]:
    return [
        {"eng": {"": _english_year(year)}, "spa": {"": spanish_number(year)}}
        for year in [*range(1950, 1999), *range(2000, 2026)]
    ]


def digit_groups() -> list[Value]:
    """Three digits read one by one, as in telephone numbers."""
    return [
        {
            "eng": {"": " ".join(_ENG_SMALL[int(digit)] for digit in f"{n:03d}")},
            "spa": {"": " ".join(_SPA_SMALL[int(digit)] for digit in f"{n:03d}")},
        }
        for n in range(100, 1000)
    ]


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
