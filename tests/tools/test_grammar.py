"""Tests of the phrasebook grammar and corpus: agreement, number words, one-to-one translation, held-out sets.

They check the sentences and the choice of them, not any speech made from them.
"""

import hashlib
import random

import pytest

import tools.phrasebook.grammar.english as speak_english
import tools.phrasebook.grammar.spanish as speak_spanish
from tests.tools.phrases import NUM_TRAIN, all_of
from tools.phrasebook.corpus import CHOOSING, Corpus, build_corpus, make_phrase, quotas, words_of
from tools.phrasebook.grammar import Grammar
from tools.phrasebook.grammar.values import times


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


def test_agreement_and_contraction(grammar: Grammar) -> None:
    want = all_of(grammar, "{few} {drink.s}, please.")
    assert want["Two beers, please."] == "Dos cervezas, por favor."
    closed = all_of(grammar, "{place.the} is closed {when}.")
    assert closed["The library is closed today."] == "La biblioteca está cerrada hoy."
    assert closed["The bank is closed today."] == "El banco está cerrado hoy."
    reach = all_of(grammar, "How do I get to {place.the}?")
    assert reach["How do I get to the market?"] == "¿Cómo llego al mercado?"
    flats = all_of(grammar, "I want a {anycolor} {clothing}.")
    assert flats["I want a green umbrella."] == "Quiero un paraguas verde."
    metres = all_of(grammar, "It is {minutes} minutes from {place.the}.")
    assert metres["It is five minutes from the beach."] == "Está a cinco minutos de la playa."


def test_english_article_agrees_with_the_word_behind_it(grammar: Grammar) -> None:
    want = all_of(grammar, "I want a {anycolor} {clothing}.")
    assert "I want an orange scarf." in want and "I want a green umbrella." in want
    children = all_of(grammar, "I have a {childage}-year-old daughter and a {childage2}-year-old son.")
    assert "I have an eight-year-old daughter and an eleven-year-old son." in children
    assert speak_english.finish("a university and a euro and a hat") == "a university and a euro and a hat"


def test_a_key_outlives_a_better_finish(grammar: Grammar) -> None:
    """Hours of speech lie under these keys; this one was given before the article agreed."""
    [template] = [t for t in grammar.templates if t.text["eng"] == "I want a {anycolor} {clothing}."]
    phrases = [make_phrase(grammar, template, index) for index in range(template.size)]
    [coat] = [phrase for phrase in phrases if phrase.text["eng"] == "I want an orange coat."]
    assert coat.key == "shopping-" + hashlib.sha1(b"I want a orange coat.").hexdigest()[:10]


def test_weekdays_agree_with_their_article(grammar: Grammar) -> None:
    assert all_of(grammar, "I do not work on {weekday.s}.")["I do not work on Sundays."] == (
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
        if language in CHOOSING:
            known = {word for text in train for word in words_of(text)}
            assert {word for phrase in held_out for word in words_of(phrase.text[language])} <= known
    keys = [phrase.key for phrase in corpus.train + held_out]
    assert len(set(keys)) == len(keys)


def test_corpus_depends_only_on_the_seed(grammar: Grammar) -> None:
    first, again, other = (build_corpus(grammar, NUM_TRAIN // 10, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.train[:50] != other.train[:50]


def test_index_out_of_range_is_refused(grammar: Grammar) -> None:
    template = grammar.templates[0]
    with pytest.raises(IndexError, match=f"`index` must be below {template.size}"):
        make_phrase(grammar, template, template.size)
    with pytest.raises(ValueError, match="`total` must be at most 5"):
        quotas([2, 3], 6)
