"""Tests of the phrasebook grammar and corpus: agreement, number words, one-to-one translation, held-out sets.

They check the sentences and the choice of them, not any speech made from them.
"""

import random
import re

import pytest

import tools.phrasebook.grammar.english as speak_english
import tools.phrasebook.grammar.french as speak_french
import tools.phrasebook.grammar.spanish as speak_spanish
from tools.phrasebook.corpus import Corpus, build_corpus, make_phrase, quotas, words_of
from tools.phrasebook.grammar import Grammar, load_grammar
from tools.phrasebook.grammar.values import times

NUM_TRAIN = 6000
# What elision and contraction must not leave; "le onze", "le huit" and "le hamburger" keep their article.
FRENCH_SLIPS = re.compile(
    r"(?<![\w-])(?:[djlmnst]e|que|la|ma|sa|ce) (?!onz|huit|hamburger)[aeiouhàâéèêëîïôœ]"
    r"|\b(?:de|à) les?\b|\bsi ils?\b|'[^aeiouyhàâéèêîôœ]| [,.?!]",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return load_grammar()


@pytest.fixture(scope="module")
def corpus(grammar: Grammar) -> Corpus:
    return build_corpus(grammar, NUM_TRAIN, seed=1)


@pytest.mark.parametrize(
    ("number", "gender", "english", "spanish"),
    [
        (0, "", "zero", "cero"),
        (21, "", "twenty-one", "veintiuno"),
        (21, "m", "twenty-one", "veintiún"),
        (21, "f", "twenty-one", "veintiuna"),
        (31, "m", "thirty-one", "treinta y un"),
        (100, "f", "one hundred", "cien"),
        (214, "", "two hundred and fourteen", "doscientos catorce"),
        (550, "f", "five hundred and fifty", "quinientas cincuenta"),
        (1500, "m", "one thousand five hundred", "mil quinientos"),
        (7500, "f", "seven thousand five hundred", "siete mil quinientas"),
    ],
)
def test_numbers(number: int, gender: str, english: str, spanish: str) -> None:
    assert speak_english.number(number) == english
    assert speak_spanish.number(number, gender) == spanish


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


def test_times_are_distinct_and_natural() -> None:
    spoken = {time["eng"][""]: time["spa"] for time in times()}
    assert len(spoken) == 144
    assert len({forms[""] for forms in spoken.values()}) == 144
    assert spoken["a quarter past nine"][""] == "las nueve y cuarto"
    assert spoken["twenty to one"]["be"] == "es la una menos veinte"
    assert spoken["half past twelve"]["be"] == "son las doce y media"


@pytest.mark.parametrize(
    ("singular", "plural"),
    [("limón", "limones"), ("luz", "luces"), ("té", "tés"), ("hotel", "hoteles"), ("sofá", "sofás")],
)
def test_spanish_plural(singular: str, plural: str) -> None:
    assert speak_spanish.plural(singular) == plural


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


def _all_of(grammar: Grammar, english: str, language: str = "spa") -> dict[str, str]:
    [template] = [t for t in grammar.templates if t.text["eng"] == english]
    texts = [grammar.render(template, index) for index in range(template.size)]
    return {text["eng"]: text[language] for text in texts}


def test_agreement_and_contraction(grammar: Grammar) -> None:
    want = _all_of(grammar, "{few} {drink.s}, please.")
    assert want["Two beers, please."] == "Dos cervezas, por favor."
    closed = _all_of(grammar, "{place.the} is closed {when}.")
    assert closed["The library is closed today."] == "La biblioteca está cerrada hoy."
    assert closed["The bank is closed today."] == "El banco está cerrado hoy."
    reach = _all_of(grammar, "How do I get to {place.the}?")
    assert reach["How do I get to the market?"] == "¿Cómo llego al mercado?"
    flats = _all_of(grammar, "I want a {anycolor} {clothing}.")
    assert flats["I want a green umbrella."] == "Quiero un paraguas verde."
    metres = _all_of(grammar, "It is {minutes} minutes from {place.the}.")
    assert metres["It is five minutes from the beach."] == "Está a cinco minutos de la playa."


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
    assert _all_of(grammar, template, "fra")[english] == french


def test_weekdays_agree_with_their_article(grammar: Grammar) -> None:
    assert _all_of(grammar, "I do not work on {weekday.s}.")["I do not work on Sundays."] == (
        "No trabajo los domingos."
    )


def test_translation_is_one_to_one(grammar: Grammar) -> None:
    rng = random.Random(0)
    ambiguous: list[tuple[str, str]] = []
    known: dict[tuple[str, str, str], str] = {}
    pairs = [pair for other in grammar.languages[1:] for pair in (("eng", other), (other, "eng"))]
    for template in grammar.templates:
        indices = range(template.size) if template.size <= 500 else rng.sample(range(template.size), 200)
        for index in indices:
            text = grammar.render(template, index)
            for source, other in pairs:
                if known.setdefault((source, other, text[source]), text[other]) != text[other]:
                    ambiguous.append((source, text[source]))
    assert ambiguous == []


def test_sentences_are_well_formed(corpus: Corpus) -> None:
    for phrase in corpus.train:
        english, spanish = phrase.text["eng"], phrase.text["spa"]
        assert english[0].isupper() and english[-1] in ".?!"
        assert spanish[-1] == english[-1] or {spanish[-1], english[-1]} == {".", "!"}
        assert spanish.count("?") == spanish.count("¿") and spanish.count("!") == spanish.count("¡")
        assert spanish.lstrip("¿¡")[0].isupper()
        assert not any(mark in english + spanish for mark in "{}|0123456789")
        assert "  " not in english + spanish
        assert not {"a el", "de el"} & {f"{a} {b}" for a, b in zip(*_pairs(spanish), strict=True)}
        assert max(len(words_of(text)) for text in phrase.text.values()) <= 16


def test_french_sentences_are_well_formed(corpus: Corpus) -> None:
    for phrase in corpus.train:
        english, french = phrase.text["eng"], phrase.text["fra"]
        assert french[0].isupper()
        assert french[-1] == english[-1] or {french[-1], english[-1]} == {".", "!"}
        assert not any(mark in french for mark in "{}|0123456789¿¡’«»\u00a0")
        assert "  " not in french
        assert not FRENCH_SLIPS.search(french), french


def _pairs(text: str) -> tuple[list[str], list[str]]:
    words = words_of(text)
    return words[:-1], words[1:]


def test_corpus_is_large_and_balanced(grammar: Grammar, corpus: Corpus) -> None:
    assert len(grammar.templates) >= 150
    assert sum(template.size for template in grammar.templates) >= 40_000
    assert len(corpus.train) == NUM_TRAIN
    texts = {phrase.text["eng"] for phrase in corpus.train}
    assert "Good morning." in texts
    for language in grammar.languages:
        assert len({word for phrase in corpus.train for word in words_of(phrase.text[language])}) >= 600
    shares = quotas([template.size for template in grammar.templates], NUM_TRAIN)
    assert sum(shares) == NUM_TRAIN
    assert max(shares) <= NUM_TRAIN // 60


def test_held_out_is_disjoint_and_covered(grammar: Grammar, corpus: Corpus) -> None:
    assert (len(corpus.seen), len(corpus.unseen)) == (300, 150)
    held_out = corpus.seen + corpus.unseen
    assert len({phrase.domain for phrase in corpus.unseen}) == len({t.domain for t in grammar.templates})
    for language in grammar.languages:
        train = {phrase.text[language] for phrase in corpus.train}
        assert len(train) == NUM_TRAIN
        assert not train & {phrase.text[language] for phrase in held_out}
        known = {word for text in train for word in words_of(text)}
        assert {word for phrase in held_out for word in words_of(phrase.text[language])} <= known
    keys = [phrase.key for phrase in corpus.train + held_out]
    assert len(set(keys)) == len(keys)


def test_corpus_depends_only_on_the_seed(grammar: Grammar, corpus: Corpus) -> None:
    assert build_corpus(grammar, NUM_TRAIN, seed=1) == corpus
    assert build_corpus(grammar, NUM_TRAIN, seed=2).train[:50] != corpus.train[:50]


def test_index_out_of_range_is_refused(grammar: Grammar) -> None:
    template = grammar.templates[0]
    with pytest.raises(IndexError, match=f"`index` must be below {template.size}"):
        make_phrase(grammar, template, template.size)
    with pytest.raises(ValueError, match="`total` must be at most 5"):
        quotas([2, 3], 6)
