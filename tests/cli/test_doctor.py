"""The command doctor: what it looks at, and what it says of what is missing."""

import os
import sys
from pathlib import Path

import pytest

from seamless_stream.cli.doctor import hub
from tests.cli.calls import Call


def test_doctor_names_everything_it_looked_at(call: Call) -> None:
    status, out, _ = call("doctor")
    for what in (
        "python",
        "torch",
        "sound files",
        "media files",
        "sound card",
        "vad",
        "hub cache",
        "model auto",
    ):
        assert what in out
    assert (status == 0) == ("MISS" not in out)


def test_doctor_says_what_is_missing_and_what_mends_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("seamless_stream.models.checkpoint.PHRASEBOOK_DIRECTORY", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    status, out, _ = call("doctor")
    lines = out.splitlines()
    [media] = [number for number, line in enumerate(lines) if line.startswith("no   media files  no m4a, ")]
    assert lines[media + 1] == "     fix: pip install 'seamless-stream[media]'"
    [model] = [number for number, line in enumerate(lines) if line.startswith("MISS model auto ")]
    assert "phrasebook" in lines[model]
    assert lines[model + 1] == "     fix: seamless-stream models pull v2-large"
    assert status == 1 and lines[-1] == "1 needed things are missing."


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who may not write all")
def test_doctor_finds_a_cache_where_nobody_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    found = hub()
    assert not found.is_fine and found.fix == "export HF_HOME=/a/directory/you/can/write"


def test_doctor_finds_the_room_of_a_cache_that_is_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "cache/hub")
    found = hub()
    assert found.is_fine and found.detail.startswith(f"{tmp_path / 'cache' / 'hub'}, ")
