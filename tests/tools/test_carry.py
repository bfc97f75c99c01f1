"""Rows of tables that go from one tokenizer, alphabet or set of units to another."""

from pathlib import Path

import pytest
import torch

from seamless_stream.nn.conformer import FeedForward
from tools.phrasebook import recipe
from tools.phrasebook.carry import (
    carry,
    carry_all,
    character_rows,
    first_rows,
    plain,
    sub_pieces,
    token_rows,
    widened,
)
from tools.phrasebook.recipe import LANGUAGES, OFFSET, Text, train_tokenizer

OLD_TEXTS = ["the station is near the church", "la estación está cerca", "where is the station, please?"]
NEW_TEXTS = [*OLD_TEXTS, "où est la gare, s'il vous plaît?", "die Straße ist schön", "la gare est là"]


def tokenizer(folder: Path, texts: list[str], num_pieces: int, monkeypatch: pytest.MonkeyPatch) -> Text:
    monkeypatch.setattr(recipe, "NUM_PIECES", num_pieces)
    path = folder / f"{num_pieces}.model"
    train_tokenizer(texts * 20, path)
    return Text(path)


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Text, Text]:
    return tokenizer(tmp_path, OLD_TEXTS, 50, monkeypatch), tokenizer(tmp_path, NEW_TEXTS, 70, monkeypatch)


def test_a_known_piece_keeps_its_row_and_a_new_one_is_the_mean_of_its_parts(texts: tuple[Text, Text]) -> None:
    old, new = texts
    rows = token_rows(old, new, ("eng", "spa"))
    assert len(rows) == OFFSET + 70 + len(LANGUAGES)
    assert rows[:4] == [[0], [1], [2], [3]]
    known = {old.pieces.id_to_piece(i) for i in range(3, 50)}
    table = torch.randn(OFFSET + 50 + len(LANGUAGES), 6)
    fresh = torch.randn(len(rows), 6)
    carried = carry(table, fresh, rows)
    num_same = num_split = num_fresh = 0
    for i in range(3, 70):
        piece = new.pieces.id_to_piece(i)
        if piece in known:
            num_same += 1
            assert torch.equal(carried[i + OFFSET], table[old.pieces.piece_to_id(piece) + OFFSET])
        elif len(rows[i + OFFSET]) > 1:
            num_split += 1
            parts = [old.pieces.id_to_piece(row - OFFSET) for row in rows[i + OFFSET]]
            kept = (c if c in known else plain(c) for c in piece)
            assert "".join(parts) == "".join(c for c in kept if c in known)
            assert torch.allclose(carried[i + OFFSET], table[rows[i + OFFSET]].mean(0))
        else:
            num_fresh += 1
            assert torch.equal(carried[i + OFFSET], fresh[i + OFFSET])
    assert num_same > 20 and num_split > 3 and num_fresh > 0


def test_a_language_keeps_its_token_wherever_it_moves(texts: tuple[Text, Text]) -> None:
    old, new = texts
    rows = token_rows(old, new, ("eng", "spa"))
    assert [rows[new.language_id(code)] for code in LANGUAGES] == [
        [old.language_id("eng")],
        [old.language_id("spa")],
        [],
        [],
    ]


def test_sub_pieces_take_the_longest_and_pass_over_accents() -> None:
    assert sub_pieces("▁station", {"▁", "▁st", "a", "ation", "t", "i", "o", "n"}) == ["▁st", "ation"]
    assert sub_pieces("là", {"l", "a"}) == ["l", "a"]
    assert sub_pieces("ß", {"s"}) == []


def test_characters_and_units() -> None:
    assert character_rows({"<pad>": 0, "a": 1, "b": 2}, {"<pad>": 0, "b": 1, "ä": 2, "ß": 3}, 6) == [
        [0], [2], [1], [], [], [],
    ]  # fmt: skip
    units = carry(torch.ones(3, 2), torch.zeros(5, 2), first_rows(2, 5))
    assert units.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0]]


def test_a_wider_feed_forward_says_what_the_narrow_one_said_and_can_learn_more() -> None:
    torch.manual_seed(3)
    narrow = torch.nn.ModuleDict({"ffn": FeedForward(4, 6, "relu")})
    wide = torch.nn.ModuleDict({"ffn": FeedForward(4, 16, "relu")})
    old = {f"layer.{name}": value for name, value in narrow.state_dict().items()}
    fresh = {f"layer.{name}": value for name, value in wide.state_dict().items()}
    carried = carry_all(widened(old, fresh), fresh, {})
    wide.load_state_dict({name.removeprefix("layer."): value for name, value in carried.items()})
    x = torch.randn(2, 50, 4)
    assert torch.allclose(wide["ffn"](x), narrow["ffn"](x), atol=1e-6)
    wide["ffn"](x).square().sum().backward()
    assert wide["ffn"].outer.weight.grad[:, 6:].abs().max(0).values.gt(0).any()


def test_everything_else_is_kept_and_must_fit() -> None:
    old = {"table": torch.ones(2, 3), "weight": torch.full((2, 2), 7.0)}
    fresh = {"table": torch.zeros(4, 3), "weight": torch.zeros(2, 2)}
    carried = carry_all(old, fresh, {"table": first_rows(2, 4)})
    assert carried["table"].sum() == 6 and torch.equal(carried["weight"], old["weight"])
    with pytest.raises(ValueError, match="must have the same parameters, but differs in weight"):
        carry_all(old, fresh | {"weight": torch.zeros(3, 2)}, {"table": first_rows(2, 4)})
