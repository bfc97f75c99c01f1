"""French of the phrasebook: spoken numbers, times, prices, dates and years, and the forms of a noun.

The functions that every language module has are those of `language.Language`; knows nothing of templates.
Forms hold "de le", "à les" or "le hôtel" as they are: `finish` elides and contracts them in the sentence.
"""

import re

from tools.phrasebook.grammar.language import Forms

NUMBER_FORMS: tuple[str, ...] = ("", "f", "rank")
_SMALL = (
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
    "dix-sept dix-huit dix-neuf"
).split()
_TENS = "- - vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt".split()
_MONTHS = ("janvier février mars avril mai juin juillet août septembre octobre novembre décembre").split()
_CURRENCIES = (("euros", "m"), ("dollars", "m"), ("livres sterling", "f"))
# Before a vowel or a mute h; "le onze", "le huit", "le hamburger" and "le haut" keep their article.
_VOWEL = r"(?!onz|huit|hamburger|haut)[aeiouhàâéèêëîïôöùûœ]"
_ELISION = re.compile(rf"(?<![\w'-])(?:([djlmns]|qu)e|(l)a) (?={_VOWEL})", re.IGNORECASE)
_CONTRACTION = re.compile(r"\b(de|à) (les?)\b", re.IGNORECASE)
_CONTRACTED = {"de le": "du", "de les": "des", "à le": "au", "à les": "aux"}
_OPEN_PLACES = ("pont", "place principale")  # one is on them, not at them


def _below_hundred(value: int) -> str:
    if value < 20:
        return _SMALL[value]
    tens, ones = divmod(value, 10)
    if tens in (7, 9):
        ones += 10
    if ones == 0:
        return _TENS[tens] + ("s" if tens == 8 else "")
    return _TENS[tens] + (" et " if ones in (1, 11) and tens < 8 else "-") + _SMALL[ones]


def number(value: int, form: str = "") -> str:
    """Cardinal; form "f" stands before a feminine noun, "rank" after one, such as "page quatre-vingt"."""
    if form == "rank":
        return re.sub(r"(vingt|cent)s$", r"\1", number(value))
    if form == "f":
        return re.sub(r"\bun$", "une", number(value))
    if value < 100:
        return _below_hundred(value)
    unit, name, many = (100, "cent", "cents") if value < 1000 else (1000, "mille", "mille")
    high, rest = divmod(value, unit)
    head = "" if high == 1 else f"{_SMALL[high]} "
    return f"{head}{name} {number(rest)}" if rest else head + (name if high == 1 else many)


def plural(singular: str) -> str:
    """Of a regular noun of one word."""
    if singular.endswith(("s", "x", "z")):
        return singular
    if singular.endswith("al"):
        return singular[:-2] + "aux"
    return singular + ("x" if singular.endswith(("au", "eu")) else "s")


def noun(singular: str, many: str, gender: str) -> Forms:
    """Without a gender no noun: a word, or an adjective as masculine/feminine. Gender "x" has no singular.

    `my` and `his` are possessives, `some` and `little` are amounts, `in` and `from` are of a country or a season,
    `at` is of a place.
    """
    if not gender:
        return {"": singular, "m": singular, "f": many or singular}
    if gender == "x":
        return {
            "": singular, "s": singular, "a": f"des {singular}", "the": f"les {singular}",
            "the_s": f"les {singular}", "this": f"ces {singular}", "these": f"ces {singular}",
            "my": f"mes {singular}", "his": f"ses {singular}", "some": f"de les {singular}",
            "little": f"quelques {singular}", "at": f"à les {singular}", "gender": "m",
        }  # fmt: skip
    many = many or plural(singular)
    masculine, vowel = gender == "m", re.match(_VOWEL, singular, re.IGNORECASE) is not None
    the = f"{'le' if masculine else 'la'} {singular}"
    this = ("cet" if vowel else "ce") if masculine else "cette"
    ending = "on" if masculine or vowel else "a"
    bare = not masculine or vowel  # "en France", "en Iran", but "au Japon"
    return {
        "": singular, "s": many, "a": f"{'un' if masculine else 'une'} {singular}", "the": the,
        "the_s": f"les {many}", "this": f"{this} {singular}", "these": f"ces {many}",
        "my": f"m{ending} {singular}", "his": f"s{ending} {singular}", "some": f"de {the}",
        "little": f"un peu de {singular}", "at": f"{'sur' if singular in _OPEN_PLACES else 'à'} {the}",
        "in": f"en {singular}" if bare else f"à {the}", "from": f"de {singular if bare else the}",
        "gender": gender,
    }  # fmt: skip


def time(hour: int, minute: int) -> Forms:
    """Of the clock, hours 1 to 12."""
    shown = hour if minute <= 30 else hour % 12 + 1
    text = f"{number(shown, 'f')} heure{'s' if shown > 1 else ''}"
    if minute == 0:
        return {"": text}
    if minute <= 30:
        return {"": f"{text} " + ({15: "et quart", 30: "et demie"}.get(minute) or number(minute))}
    return {"": f"{text} moins " + ("le quart" if minute == 45 else number(60 - minute))}


def price(amount: int, currency: int) -> Forms:
    """Whole euros, dollars or pounds."""
    name, gender = _CURRENCIES[currency]
    return {"": f"{number(amount, gender)} {name}"}


def exact_price(euros: int, cents: int) -> Forms:
    """Euros and cents, which are not named."""
    return {"": f"{number(euros)} euros {number(cents)}"}


def date(day: int, month: int) -> Forms:
    """With the article, and "bare" without; months count from 0."""
    bare = f"{'premier' if day == 1 else number(day)} {_MONTHS[month]}"
    return {"": f"le {bare}", "bare": bare}


def year(value: int) -> Forms:
    """From 1950 on."""
    return {"": number(value, "rank")}


def finish(text: str) -> str:
    """Elisions, then contractions, of a filled template."""
    text = _ELISION.sub(lambda match: f"{match[1] or match[2]}'", text)
    return _CONTRACTION.sub(lambda match: _CONTRACTED[match[0].lower()], text)
