"""Spanish of the phrasebook: spoken numbers, times, prices, dates and years, and the forms of a noun.

The functions that every language module has are those of `language.Language`; knows nothing of templates.
"""

import re

from tools.phrasebook.grammar.language import Forms

NUMBER_FORMS: tuple[str, ...] = ("", "m", "f")
_SMALL = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro "
    "veinticinco veintiséis veintisiete veintiocho veintinueve"
).split()
_TENS = "- - - treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
_HUNDREDS = (
    "- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
).split()
_MONTHS = ("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre").split()
_CURRENCIES = (("euros", "m"), ("dólares", "m"), ("libras", "f"))


def _below_hundred(value: int) -> str:
    if value < 30:
        return _SMALL[value]
    tens, ones = divmod(value, 10)
    return _TENS[tens] + (f" y {_SMALL[ones]}" if ones else "")


def number(value: int, form: str = "") -> str:
    """Cardinal; form "m" or "f" stands before a noun of that gender, "" is the counting form."""
    if value >= 1000:
        thousands, rest = divmod(value, 1000)
        head = "mil" if thousands == 1 else f"{number(thousands, form or 'm')} mil"
        return head + (f" {number(rest, form)}" if rest else "")
    if value == 100:
        return "cien"
    if value > 100:
        hundreds, rest = divmod(value, 100)
        head = _HUNDREDS[hundreds]
        if form == "f" and hundreds > 1:
            head = head[:-2] + "as"
        return head + (f" {number(rest, form)}" if rest else "")
    text = _below_hundred(value)
    if text.endswith("uno") and form == "f":
        return text[:-1] + "a"
    if text.endswith("uno") and form == "m":
        return "veintiún" if value == 21 else text[:-1]
    return text


def plural(singular: str) -> str:
    """Of a regular noun."""
    if singular[-1] in "aeiouáéó":
        return singular + "s"
    if singular.endswith("z"):
        return singular[:-1] + "ces"
    for accented, plain in (("ón", "on"), ("án", "an"), ("és", "es"), ("ín", "in")):
        if singular.endswith(accented):
            return singular[: -len(accented)] + plain + "es"
    return singular + "es"


def noun(singular: str, many: str, gender: str) -> Forms:
    """Gender "x" is a feminine noun that takes "el" and "un", such as agua."""
    many = many or plural(singular)
    article, one = ("la", "una") if gender == "f" else ("el", "un")
    a_or_e = "este" if gender == "m" else "esta"
    these, the_s = ("estos", "los") if gender == "m" else ("estas", "las")
    return {
        "": singular, "s": many, "a": f"{one} {singular}", "the": f"{article} {singular}",
        "the_s": f"{the_s} {many}", "this": f"{a_or_e} {singular}", "these": f"{these} {many}",
        "gender": "m" if gender == "m" else "f",
    }  # fmt: skip


def time(hour: int, minute: int) -> Forms:
    """Of the clock, hours 1 to 12; "be" is with es or son."""
    shown = hour if minute <= 30 else hour % 12 + 1
    text = "la una" if shown == 1 else f"las {number(shown)}"
    if minute:
        apart = minute if minute <= 30 else 60 - minute
        words = {15: "cuarto", 30: "media"}.get(apart) or number(apart)
        text += f" {'y' if minute <= 30 else 'menos'} {words}"
    return {"": text, "be": f"{'es' if shown == 1 else 'son'} {text}"}


def price(amount: int, currency: int) -> Forms:
    """Whole euros, dollars or pounds."""
    name, gender = _CURRENCIES[currency]
    return {"": f"{number(amount, gender)} {name}"}


def exact_price(euros: int, cents: int) -> Forms:
    """Euros and cents."""
    return {"": f"{number(euros, 'm')} euros con {number(cents, 'm')} céntimos"}


def date(day: int, month: int) -> Forms:
    """With the article; months count from 0."""
    return {"": f"el {'primero' if day == 1 else number(day)} de {_MONTHS[month]}"}


def year(value: int) -> Forms:
    """From 1950 on."""
    return {"": number(value)}


def finish(text: str) -> str:
    """Contractions and euphony of a filled template."""
    text = re.sub(r"\b([Dd]e|[Aa]) el\b", lambda m: m[1] + "l", text)
    text = re.sub(r"\by (?=h?i(?!e))", "e ", text)
    return re.sub(r"\bo (?=h?o)", "u ", text)
