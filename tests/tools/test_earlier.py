"""Training that begins from the bundled checkpoint: what that knew is all there, in wider tables."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from seamless_stream.models.checkpoint import PHRASEBOOK_DIRECTORY
from tools.phrasebook.earlier import Earlier
from tools.phrasebook.recipe import LANGUAGES, NUM_PIECES, OFFSET, Text
from tools.phrasebook.train import make_tokenizer
from tools.phrasebook.train_t2u import FREE_UNITS, Wanted, character_table
from tools.phrasebook.train_t2u import Trainer as UnitTrainer
from tools.phrasebook.train_vocoder import Trainer as VocoderTrainer
from tools.phrasebook.trainer import Trainer
from tools.phrasebook.units import NUM_UNITS

WORDS = {
    "eng": "good morning",
    "spa": "buenos días",
    "fra": "bonjour à tous, où êtes-vous",
    "deu": "schönen guten Morgen",
}


@pytest.fixture(scope="module")
def earlier() -> Earlier:
    return Earlier(PHRASEBOOK_DIRECTORY)


@pytest.fixture
def text(earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Text:
    """The tokenizer, with a few more pieces where the bundled one lacks languages."""
    known = len(earlier.text.pieces)
    monkeypatch.setattr("tools.phrasebook.train.NUM_PIECES", max(known, min(NUM_PIECES, known + 12)))
    path = tmp_path / "sentencepiece.bpe.model"
    make_tokenizer(path, [{"text": WORDS}], earlier)
    return Text(path)


def test_the_main_network_keeps_every_known_piece(earlier: Earlier, text: Text) -> None:
    torch.manual_seed(1)
    trainer = Trainer(text, torch.device("cpu"))
    fresh = trainer.network.state_dict()["tokens.weight"].clone()
    trainer.start_from(earlier)
    state, old = trainer.network.state_dict(), earlier.main()
    known = OFFSET + len(earlier.text.pieces)
    assert torch.equal(state["tokens.weight"][:known], old["tokens.weight"][:known])
    for code in LANGUAGES:
        row = state["tokens.weight"][text.language_id(code)]
        if code in earlier.languages:
            assert torch.equal(row, old["tokens.weight"][earlier.text.language_id(code)])
        else:
            assert torch.equal(row, fresh[text.language_id(code)])
    for name in old.keys() - {"tokens.weight"}:  # a feed-forward may be wider now
        kept = tuple(slice(size) for size in old[name].shape)
        assert torch.equal(state[name][kept], old[name])
    assert all(torch.equal(value, state[name]) for name, value in trainer.average.items())
    assert earlier.runs and set(earlier.languages) == set(earlier.runs[-1]["languages"])


def test_units_and_voices_keep_their_rows(earlier: Earlier, text: Text, tmp_path: Path) -> None:
    nothing = Wanted(torch.zeros(0, 8), torch.zeros(0, 8))
    units = UnitTrainer(tmp_path / "t2u", nothing, "main")
    characters = character_table(text)
    units.start_from(earlier, characters)
    old = earlier.part("t2u")
    count = len(old["head.weight"]) - FREE_UNITS
    assert torch.equal(units.model.head.weight[:count], old["head.weight"][:count])
    row = units.model.characters.weight[characters["▁"]]
    assert torch.equal(row, old["characters.weight"][earlier.characters["▁"]])

    speech = VocoderTrainer(tmp_path, torch.device("cpu"), torch.ones(NUM_UNITS, 3))
    speech.start_from(earlier)
    state, old = speech.vocoder.state_dict(), earlier.part("vocoder")
    assert torch.equal(state["units.weight"][: len(old["units.weight"])], old["units.weight"])
    speech.save()
    saved = load_file(tmp_path / "vocoder" / "vocoder.safetensors")
    assert torch.equal(saved["units.weight"], state["units.weight"])  # nothing is added to them
    others = [name for name in old if name.startswith("generator.")]
    assert others and all(torch.equal(state[name], old[name]) for name in others)
