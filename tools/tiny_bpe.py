"""Byte-pair encoding in the manner of subword-nmt, learned from a few sentences: for small checkpoints of tests.

A vocabulary spells a piece that goes on with `@@`; merges spell a word's end `</w>`.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

SPECIAL_PIECES = ("<s>", "<pad>", "</s>", "<unk>")
Symbols = tuple[str, ...]


def _joined(symbols: Symbols, pair: tuple[str, str]) -> Symbols:
    result: list[str] = []
    for symbol in symbols:
        if result and (result[-1], symbol) == pair:
            result[-1] += symbol
        else:
            result.append(symbol)
    return tuple(result)


def train_bpe(sentences: Iterable[str], num_merges: int) -> tuple[dict[str, int], list[str]]:
    """vocab.json and the lines of merges.txt; ties go to the pair that sorts first."""
    counts = Counter(word for sentence in sentences for word in sentence.split())
    words: dict[Symbols, int] = {(*word[:-1], word[-1] + "</w>"): count for word, count in counts.items()}
    pieces = {symbol for symbols in words for symbol in symbols}
    merges = []
    for _ in range(num_merges):
        pairs: Counter[tuple[str, str]] = Counter()
        for symbols, count in words.items():
            for pair in pairwise(symbols):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = {_joined(symbols, best): count for symbols, count in words.items()}
        merges.append(" ".join(best))
        pieces.add("".join(best))
    spelled = (piece.removesuffix("</w>") if piece.endswith("</w>") else piece + "@@" for piece in pieces)
    return {piece: number for number, piece in enumerate([*SPECIAL_PIECES, *sorted(spelled)])}, merges
