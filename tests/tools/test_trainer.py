"""One step of training: every part learns, and from finite losses."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from tools.phrasebook import batches, recipe
from tools.phrasebook.batches import Batches, Example
from tools.phrasebook.recipe import CONFIG, NUM_PIECES, OFFSET, Text, train_tokenizer
from tools.phrasebook.shards import Clip
from tools.phrasebook.trainer import Trainer, garbled

SAYING = {"eng": "Good day.", "spa": "Buenos días.", "fra": "Bonjour, ça va?", "deu": "Schönen Tag, Größe."}
OPTIONS = {"frames": 400, "texts": 4, "translate": 0.5, "steps": 9, "warmup": 0, "plateau": 1.0, "rate": 1e-3}
WEIGHTS = {"ctc": 1.0, "guide": 1.0, "prefix": 0.5}
PARTS = ("speech_encoder.conformer", "speech_encoder.adaptor", "text_encoder", "text_decoder", "tokens")


@pytest.fixture
def some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batches:
    monkeypatch.setattr(recipe, "NUM_PIECES", 60)
    train_tokenizer(list(SAYING.values()) * 20, tmp_path / "some.model")
    frames = np.random.default_rng(0).normal(size=(100, 80)).astype(np.float16)
    monkeypatch.setattr(batches, "raw_frames", lambda *_: frames)
    examples = [Example("", Clip("k", "v", 0, 16_160), code, SAYING, 100) for code in SAYING] * 4
    return Batches(examples, [{"text": SAYING}], Text(tmp_path / "some.model"), seed=1)


def test_a_step_trains_every_part_and_no_gradient_that_is_infinite(some: Batches) -> None:
    torch.manual_seed(1)
    one, options = Trainer(some.text, torch.device("cpu")), Namespace(**OPTIONS, **WEIGHTS)

    def changed_by(step: dict[str, float]) -> set[str]:
        nonlocal before
        old, before = before, {name: value.clone() for name, value in one.network.state_dict().items()}
        assert all(map(np.isfinite, step.values()))
        return {name for name, value in old.items() if not torch.equal(value, before[name])}

    before: dict[str, torch.Tensor] = {}
    changed_by({})
    changed = changed_by(one.step(some, options))
    assert all(any(name.startswith(part) for name in changed) for part in PARTS)
    assert one.progress.step == 1
    with torch.no_grad():
        one.ctc_head.weight.fill_(float("nan"))
    assert one.step(some, options) == {} and one.progress.step == 1
    assert not changed_by({})


def test_garbled_words_leave_the_prompt_and_the_filling() -> None:
    tokens = torch.full((50, 12), OFFSET + 7)
    tokens[:, 8:] = CONFIG.pad_token_id
    assert garbled(tokens, 0.0) is tokens
    torch.manual_seed(1)
    wrong = garbled(tokens, 0.5)
    is_changed = wrong != tokens
    assert not is_changed[:, :NUM_PROMPT_TOKENS].any() and not is_changed[:, 8:].any()
    assert 0.4 < is_changed[:, NUM_PROMPT_TOKENS:8].float().mean() < 0.6
    assert OFFSET <= int(wrong[is_changed].min()) and int(wrong.max()) < OFFSET + NUM_PIECES


def test_sound_without_speech_teaches_to_end_at_once(some: Batches) -> None:
    """And costs per frame what speech costs per letter, so that its long blank does not drown the rest."""
    torch.manual_seed(1)
    one, options = Trainer(some.text, torch.device("cpu")), Namespace(**OPTIONS, **WEIGHTS)
    some.no_speech = 1.0
    first = one.step(some, options)
    assert one.progress.step == 1 and all(map(np.isfinite, first.values()))
    assert 0 < first["ctc"] < 20
    assert one.step(some, options)["speech"] < first["speech"] / 2
