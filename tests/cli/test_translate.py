"""The command translate: texts, files, and one clear line for everything that is wrong, with its status."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from seamless_stream.audio.files import write_wav
from tests.cli.calls import RATE, Call, complaints, needs_full_disk


def test_text_of_a_recording_goes_to_stdout_and_the_model_is_named(
    call: Call, talk: Path, tiny: Path
) -> None:
    status, out, err = call("translate", talk, "--to", "es")
    assert status == 0 and out.strip()
    assert str(tiny) in err and "float32" in err


def test_json_has_everything(call: Call, talk: Path, tmp_path: Path) -> None:
    status, _, _ = call("translate", talk, "--to", "es", "--format", "json", "--output", tmp_path / "out")
    assert status == 0
    found = json.loads((tmp_path / "out" / "talk.spa.json").read_text())
    assert found["task"] == "s2st" and found["target_language"] == "spa"
    assert found["token_ids"] and found["unit_ids"] and found["text"]
    assert found["segments"][0]["end_s"] == pytest.approx(3.2)
    assert found["timings"]["audio_s"] == pytest.approx(3.2) and found["timings"]["compute_s"] > 0
    with wave.open(found["speech"]) as file:
        assert file.getframerate() == found["speech_rate"] == RATE and file.getnframes() > 0


@pytest.mark.parametrize(("kind", "pattern"), [("srt", r"1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n\n00:")])
def test_subtitles(call: Call, talk: Path, kind: str, pattern: str) -> None:
    status, out, _ = call("translate", talk, "--to", "es", "--format", kind)
    assert status == 0 and re.match(pattern, out)


def test_text_is_translated_and_spoken(call: Call, tmp_path: Path) -> None:
    sentence = ("translate", "Where is the station?", "--from", "english", "--to", "spanish")
    status, out, _ = call(*sentence)
    assert status == 0 and out.strip()
    assert call(*sentence, "--output", tmp_path)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"text-1.spa.txt", "text-1.spa.wav"}


def test_a_language_without_a_voice_is_only_written(call: Call, talk: Path, tmp_path: Path) -> None:
    assert call("translate", talk, "--to", "tam", "--output", tmp_path / "out")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["talk.tam.txt"]


def test_text_file_is_translated_line_by_line(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Good morning.\n\nThank you.\n")
    status, out, _ = call("translate", path, "--from", "en", "--to", "es", "--format", "json")
    assert status == 0 and len(json.loads(out)["segments"]) == 2


def test_a_text_may_be_longer_than_the_name_of_a_file(call: Call, talk: Path) -> None:
    status, out, _ = call("translate", "Good morning. " * 30, talk, "--from", "en", "--to", "es")
    assert status == 0 and out.startswith("text-1: ") and "\ntalk: " in out


def test_transcript_needs_the_spoken_language_once(call: Call, talk: Path) -> None:
    results = [
        call("translate", talk, "--task", "asr", "--from", "es"),
        call("translate", talk, "--task", "asr", "--to", "es"),
        call("translate", talk, "--from", "es", "--to", "es"),
    ]
    assert [status for status, _, _ in results] == [0, 0, 0]
    assert len({out for _, out, _ in results}) == 1


def test_inputs_of_one_name_do_not_overwrite_each_other(call: Call, talk: Path, tmp_path: Path) -> None:
    other = tmp_path / "more" / "talk.wav"
    other.parent.mkdir()
    shutil.copy(talk, other)
    assert (
        call("translate", talk, other, "--to", "fr", "--task", "s2tt", "--output", tmp_path / "out")[0] == 0
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"talk.fra.txt", "talk-2.fra.txt"}


@pytest.mark.parametrize(
    ("name", "expected", "sentence"),
    [
        ("missing", 3, "does not exist"),
        ("noise", 3, "must be .*, but is"),
        ("empty", 3, "is empty"),
        ("silence", 8, "holds no speech"),
    ],
)
def test_bad_recording_is_one_line_with_its_status(
    call: Call, bad: dict[str, Path], talk: Path, name: str, expected: int, sentence: str
) -> None:
    status, out, err = call("translate", bad[name], talk, "--to", "es")
    [line] = complaints(err)
    assert status == expected and re.search(sentence, line) and f"{name}.wav" in line
    assert out.startswith("talk: ")  # the other input is done


def test_a_name_that_is_too_long_does_not_stop_the_other_inputs(call: Call, talk: Path) -> None:
    name = "a" * 300 + ".wav"
    status, out, err = call("translate", name, talk, "--to", "es")
    [line] = complaints(err)
    assert status == 3 and "does not exist" in line and out.startswith("talk: ")
    status, _, err = call("live", "--source", name, "--to", "es")
    [line] = complaints(err)
    assert status == 3 and "cannot be read: File name too long." in line


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user who may not read all")
def test_a_folder_where_nobody_may_look_is_one_sentence(call: Call, talk: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    for command in (["translate"], ["live", "--source"]):
        status, _, err = call(*command, closed / "a.wav", "--to", "es")
        [line] = complaints(err)
        assert status == 3 and "cannot be read: Permission denied." in line


def test_text_on_stdin_that_is_not_utf_8_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ma\xf1ana"), "utf-8"))
    status, _, err = call("translate", "-", "--text", "--from", "es", "--to", "en")
    [line] = err.splitlines()
    assert status == 4 and "`-` must be text in UTF-8, but cannot be read: " in line


@pytest.mark.parametrize(("name", "note"), [("cut", "truncated"), ("clipped", "clipped")])
def test_poor_recording_is_used_and_noted(call: Call, bad: dict[str, Path], name: str, note: str) -> None:
    status, out, err = call("translate", bad[name], "--to", "es")
    [line] = complaints(err)
    assert status == 0 and out.strip() and note in line and "note: " in line


@pytest.mark.parametrize(
    ("words", "expected", "sentence"),
    [
        (["--to", "spanich"], 5, "nearest are spa"),
        (["--to", "tlh"], 5, "tlh"),
        (["--to", "tam", "--output", "{tmp}", "--task", "s2st"], 5, "voice"),
        ([], 4, "target language must be given"),
        (["--to", "es", "--beams", "0"], 4, "`session.decoding.beams` must be at least 1, but is 0."),
        (["--to", "es", "--speaker", "7", "--output", "{tmp}"], 4, "`speaker` must be 0 to 2"),
        (["--to", "es", "--set", "session.polcy=segment"], 4, "did you mean `policy`"),
        (["--to", "es", "--set", "session.policy"], 4, "`--set` must be KEY=VALUE, but is session.policy."),
        (["--set", "session.target_languages=[es, fr]"], 4, "one target language at a time"),
        (["Good morning.", "--from", "en", "--to", "es", "--format", "vtt"], 4, "needs speech, but `text-2`"),
        (["", "--text", "--from", "en", "--to", "es"], 4, "`text-2` must hold text, but is empty."),
        (["--to", "es", "--device", "quantum"], 4, "`device` must be one of"),
        (["--to", "es", "--task", "s2st"], 4, "--output"),
        (["--to", "es", "--output", "{talk}"], 4, "must be a directory"),
        (["--to", "es", "--from", "en", "--task", "asr"], 4, "must be the spoken language eng for asr"),
        (["--to", "es", "--format", "doc"], 2, "invalid choice"),
        (["--tu", "es"], 2, "Did you mean `--to`"),
    ],
)
def test_wrong_wish_is_one_line_with_its_status(
    call: Call, talk: Path, tmp_path: Path, words: list[str], expected: int, sentence: str
) -> None:
    filled = [word.format(tmp=tmp_path / "out", talk=talk) for word in words]
    status, _, err = call("translate", talk, *filled)
    assert status == expected
    assert len([line for line in err.splitlines() if sentence in line]) == 1


def test_what_is_wrong_with_every_input_is_said_once(call: Call, talk: Path) -> None:
    status, _, err = call("translate", talk, talk, talk, "--to", "spanich")
    assert status == 5 and len(complaints(err)) == 1


def test_a_segment_on_which_the_model_fails_is_one_line_and_the_others_are_shown(
    call: Call, poisoned: Path
) -> None:
    status, out, err = call("translate", poisoned, "--to", "es", "--vad", "silero")
    [line] = complaints(err)
    assert status == 7 and {"w39", "w49", "w30"} < set(out.split())  # of the first and the third segment
    assert line.endswith("`poisoned`, segment 2: The model failed: RuntimeError: poisoned")


def test_an_input_on_which_the_model_fails_does_not_stop_the_others(
    call: Call, talk: Path, poisoned: Path, tmp_path: Path
) -> None:
    sick = tmp_path / "sick.wav"
    write_wav(sick, np.full(RATE // 4, 0.5, np.float32))
    status, out, err = call("translate", sick, poisoned, "--to", "es", "--vad", "silero")
    assert status == 7 and len(complaints(err)) == 2 and out.startswith("poisoned: ")
    assert "seamless-stream: `sick`: The model failed: RuntimeError: poisoned" in err.splitlines()


def test_unknown_and_damaged_checkpoints(call: Call, talk: Path, tiny: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny, damaged)
    [weights] = damaged.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1000])
    for model, sentence in (
        (damaged, "model.safetensors"),
        ("v2-lage", "v2-large"),
        (tmp_path / "no", "directory"),
    ):
        status, _, err = call("translate", talk, "--to", "es", model=model)
        [line] = complaints(err)
        assert status == 6 and sentence in line
    status, _, err = call("models", "verify", damaged)
    assert status == 6 and complaints(err)
    assert call("models", "verify", tiny)[0] == 0


@needs_full_disk
def test_a_full_disk_for_speech_does_not_stop_the_other_inputs(
    call: Call, talk: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "talk.spa.wav").symlink_to("/dev/full")
    status, _, err = call("translate", talk, "Good morning.", "--from", "en", "--to", "es", "--output", out)
    [line] = complaints(err)
    assert status == 3 and "talk.spa.wav` cannot be written: No space left on device." in line
    assert (out / "text-2.spa.wav").is_file() and (out / "text-2.spa.txt").is_file()


def test_long_silence_needs_little_memory(tiny: Path, tmp_path: Path) -> None:
    """Eight minutes; of eight hours, measured by hand, the peak is the same."""
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        for _ in range(8):
            file.writeframes(bytes(2 * 8_000 * 60))
    script = (
        "import resource, sys; from seamless_stream.cli import main\n"
        "short, long = sys.argv[1:3]; base = ['--to', 'es', '--vad', 'webrtc', '--model', sys.argv[3]]\n"
        "def peak(path):\n"
        "    assert main(['translate', path, *base]) == 8\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "first = peak(short); print((peak(long) - first) // 1024)"
    )
    short = tmp_path / "short.wav"
    write_wav(short, np.zeros(20 * RATE, np.float32))
    words = [sys.executable, "-c", script, str(short), str(path), str(tiny)]
    found = subprocess.run(words, capture_output=True, check=True, text=True)
    assert int(found.stdout) < 16  # MiB; the samples alone are 29
