"""A tokenizer that learns new languages without cutting the old ones anew."""

from pathlib import Path

import pytest
import sentencepiece

from tools.phrasebook import recipe
from tools.phrasebook.recipe import train_tokenizer
from tools.phrasebook.widen import widen_tokenizer

OLD = ["the station is near the church", "la estación está cerca", "where is the station, please?"] * 5
NEW = [
    "où est la gare, s'il vous plaît?",
    "die Straße ist schön",
    "la gare est à côté de la rue",
    "Straße",
] * 5


@pytest.fixture
def widened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[sentencepiece.SentencePieceProcessor, sentencepiece.SentencePieceProcessor]:
    pytest.importorskip("google.protobuf")
    monkeypatch.setattr(recipe, "NUM_PIECES", 50)
    train_tokenizer(OLD, tmp_path / "old.model")
    widen_tokenizer(tmp_path / "old.model", tmp_path / "new.model", OLD, NEW, 90)
    old, new = (
        sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{name}.model"))
        for name in ("old", "new")
    )
    return old, new


def test_old_texts_are_cut_as_before(
    widened: tuple[sentencepiece.SentencePieceProcessor, sentencepiece.SentencePieceProcessor],
) -> None:
    old, new = widened
    assert (len(old), len(new)) == (50, 90)
    assert [new.id_to_piece(i) for i in range(50)] == [old.id_to_piece(i) for i in range(50)]
    assert [new.encode(text) for text in OLD] == [old.encode(text) for text in OLD]


def test_new_texts_are_known_and_short(
    widened: tuple[sentencepiece.SentencePieceProcessor, sentencepiece.SentencePieceProcessor],
) -> None:
    old, new = widened
    assert all(old.unk_id() in old.encode(text) for text in NEW[:2])
    assert not any(new.unk_id() in new.encode(text) for text in NEW)
    assert [new.decode(new.encode(text)) for text in NEW] == NEW
    assert new.encode("Straße", out_type=str) == ["▁Straße"]
