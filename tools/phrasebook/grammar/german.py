"""German of the phrasebook: spoken numbers, times, prices, dates and years, and the forms of nouns and infinitives.

The functions that every language module has are those of `language.Language`; knows nothing of templates.
In words.txt an adjective before its noun ends in "~" for its ending, and "x" marks an infinitive.
"""

import re

from tools.phrasebook.grammar.language import Forms

NUMBER_FORMS: tuple[str, ...] = ("", "m", "f", "n")
_SMALL = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
    "sechzehn siebzehn achtzehn neunzehn"
).split()
_TENS = "- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
_MONTHS = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
_ORDINALS = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}
_CURRENCIES = ("Euro", "Dollar", "Pfund")

_CASES = ("", "_acc", "_dat")
_THE = {"m": ("der", "den", "dem"), "f": ("die", "die", "der"), "n": ("das", "das", "dem")}
# Of "dieser", and of an adjective unless an article with an ending stands before it.
_STRONG = {"m": ("er", "en", "em"), "f": ("e", "e", "er"), "n": ("es", "es", "em")}
_AT = {  # where one is; all others are "in"
    "an": "Bahnhof Brücke Busbahnhof Flughafen Hafen Strand Tankstelle Universität".split(),
    "auf": "Burg Hauptplatz Markt Polizeiwache".split(),
    "bei": ["Post"],
}
_CONTRACTIONS = {
    "an dem": "am", "an das": "ans", "bei dem": "beim", "in dem": "im", "in das": "ins",
    "von dem": "vom", "zu dem": "zum", "zu der": "zur",
}  # fmt: skip
_PREPOSITION_AND_ARTICLE = re.compile(r"\b(?:an|bei|in|von|zu) (?:dem|das|der)\b", re.IGNORECASE)


def _below_hundred(value: int) -> str:
    if value < 20:
        return _SMALL[value]
    tens, ones = divmod(value, 10)
    before = "einund" if ones == 1 else f"{_SMALL[ones]}und" if ones else ""
    return before + _TENS[tens]


def _counted(value: int) -> str:
    """0 to 9999 in one word, as one counts."""
    if value >= 1000:
        thousands, rest = divmod(value, 1000)
        one = "ein" if 100 <= rest < 200 else ""
        return (
            (_SMALL[thousands] if thousands > 1 else "") + "tausend" + (one + _counted(rest) if rest else "")
        )
    if value >= 100:
        hundreds, rest = divmod(value, 100)
        return (_SMALL[hundreds] if hundreds > 1 else "") + "hundert" + (_below_hundred(rest) if rest else "")
    return _below_hundred(value)


def number(value: int, form: str = "") -> str:
    """Cardinal; a gender as form makes the final "eins" agree with a noun in the nominative."""
    text = _counted(value)
    if form and text.endswith("eins"):
        return text[:-1] + ("e" if form == "f" else "")
    return text


def plural(singular: str, gender: str) -> str:
    """Of a noun without umlaut in the plural: the most common ending for its gender."""
    if gender == "f":
        return singular + ("n" if singular.endswith("e") else "nen" if singular.endswith("in") else "en")
    return singular if singular.endswith(("e", "er", "el", "en")) else singular + "e"


def _infinitive(phrase: str, he: str) -> Forms:
    """Forms "to" ("das Auto zu parken"), "i", "he" and "they" of the verb, "rest" with a space before it.

    A separable prefix ends in "+". `he` is empty where the third person is regular.
    """
    rest, _, verb = phrase.rpartition(" ")
    before = f"{rest} " if rest else ""
    prefix, _, base = verb.rpartition("+")
    stem = base[:-2] if base.endswith("en") else base[:-1]
    return {
        "": before + prefix + base,
        "to": f"{before}{prefix}zu{base}" if prefix else f"{before}zu {base}",
        "i": (stem[:-2] + "l" if base.endswith("eln") else stem) + "e",
        "he": he or stem + "t",
        "they": base,
        "rest": f" {rest}" if rest else "",
    }


