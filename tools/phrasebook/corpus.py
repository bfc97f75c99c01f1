"""Writes the phrasebook corpus: train.jsonl, answers.jsonl, seen.jsonl and unseen.jsonl below W/corpus.

Knows how many sentences each template contributes and which are held out; all of it is fixed by the
seed. Knows nothing about the sentences' content (grammar/) and nothing about speech.
"""

import argparse
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.phrasebook.grammar import Grammar, Template, load_grammar
from tools.phrasebook.grammar.values import number_value

DEFAULT_WORK = Path("~/.cache/seamless_stream/phrasebook").expanduser()
NUM_SEEN = 300
NUM_UNSEEN = 150
SPARE = 100  # drawn on top, for the few phrases that two templates share
HELD_OUT_MIN_SIZE = 150  # smaller templates are only trained on: their words must all occur in train
ANSWER_VOICES = 12
WEIGHT_SIZE_CAP = 5_000  # no template weighs more than one with this many sentences
CHOOSING = ("eng", "spa")  # the choice looks at these alone: more languages leave the held-out sets alone


@dataclass(frozen=True)
class Phrase:
    """One sentence in every language."""

    key: str
    domain: str
    text: dict[str, str]


@dataclass(frozen=True)
class Corpus:
    train: list[Phrase]
    seen: list[Phrase]
    unseen: list[Phrase]


def words_of(text: str) -> list[str]:
    """Lower-case words without the punctuation around them."""
    return [word for raw in text.lower().split() if (word := raw.strip("¿?¡!.,:;"))]


def make_phrase(grammar: Grammar, template: Template, index: int) -> Phrase:
    """One instance. Its key is of the words before `finish`: speech is kept under the key for hours of work, and a
    better finish, such as "an" for "a", must neither rename a phrase nor move it between train and held-out sets."""
    digest = hashlib.sha1(grammar.unfinished(template, index).encode()).hexdigest()[:10]
    return Phrase(f"{template.domain}-{digest}", template.domain, grammar.render(template, index))


