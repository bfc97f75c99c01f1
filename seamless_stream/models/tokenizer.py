"""SeamlessM4T's text tokenizer, on sentencepiece directly.

Knows how piece ids and language tokens are numbered, and normalizes text as transformers 5 does, so that ids
and decoded text are equal to its SeamlessM4TTokenizer. Languages are a checkpoint's own codes; it resolves no
spellings.
"""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import sentencepiece

from seamless_stream.errors import CheckpointError, LanguageError
from seamless_stream.models.languages import resolve_language

PAD_ID = 0
UNKNOWN_ID = 1
BOS_ID = 2
EOS_ID = 3
SPECIAL_PIECES = ("<pad>", "<unk>", "<s>", "</s>")
OFFSET = 1  # sentencepiece numbers unk, s and /s 0, 1 and 2; a pad comes before them
SPACE = "▁"

# A serialized NormalizerSpec as field 3 of a ModelProto: no character map, no dummy prefix, no removal of
# spaces. Protocol buffers merge what is concatenated, later values win: appended to a model it switches the
# model's own normalizer off, whatever that is. Transformers ignores that one too and has the rules of
# `normalize` instead; the two differ, for example, on zero-width characters (unknown there, spaces in the
# usual sentencepiece map).
_NO_NORMALIZER = b"\x1a\x06\x12\x00\x18\x00\x20\x00"

# What the reference strips at the end: Unicode white space that NFKC leaves alone.
_TRAILING = " \x0b\x0c\x85\u1680\u2028\u2029"


def normalize(text: str) -> str:
    """Text as the pieces spell it: NFKC, words joined by ▁, one ▁ before the first; empty for blank text."""
    text = unicodedata.normalize("NFKC", re.sub(r"[\n\r\t]", " ", text)).rstrip(_TRAILING)
    text = re.sub(f" +{SPACE}", SPACE, text)
    text = re.sub(f"^{SPACE}+$", "", text)
    text = re.sub(" {2,}", SPACE, text).replace(" ", SPACE)
    return text if not text or text.startswith(SPACE) else SPACE + text


class SentencePieceTokenizer:
    """`base.TextTokenizer`: a sentencepiece BPE model and the language tokens that follow its pieces.

    Text is always text: `</s>` or `__spa__` in it are spelled out, while transformers would take them as
    control tokens; a caption from outside must not steer the decoder.
    """

    def __init__(self, model_file: Path, language_ids: Mapping[str, int]) -> None:
        """`language_ids`: `text_decoder_lang_to_code_id` of the checkpoint; raises CheckpointError."""
        self._model = sentencepiece.SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(model_file.read_bytes() + _NO_NORMALIZER)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"`{model_file}` must be a sentencepiece model, but is not: {error}."
            ) from error
        self.num_pieces = OFFSET + self._model.get_piece_size()  # with the pad; languages come after
        self.language_ids = dict(language_ids)
        self._language_pieces = {number: f"__{code}__" for code, number in language_ids.items()}
        control = (self._model.unk_id(), self._model.bos_id(), self._model.eos_id())
        if control != (UNKNOWN_ID - OFFSET, BOS_ID - OFFSET, EOS_ID - OFFSET):
            raise CheckpointError(f"`{model_file}` must number unk, s and /s 0, 1 and 2, but has {control}.")
        inside = sorted(code for code, number in language_ids.items() if number < self.num_pieces)
        if inside:
            names = ", ".join(inside)
            raise CheckpointError(
                f"Language ids must be {self.num_pieces} or more, but are less for {names}."
            )

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone, without language and end; empty for blank text."""
        return [number + OFFSET for number in self._model.encode(normalize(text))]

    def encode_source(self, text: str, language: str) -> list[int]:
        """`[lang] pieces [</s>]`, what the text encoder reads; raises LanguageError."""
        return [self.language_id(language), *self.encode(text), EOS_ID]

    def encode_target(self, text: str, language: str) -> list[int]:
        """`[</s>] [lang] pieces [</s>]`, what the text decoder should say; raises LanguageError."""
        return [EOS_ID, *self.encode_source(text, language)]

    def language_id(self, language: str) -> int:
        """Id of a language token; raises LanguageError, which names the nearest languages."""
        if language not in self.language_ids:
            meant = resolve_language(language, self.language_ids)
            raise LanguageError(
                f"`language` must be a checkpoint's own code such as {meant}, but is {language}."
            )
        return self.language_ids[language]

    def decode(self, token_ids: list[int]) -> str:
        """Text of the pieces; special, unknown and language tokens say nothing."""
        pieces = (self._model.id_to_piece(i - OFFSET) for i in token_ids if EOS_ID < i < self.num_pieces)
        return "".join(pieces).replace(SPACE, " ").removeprefix(" ")

    def pieces(self, token_ids: list[int]) -> list[str]:
        """The piece of each id, also `</s>` and `__spa__`; empty for an id without a meaning."""
        return [self._piece(number) for number in token_ids]

    def _piece(self, number: int) -> str:
        if 0 <= number < len(SPECIAL_PIECES):
            return SPECIAL_PIECES[number]
        if 0 <= number < self.num_pieces:
            return str(self._model.id_to_piece(number - OFFSET))
        return self._language_pieces.get(number, "")
