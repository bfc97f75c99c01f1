"""What a training step sees of sets of very different size in four languages."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from tools.phrasebook import batches, recipe
from tools.phrasebook.batches import Batches, Example
from tools.phrasebook.recipe import CONFIG, LANGUAGES, Text, train_tokenizer
from tools.phrasebook.shards import Clip

SAYING = {"eng": "Good day.", "spa": "Buenos días.", "fra": "Bonjour, ça va?", "deu": "Schönen Tag, Größe."}
SIZES = {"eng": 4000, "spa": 3000, "fra": 300, "deu": 100}


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Text:
    monkeypatch.setattr(recipe, "NUM_PIECES", 60)
    train_tokenizer(list(SAYING.values()) * 20, tmp_path / "some.model")
    return Text(tmp_path / "some.model")


@pytest.fixture
def some(text: Text, monkeypatch: pytest.MonkeyPatch) -> Batches:
    frames = np.random.default_rng(0).normal(size=(80, 80)).astype(np.float16)
    monkeypatch.setattr(batches, "raw_frames", lambda *_: frames)
    clip = Clip("k", "v", 0, 12_960)
    examples = [Example("", clip, code, SAYING, 80) for code, size in SIZES.items() for _ in range(size)]
    monkeypatch.setattr(batches, "HANDFUL", 60)
    return Batches(examples, [{"text": SAYING}], text, seed=1)


def language_of(token: int, text: Text) -> str:
    return next(code for code in LANGUAGES if text.language_id(code) == token)


def test_every_language_is_heard_as_often_and_translated_into_every_other(some: Batches) -> None:
    pairs: Counter[tuple[str, str]] = Counter()
    for _ in range(60):
        batch = some.speech(800, translate=0.5, plain=True)
        spoken, written = batch.languages.tolist(), batch.targets[:, 1].tolist()
        pairs.update(
            (language_of(a, some.text), language_of(b, some.text))
            for a, b in zip(spoken, written, strict=True)
        )
    heard = {code: sum(n for (a, _), n in pairs.items() if a == code) / pairs.total() for code in LANGUAGES}
    assert all(0.15 < share < 0.35 for share in heard.values())
    assert len(pairs) == len(LANGUAGES) ** 2
    same = sum(n for (a, b), n in pairs.items() if a == b)
    assert 0.4 < same / pairs.total() < 0.6


def test_a_clip_is_written_in_as_many_languages_as_asked(some: Batches) -> None:
    some.num_targets = 3
    batch = some.speech(800, translate=0.5, plain=True)
    assert batch.targets.shape[0] == 3 * len(batch.languages)
    written = batch.targets[:, 1].view(3, -1).T.tolist()  # of each clip
    assert all(len(set(tokens)) == 3 for tokens in written)
    spoken = batch.languages.tolist()
    assert all(own in tokens[:2] for own, tokens in zip(spoken, written, strict=True))
    assert len({tokens[0] == own for own, tokens in zip(spoken, written, strict=True)}) == 2


def test_the_longest_are_heard_too(some: Batches) -> None:
    some.speech(800, 0.0, plain=True)
    rows = 10  # of 80 frames in a batch of 800
    assert sum(map(len, some.pool)) + rows == min(batches.HANDFUL, len(some.examples))


def test_favoured_languages_are_heard_twice_as_often(some: Batches) -> None:
    some.favoured = frozenset({"fra", "deu"})
    tokens = [token for _ in range(150) for token in some.speech(800, 0.0, plain=True).languages.tolist()]
    heard = Counter(language_of(token, some.text) for token in tokens)
    assert 1.6 < (heard["fra"] + heard["deu"]) / (heard["eng"] + heard["spa"]) < 2.4


def test_text_goes_in_all_twelve_directions_with_its_like(some: Batches) -> None:
    found = [some.texts(50) for _ in range(16)]
    for batch in found:
        assert (batch.sources[:, 0] == batch.languages).all()
        assert (batch.targets[:, 1] != batch.languages).all()
    columns = [zip(batch.languages.tolist(), batch.targets[:, 1].tolist(), strict=True) for batch in found]
    assert len({pair for column in columns for pair in column}) == 12
    longest = [max(batch.sources.shape[1], batch.targets.shape[1]) for batch in found]
    assert min(longest) < max(longest)  # the long ones are together, and at any time
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_letters_of_all_four_alphabets_are_spelled(text: Text) -> None:
    spelled = "".join(text.letters[i - 1] for i in text.ctc("Schöne Größe, ça va? Días"))
    assert spelled == "schöne▁größe▁ça▁va▁días"


def test_of_noise_and_music_nothing_is_written_and_no_language_known(some: Batches) -> None:
    some.num_targets, some.no_speech = 2, 0.5
    batch = some.speech(800, translate=0.5)
    is_speech = batch.languages != CONFIG.pad_token_id
    assert 0 < is_speech.sum() < len(is_speech)
    assert torch.equal(is_speech, batch.letter_lengths > 0)
    lengths = (batch.targets != CONFIG.pad_token_id).sum(1)  # prompt and end are always there
    assert torch.equal(lengths > NUM_PROMPT_TOKENS + 1, is_speech.repeat(2))
    assert bool(batch.features.isfinite().all())
    some.no_speech = 1.0
    assert bool((some.speech(800, 0.0, plain=True).languages != CONFIG.pad_token_id).all())
