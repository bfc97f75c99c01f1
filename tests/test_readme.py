"""What README promises is run: its Python example, its commands' names and options, and the demo."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from seamless_stream.cli import main
from seamless_stream.cli.parser import parse

NEEDS_SOUND_CARD = {"mic", "loopback", "speaker", "devices"}
NEEDS_SERVER = {"serve", "connect", "conformance", "replay"}
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_python_example_runs(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", blocks("python")[0]], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def commands() -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [line[1:] for line in lines if line and line[0] == "seamless-stream"]


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shipped recording under the names that README uses."""
    folder = tmp_path_factory.mktemp("talks")
    samples, rate = soundfile.read(ROOT / "seamless_stream" / "checkpoints" / "samples" / "english.flac")
    for name in ("talk.wav", "talk.mp3"):
        soundfile.write(folder / name, samples, rate)
    (folder / "out").mkdir()
    return folder


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_commands_of_the_readme_work(
    arguments: list[str], talks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the bundled model.

    Those that need a sound card or a server are only understood here; tests/desk and tests/cli run such ones.
    """
    if (NEEDS_SOUND_CARD | NEEDS_SERVER) & set(arguments):
        assert parse(arguments).command == arguments[0]
        return
    if arguments[0] in ("translate", "live"):
        arguments = [*arguments, "--model", "phrasebook"]
    if arguments[0] == "live":
        arguments = [*arguments, "--pace", "fast"]
    monkeypatch.chdir(talks)
    assert main(arguments) == 0, capsys.readouterr().err


def test_the_demo_makes_speech_and_subtitles(tmp_path: Path) -> None:
    done = run(
        [sys.executable, str(ROOT / "tools" / "demo.py"), "--pace", "fast", "--output", str(tmp_path)], ROOT
    )
    assert done.returncode == 0, done.stderr
    for name in ("english-to-spanish", "spanish-to-german", "german-to-french", "french-to-english"):
        assert (tmp_path / f"{name}.wav").stat().st_size > 16_000 * 2
        assert "-->" in (tmp_path / f"{name}.srt").read_text(encoding="utf-8")
    assert "models pull v2-large" in done.stdout


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
