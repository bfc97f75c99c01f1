"""What the two families that only write share: loading, languages, listening, refusals."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seamless_stream.engine.decoding import decode
from seamless_stream.errors import AudioError, CheckpointError, LanguageError, SettingsError
from seamless_stream.models import registry
from seamless_stream.models.checkpoint import resolve, verify
from seamless_stream.models.reencode import STEP_SAMPLES
from seamless_stream.settings import DecodingSettings
from tools.make_random_checkpoint import make_checkpoint

SIZES = ("tiny-speech2text", "tiny-speech2text-multilingual", "tiny-speech2text2")
TARGETS = {
    "tiny-speech2text": ("eng",),
    "tiny-speech2text-multilingual": ("por", "fra", "rus", "nld", "ron", "ita", "spa", "deu"),
    "tiny-speech2text2": ("deu",),
}


def load(directory: Path) -> Any:
    return registry.load_model(str(directory), device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module", params=SIZES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    directory = tmp_path_factory.mktemp("text_only") / "checkpoint"
    make_checkpoint(directory, request.param)
    return request.param, directory


@pytest.fixture(scope="module")
def model(made: tuple[str, Path]) -> Any:
    return load(made[1])


def sound(num_samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(num_samples).astype(np.float32) * 0.1


def test_capabilities(made: tuple[str, Path], model: Any) -> None:
    size, directory = made
    told = model.capabilities
    assert told == registry.capabilities(resolve(str(directory)))
    assert (told.source_languages, told.target_languages) == (("eng",), TARGETS[size])
    assert told.tasks == ({"asr"} if size == "tiny-speech2text" else {"s2tt"})
    assert told.speech_languages == () and told.has_alignment
    assert verify(resolve(str(directory))) == []


def test_listening_on_the_grid_is_the_offline_encoder(model: Any) -> None:
    """Two segments in one batch, cut otherwise: at each grid point what the samples up to there give alone."""
    whole = [sound(14_000, 1), sound(11_000, 2)]
    segments = [model.open_segment("reencode"), model.open_segment("reencode")]
    for end in (3_000, 9_000, 10_000, 11_000):
        taken = [segment.samples.size for segment in segments]
        new = [samples[start:end] for samples, start in zip(whole, taken, strict=True)]
        heard = segments
        segments = model.listen(segments, new, [False, False])
        point = end // STEP_SAMPLES * STEP_SAMPLES
        for before, segment, samples in zip(heard, segments, whole, strict=True):
            assert segment.heard_samples == point
            if before.heard_samples == point:
                assert segment.encoded is before.encoded
                continue
            alone = model.encode([samples[:point]])
            torch.testing.assert_close(segment.encoded.states, alone.states, rtol=0, atol=1e-5)
    segments = model.listen(segments, [whole[0][11_000:], whole[1][11_000:]], [True, True])
    for segment, samples in zip(segments, whole, strict=True):
        assert segment.heard_samples == len(samples)
        torch.testing.assert_close(segment.encoded.states, model.encode([samples]).states, rtol=0, atol=1e-5)
        assert segment.nbytes < 10_000_000


def test_finished_segments_only(model: Any) -> None:
    (segment,) = model.listen([model.open_segment(None)], [sound(12_000, 3)], [False])
    assert segment.encoded is None and segment.heard_samples == 0
    (segment,) = model.listen([segment], [sound(100, 4)], [True])
    assert segment.heard_samples == 12_100
    assert segment.encoded.states.shape[0] == 1
    with pytest.raises(AudioError, match="at least"):
        model.listen([model.open_segment("reencode")], [sound(100, 5)], [True])
    with pytest.raises(SettingsError, match="must be reencode"):
        model.open_segment("chunked")


def test_decoding_rows_of_one_batch(model: Any) -> None:
    """A row's tokens do not depend on its neighbours."""
    rows = [sound(16_000, 6), sound(8_000, 7), sound(1_000, 8)]
    prompt = model.prompt(model.capabilities.target_languages[-1])
    settings = DecodingSettings(beams=3, max_new_tokens=8)
    together = decode(model.decoder, model.encode(rows), prompt, settings)
    alone = [decode(model.decoder, model.encode([row]), prompt, settings)[0] for row in rows]
    assert [d.token_ids for d in together] == [d.token_ids for d in alone]
    assert all(isinstance(model.tokenizer.decode(d.token_ids), str) for d in together)


def test_digital_silence_is_heard(model: Any) -> None:
    assert model.encode([np.zeros(8_000, np.float32)]).states.isfinite().all()


def test_refusals_say_which_families_can(model: Any) -> None:
    with pytest.raises(SettingsError, match="families that can: seamless_m4t_v2"):
        model.encode_text([[2, 5, 2]])
    with pytest.raises(SettingsError, match="reads no text"):
        model.tokenizer.encode_source("hello", "eng")
    for ask in (lambda: model.units([[2]], [], "deu"), lambda: model.vocode([[1]], "deu", 0)):
        with pytest.raises(LanguageError, match="families that speak: seamless_m4t_v2"):
            ask()
    with pytest.raises(LanguageError, match="must be one of"):
        model.prompt("xho")


def test_pickle_instead_of_safetensors(made: tuple[str, Path], model: Any, tmp_path: Path) -> None:
    """Old and new zip formats of torch; anything but tensors is refused."""
    directory = Path(shutil.copytree(made[1], tmp_path / "checkpoint"))
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors"):
        load(directory)
    for is_zip in (True, False):
        torch.save(tensors, directory / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
        assert verify(resolve(str(directory))) == []
        again = load(directory)
        for name, value in model.network.state_dict().items():
            assert torch.equal(value, again.network.state_dict()[name])
    torch.save({"weights": Path("x")}, directory / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="tensors and nothing else"):
        load(directory)


def test_a_name_that_tells_no_languages(made: tuple[str, Path], tmp_path: Path) -> None:
    size, directory = made
    if size == "tiny-speech2text-multilingual":
        pytest.skip("its vocabulary tells")
    config = json.loads((directory / "config.json").read_text())
    nameless = Path(shutil.copytree(directory, tmp_path / "nameless"))
    (nameless / "config.json").write_text(json.dumps(config | {"_name_or_path": ""}))
    with pytest.raises(CheckpointError, match="must tell its languages"):
        load(nameless)
    named = nameless.rename(tmp_path / "my-fr-en-st")
    assert load(named).capabilities.source_languages == ("fra",)


def test_every_wrong_fact_is_told(made: tuple[str, Path], tmp_path: Path) -> None:
    directory = Path(shutil.copytree(made[1], tmp_path / "checkpoint"))
    config = json.loads((directory / "config.json").read_text())
    table = config["decoder"] if "decoder" in config else config
    table |= {"d_model": "wide", "colour": "red"}
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"`d_model` must be like 256.*`colour`|`colour`.*`d_model`"):
        load(directory)
