"""German of the phrasebook grammar: numbers, times, agreement, and what no sentence may hold."""

import re

import pytest

import tools.phrasebook.grammar.german as speak_german
from tests.tools.phrases import all_of
from tools.phrasebook.corpus import Corpus, words_of
from tools.phrasebook.grammar import Grammar
from tools.phrasebook.grammar.values import times

GERMAN_FAULTS = re.compile(
    r"\b(?:(?:an|bei|in|von|zu) dem|zu der|(?:in|an) das)\b"  # not contracted
    r"|\b(?:das|die) (?:link|recht|ruhig|größer|frisch|heiß)e[mnrs]\b|\bein (?:ruhig|größer|frisch)e[ mnr]"
    r"|\b(?:einen|meinen|meinem|unserem) (?:Geldautomat|Neffe|Nachbar|Polizist)\b"
    r"|\b(?:euro|montag|zimmer|uhr)\b| [.,?!]|  |[~+]"
)


@pytest.mark.parametrize(
    ("number", "form", "german"),
    [
        (0, "", "null"),
        (1, "", "eins"),
        (1, "m", "ein"),
        (1, "f", "eine"),
        (17, "", "siebzehn"),
        (21, "f", "einundzwanzig"),
        (30, "", "dreißig"),
        (66, "", "sechsundsechzig"),
        (100, "", "hundert"),
        (214, "", "zweihundertvierzehn"),
        (301, "", "dreihunderteins"),
        (1500, "", "tausendfünfhundert"),
        (1150, "", "tausendeinhundertfünfzig"),
        (7021, "", "siebentausendeinundzwanzig"),
    ],
)
def test_german_numbers(number: int, form: str, german: str) -> None:
    assert speak_german.number(number, form) == german


def test_german_years_prices_and_dates() -> None:
    assert speak_german.year(1950)[""] == "neunzehnhundertfünfzig"
    assert speak_german.year(2005)[""] == "zweitausendfünf"
    assert speak_german.price(2, 1)[""] == "zwei Dollar"
    assert speak_german.exact_price(12, 50)[""] == "zwölf Euro fünfzig"
    assert speak_german.date(3, 4) == {"": "der dritte Mai", "on": "am dritten Mai"}
    assert speak_german.date(21, 0)["on"] == "am einundzwanzigsten Januar"


def test_german_times_are_distinct_and_natural() -> None:
    spoken = {time["eng"][""]: time["deu"][""] for time in times()}
    assert len(set(spoken.values())) == 144
    assert spoken["one o'clock"] == "ein Uhr"
    assert spoken["a quarter past nine"] == "Viertel nach neun"
    assert spoken["half past twelve"] == "halb eins"
    assert spoken["twenty-five past nine"] == "fünf vor halb zehn"
    assert spoken["twenty-five to one"] == "fünf nach halb eins"
    assert spoken["ten to three"] == "zehn vor drei"


def test_german_declension() -> None:
    arm = speak_german.noun("link~ Arm", "", "m")
    assert (arm["a"], arm["a_acc"], arm["the"]) == ("ein linker Arm", "einen linken Arm", "der linke Arm")
    assert (arm["the_dat"], arm["my"], arm["these"]) == (
        "dem linken Arm",
        "mein linker Arm",
        "diese linken Arme",
    )
    room = speak_german.noun("ruhig~ Zimmer", "", "n")
    assert (room["a_acc"], room["the"], room["s"]) == (
        "ein ruhiges Zimmer",
        "das ruhige Zimmer",
        "ruhige Zimmer",
    )
    assert (room["a_dat"], room["the_gen"]) == ("einem ruhigen Zimmer", "des ruhigen Zimmers")
    toilet = speak_german.noun("öffentlich~ Toilette", "", "f")
    assert (toilet["a_acc"], toilet["a_dat"]) == ("eine öffentliche Toilette", "einer öffentlichen Toilette")
    nephew = speak_german.noun("Neffe", "Neffen", "m")
    assert (nephew["my"], nephew["my_acc"], nephew["dat"]) == ("mein Neffe", "meinen Neffen", "Neffen")
    glass = speak_german.noun("Glas Wasser", "Gläser Wasser", "n")
    assert (glass["the_s"], glass["the_gen"]) == ("die Gläser Wasser", "des Glases Wasser")
    assert speak_german.noun("Spanien", "", "")["the_dat"] == "Spanien"


def test_german_infinitives() -> None:
    call = speak_german.noun("meine Familie an+rufen", "", "x")
    assert (call[""], call["to"]) == ("meine Familie anrufen", "meine Familie anzurufen")
    assert speak_german.noun("Geld wechseln", "", "x")["to"] == "Geld zu wechseln"
    assert [speak_german.noun("angeln", "", "x")[form] for form in ("i", "he", "rest")] == [
        "angle",
        "angelt",
        "",
    ]
    assert speak_german.noun("in den Bergen wandern", "", "x")["i"] == "wandere"
    assert speak_german.noun("Tennis spielen", "", "x")["i"] == "spiele"
    assert speak_german.noun("lesen", "liest", "x")["he"] == "liest"


@pytest.mark.parametrize(
    ("template", "english", "german"),
    [
        ("How do I get to {place.the}?", "How do I get to the market?", "Wie komme ich zum Markt?"),
        ("How do I get to {place.the}?", "How do I get to the beach?", "Wie komme ich zum Strand?"),
        ("How do I get to {place.the}?", "How do I get to the bank?", "Wie komme ich zur Bank?"),
        ("Is there {near.a} near here?", "Is there a cash machine near here?",
         "Gibt es hier in der Nähe einen Geldautomaten?"),
        ("I hurt my {ache} {past}.", "I hurt my right leg yesterday.",
         "Ich habe mich gestern am rechten Bein verletzt."),
        ("{name} lost {name?his/her} {lost} {past}.", "Anna lost her passport last week.",
         "Anna hat letzte Woche ihren Reisepass verloren."),
        ("I am waiting for you at {place.the}.", "I am waiting for you at the market.",
         "Ich warte auf dem Markt auf Sie."),
        ("I want a {anycolor} {clothing}.", "I want a green umbrella.", "Ich möchte einen grünen Regenschirm."),
        ("I come from {country}.", "I come from Switzerland.", "Ich komme aus der Schweiz."),
        ("It is too late to {todo}.", "It is too late to call my family.",
         "Es ist zu spät, um meine Familie anzurufen."),
        ("Could somebody {request}, please?", "Could somebody help me, please?",
         "Könnte mir bitte jemand helfen?"),
        ("I like {activity} and {activity2}.", "I like playing tennis and swimming.",
         "Ich spiele gern Tennis und schwimme auch gern."),
        ("I do not work on {weekday.s}.", "I do not work on Sundays.", "Sonntags arbeite ich nicht."),
        ("The next {vehicle} leaves in {minutes} minutes.", "The next plane leaves in ten minutes.",
         "Das nächste Flugzeug fliegt in zehn Minuten ab."),
    ],
)  # fmt: skip
def test_german_cases_and_order(grammar: Grammar, template: str, english: str, german: str) -> None:
    assert all_of(grammar, template, "deu")[english] == german


def test_german_sentences_are_well_formed(corpus: Corpus) -> None:
    for phrase in corpus.train + corpus.seen + corpus.unseen:
        english, german = phrase.text["eng"], phrase.text["deu"]
        assert german[0].isupper() and german[-1] == english[-1]
        assert not any(mark in german for mark in "{}|0123456789")
        assert not GERMAN_FAULTS.search(german), german
        assert len(words_of(german)) <= 16
