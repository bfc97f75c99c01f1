"""The phrasebook checkpoint as data: its architecture, its tokenizer and its tables of languages and characters.

Shared by training and export; knows nothing of audio, of loops or of optimizers.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sentencepiece

from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig

LANGUAGES = ("eng", "spa", "fra", "deu")  # in the order of their ids
NUM_PIECES = 1200  # 15 to 17 a sentence in each language, as 700 gave for the first two
OFFSET = 1  # token id = sentencepiece id + 1
BLANK = 0  # of the auxiliary character CTC

# Chosen for two CPU cores: 16 stacked frames of 20 ms a chunk (0.32 s of look-ahead at most, 0.16 s on average), eight
# chunks (2.56 s) to the left, so that a cached step costs the same after two seconds and after twelve.
CONFIG = SeamlessM4TConfig(
    vocab_size=OFFSET + NUM_PIECES + len(LANGUAGES),
    hidden_size=192,
    max_position_embeddings=1024,
    encoder_layers=2,
    encoder_ffn_dim=384,
    encoder_attention_heads=4,
    decoder_layers=3,
    decoder_ffn_dim=1024,  # the lexicon of sixteen directions; 384 were enough for four of them
    decoder_attention_heads=4,
    speech_encoder_layers=5,
    speech_encoder_attention_heads=4,
    speech_encoder_intermediate_size=384,
    conv_depthwise_kernel_size=15,
    left_max_position_embeddings=32,
    right_max_position_embeddings=8,
    speech_encoder_chunk_size=16,
    speech_encoder_left_chunk_num=8,
    t2u_max_position_embeddings=2048,
    t2u_variance_predictor_embed_dim=192,
)


def read_phrases(path: Path) -> list[dict[str, Any]]:
    """One phrase per line: key, domain, text by language."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def train_tokenizer(texts: Iterable[str], path: Path) -> None:
    """A byte-pair model with the special ids of the released one: unk 0, <s> 1, </s> 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(path.with_suffix("")),
        model_type="bpe",
        vocab_size=NUM_PIECES,
        character_coverage=1.0,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        normalization_rule_name="nfkc",
        num_threads=1,
        minloglevel=2,
    )


class Text:
    """Text to ids for training: pieces for the decoder, lower-case characters for the auxiliary CTC."""

    def __init__(self, model_path: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_path))
        alphabet = sorted({c for i in range(len(self.pieces)) for c in self.pieces.id_to_piece(i).lower()})
        self.letters = [c for c in alphabet if c.isalpha() or c in "▁'"]
        self.letter_ids = {c: i + 1 for i, c in enumerate(self.letters)}

    def language_id(self, language: str) -> int:
        """Id of a language token: behind the pieces, in the order of LANGUAGES."""
        return OFFSET + len(self.pieces) + LANGUAGES.index(language)

    def ids(self, text: str) -> list[int]:
        """Piece ids with the offset, without specials."""
        return [i + OFFSET for i in self.pieces.encode(text)]

    def source(self, text: str, language: str) -> list[int]:
        """What the text encoder reads: [lang] pieces [</s>]."""
        return [self.language_id(language), *self.ids(text), CONFIG.eos_token_id]

    def target(self, text: str, language: str) -> list[int]:
        """What the text decoder reads and, shifted, predicts: [</s>] [lang] pieces [</s>]."""
        return [
            CONFIG.decoder_start_token_id,
            self.language_id(language),
            *self.ids(text),
            CONFIG.eos_token_id,
        ]

    def ctc(self, text: str) -> list[int]:
        """Letters and word borders, 1-based; 0 is the blank."""
        return [
            self.letter_ids[c]
            for c in text.lower().replace(" ", "▁").replace("-", "▁")
            if c in self.letter_ids
        ]

    def decode(self, token_ids: Iterable[int]) -> str:
        """Text of ids; specials and languages are left out."""
        return str(self.pieces.decode([i - OFFSET for i in token_ids if 3 < i < OFFSET + len(self.pieces)]))


def with_speech(config: SeamlessM4TConfig, work: Path) -> SeamlessM4TConfig:
    """The architecture with the fields that the training of units and vocoder decided."""
    decided: dict[str, Any] = {}
    for name in ("t2u", "vocoder"):
        path = work / name / "config_fields.json"
        if path.exists():
            decided |= json.loads(path.read_text())
    fields = {
        k: tuple(tuple(x) if isinstance(x, list) else x for x in v) if isinstance(v, list) else v
        for k, v in decided.items()
    }
    return replace(config, **fields)
