"""Parallel phrasebook grammar: templates and words in text files, one column per language.

Knows how to turn a template and slot values into one sentence per language. Knows nothing about
sampling, held-out sets or speech (see tools/phrasebook/corpus.py).
"""

from tools.phrasebook.grammar.engine import Grammar, Template, load_grammar

__all__ = ["Grammar", "Template", "load_grammar"]
