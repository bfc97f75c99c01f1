"""The grammar and a corpus of it, as the tests of every language ask for them."""

from functools import cache

from tools.phrasebook.corpus import Corpus, build_corpus
from tools.phrasebook.grammar import Grammar, load_grammar

NUM_TRAIN = 6000


@cache
def whole_grammar() -> Grammar:
    """Read once."""
    return load_grammar()


@cache
def some_corpus() -> Corpus:
    """Built once."""
    return build_corpus(whole_grammar(), NUM_TRAIN, seed=1)


def all_of(grammar: Grammar, english: str, language: str = "spa") -> dict[str, str]:
    """English sentence -> the other language's, of every instance of a template."""
    [template] = [t for t in grammar.templates if t.text["eng"] == english]
    texts = [grammar.render(template, index) for index in range(template.size)]
    return {text["eng"]: text[language] for text in texts}
