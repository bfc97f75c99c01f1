"""Speech2Text's tokenizer: sentencepiece cuts, `vocab.json` numbers, `<lang:xx>` tokens name the target language.

Knows no prompt. Equal to transformers' Speech2TextTokenizer in ids and in decoded text without special tokens.
"""

import re
from pathlib import Path
from typing import NoReturn

import sentencepiece

from seamless_stream.errors import CheckpointError, SettingsError
from seamless_stream.models.tensors import read_ids

SPECIAL_PIECES = ("<s>", "<pad>", "</s>", "<unk>")
_LANGUAGE = re.compile(r"<lang:(.+)>")


class SpeechToTextTokenizer:
    """`base.TextTokenizer`; there is no text input, so `encode_source` refuses."""

    def __init__(self, vocabulary_file: Path, model_file: Path, *, is_upper_case: bool = False) -> None:
        """`is_upper_case`: decoded text is put into capitals. Raises CheckpointError."""
        self._ids = read_ids(vocabulary_file)
        self._pieces = {number: piece for piece, number in self._ids.items()}
        self._model = sentencepiece.SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(model_file.read_bytes())
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"`{model_file}` must be a sentencepiece model, but is not: {error}."
            ) from error
        absent = [piece for piece in SPECIAL_PIECES if piece not in self._ids]
        if absent:
            raise CheckpointError(f"`{vocabulary_file}` must number {', '.join(absent)}, but does not.")
        self.is_upper_case = is_upper_case
        found = ((_LANGUAGE.fullmatch(piece), number) for piece, number in self._ids.items())
        self.language_ids = {match[1]: number for match, number in found if match}  # by tag: `de`
        self._silent = {
            *(self._ids[piece] for piece in SPECIAL_PIECES),
            *self.language_ids.values(),
        }

    def __len__(self) -> int:
        return max(self._pieces) + 1

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone, without language and end."""
        unknown = self._ids["<unk>"]
        return [self._ids.get(piece, unknown) for piece in self._model.encode(text, out_type=str)]

    def encode_source(self, text: str, language: str) -> NoReturn:
        """Always raises SettingsError."""
        raise SettingsError("`task` must be asr or s2tt for speech_to_text, which reads no text.")

    def decode(self, token_ids: list[int]) -> str:
        """Text without special tokens; an id without a meaning says nothing."""
        pieces = [
            self._pieces[number]
            for number in token_ids
            if number not in self._silent and number in self._pieces
        ]
        text = str(self._model.decode_pieces(pieces)).strip()
        return text.upper() if self.is_upper_case else text

    def pieces(self, token_ids: list[int]) -> list[str]:
        """The piece of each id; empty for an id without a meaning."""
        return [self._pieces.get(number, "") for number in token_ids]