def noun(singular: str, many: str, gender: str) -> Forms:
    """Forms "a", "the", "this" and "my" have the cases "_acc" and "_dat", as the bare noun; "at" is where one is.

    Without a gender a word takes no article, and "s" is its second form in words.txt, whatever that is.
    """
    if gender == "x":
        return _infinitive(singular, many)
    if not gender:
        return dict.fromkeys(("", "the", "the_acc", "the_dat"), singular) | {"s": many or singular}
    adjective, _, word = singular.rpartition("~ ")
    head, space, rest = word.partition(" ")
    many = many or plural(head, gender) + space + rest
    weak_noun = gender == "m" and many in (word + "n", word + "en")

    def after(ending: str, text: str) -> str:
        return f"{adjective}{ending} {text}" if adjective else text

    forms = {"gender": gender}
    for position, case in enumerate(_CASES):
        strong = _STRONG[gender][position]
        weak = "en" if case == "_dat" or strong == "en" else "e"
        ein = strong if gender == "f" or weak == "en" else ""
        text = many if weak_noun and case else word
        after_ein = after(weak if ein else strong, text)
        forms |= {
            case.lstrip("_"): after(strong, text),
            f"a{case}": f"ein{ein} {after_ein}",
            f"my{case}": f"mein{ein} {after_ein}",
            f"the{case}": f"{_THE[gender][position]} {after(weak, text)}",
            f"this{case}": f"dies{strong} {after(weak, text)}",
        }
    of_it = many if weak_noun else head + ("es" if head[-1] in "sßxz" else "s") + space + rest
    forms["the_gen"] = forms["the_dat"] if gender == "f" else f"des {after('en', of_it)}"
    several = after("en", many)
    forms |= {"s": after("e", many), "the_s": f"die {several}", "these": f"diese {several}"}
    where = next((preposition for preposition, words in _AT.items() if word in words), "in")
    return forms | {"at": f"{where} {forms['the_dat']}"}


def time(hour: int, minute: int) -> Forms:
    """Of the clock, hours 1 to 12, as in everyday speech: "fünf vor halb zehn"."""
    if minute == 0:
        return {"": f"{number(hour, 'n')} Uhr"}
    base = number(hour) if minute <= 20 else number(hour % 12 + 1)
    if minute == 30:
        return {"": f"halb {base}"}
    if minute in (25, 35):
        return {"": f"fünf {'vor' if minute == 25 else 'nach'} halb {base}"}
    apart = min(minute, 60 - minute)
    words = "Viertel" if apart == 15 else number(apart)
    return {"": f"{words} {'nach' if minute <= 20 else 'vor'} {base}"}


def price(amount: int, currency: int) -> Forms:
    """Whole euros, dollars or pounds."""
    return {"": f"{number(amount)} {_CURRENCIES[currency]}"}


def exact_price(euros: int, cents: int) -> Forms:
    """As people say it, without the word for cents."""
    return {"": f"{number(euros)} Euro {number(cents)}"}


def date(day: int, month: int) -> Forms:
    """With the article, "der dritte Mai"; form "on" is "am dritten Mai". Months count from 0."""
    ordinal = _ORDINALS.get(day) or number(day) + ("te" if day < 20 else "ste")
    return {"": f"der {ordinal} {_MONTHS[month]}", "on": f"am {ordinal}n {_MONTHS[month]}"}


def year(value: int) -> Forms:
    """From 1950 on."""
    if value >= 2000:
        return {"": number(value)}
    hundreds, rest = divmod(value, 100)
    return {"": f"{number(hundreds)}hundert{number(rest) if rest else ''}"}


def finish(text: str) -> str:
    """Prepositions contracted with their articles."""

    def contract(match: re.Match[str]) -> str:
        short = _CONTRACTIONS.get(match[0].lower())
        return match[0][0] + short[1:] if short else match[0]

    return _PREPOSITION_AND_ARTICLE.sub(contract, text)
