"""Where checkpoints come from, what is wrong with damaged ones, and the registry that loads them."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from seamless_stream.errors import CheckpointError
from seamless_stream.models import checkpoint, registry
from seamless_stream.models.checkpoint import KNOWN, CheckpointFiles, list_checkpoints, pull, resolve, verify
from seamless_stream.models.families import TASKS_OF_FAMILY
from tests.models.hub import HUB_ID, Hub, read_files, serve
from tools.make_random_checkpoint import make_checkpoint


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    make_checkpoint(path, "tiny", max_shard_bytes=1_000_000)
    return path


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may see or touch the caches of whoever runs the tests."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def hub(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on the loopback that holds the tiny checkpoint and a file that nobody needs."""
    with serve(read_files(tiny) | {"original.pt": b"x" * 1000}) as served:
        use_hub(served.url, monkeypatch)
        yield served


def use_hub(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def refuse_network(*_: object, local_files_only: bool = False, **__: object) -> str:
    if not local_files_only:
        raise AssertionError("asked for a download")
    raise huggingface_hub.errors.LocalEntryNotFoundError("not here")


# --- names


def test_directory(tiny: Path) -> None:
    files = resolve(str(tiny))
    assert (files.origin, files.directory, files.revision) == ("directory", tiny, None)
    assert files.config["model_type"] == "seamless_m4t_v2"
    assert files.generation_config["text_decoder_lang_to_code_id"]["spa"] == 306
    assert files.preprocessor_config["num_mel_bins"] == 80
    assert files.tokenizer_model.exists()
    assert str(tiny) in files.description


def test_bundled(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PHRASEBOOK_DIRECTORY", tiny)
    files = resolve("phrasebook", offline=True)
    assert (files.origin, files.directory) == ("bundled", tiny)
    assert files.description.startswith("bundled phrasebook: travel phrases only; for open speech: ")


def test_bundled_but_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PHRASEBOOK_DIRECTORY", tmp_path)
    with pytest.raises(CheckpointError, match="`phrasebook` must be in"):
        resolve("phrasebook")


def test_auto_never_downloads(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PHRASEBOOK_DIRECTORY", tiny)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse_network)
    assert resolve("auto").name == "phrasebook"


def test_auto_takes_what_the_cache_has(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PHRASEBOOK_DIRECTORY", tiny)
    repository = tmp_path / "hub" / "models--facebook--seamless-m4t-v2-large"
    snapshot = repository / "snapshots" / ("c" * 40)
    shutil.copytree(tiny, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40)
    files = resolve("auto")
    assert (files.name, files.origin, files.revision) == ("v2-large", "hub", "c" * 40)
    (snapshot / "model-00002-of-00002.safetensors").unlink()  # an interrupted download is no checkpoint
    assert resolve("auto").name == "phrasebook"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v2-larg", "must be one of auto, phrasebook, v2-large.* Did you mean `v2-large`"),
        ("", "must be one of auto"),
        ("./nowhere", "must be a directory, but there is none"),
        ("/nowhere/at/all", "must be a directory, but there is none"),
        ("~/nowhere", "must be a directory, but there is none"),
        ("a/b/c", "must be a directory, but there is none"),
    ],
)
def test_impossible_names(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse_network)
    with pytest.raises(CheckpointError, match=message):
        resolve(name)


def test_incomplete_directory(copy: Path) -> None:
    (copy / "generation_config.json").unlink()
    (copy / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match="lacks generation_config.json, model-00001-of-00002.safetensors"
    ):
        resolve(str(copy))


# --- the hub


def test_pull(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    files = resolve(HUB_ID)
    assert (files.origin, files.revision) == ("hub", hub.commit)
    assert {file.name for file in files.directory.iterdir()} == {file.name for file in tiny.iterdir()}
    assert not verify(files)
    recorded = json.loads((tmp_path / "cache" / "seamless_stream" / "revisions.json").read_text())
    assert recorded == {HUB_ID: hub.commit}


def test_what_was_pulled_needs_no_network(hub: Hub) -> None:
    pulled = resolve(HUB_ID)
    hub.requests.clear()
    assert resolve(HUB_ID).directory == resolve(HUB_ID, offline=True).directory == pulled.directory
    assert resolve(HUB_ID, revision=hub.commit).directory == pulled.directory
    assert not hub.requests


def test_only_a_pull_moves_the_revision(hub: Hub, tmp_path: Path) -> None:
    first = resolve(HUB_ID).revision
    hub.commit = "d" * 40
    (tmp_path / "hub" / "models--acme--tiny" / "refs" / "main").write_text(
        hub.commit
    )  # another program pulled
    assert resolve(HUB_ID).revision == first
    assert pull(HUB_ID).revision == hub.commit
    assert resolve(HUB_ID, offline=True).revision == hub.commit


def test_pull_goes_on_after_an_interruption(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.cut_after = 600_000
    assert not verify(pull(HUB_ID))
    assert any("safetensors bytes=" in request for request in hub.requests), "started again from zero"


def test_hub_errors(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match="`acme/none` at main cannot be pulled: the hub answered 404"):
        resolve("acme/none")
    with pytest.raises(CheckpointError, match="at v9 cannot be pulled: the hub answered 404"):
        resolve(HUB_ID, revision="v9")
    del hub.files["config.json"]
    with pytest.raises(CheckpointError, match="`acme/tiny` at main must hold config.json, but does not"):
        resolve(HUB_ID)


def test_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse_network)
    with pytest.raises(CheckpointError, match="Run `seamless-stream models pull v2-large`"):
        resolve("v2-large", offline=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="Run `seamless-stream models pull acme/tiny`"):
        resolve(HUB_ID)


def test_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub("http://127.0.0.1:1", monkeypatch)  # where nobody listens
    with pytest.raises(CheckpointError, match="cannot be pulled: the hub cannot be reached"):
        resolve(HUB_ID)


# --- listing and verifying


def test_list(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PHRASEBOOK_DIRECTORY", tiny)
    bundled, large, *others = list_checkpoints()
    assert tuple(listed.known for listed in (bundled, large, *others)) == KNOWN
    assert {listed.known.family for listed in others} == set(TASKS_OF_FAMILY) - {"seamless_m4t_v2"}
    for listed in others:
        known = listed.known
        assert set(known.tasks) <= set(TASKS_OF_FAMILY[known.family])
        assert known.hub_id and known.licence in ("MIT", "CC-BY-NC-4.0")
    assert bundled.files is not None
    assert bundled.million_parameters == pytest.approx(0.4, abs=0.2)
    assert (large.files, large.million_parameters, large.gigabytes) == (None, 2309.25, 9.24)


def test_verify_sound(tiny: Path) -> None:
    assert verify(resolve(str(tiny))) == []


def test_verify_truncated_shard(copy: Path) -> None:
    shard = copy / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1000])
    (problem,) = verify(resolve(str(copy)))
    assert "model-00002-of-00002.safetensors` must have" in problem


def test_verify_lists_everything(copy: Path) -> None:
    files = resolve(str(copy))
    (copy / "model-00001-of-00002.safetensors").write_bytes(b"\xff" * 100)
    (copy / "model-00002-of-00002.safetensors").unlink()
    (copy / "sentencepiece.bpe.model").unlink()
    (copy / "config.json").write_text("{]")
    problems = "\n".join(verify(files))
    assert "config.json` must be JSON" in problems
    assert "must hold `sentencepiece.bpe.model`" in problems
    assert "model-00001-of-00002.safetensors` must be a safetensors file" in problems
    assert "model-00002-of-00002.safetensors` cannot be read" in problems
    assert len(problems.splitlines()) == 4


def test_verify_checksums(copy: Path) -> None:
    (copy / "SHA256SUMS").write_text("0" * 64 + "  config.json\n" + "0" * 64 + "  gone.txt\n")
    changed, gone = verify(resolve(str(copy)))
    assert "config.json` must have SHA-256 000" in changed
    assert "must hold `gone.txt`" in gone


# --- the registry


def test_load_model(tiny: Path) -> None:
    model = registry.load_model(str(tiny), device="cpu", dtype=torch.float32, offline=True)
    assert model.capabilities.target_languages == ("cmn", "cmn_Hant", "deu", "eng", "fra", "spa", "tam")
    assert model.capabilities.speech_languages == ("cmn", "deu", "eng", "fra", "spa")
    text_only = registry.load_model(str(tiny), device="cpu", dtype=torch.bfloat16, tasks=["t2tt"])
    assert text_only.capabilities.tasks == {"t2tt"}
    assert text_only.dtype == torch.bfloat16


def test_model_type(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CheckpointError, match="must be one of seamless_m4t_v2, .* but is 'llama'"):
        registry.load_model(str(copy), device="cpu", dtype=torch.float32)


@pytest.mark.parametrize("text", ["", "[1]", '{"a":', "\x00"])
def test_damaged_config(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json` must (be JSON|hold a JSON object)"):
        registry.load_model(str(copy), device="cpu", dtype=torch.float32)


def test_weights_are_told_apart_by_more_than_their_shapes(tiny: Path, copy: Path) -> None:
    identity = resolve(str(copy)).identity
    assert identity == resolve(str(tiny)).identity and re.fullmatch("weights:[0-9a-f]{16}", identity)
    for shard in copy.glob("model*.safetensors"):
        trained = {name: tensor + 1 for name, tensor in load_file(shard).items()}
        save_file(trained, shard)
    assert resolve(str(copy)).identity != identity
    assert CheckpointFiles("x", "hub", copy, "a" * 40).identity == "a" * 40
