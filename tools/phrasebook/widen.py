"""Widens a tokenizer by the pieces of more languages, and cuts what it knew as before.

The decoder of a trained checkpoint has learnt how its words are cut; a tokenizer trained anew on four languages cut a
sixth of them differently, and of the sentences that were transcribed exactly one in eight was left. New merges come
behind all old ones, and none is taken that would join two pieces of an old text. Knows sentencepiece's byte-pair models
and nothing of what is trained on them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

Pair = tuple[str, str]


def _pairs(words: Iterable[Sequence[str]]) -> Iterable[Pair]:
    return (pair for pieces in words for pair in zip(pieces, pieces[1:], strict=False))


def _joined(pieces: Sequence[str], pair: Pair) -> list[str]:
    """With the pair as one piece wherever it stands, from the left."""
    out: list[str] = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def new_pieces(
    cut: Any, known: set[str], old_texts: Iterable[str], texts: Iterable[str], count: int
) -> list[str]:
    """Letters of `texts` that are unknown, then the most frequent merges, `count` in all."""
    kept = set(_pairs(cut(word) for word in {w for text in old_texts for w in text.split()}))
    counts = Counter(word for text in texts for word in text.split())
    words = {word: cut(word) for word in counts}
    found = sorted({letter for pieces in words.values() for piece in pieces for letter in piece} - known)
    letters = set(found)
    words = {  # sentencepiece gives a run of unknown letters as one piece
        word: [part for piece in pieces for part in (piece if set(piece) & letters else [piece])]
        for word, pieces in words.items()
    }
    while len(found) < count:
        seen: Counter[Pair] = Counter()
        for word, pieces in words.items():
            for pair in zip(pieces, pieces[1:], strict=False):
                if pair not in kept and "".join(pair) not in known:
                    seen[pair] += counts[word]
        best = max(seen, key=lambda pair: (seen[pair], pair))
        found.append("".join(best))
        known = known | {found[-1]}
        words = {word: _joined(pieces, best) for word, pieces in words.items()}
    return found


def widen_tokenizer(
    old: Path, path: Path, old_texts: Iterable[str], texts: Iterable[str], num_pieces: int
) -> None:
    """Writes the tokenizer `old` with pieces for `texts` behind its own, `num_pieces` in all."""
    from sentencepiece import sentencepiece_model_pb2 as formats

    model: Any = formats.ModelProto()
    model.ParseFromString(old.read_bytes())
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(old))
    known = {piece.piece for piece in model.pieces}
    lowest = min(piece.score for piece in model.pieces)
    found = new_pieces(
        lambda word: pieces.encode(word, out_type=str),
        known,
        old_texts,
        texts,
        num_pieces - len(model.pieces),
    )
    for rank, piece in enumerate(found, 1):
        model.pieces.add(piece=piece, score=lowest - rank)
    model.trainer_spec.vocab_size = len(model.pieces)
    path.write_bytes(model.SerializeToString())
