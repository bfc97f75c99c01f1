"""Speech2Text2's tokenizer: byte-pair merges within words, `vocab.json` numbers; a piece that goes on ends in `@@`.

Knows no prompt. Equal to transformers' Speech2Text2Tokenizer in ids and in decoded text without special tokens, but for
the mark of a word that is not over.
"""

from pathlib import Path
from typing import NoReturn

from seamless_stream.errors import CheckpointError, SettingsError
from seamless_stream.models.tensors import read_ids

SPECIAL_PIECES = ("<s>", "<pad>", "</s>", "<unk>")
WORD_END = "</w>"  # closes a word in merges.txt
GOES_ON = "@@"  # ends a piece in vocab.json unless it closes its word
SPACE = "▁"


def read_merges(file: Path) -> dict[tuple[str, str], int]:
    """Rank of each pair in a merges.txt; raises CheckpointError."""
    lines = file.read_text(encoding="utf-8").split("\n")[
        :-1
    ]  # as in the reference, which drops an unclosed line
    pairs = [tuple(line.split()[:2]) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise CheckpointError(f"`{file}` must hold pairs of pieces, but does not.")
    return {(pair[0], pair[1]): rank for rank, pair in enumerate(pairs)}


def merge(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Symbols of a word, `WORD_END` on the last: the pair of lowest rank is joined everywhere until none is left."""
    symbols = [*word[:-1], word[-1] + WORD_END]
    while True:
        pairs = set(zip(symbols, symbols[1:], strict=False)) & ranks.keys()
        if not pairs:
            return symbols
        best = min(pairs, key=ranks.__getitem__)
        joined: list[str] = []
        at = 0
        while at < len(symbols):
            size = 2 if tuple(symbols[at : at + 2]) == best else 1
            joined.append("".join(symbols[at : at + size]))
            at += size
        symbols = joined


class SpeechToText2Tokenizer:
    """`base.TextTokenizer`; there is no text input, so `encode_source` refuses."""

    def __init__(
        self, vocabulary_file: Path, merges_file: Path | None, *, is_lower_case: bool = False
    ) -> None:
        """Without merges it can only decode, which is all that a model needs. Raises CheckpointError."""
        self._ids = read_ids(vocabulary_file)
        self._pieces = {number: piece for piece, number in self._ids.items()}
        self._ranks = None if merges_file is None else read_merges(merges_file)
        self.is_lower_case = is_lower_case
        absent = [piece for piece in SPECIAL_PIECES if piece not in self._ids]
        if absent:
            raise CheckpointError(f"`{vocabulary_file}` must number {', '.join(absent)}, but does not.")
        self._silent = {self._ids[piece] for piece in SPECIAL_PIECES}

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone, without end; raises SettingsError where the checkpoint has no merges."""
        if self._ranks is None:
            raise SettingsError("`merges.txt` must be in the checkpoint to encode text, but is not.")
        text = text.lower() if self.is_lower_case else text
        ids = []
        for word in text.split():
            *inner, last = merge(word, self._ranks)
            pieces = [symbol + GOES_ON for symbol in inner] + [last.removesuffix(WORD_END)]
            ids += [self._ids.get(piece, self._ids["<unk>"]) for piece in pieces]
        return ids

    def encode_source(self, text: str, language: str) -> NoReturn:
        """Always raises SettingsError."""
        raise SettingsError("`task` must be asr or s2tt for speech_to_text_2, which reads no text.")

    def decode(self, token_ids: list[int]) -> str:
        """Text without special tokens; an id without a meaning says nothing."""
        pieces = (self._pieces.get(number) for number in token_ids if number not in self._silent)
        text = " ".join(piece for piece in pieces if piece is not None).replace(f"{GOES_ON} ", "")
        return text.removesuffix(GOES_ON)  # the reference leaves it where a text ends inside a word

    def pieces(self, token_ids: list[int]) -> list[str]:
        """The piece of each id as others spell it: ▁ opens a word, nothing marks that one goes on."""
        found = []
        starts_word = True
        for number in token_ids:
            piece = self._pieces.get(number, "")
            is_special = number in self._silent or not piece
            found.append(piece if is_special or not starts_word else SPACE + piece)
            starts_word = is_special or not piece.endswith(GOES_ON)
        return [piece if piece == GOES_ON else piece.removesuffix(GOES_ON) for piece in found]
