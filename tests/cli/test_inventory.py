"""The commands languages and models: what there is, without loading it."""

import re
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.cli.calls import Call, complaints
from tests.models.hub import HUB_ID, read_files, serve


def test_languages_and_models_are_listed_without_loading(call: Call, tiny: Path) -> None:
    status, out, _ = call("languages", "--model", tiny)
    assert status == 0 and re.search(r"spa +es +Spanish +yes +yes", out) and re.search(r"tam .* no", out)
    status, out, _ = call("languages", "--model", tiny, "span")
    assert status == 0 and "Spanish" in out and "French" not in out
    status, out, _ = call("models")
    assert status == 0 and "phrasebook" in out and "v2-large" in out
    status, out, _ = call("models", "path", tiny)
    assert status == 0 and out.strip() == str(tiny)
    assert call("models", "path")[0] == 4


def test_a_language_that_is_not_there_is_a_sentence(call: Call, tiny: Path) -> None:
    status, out, err = call("languages", "--model", tiny, "klingon")
    assert (status, out) == (5, "") and complaints(err) == [
        "seamless-stream: No language of this checkpoint has `klingon` in its code or name."
    ]


def test_a_checkpoint_is_pulled_and_then_found(
    call: Call, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert call("models", "path", HUB_ID)[0] == 6
    with serve(read_files(tiny)) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        status, out, _ = call("models", "pull", HUB_ID)
        assert status == 0 and (Path(out.strip()) / "config.json").is_file()
        status, _, err = call("models", "pull", "acme/none")
        assert status == 6 and "the hub answered 404" in complaints(err)[0]
    assert call("models", "path", HUB_ID) == (0, out, "")
