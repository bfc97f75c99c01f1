"""What README promises is run: its Python example, its commands' names and options, and the demo."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_commands_of_the_readme_work(arguments: list[str], tmp_path: Path) -> None:
    """With the bundled model, and a shipped recording under the name that README uses.

    Those that need a sound card or a server are only understood here; tests/desk and tests/client run such ones.
    """
    if (NEEDS_SOUND_CARD | NEEDS_SERVER) & set(arguments):
        assert parse(arguments).command == arguments[0]
        return
    sample = ROOT / "seamless_stream" / "checkpoints" / "samples" / "english.flac"
    import soundfile

    samples, rate = soundfile.read(sample)
    for name in ("talk.wav", "talk.mp3"):
        soundfile.write(tmp_path / name, samples, rate)
    for folder in ("out",):
        (tmp_path / folder).mkdir()
    if arguments[0] in ("translate", "live"):
        arguments = [*arguments, "--model", "phrasebook"]
    if arguments[0] == "live":
        arguments = [*arguments, "--pace", "fast"]
    done = run([sys.executable, "-m", "seamless_stream", *arguments], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_demo_makes_speech_and_subtitles(tmp_path: Path) -> None:
    done = run(
        [sys.executable, str(ROOT / "tools" / "demo.py"), "--pace", "fast", "--output", str(tmp_path)], ROOT
    )
    assert done.returncode == 0, done.stderr
    for name in ("english-to-spanish", "spanish-to-english"):
        assert (tmp_path / f"{name}.wav").stat().st_size > 16_000 * 2
        assert "-->" in (tmp_path / f"{name}.srt").read_text(encoding="utf-8")
    assert "models pull v2-large" in done.stdout


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
