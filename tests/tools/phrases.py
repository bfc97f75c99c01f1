"""What the tests of every language of the grammar ask of it."""

from tools.phrasebook.grammar import Grammar

NUM_TRAIN = 6000


def all_of(grammar: Grammar, english: str, language: str = "spa") -> dict[str, str]:
    """English sentence -> the other language's, of every instance of a template."""
    [template] = [t for t in grammar.templates if t.text["eng"] == english]
    texts = [grammar.render(template, index) for index in range(template.size)]
    return {text["eng"]: text[language] for text in texts}
