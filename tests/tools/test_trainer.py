"""What a step trains: all of the main network, or what writes alone, from frames that are heard once."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.phrasebook import batches, recipe, trainer
from tools.phrasebook.batches import Batches, Example
from tools.phrasebook.recipe import CONFIG, NUM_PIECES, OFFSET, Text, train_tokenizer
from tools.phrasebook.shards import Clip
from tools.phrasebook.trainer import FIRST_PIECE, Trainer, garbled

SAYING = {"eng": "Good day.", "spa": "Buenos días.", "fra": "Bonjour, ça va?", "deu": "Schönen Tag, Größe."}
OPTIONS = {"frames": 400, "texts": 4, "translate": 0.5, "steps": 9, "warmup": 0, "plateau": 1.0, "rate": 1e-3}
WEIGHTS = {"ctc": 1.0, "guide": 1.0, "prefix": 0.5}


@pytest.fixture
def some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batches:
    monkeypatch.setattr(recipe, "NUM_PIECES", 60)
    train_tokenizer(list(SAYING.values()) * 20, tmp_path / "some.model")
    frames = np.random.default_rng(0).normal(size=(100, 80)).astype(np.float16)
    monkeypatch.setattr(batches, "raw_frames", lambda *_: frames)
    examples = [Example("", Clip("k", "v", 0, 16_160), code, SAYING, 100) for code in SAYING] * 4
    return Batches(examples, [{"text": SAYING}], Text(tmp_path / "some.model"), seed=1)


@pytest.mark.parametrize("rewrite", [0, 3])
def test_what_is_written_again_trains_no_hearing(
    rewrite: int, some: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "NUM_HEARD", 2)
    torch.manual_seed(1)
    one = Trainer(some.text, torch.device("cpu"))
    before = {name: value.clone() for name, value in one.network.state_dict().items()}
    heard: list[int] = []
    hear = one.hear
    monkeypatch.setattr(one, "hear", lambda batch: (heard.append(one.progress.step), hear(batch))[1])
    for _ in range(7):
        losses = one.step(some, Namespace(**OPTIONS, **WEIGHTS, rewrite=rewrite))
        assert all(map(np.isfinite, losses.values()))
    assert heard == ([0, 1, 3, 6] if rewrite else [*range(7)])
    after = one.network.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    hearing = {
        name for name in before if name.startswith(("speech_encoder.conformer", "speech_encoder.input"))
    }
    assert {name for name in changed if name in hearing} == (set() if rewrite else hearing)
    for part in ("speech_encoder.adaptor", "text_encoder", "text_decoder", "tokens"):
        assert any(name.startswith(part) for name in changed)


def test_garbled_words_leave_the_prompt_and_the_filling() -> None:
    tokens = torch.full((50, 12), OFFSET + 7)
    tokens[:, 8:] = CONFIG.pad_token_id
    assert garbled(tokens, 0.0) is tokens
    torch.manual_seed(1)
    wrong = garbled(tokens, 0.5)
    is_changed = wrong != tokens
    assert not is_changed[:, :FIRST_PIECE].any() and not is_changed[:, 8:].any()
    assert 0.4 < is_changed[:, FIRST_PIECE:8].float().mean() < 0.6
    assert OFFSET <= int(wrong[is_changed].min()) and int(wrong.max()) < OFFSET + NUM_PIECES
