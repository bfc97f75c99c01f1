"""The grammar and a corpus of it, read and built once for the tests of every language."""

import pytest

from tests.tools.phrases import NUM_TRAIN
from tools.phrasebook.corpus import Corpus, build_corpus
from tools.phrasebook.grammar import Grammar, load_grammar


@pytest.fixture(scope="session")
def grammar() -> Grammar:
    return load_grammar()


@pytest.fixture(scope="session")
def corpus(grammar: Grammar) -> Corpus:
    return build_corpus(grammar, NUM_TRAIN, seed=1)
