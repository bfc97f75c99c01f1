"""Which words of a long translation belong to which reference segment, found from the texts alone.

Two ways that the field uses: soft alignment (LongYAAL, OmniSTEval) and least word errors (StreamLAAL, mwerSegmenter).
Both take the units of a whole recording and give a segment number per unit; neither looks at times.
"""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

# A punctuation mark and a word are never aligned with each other.
MARKS = frozenset(".!?,;:-()。！？，；：—（）ー")

Units = Sequence[str]


# --- soft alignment ---


def soft_segments(references: Sequence[Units], units: Units, *, by_character: bool) -> list[int | None]:
    """The segment of each unit by the alignment of greatest similarity; None for one that fits nowhere.

    Similarity is the overlap of two words' letters, or equality of two characters; gaps cost nothing. A unit that is
    aligned with no reference goes to the segment before it, until one of them is more like the reference after it.
    Polák et al. 2025, https://arxiv.org/abs/2509.17349, as OmniSTEval 0.1.10 does it without a Moses tokenizer.
    """
    homes = [number for number, reference in enumerate(references) for _ in reference]
    words = [_plain(unit) for reference in references for unit in reference]
    if not words or not units:
        return [None] * len(units)
    similarity = _similarity(words, [_plain(unit) for unit in units], by_character)
    segments: list[int | None] = []
    gap, leans_forward = -1, False
    for unit, (place, is_matched) in enumerate(_best_alignment(similarity)):
        if is_matched:
            segments.append(homes[place])
            continue
        if place != gap:
            gap, leans_forward = place, False
        before = similarity[place - 1, unit] if place else -np.inf
        after = similarity[place, unit] if place < len(words) else -np.inf
        leans_forward = leans_forward or bool(after > before)
        chosen = place if leans_forward else place - 1
        segments.append(homes[chosen] if chosen >= 0 else None)
    return segments


def _plain(unit: str) -> str:
    return unicodedata.normalize("NFKC", unit.lower()).lower()


def _similarity(words: Units, units: Units, by_character: bool) -> np.ndarray:
    """[R, U]: Jaccard overlap of letters or 0 and 1; -inf between a mark and what is none."""
    if by_character:
        similarity = (np.array(words)[:, None] == np.array(units)[None, :]).astype(np.float64)
    else:
        letters = {letter: i for i, letter in enumerate(sorted(set("".join([*words, *units]))))}
        left, right = _letters(words, letters), _letters(units, letters)
        shared = left @ right.T
        either = left.sum(1)[:, None] + right.sum(1)[None, :] - shared
        similarity = shared / np.maximum(either, 1)
    is_mark = [np.array([item in MARKS for item in items]) for items in (words, units)]
    return np.where(is_mark[0][:, None] != is_mark[1][None, :], -np.inf, similarity)


def _letters(words: Units, letters: dict[str, int]) -> np.ndarray:
    """[N, letters] of 0 and 1."""
    table = np.zeros((len(words), len(letters)))
    for row, word in enumerate(words):
        table[row, [letters[letter] for letter in word]] = 1
    return table


def _best_alignment(similarity: np.ndarray) -> list[tuple[int, bool]]:
    """Per unit (reference, True) where it is aligned, else (references before it, False).

    Ties prefer, from the end, an alignment over a skipped reference over a skipped unit.
    """
    num_words, num_units = similarity.shape
    scores = np.zeros((num_words + 1, num_units + 1))
    for row in range(num_words):
        best = np.maximum(scores[row, :-1] + similarity[row], scores[row, 1:])
        scores[row + 1, 1:] = np.maximum.accumulate(np.maximum(best, 0))
    places: list[tuple[int, bool]] = []
    word, unit = num_words, num_units
    while unit:
        if word:
            aligned = scores[word - 1, unit - 1] + similarity[word - 1, unit - 1]
            skipped_word, skipped_unit = scores[word - 1, unit], scores[word, unit - 1]
            if aligned >= skipped_word and aligned >= skipped_unit:
                word, unit = word - 1, unit - 1
                places.append((word, True))
                continue
            if skipped_word >= skipped_unit:
                word -= 1
                continue
        unit -= 1
        places.append((word, False))
    return places[::-1]


# --- least word errors ---


def least_error_segments(references: Sequence[Units], units: Units) -> list[int]:
    """The segment of each unit such that the word errors of all segments together are fewest.

    Matusov et al. 2005, https://aclanthology.org/2005.iwslt-1.19 (mwerSegmenter). Case does not count. Of equally
    good cuts the latest is taken.
    """
    num_units = len(units)
    scale = num_units + 1  # a cell is errors * scale + units after the segment's start: the least in one go
    after_start = num_units - np.arange(scale)
    codes: dict[str, int] = {}
    hypothesis = np.array([codes.setdefault(unit.lower(), len(codes)) for unit in units], np.int64)
    errors = np.full(scale, scale * (num_units + sum(map(len, references))), np.int64)
    errors[0] = 0
    starts: list[np.ndarray] = []
    for reference in references:
        row = _insertions(errors * scale + after_start, scale)
        for word in reference:
            replaced = row[:-1] + scale * (hypothesis != codes.get(word.lower(), -1))
            row = _insertions(np.concatenate([row[:1] + scale, np.minimum(replaced, row[1:] + scale)]), scale)
        errors = row // scale
        starts.append(num_units - row % scale)
    cuts = [num_units]
    for start in reversed(starts):
        cuts.append(int(start[cuts[-1]]))
    return [number for number, (a, b) in enumerate(pairwise(cuts[::-1])) for _ in range(b - a)]


def _insertions(row: np.ndarray, scale: int) -> np.ndarray:
    """Each cell, or a cell before it with an error for every unit between."""
    steps = np.arange(len(row)) * scale
    accumulated: np.ndarray = np.minimum.accumulate(row - steps)
    return accumulated + steps
