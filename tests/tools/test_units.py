"""Units and alignment on small made-up inputs.

Needs no speech engine and no downloaded model.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import seamless_stream
from seamless_stream.models.seamless_m4t.config import SPECIAL_UNITS
from tools.phrasebook import align, units
from tools.phrasebook.recipe import LANGUAGES
from tools.phrasebook.shards import ClipSet, ClipWriter
from tools.phrasebook.train_t2u import Wanted
from tools.phrasebook.train_vocoder import (
    CROP_UNITS,
    UnitClips,
    guessed_path,
    new_vocoder,
    read_units,
    write_units,
)
from tools.phrasebook.train_vocoder import Trainer as VocoderTrainer


def tone(hertz: float, seconds: float = 0.5, harmonics: int = 12) -> np.ndarray:
    """A voice-like tone."""
    t = np.arange(int(seconds * units.SAMPLE_RATE)) / units.SAMPLE_RATE
    return sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, harmonics)).astype(np.float32) * 0.1


def noise(seconds: float = 0.5) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(int(seconds * units.SAMPLE_RATE)) * 0.1).astype(
        np.float32
    )


@pytest.mark.parametrize("hertz", [100.0, 180.0, 260.0])
def test_pitch_follows_a_tone(hertz: float) -> None:
    octaves, voiced = units.pitch(tone(hertz))
    assert voiced[3:-3].all()
    assert np.abs(octaves[3:-3] - np.log2(hertz)).max() < 0.05


def test_noise_has_no_pitch() -> None:
    assert units.pitch(noise())[1][3:-3].mean() < 0.1


def test_level_does_not_change_units() -> None:
    clips = [units.levelled(tone(h)) for h in (110, 150, 200, 240)] + [units.levelled(noise())]
    model = units.fit(clips, 12)
    speech = np.concatenate([tone(150), noise()])
    assert model.units_of(speech) == model.units_of(speech * 0.2)
    assert len(model.units_of(speech)) == len(speech) // units.UNIT_SAMPLES
    low, high = model.units_of(tone(110))[5:-5], model.units_of(tone(240))[5:-5]
    assert not set(low) & set(high)


def test_inventories_of_two_languages_do_not_meet() -> None:
    clips = [units.levelled(tone(h)) for h in (110, 170)]
    first, second = units.fit(clips, 5), units.fit(clips, 5, first=5)
    assert set(first.units_of(clips[0])) <= set(range(5))
    assert second.units_of(clips[0]) == [unit + 5 for unit in first.units_of(clips[0])]


def test_a_centroid_is_turned_back_into_what_it_sounds_like() -> None:
    clips = [units.levelled(tone(h)) for h in (110, 170)] + [units.levelled(noise())]
    model = units.fit(clips, 12)
    mels, (octaves, voiced) = units.log_mel(clips[0]), units.pitch(clips[0])
    made = replace(model, centroids=model.combined(mels, octaves, voiced)).sounds()
    assert np.abs(made[:, :-2] - mels).mean() < 0.2 * mels.std()
    np.testing.assert_allclose(made[:, -2], (octaves - model.octave) * voiced, atol=1e-5)
    np.testing.assert_allclose(made[:, -1], voiced, atol=1e-6)


def test_a_neighbour_counts_for_less_the_farther_it_is() -> None:
    centroids = torch.tensor([[0.0], [1.0], [3.0], [3.5]])
    ids, shares = units.neighbours(centroids, 3)
    assert ids.tolist() == [[0, 1, 2], [1, 0, 2], [2, 3, 1], [3, 2, 1]]
    assert torch.allclose(shares.sum(1), torch.ones(4))
    assert (shares.diff(dim=1) < 0).all()


def test_fit_is_repeatable() -> None:
    clips = [units.levelled(tone(h)) for h in (110, 170)]
    first, second = units.fit(clips, 5), units.fit(clips, 5)
    assert np.array_equal(first.centroids, second.centroids)


def test_viterbi_finds_the_best_path() -> None:
    emissions = np.full((7, 3), -5.0, np.float32)
    for t, state in enumerate([0, 0, 1, 1, 1, 1, 2]):
        emissions[t, state] = 0.0
    shorter = emissions[:5, :2].copy()
    durations = align.viterbi([emissions, shorter])
    assert durations[0].tolist() == [2, 4, 1]
    assert durations[1].tolist() == [2, 3]


def test_aligner_learns_durations_of_letters() -> None:
    rng = np.random.default_rng(1)
    true_durations = {"▁": 2, "a": 5, "b": 1, "s": 3}
    classes = {"▁": 0, "a": 1, "b": 2, "s": 3}
    aligner = align.Aligner(np.arange(4))
    items, wanted = [], []
    for _ in range(80):
        text = "▁" + "".join(rng.choice(list("abs"), 6))
        wanted.append([true_durations[c] for c in text])
        items.append(aligner.item(text, np.repeat([classes[c] for c in text], wanted[-1])))
    aligner.fit(items)
    found = aligner.align(items)
    assert all(sum(d) == len(item.units) and min(d) >= 1 for d, item in zip(found, items, strict=True))
    distinct = [
        i
        for i, item in enumerate(items)
        if all(a != b for a, b in zip(item.text, item.text[1:], strict=False))
    ]
    assert [found[i].tolist() for i in distinct] == [wanted[i] for i in distinct]


def test_vocoder_learns_from_guessed_units(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "speech") as writer:
        writer.append("a", "v", (tone(150, 1.0) * 20_000).astype(np.int16), "A.")
    path = guessed_path(tmp_path, "target", "spa")
    write_units(path, [np.full(50, 7, np.int16)])
    clips = UnitClips(ClipSet(tmp_path / "speech"), 1, [np.full(50, 3, np.int16)], read_units(path))
    rng = np.random.default_rng(0)
    crops = [clips.crop(0, 5, 20, rng) for _ in range(40)]
    assert {int(u) for said, _ in crops for u in said} == {3, 7}
    assert all(len(samples) == 20 * units.UNIT_SAMPLES for _, samples in crops)
    assert read_units(tmp_path / "none.npz") == []


def test_vocoder_embeds_a_unit_by_its_sound_and_a_row_of_its_own(tmp_path: Path) -> None:
    """And the exporter gets the sum: with it the saved vocoder says what the trainer's average says."""
    sounds = torch.randn(units.NUM_UNITS, 6, generator=torch.Generator().manual_seed(1))
    trainer = VocoderTrainer(tmp_path, torch.device("cpu"), sounds)
    said = torch.arange(2 * CROP_UNITS).view(2, -1) % 50
    speech = 0.1 * torch.randn(2, CROP_UNITS * units.UNIT_SAMPLES)
    before = trainer.lift.weight.detach().clone(), trainer.vocoder.units.weight.detach().clone()
    trainer.step((said, torch.tensor([0, 3]), speech), rate=1e-3, adversarial=False)
    assert not torch.equal(trainer.lift.weight, before[0])
    changed = (trainer.vocoder.units.weight != before[1]).any(1)
    assert changed[:50].all() and not changed[50:].any()
    trainer.save()
    saved = load_file(tmp_path / "vocoder" / "vocoder.safetensors")
    rows = trainer.average.units.weight + trainer.average_lift(sounds)
    torch.testing.assert_close(saved["units.weight"], rows.detach())
    again = VocoderTrainer(tmp_path, torch.device("cpu"), sounds)
    assert torch.equal(again.lift.weight, trainer.lift.weight) and again.num_steps == 1


