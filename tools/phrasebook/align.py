"""Durations of characters: text, spelled as the T2U spells it, against the units of its speech.

A left-to-right hidden Markov model with one state per character, which lasts at least one unit; emissions are
tables over coarse units given a character and its neighbours, trained by Viterbi. Knows text and unit
numbers, no audio.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.files import save_arrays
from tools.phrasebook.recipe import LANGUAGES, read_phrases
from tools.phrasebook.train_vocoder import encode_set
from tools.phrasebook.units import k_means, load_units, nearest, units_path

Ints = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

SPACE: Final = "▁"
EDGE: Final = "\0"  # stands for what is before the first and after the last character
NUM_COARSE: Final = 96
ITERATIONS: Final = 8
FIT_CLIPS: Final = 2500
_BATCH: Final = 128
_MONO_WEIGHT: Final = 0.3
_KEEP: Final = 30.0  # pseudo-counts that draw a pair's table to its character's
_IMPOSSIBLE: Final = -1e9


def spelled(text: str) -> str:
    """The characters of all pieces in a row: spaces are characters, one leads."""
    return SPACE + text.replace(" ", SPACE)


@dataclass(frozen=True)
class Item:
    """One sentence: its characters, the table rows of each and its coarse units."""

    text: str
    rows: Ints  # [3, S]: character, (left, character), (character, right)
    units: Ints  # [T]


class Tables:
    """Numbers for characters and neighbour pairs, and log probabilities of coarse units for each."""

    def __init__(self, num_coarse: int) -> None:
        self.numbers: dict[str, int] = {}
        self.owners: list[int] = []  # the character whose table a pair's table is drawn to
        self.num_coarse = num_coarse
        self.log_probs: Float32 = np.zeros((0, num_coarse), np.float32)

    def _number(self, name: str, owner: str) -> int:
        if name not in self.numbers:
            self.numbers[name] = len(self.numbers)
            self.owners.append(self.numbers[owner])
        return self.numbers[name]

    def rows(self, text: str) -> Ints:
        """Numbers of the three tables of every character, [3, S]; unseen ones are added."""
        padded = EDGE + text + EDGE
        result = np.zeros((3, len(text)), np.int64)
        for i, char in enumerate(text):
            result[0, i] = self._number(char, char)
            result[1, i] = self._number(f"{padded[i]}<{char}", char)
            result[2, i] = self._number(f"{char}>{padded[i + 2]}", char)
        return result

    def count(self, items: Sequence[Item], durations: Sequence[Ints]) -> None:
        """New probabilities from aligned sentences."""
        counts = np.full((len(self.numbers), self.num_coarse), 0.0)
        for item, lengths in zip(items, durations, strict=True):
            for rows in item.rows:
                np.add.at(counts, (np.repeat(rows, lengths), item.units), 1.0)
        owners = np.array(self.owners)
        mono = counts[owners] + 0.5
        mono /= mono.sum(1, keepdims=True)
        probs = (counts + _KEEP * mono) / (counts.sum(1, keepdims=True) + _KEEP)
        self.log_probs = np.log(probs).astype(np.float32)

    def emissions(self, item: Item) -> Float32:
        """Log probability of every unit in every state, [T, S]."""
        mono, left, right = (self.log_probs[rows][:, item.units] for rows in item.rows)  # [S, T]
        both = (1 - _MONO_WEIGHT) / 2
        mixed: Float32 = (_MONO_WEIGHT * mono + both * left + both * right).T
        return mixed


def viterbi(emissions: Sequence[Float32]) -> list[Ints]:
    """Best durations of every state of several sentences at once; each [T, S] needs T >= S."""
    num_units = np.array([e.shape[0] for e in emissions])
    num_states = np.array([e.shape[1] for e in emissions])
    rows = np.arange(len(emissions))
    padded = np.full((len(emissions), num_units.max(), num_states.max()), _IMPOSSIBLE, np.float32)
    for row, e in enumerate(emissions):
        padded[row, : e.shape[0], : e.shape[1]] = e
    entered = np.zeros(padded.shape, bool)  # the best way to be here came from the state before
    score = np.full((len(emissions), num_states.max()), _IMPOSSIBLE, np.float32)
    score[:, 0] = padded[:, 0, 0]
    for t in range(1, padded.shape[1]):
        moved = np.roll(score, 1, axis=1)
        moved[:, 0] = _IMPOSSIBLE
        entered[:, t] = moved > score
        score = np.maximum(np.maximum(moved, score) + padded[:, t], _IMPOSSIBLE)
    durations = np.zeros((len(emissions), num_states.max()), np.int64)
    state = num_states - 1
    for t in range(padded.shape[1] - 1, -1, -1):
        active = t < num_units
        durations[rows[active], state[active]] += 1
        state = np.where(active & entered[rows, t, state], state - 1, state)
    return [d[:n] for d, n in zip(durations, num_states, strict=True)]


def evenly(num_units: int, num_states: int) -> Ints:
    """The first guess: the same duration for all."""
    edges = np.arange(num_states + 1) * num_units // num_states
    return np.diff(edges)


class Aligner:
    """Tables of one language, fitted to its sentences."""

    def __init__(self, coarse: Ints, first: int = 0) -> None:
        self.coarse = coarse  # [units]: coarse class of every unit of the language
        self.first = first  # its first unit
        self.tables = Tables(int(coarse.max()) + 1)

    def item(self, text: str, units: Ints) -> Item:
        """Text as spelled and fine units."""
        return Item(text, self.tables.rows(text), self.coarse[units - self.first])

    def align(self, items: Sequence[Item]) -> list[Ints]:
        """Durations of each; sentences of like length are done together."""
        order = sorted(range(len(items)), key=lambda i: len(items[i].units))
        result: list[Ints] = [np.zeros(0, np.int64)] * len(items)
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            found = viterbi([self.tables.emissions(items[i]) for i in batch])
            for i, durations in zip(batch, found, strict=True):
                result[i] = durations
        return result

    def fit(self, items: Sequence[Item], iterations: int = ITERATIONS) -> None:
        """From even durations, several times: count, align."""
        durations: list[Ints] = [evenly(len(item.units), len(item.text)) for item in items]
        for _ in range(iterations):
            self.tables.count(items, durations)
            durations = self.align(items)
        self.tables.count(items, durations)


def coarse_classes(centroids: Float32, count: int = NUM_COARSE) -> Ints:
    """Neighbouring units share a class; pitch, the last columns, is left out."""
    spectra = torch.from_numpy(np.concatenate([centroids[:, :-2], centroids[:, -1:]], axis=1))
    classes: Ints = nearest(spectra, k_means(spectra, count, 30, seed=1)).numpy()
    return classes


def align_set(
    work: Path, name: str, language: str, limit: int | None, texts: dict[str, str]
) -> dict[str, Any]:
    """Aligns one set of one language and keeps it in W/align/<set>/<lang>.npz."""
    model = load_units(units_path(work, language))
    clips = encode_set(work, name, language, limit)
    aligner = Aligner(coarse_classes(model.centroids), model.first)
    pairs = {
        i: (spelled(texts[clips.speech.keys[i]]), clips.units[i].astype(np.int64))
        for i in clips.speech.saying(texts)
        if i < len(clips.units)
    }
    usable = [i for i, (text, units) in pairs.items() if len(units) >= len(text)]
    items = [aligner.item(*pairs[i]) for i in usable]
    aligner.fit(items[:FIT_CLIPS])
    aligner.tables.count(items[:FIT_CLIPS], aligner.align(items[:FIT_CLIPS]))
    durations = aligner.align(items)
    path = work / "align" / name / f"{language}.npz"
    flat = np.concatenate(durations).astype(np.int16)
    save_arrays(path, clips=np.array(usable), counts=np.array([len(d) for d in durations]), durations=flat)
    return {"texts": [item.text for item in items], "durations": durations}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--set", default="target")
    parser.add_argument("--clips", type=int)
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument("--show", type=int, default=3, help="sentences to print with their milliseconds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    phrases = [
        p for name in ("train", "seen", "unseen") for p in read_phrases(args.work / f"corpus/{name}.jsonl")
    ]
    for language in args.languages:
        started = time.monotonic()
        texts = {p["key"]: p["text"][language] for p in phrases}
        found = align_set(args.work, args.set, language, args.clips, texts)
        print(f"{language}: {len(found['texts'])} sentences, {time.monotonic() - started:.0f} s")
        for text, durations in list(zip(found["texts"], found["durations"], strict=True))[: args.show]:
            print(" ".join(f"{char}{20 * count}" for char, count in zip(text, durations, strict=True)))


if __name__ == "__main__":
    main()