def quotas(sizes: Sequence[int], total: int) -> list[int]:
    """Shares of `total` in proportion to the square root of the size, none above its size."""
    if total > sum(sizes):
        raise ValueError(f"`total` must be at most {sum(sizes)}, but is {total}.")
    weights = [min(size, WEIGHT_SIZE_CAP) ** 0.5 for size in sizes]
    low, high = 0.0, float(max(sizes))
    for _ in range(60):  # bisection on the common factor
        factor = (low + high) / 2
        if sum(min(size, int(factor * weight)) for size, weight in zip(sizes, weights, strict=True)) > total:
            high = factor
        else:
            low = factor
    shares = [min(size, int(low * weight)) for size, weight in zip(sizes, weights, strict=True)]
    missing = total - sum(shares)
    for position in sorted(range(len(sizes)), key=lambda i: shares[i] - sizes[i]):
        extra = min(missing, max(1, missing // len(sizes)), sizes[position] - shares[position])
        shares[position] += extra
        missing -= extra
    return shares


def choose_phrases(grammar: Grammar, total: int, rng: random.Random) -> list[list[Phrase]]:
    """`total` distinct phrases, grouped by template."""
    shares = quotas([template.size for template in grammar.templates], total)
    taken: dict[str, set[str]] = {language: set() for language in CHOOSING}
    groups = []
    for template, share in zip(grammar.templates, shares, strict=True):
        phrases = []
        for index in rng.sample(range(template.size), share):
            phrase = make_phrase(grammar, template, index)
            if any(phrase.text[language] in taken[language] for language in CHOOSING):
                continue
            for language in CHOOSING:
                taken[language].add(phrase.text[language])
            phrases.append(phrase)
        groups.append(phrases)
    return groups


def build_corpus(grammar: Grammar, num_train: int, seed: int) -> Corpus:
    """Held-out phrases are spread evenly over the domains, then over each domain's large templates."""
    rng = random.Random(seed)
    groups = choose_phrases(grammar, num_train + NUM_SEEN + NUM_UNSEEN + SPARE, rng)
    pools: dict[str, list[list[Phrase]]] = defaultdict(list)
    for template, phrases in zip(grammar.templates, groups, strict=True):
        if template.size >= HELD_OUT_MIN_SIZE and len(phrases) >= 20:
            pools[template.domain].append(phrases[: len(phrases) // 5])
    counts = Counter(word for group in groups for phrase in group for word in _all_words(phrase))
    held_out: list[Phrase] = []
    candidates = _round_robin([_round_robin(pool) for pool in pools.values()])
    for phrase in candidates:
        words = Counter(_all_words(phrase))
        if len(held_out) < NUM_SEEN + NUM_UNSEEN and all(counts[word] - n > 0 for word, n in words.items()):
            held_out.append(phrase)
            counts -= words
    rng.shuffle(held_out)
    held_keys = {phrase.key for phrase in held_out}
    train = [phrase for group in groups for phrase in group if phrase.key not in held_keys]
    rng.shuffle(train)
    return Corpus(_trim(train, num_train, held_out), held_out[:NUM_SEEN], held_out[NUM_SEEN:])


def _trim(train: Sequence[Phrase], num_train: int, held_out: Iterable[Phrase]) -> list[Phrase]:
    """Drops the last phrases that may go: a word of the held-out phrases must stay in train."""
    needed = {word for phrase in held_out for word in _all_words(phrase)}
    counts = Counter(word for phrase in train for word in _all_words(phrase))
    kept: list[Phrase] = []
    surplus = len(train) - num_train
    for phrase in reversed(train):
        words = Counter(_all_words(phrase))
        if surplus > 0 and all(counts[word] > n for word, n in words.items() if word in needed):
            counts -= words
            surplus -= 1
        else:
            kept.append(phrase)
    return kept[::-1]


def _all_words(phrase: Phrase) -> list[str]:
    return [f"{language}:{word}" for language in CHOOSING for word in words_of(phrase.text[language])]


def _round_robin(lists: Sequence[Sequence[Phrase]]) -> list[Phrase]:
    longest = max((len(items) for items in lists), default=0)
    return [items[turn] for turn in range(longest) for items in lists if turn < len(items)]


def short_answers(grammar: Grammar) -> list[Phrase]:
    """What people say without a sentence around it: a number, a day, a month, a time; each several times, as distinct
    phrases, so that several voices say it. Only for training."""
    classes = grammar.classes
    listed = [*classes["weekday"], *classes["month"], *classes["when"], *classes["past"]]
    values = [*map(number_value, range(101)), *listed] * ANSWER_VOICES + [*classes["time"], *classes["date"]]
    phrases = []
    for number, value in enumerate(values):
        plain = {language: value[language][""] for language in grammar.languages}
        text = {language: f"{words[0].upper()}{words[1:]}." for language, words in plain.items()}
        phrases.append(Phrase(f"answer-{number}", "answer", text))
    return phrases


def write_phrases(path: Path, phrases: Iterable[Phrase]) -> None:
    lines = (json.dumps(asdict(phrase), ensure_ascii=False) for phrase in phrases)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def print_table(grammar: Grammar, corpus: Corpus) -> None:
    print(f"templates {len(grammar.templates)}, sentences possible {sum(t.size for t in grammar.templates)}")
    for name, phrases in (("train", corpus.train), ("seen", corpus.seen), ("unseen", corpus.unseen)):
        for language in grammar.languages:
            words = [words_of(phrase.text[language]) for phrase in phrases]
            distinct = len({word for sentence in words for word in sentence})
            mean = sum(map(len, words)) / len(words)
            longest = max(map(len, words))
            print(
                f"{name:7s} {language}  sentences {len(phrases):6d}  distinct words {distinct:5d}  "
                f"words: mean {mean:.1f}, most {longest}"
            )
    parts = (corpus.train, corpus.seen, corpus.unseen)
    by_set = [Counter(phrase.domain for phrase in part) for part in parts]
    print(f"{'domain':16s} {'train':>6s} {'seen':>5s} {'unseen':>6s}")
    for domain in sorted(by_set[0]):
        print(f"{domain:16s} {by_set[0][domain]:6d} {by_set[1][domain]:5d} {by_set[2][domain]:6d}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the phrasebook corpus.")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--train", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    grammar = load_grammar()
    corpus = build_corpus(grammar, options.train, options.seed)
    folder = options.work.expanduser() / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    write_phrases(folder / "train.jsonl", corpus.train)
    write_phrases(folder / "answers.jsonl", short_answers(grammar))
    write_phrases(folder / "seen.jsonl", corpus.seen)
    write_phrases(folder / "unseen.jsonl", corpus.unseen)
    print_table(grammar, corpus)


if __name__ == "__main__":
    main()