def test_t2u_is_told_what_sounds_nearly_right() -> None:
    right = Wanted(torch.tensor([[4, 5], [5, 4], [6, 5]]), torch.tensor([[0.8, 0.2]] * 3))
    near, far = torch.full((2, 1, 8), -10.0)
    near[0, [4, 5]] = 0.0
    far[0, [4, 6]] = 0.0
    unit = torch.tensor([4])
    assert right.loss(near, unit) < right.loss(far, unit)
    assert right.loss(near, unit).item() == pytest.approx(math.log(2), abs=1e-3)


def test_vocoder_speaks_one_unit_for_20_ms() -> None:
    """The reference library always applies the duration predictor: it must say one for every unit."""
    vocoder = new_vocoder().eval()
    with torch.inference_mode():
        assert vocoder(torch.tensor([[1, 900, 3, 3, 17]]), 1, 0).shape == (1, 5 * units.UNIT_SAMPLES)


def test_the_bundled_checkpoint_speaks_the_units_of_its_inventories() -> None:
    """What it says is heard as the units it meant, now and then as a neighbour; by another inventory, never."""
    translator = seamless_stream.load("phrasebook")
    inventories = {code: units.load_units(units.bundled_path(code)) for code in LANGUAGES}
    for language in LANGUAGES:
        source, text = (
            ("spa", "¿Dónde está el hotel?") if language == "eng" else ("eng", "Where is the hotel?")
        )
        result = translator.translate(
            text=text, source_language=source, target_language=language, task="t2st"
        )
        said = np.array(result.unit_ids) - SPECIAL_UNITS
        heard = {code: np.array(model.units_of(result.speech)) for code, model in inventories.items()}
        assert np.mean(said == heard[language]) > 0.15
        for code in set(LANGUAGES) - {language}:
            assert np.mean(said % units.LANGUAGE_UNITS == heard[code] % units.LANGUAGE_UNITS) < 0.05
