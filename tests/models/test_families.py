"""Every family behind the same command line, engine and daemon, with tiny checkpoints of random weights.

What such a checkpoint says is noise; its parity tests say that it is the right noise. Refusals say which families can.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from websockets.asyncio.client import connect

from seamless_stream.audio.files import write_wav
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.cli import main
from seamless_stream.engine.engine import VADS
from seamless_stream.engine.policy import AlignAtt, policy_for
from seamless_stream.engine.translator import Translator
from seamless_stream.errors import CheckpointError, LanguageError, SettingsError
from seamless_stream.models.families import families_writing
from seamless_stream.models.registry import load_model
from seamless_stream.server.protocol import NATIVE
from seamless_stream.settings import PolicySettings, UnitDecodingSettings
from tests.fakes import LevelVad, speech
from tests.server.serving import running
from tools.make_random_checkpoint import make_checkpoint

TALK = np.concatenate(
    [speech(0.1, 0.3, 0.2, 0.4, 0.15, 0.3, 0.2), np.zeros(16_000, np.float32), speech(*[0.2] * 8)]
)
SPEAKING = "seamless_m4t_v2, seamless_m4t"
PATIENCE_S = 30


@dataclass(frozen=True)
class Case:
    """One checkpoint; `target` is a language that it writes."""

    size: str
    target: str
    task: str
    speaks: bool = False


CASES = (
    Case("tiny-v1", "spa", "s2st", speaks=True),
    Case("tiny-speech2text", "eng", "asr"),
    Case("tiny-speech2text-multilingual", "fra", "s2tt"),
    Case("tiny-speech2text2", "deu", "s2tt"),
)
TEXT_ONLY = CASES[1:]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    for case in CASES:
        make_checkpoint(root / case.size, case.size)
    return {case.size: root / case.size for case in CASES}


@pytest.fixture(autouse=True)
def level_vad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", LevelVad)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    write_wav(tmp_path / "talk.wav", TALK)
    return tmp_path / "talk.wav"


def load(directory: Path) -> Any:
    return load_model(str(directory), device="cpu", dtype=torch.float32)


def command(*words: object) -> int:
    return main([str(word) for word in words])


def options(directory: Path) -> list[object]:
    return ["--model", directory, "--device", "cpu", "--max-new-tokens", "6"]


# --- translate, live, daemon


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.size)
def test_translate(case: Case, checkpoints: dict[str, Path], talk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [talk, "--to", case.target, "--format", "json", "--output", out]
    assert command("translate", *options(checkpoints[case.size]), *words) == 0
    told = json.loads((out / f"talk.{case.target}.json").read_text())
    assert (told["task"], told["target_language"]) == (case.task, case.target)
    assert told["token_ids"] and told["segments"][0]["end_s"] > 1
    assert bool(told["unit_ids"]) == (out / f"talk.{case.target}.wav").exists() == case.speaks


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.size)
def test_live(case: Case, checkpoints: dict[str, Path], talk: Path, tmp_path: Path) -> None:
    """With the default policy, which needs to know where the decoder looks."""
    log, spoken = tmp_path / "log.jsonl", tmp_path / "spoken.wav"
    sinks = ["--sink", log, *(["--sink", spoken] if case.speaks else [])]
    words = ["--source", talk, "--to", case.target, "--pace", "fast", *sinks]
    assert command("live", *options(checkpoints[case.size]), *words) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    finals = [line for line in lines if line["type"] == "Final"]
    assert len(finals) == 2, lines
    assert spoken.exists() == case.speaks and (not case.speaks or spoken.stat().st_size > 1000)


async def session(directory: Path, *messages: dict[str, Any], audio: bytes = b"") -> list[Any]:
    """All that the daemon says to these messages and this audio; a session without audio ends at the first error."""
    found: list[Any] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        running(model=load(directory)) as server,
        connect(server.url, subprotocols=[NATIVE], compression=None) as socket,  # type: ignore[list-item]
    ):
        for message in messages:
            await socket.send(json.dumps(message))
        if audio:
            for start in range(0, len(audio), 8_000):
                await socket.send(audio[start : start + 8_000])
            await socket.send(json.dumps({"type": "session.close"}))
        while not found or found[-1] == b"" or found[-1]["type"] != ("session.closed" if audio else "error"):
            data = await socket.recv()
            found.append(b"" if isinstance(data, bytes) else json.loads(data))
    return found


def update(language: str, **output: Any) -> dict[str, Any]:
    audio = {"input": {"pacing": "fast"}, "output": {"language": language, **output}}
    return {"type": "session.update", "session": {"audio": audio}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.size)
def test_daemon(case: Case, checkpoints: dict[str, Path]) -> None:
    found = asyncio.run(session(checkpoints[case.size], update(case.target), audio=to_bytes(TALK)))
    finals = [item for item in found if item and item["type"] == "segment.final"]
    assert len(finals) == 2, found
    assert (b"" in found) == case.speaks


# --- refusals


@pytest.mark.parametrize("case", TEXT_ONLY, ids=lambda case: case.size)
def test_python_is_refused_with_the_families_that_can(case: Case, checkpoints: dict[str, Path]) -> None:
    translator = Translator(load(checkpoints[case.size]))
    with pytest.raises(
        SettingsError, match=rf"`task` must be one of {case.task} .* is s2st \({SPEAKING} can\)"
    ):
        translator.translate(TALK, target_language=case.target, task="s2st")
    with pytest.raises(SettingsError, match=rf"is t2tt \({SPEAKING} can\)"):
        translator.translate(text="hello", source_language="eng", target_language=case.target)
    with pytest.raises(LanguageError, match=f"Families with checkpoints that can: {SPEAKING}"):
        translator.translate(TALK, target_language="swahili")
    with pytest.raises(SettingsError, match=r"`unit_decoding` must be left out .* \(seamless_m4t can\)"):
        translator.translate(TALK, target_language=case.target, unit_decoding=UnitDecodingSettings(beams=2))


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--to", "de", "--task", "s2st", "--output", "{tmp}"], 4, f"({SPEAKING} can)"),
        (["--to", "de", "--task", "asr"], 4, "(seamless_m4t_v2, seamless_m4t, speech_to_text can)"),
        (["--to", "es"], 5, f"Families with checkpoints that can: {SPEAKING}, speech_to_text.)"),
    ],
    ids=["speech", "transcript", "language"],
)
def test_command_line_is_refused_with_the_families_that_can(
    words: list[str],
    status: int,
    sentence: str,
    checkpoints: dict[str, Path],
    talk: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    filled = [word.format(tmp=tmp_path / "out") for word in words]
    assert command("translate", *options(checkpoints["tiny-speech2text2"]), talk, *filled) == status
    assert sentence in capfd.readouterr().err


@pytest.mark.parametrize(
    ("message", "code", "sentence"),
    [
        (update("de", mode="speech"), "invalid_value", f"({SPEAKING} can)"),
        (update("sw"), "invalid_language", f"Families with checkpoints that can: {SPEAKING}"),
    ],
    ids=["speech", "language"],
)
def test_daemon_refuses_with_the_families_that_can(
    message: dict[str, Any], code: str, sentence: str, checkpoints: dict[str, Path]
) -> None:
    error = asyncio.run(session(checkpoints["tiny-speech2text2"], message))[-1]["error"]
    assert error["code"] == code and sentence in error["message"]


def test_families_writing() -> None:
    assert families_writing("es-MX") == ["seamless_m4t_v2", "seamless_m4t", "speech_to_text"]
    assert families_writing("tamil", speaks=True) == []  # it has units, but no voice
    assert families_writing("klingon") == []


# --- the list of public checkpoints


def test_models_are_listed_with_family_size_tasks_and_licence(capfd: pytest.CaptureFixture[str]) -> None:
    assert command("models") == 0
    out = " ".join(capfd.readouterr().out.split())
    for line in (
        "v1-medium not here 1209.5 M parameters 4840 MB CC-BY-NC-4.0 seamless_m4t: s2st s2tt t2st t2tt asr;",
        "s2t-small-librispeech-asr not here 29.5 M parameters MIT speech_to_text: asr;",
        "s2t-wav2vec2-large-en-de not here size unknown 1330 MB MIT speech_to_text_2: s2tt;",
    ):
        assert line in out


# --- alignment


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.size)
def test_calibrated_heads(case: Case, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """All heads of one layer, or those of the file, which must exist."""
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    for file in checkpoints[case.size].iterdir():
        (directory / file.name).symlink_to(file)
    assert load(directory).decoder.alignment_heads == tuple((0, head) for head in range(4))
    (directory / "alignment_heads.json").write_text('{"heads": [[1, 3], [0, 2]]}')
    assert load(directory).decoder.alignment_heads == ((0, 2), (1, 3))
    (directory / "alignment_heads.json").write_text('{"heads": [[2, 0]]}')
    with pytest.raises(
        CheckpointError, match=r"alignment_heads.json: the decoder has no layer and head \(2, 0\)"
    ):
        load(directory)


def test_policies_count_in_ms(checkpoints: dict[str, Path]) -> None:
    """A frame of the settings is 160 ms, whatever an encoder state is."""
    sizes = {case.size: load(checkpoints[case.size]).capabilities.state_ms for case in CASES}
    assert list(sizes.values()) == [160, 40, 40, 20]
    for state_ms, frames in ((160, 4), (40, 16), (20, 32)):
        policy = policy_for(PolicySettings("alignatt", alignatt_frames=4), state_ms)
        assert isinstance(policy, AlignAtt) and policy._num_frames == frames
