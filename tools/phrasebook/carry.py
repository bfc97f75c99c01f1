"""Carries what was learnt into tables with other rows (a new tokenizer, more characters, more units) and into wider
feed-forward layers.

A row of the new table is the mean of the old rows that stand for the same; where there is none it stays as it was
initialised. Knows tables and their names; nothing of loops and files.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.phrasebook.recipe import LANGUAGES, OFFSET, Text

NUM_SPECIALS = 4  # <pad>, <unk>, <s>, </s>: the same ids in every tokenizer of ours

Rows = Sequence[Sequence[int]]  # of each new row, the old ones


def carry(old: Tensor, fresh: Tensor, rows: Rows) -> Tensor:
    """Table [R, ...] and a freshly initialised one [N, ...] -> [N, ...]."""
    table = fresh.clone()
    for row, sources in enumerate(rows):
        if sources:
            table[row] = old[list(sources)].mean(0).to(table.dtype)
    return table


def plain(letter: str) -> str:
    """Without its accent; "ß" and the like stay."""
    return unicodedata.normalize("NFD", letter)[0]


def sub_pieces(piece: str, known: Collection[str]) -> list[str]:
    """`piece` cut into known ones, from the left, the longest first; an unknown letter counts as its plain one, or not
    at all."""
    found, start = [], 0
    while start < len(piece):
        stops = range(len(piece), start, -1)
        longest = next((piece[start:stop] for stop in stops if piece[start:stop] in known), "")
        if not longest and plain(piece[start]) in known:
            longest = plain(piece[start])
        found += [longest] if longest else []
        start += max(1, len(longest))
    return found


def token_rows(old: Text, new: Text, languages: Collection[str]) -> list[list[int]]:
    """Old token ids of each new one; only of `languages` the old token was ever trained.

    A new piece of which one old part is left would be that part's double and take half of its probability: it starts
    afresh instead.
    """
    ids = {old.pieces.id_to_piece(i): i + OFFSET for i in range(NUM_SPECIALS - OFFSET, len(old.pieces))}
    rows = [[i] for i in range(NUM_SPECIALS)]
    for i in range(NUM_SPECIALS - OFFSET, len(new.pieces)):
        piece = new.pieces.id_to_piece(i)
        parts = sub_pieces(piece, ids)
        rows.append([ids[part] for part in parts] if parts == [piece] or len(parts) > 1 else [])
    return rows + [[old.language_id(code)] if code in languages else [] for code in LANGUAGES]


def character_rows(old: Mapping[str, int], new: Mapping[str, int], count: int) -> list[list[int]]:
    """Of a character table with `count` rows, of which the last are free."""
    rows: list[list[int]] = [[] for _ in range(count)]
    for character, row in new.items():
        source = old.get(character, old.get(plain(character)))
        rows[row] = [] if source is None else [source]
    return rows


def first_rows(num_kept: int, count: int) -> list[list[int]]:
    """The first `num_kept` rows stay what they are, what comes behind them is new."""
    return [[row] if row < num_kept else [] for row in range(count)]


def widened(old: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The old state with as many inner units in its feed-forward layers as the fresh one has.

    New units come behind the old ones, and nothing listens to them yet: the network says what it said.
    """
    state = dict(old)
    for name in old.keys() & fresh.keys():
        if fresh[name].shape <= old[name].shape:
            continue
        if name.endswith((".ffn.inner.weight", ".ffn.inner.bias")):
            state[name] = carry(old[name], fresh[name], first_rows(len(old[name]), len(fresh[name])))
        elif name.endswith(".ffn.outer.weight"):
            state[name] = F.pad(old[name], (0, fresh[name].shape[1] - old[name].shape[1]))
    return state


def carry_all(
    old: Mapping[str, Tensor], fresh: Mapping[str, Tensor], tables: Mapping[str, Rows]
) -> dict[str, Tensor]:
    """A state: named tables by their rows, all else as it was.

    Raises:
        ValueError: names or shapes differ elsewhere.
    """
    wrong = sorted(old.keys() ^ fresh.keys())
    wrong += [
        name for name in fresh if name not in tables and name in old and old[name].shape != fresh[name].shape
    ]
    if wrong:
        raise ValueError(
            f"An earlier state must have the same parameters, but differs in {', '.join(wrong[:8])}."
        )
    with torch.no_grad():
        return {
            name: carry(old[name], value, tables[name]) if name in tables else old[name].clone()
            for name, value in fresh.items()
        }
