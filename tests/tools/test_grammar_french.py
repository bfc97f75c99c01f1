"""French of the phrasebook grammar: numbers, times, agreement, and what no sentence may hold."""

import re

import pytest

import tools.phrasebook.grammar.french as speak_french
from tests.tools.phrases import all_of
from tools.phrasebook.corpus import Corpus
from tools.phrasebook.grammar import Grammar
from tools.phrasebook.grammar.values import times

# What elision and contraction must not leave; "le onze", "le huit" and "le hamburger" keep their article.
FRENCH_SLIPS = re.compile(
    r"(?<![\w-])(?:[djlmnst]e|que|la|ma|sa|ce) (?!onz|huit|hamburger)[aeiouhàâéèêëîïôœ]"
    r"|\b(?:de|à) les?\b|\bsi ils?\b|'[^aeiouyhàâéèêîôœ]| [,.?!]",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    ("number", "form", "french"),
    [
        (0, "", "zéro"),
        (17, "", "dix-sept"),
        (21, "", "vingt et un"),
        (21, "f", "vingt et une"),
        (71, "", "soixante et onze"),
        (77, "", "soixante-dix-sept"),
        (80, "", "quatre-vingts"),
        (80, "rank", "quatre-vingt"),
        (81, "f", "quatre-vingt-une"),
        (91, "", "quatre-vingt-onze"),
        (100, "", "cent"),
        (200, "", "deux cents"),
        (550, "", "cinq cent cinquante"),
        (1500, "", "mille cinq cents"),
        (7000, "", "sept mille"),
        (1980, "rank", "mille neuf cent quatre-vingt"),
    ],
)
def test_french_numbers(number: int, form: str, french: str) -> None:
    assert speak_french.number(number, form) == french


def test_french_times_are_distinct_and_natural() -> None:
    spoken = {time["eng"][""]: time["fra"][""] for time in times()}
    assert len(set(spoken.values())) == 144
    assert spoken["one o'clock"] == "une heure"
    assert spoken["a quarter past nine"] == "neuf heures et quart"
    assert spoken["half past twelve"] == "douze heures et demie"
    assert spoken["a quarter to ten"] == "dix heures moins le quart"
    assert spoken["twenty to one"] == "une heure moins vingt"


@pytest.mark.parametrize(
    ("singular", "plural"),
    [("gâteau", "gâteaux"), ("journal", "journaux"), ("fils", "fils"), ("neveu", "neveux"), ("clé", "clés")],
)
def test_french_plural(singular: str, plural: str) -> None:
    assert speak_french.plural(singular) == plural


@pytest.mark.parametrize(
    ("raw", "finished"),
    [
        ("près de le hôpital", "près de l'hôpital"),
        ("à le musée ou à la gare", "au musée ou à la gare"),
        ("jusqu'à les toilettes", "jusqu'aux toilettes"),
        ("de les pâtes et de le ail", "des pâtes et de l'ail"),
        ("est-ce que Anna vient de Édimbourg", "est-ce qu'Anna vient d'Édimbourg"),
        ("le hamburger, le huit mai, que onze euros", "le hamburger, le huit mai, que onze euros"),
        ("où puis-je acheter", "où puis-je acheter"),
    ],
)
def test_french_elision_and_contraction(raw: str, finished: str) -> None:
    assert speak_french.finish(raw) == finished


@pytest.mark.parametrize(
    ("template", "english", "french"),
    [
        (
            "{place.the} is closed {when}.",
            "The post office is closed tomorrow.",
            "La poste est fermée demain.",
        ),
        (
            "How do I get to {place.the}?",
            "How do I get to the airport?",
            "Comment puis-je aller à l'aéroport?",
        ),
        (
            "I am waiting for you at {place.the}.",
            "I am waiting for you at the bridge.",
            "Je vous attends sur le pont.",
        ),
        ("I want a {anycolor} {clothing}.", "I want a green scarf.", "Je voudrais une écharpe verte."),
        ("I want a {anycolor} {clothing}.", "I want a brown scarf.", "Je voudrais une écharpe marron."),
        (
            "How much does {clothing.this} cost?",
            "How much does this watch cost?",
            "Combien coûte cette montre?",
        ),
        ("I have lost my {lost}.", "I have lost my key.", "J'ai perdu ma clé."),
        ("I have lost my {lost}.", "I have lost my camera.", "J'ai perdu mon appareil photo."),
        ("I come from {country}.", "I come from Japan.", "Je viens du Japon."),
        ("I come from {country}.", "I come from Italy.", "Je viens d'Italie."),
        (
            "{name} and {name2} live in {country}.",
            "Anna and Paula live in Canada.",
            "Anna et Paula habitent au Canada.",
        ),
        ("I prefer {season} to {season2}.", "I prefer summer to spring.", "Je préfère l'été au printemps."),
        ("I do not eat {food}.", "I do not eat garlic.", "Je ne mange pas d'ail."),
        ("I am allergic to {allergen}.", "I am allergic to eggs.", "Je suis allergique aux œufs."),
        ("It costs {price}.", "It costs twenty-one pounds.", "Ça coûte vingt et une livres sterling."),
        (
            "Is there {near.a} near here?",
            "Is there a public toilet near here?",
            "Y a-t-il des toilettes publiques près d'ici?",
        ),
        (
            "I would like a little {mass}, please.",
            "I would like a little ice, please.",
            "Je voudrais quelques glaçons, s'il vous plaît.",
        ),
    ],
)
def test_french_agreement(grammar: Grammar, template: str, english: str, french: str) -> None:
    assert all_of(grammar, template, "fra")[english] == french


def test_french_sentences_are_well_formed(corpus: Corpus) -> None:
    for phrase in corpus.train:
        english, french = phrase.text["eng"], phrase.text["fra"]
        assert french[0].isupper()
        assert french[-1] == english[-1] or {french[-1], english[-1]} == {".", "!"}
        assert not any(mark in french for mark in "{}|0123456789¿¡’«»\u00a0")
        assert "  " not in french
        assert not FRENCH_SLIPS.search(french), french
