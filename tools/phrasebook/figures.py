"""Written figures as the phrasebook says them: prices, times of the clock, days, years, metres, numbers.

A listener writes "8h30" or "$12" where "huit heures et demie" or "twelve dollars" was said. The words are the grammar's
own, which are also those of the texts that were to be said. Knows nothing of error rates.
"""

import re
from typing import Final

from tools.phrasebook.grammar.values import LANGUAGES

_SYMBOLS: Final = "€$£"  # in the order of the grammar's CURRENCIES
_AMOUNT: Final = r"(\d{1,3}(?:[.,]\d{3})+|\d+)(?:[.,](\d\d))?"
_PRICE: Final = re.compile(rf"([{_SYMBOLS}])\s?{_AMOUNT}\b|\b{_AMOUNT}\s?([{_SYMBOLS}])")
_TIMES: Final = {
    "eng": re.compile(r"\b(\d\d?):(\d\d)\b(?: o'clock)?"),
    "spa": re.compile(r"\b(\d\d?):(\d\d)\b"),
    "fra": re.compile(r"\b(\d\d?) ?h(?: ?(\d\d))?\b|\b(\d\d?):(\d\d)\b"),
    "deu": re.compile(r"\b(\d\d?)[.:](\d\d) uhr\b|\b(\d\d?):(\d\d)\b"),
}
_HOURS: Final = {"fra": " heures", "deu": " uhr"}  # between hour and minute; nothing in other languages
_GROUPED: Final = re.compile(r"\b(\d{1,3})[.,\s](\d{3})\b")
_LENGTH: Final = re.compile(r"(?<=\d)\s?(k?)m\b")
_METRES: Final = {"eng": "metres", "spa": "metros", "fra": "mètres", "deu": "meter"}
_DAYS: Final = {  # of the month; in other languages they are numbers
    "eng": re.compile(r"()\b(\d\d?)(?:st|nd|rd|th)\b"),
    "deu": re.compile(r"\b(am )?(\d\d?)\.(?= (?:jan|feb|mär|apr|mai|jun|jul|aug|sep|okt|nov|dez))"),
}
_MAX_NUMBER: Final = 9999  # of the grammar


def price(amount: int, cents: int, symbol: str, code: str) -> str:
    """Of more than one euro, dollar or pound; the grammar has cents of euros only, and others end alike here."""
    language = LANGUAGES[code]
    whole = language.price(amount, _SYMBOLS.index(symbol))[""]
    if not cents:
        return whole
    return whole + language.exact_price(amount, cents)[""].removeprefix(language.price(amount, 0)[""])


def time(hour: int, minute: int, code: str) -> str:
    """As the grammar says it, without an article; what it has no words for is hour and minute."""
    language = LANGUAGES[code]
    if 1 <= hour <= 12 and minute % 5 == 0:
        return re.sub("^las? ", "", language.time(hour, minute)[""])
    return f"{language.number(hour)}{_HOURS.get(code, '')} {language.number(minute) if minute else ''}"


def day(value: int, code: str, form: str = "") -> str:
    """The ordinal of a date, where the language has one."""
    return LANGUAGES[code].date(value, 0)[form].split()[1]


def number(digits: str, code: str) -> str:
    """A year where it can be one (round ones are taken for amounts), else a cardinal; or digit by digit."""
    language, value = LANGUAGES[code], int(digits)
    if value > _MAX_NUMBER or (len(digits) > 1 and digits[0] == "0"):
        return " ".join(language.number(int(digit)) for digit in digits)
    return language.year(value)[""] if 1100 < value < 2100 and value % 100 else language.number(value)


def said(text: str, code: str) -> str:
    """Lower-case text with all its figures in words."""

    def said_price(match: re.Match[str]) -> str:
        parts = [part for part in match.groups() if part]
        [symbol] = [part for part in parts if part in _SYMBOLS]
        amount, *cents = (int(re.sub("[.,]", "", part)) for part in parts if part != symbol)
        if amount > _MAX_NUMBER:
            return match[0]
        return f" {price(amount, sum(cents), symbol, code)} "

    def said_time(match: re.Match[str]) -> str:
        hour, *minutes = (int(part) for part in match.groups() if part)
        return f" {time(hour, sum(minutes), code)} "

    def said_amount(match: re.Match[str]) -> str:
        value = int(match[1] + match[2])
        return f" {LANGUAGES[code].number(value)} " if value <= _MAX_NUMBER else match[1] + match[2]

    def said_day(match: re.Match[str]) -> str:
        before, value = match[1] or "", int(match[2])
        return f"{before}{day(value, code, 'on' if before else '')}" if 1 <= value <= 31 else match[0]

    def said_length(match: re.Match[str]) -> str:
        return f" {'kilo' if match[1] else ''}{_METRES[code]}"

    text = _TIMES[code].sub(said_time, _PRICE.sub(said_price, text))
    text = _DAYS[code].sub(said_day, text) if code in _DAYS else text
    text = _GROUPED.sub(said_amount, _LENGTH.sub(said_length, text))
    text = re.sub(r"(\d+)-(?=jährig)", lambda match: f" {number(match[1], code)}", text)  # one word
    return re.sub(r"\d+", lambda match: f" {number(match[0], code)} ", text)
