"""The command live with recordings and pipes: captions, speech, what is refused, and how it is ended."""

import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seamless_stream.audio.files import write_wav
from seamless_stream.cli.ends import close_all
from seamless_stream.cli.live import latency_overrides
from seamless_stream.cli.parser import parse
from seamless_stream.cli.shared import settings_of
from seamless_stream.errors import SettingsError
from seamless_stream.settings import Latency
from tests.cli.calls import RATE, Call, complaints, needs_full_disk, voice


def test_live_writes_captions_and_speech(call: Call, talk: Path, tmp_path: Path) -> None:
    speech, captions = tmp_path / "es.wav", tmp_path / "es.srt"
    status, out, err = call(
        "live", "--source", talk, "--to", "es", "--pace", "fast", "--sink", speech, "--sink", captions
    )
    assert status == 0
    assert len([line for line in out.splitlines() if line.startswith("[")]) == 2  # two stretches of speech
    assert "2 segments, real-time factor" in err and str(speech) in err and str(captions) in err
    assert captions.read_text().count(" --> ") >= 2
    with wave.open(str(speech)) as file:
        assert file.getnframes() > RATE  # silence up to the first segment's end, then speech


def test_live_keeps_the_pace_and_tells_the_delay(call: Call, talk: Path, tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    started = time.monotonic()
    status, out, err = call("live", "--source", talk, "--to", "es", "--sink", log)
    assert status == 0 and time.monotonic() - started > 3.2
    assert "delay after the end of speech" in err and " +" in out
    facts = [json.loads(line) for line in log.read_text().splitlines()]
    assert facts[0]["type"] == "Session" and facts[0]["target_languages"] == ["spa"]
    finals = [item for item in facts if item["type"] == "Final"]
    assert len(finals) == 2 and all(item["elapsed_s"] > item["end_s"] for item in finals)


def test_sound_comes_and_speech_goes_through_pipes_with_the_captions_of_a_file(
    call: Call, tiny: Path, talk: Path, tmp_path: Path
) -> None:
    _, out, _ = call("live", "--source", talk, "--to", "es", "--pace", "fast", "--sink", tmp_path / "es.wav")
    with wave.open(str(talk)) as file:
        raw = file.readframes(file.getnframes())
    command = live_command(tiny, "-", "--pace", "fast", "--quiet", "--sink", "-")
    piped = subprocess.run(command, input=raw, capture_output=True, check=True)
    assert len(piped.stdout) > RATE // 2 and len(piped.stdout) % 2 == 0  # a quarter of a second of s16le
    assert piped.stderr.decode().splitlines() == out.splitlines() != []


@pytest.mark.parametrize("name", ["low", "balanced", "quality"])
def test_latency_is_a_set_of_settings_that_options_win_over(name: Latency, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("session:\n  policy:\n    alignatt_frames: 6\n    decode_every_ms: 480\n")
    words = ["live", "--source", "-", "--config", str(path), "--latency", name]
    policy = settings_of(parse(words), latency_overrides(name)).session.policy
    assert policy.alignatt_frames == {"low": 1, "balanced": 6, "quality": 4}[name]
    assert policy.decode_every_ms == 480
    chosen = parse([*words, "--set", "session.policy.alignatt_frames=5", "--policy", "wait-k"])
    policy = settings_of(chosen, latency_overrides(name)).session.policy
    assert (policy.name, policy.alignatt_frames) == ("wait-k", 5)


def test_live_tells_of_a_segment_on_which_the_model_fails_and_ends_with_its_status(
    call: Call, poisoned: Path, tmp_path: Path
) -> None:
    captions = tmp_path / "es.jsonl"
    words = ["--source", poisoned, "--to", "es", "--vad", "silero", "--pace", "fast", "--sink", captions]
    status, out, err = call("live", *words)
    assert status == 7 and "2 segments, " in err and ", 1 failed" in err
    lines = out.splitlines()
    assert len(lines) == 3 and "The model failed: RuntimeError: poisoned" in lines[1]
    types = [json.loads(line)["type"] for line in captions.read_text().splitlines()]
    assert [name for name in types if name in ("Final", "Failed")] == ["Final", "Failed", "Final"]


def test_live_refuses_bad_recordings_too(call: Call, bad: dict[str, Path]) -> None:
    for name, expected in (("missing", 3), ("noise", 3), ("empty", 3), ("silence", 0)):
        status, _, err = call("live", "--source", bad[name], "--to", "es", "--pace", "fast")
        assert status == expected and len(complaints(err)) == (expected != 0)


def test_all_that_is_wrong_with_live_is_told_at_once(call: Call, tmp_path: Path) -> None:
    words = [
        "--source",
        "mic",
        "--pace",
        "fast",
        "--sink",
        "speaker",
        "--sink",
        "a.doc",
        "--sink",
        tmp_path / "x" / "a.wav",
    ]
    status, _, err = call("live", *words, "--task", "s2tt", "--sink", "speaker", model="no/such/model/at/all")
    assert status == 4
    for sentence in (
        "`--sink speaker` must be given once.",
        "`--sink` must be speaker, `-`, or a file that ends in one of .wav, .srt, .vtt, .jsonl, but is a.doc.",
        "a.wav` cannot be written: its directory does not exist.",
        "`--source mic` needs the pace real-time, but the pace is fast.",
        "`--sink speaker` needs the pace real-time, but the pace is fast.",
        "The target language must be given",
        "`--sink speaker` needs the task s2st, but the task is s2tt.",
    ):
        assert sentence in err
    both = "session.target_languages=[spa, fra]"
    status, _, err = call("live", "--source", "mic", "--set", both, "--sink", "speaker", "--sink", "es.wav")
    assert status == 4 and err.count("must get one target language, but there are 2") == 1


def test_outputs_of_live_are_checked_before_the_model_is_loaded(
    call: Call, talk: Path, tmp_path: Path
) -> None:
    for words in (
        ["--sink", "a.doc"],
        ["--sink", tmp_path / "no" / "a.wav"],
        ["--sink", "a.wav", "--task", "asr"],
    ):
        status, _, err = call("live", "--source", talk, "--to", "es", *words, model="no/such/model/at/all")
        assert status == 4 and len(complaints(err)) == 1


@needs_full_disk
@pytest.mark.parametrize(("suffix", "expected"), [(".wav", 3), (".srt", 4)])
def test_a_full_disk_ends_live_with_one_sentence_and_whole_files(
    call: Call, talk: Path, tmp_path: Path, suffix: str, expected: int
) -> None:
    full, whole = tmp_path / f"full{suffix}", tmp_path / "whole.jsonl"
    full.symlink_to("/dev/full")
    words = ["live", "--source", talk, "--to", "es", "--pace", "fast", "--sink", full, "--sink", whole]
    status, _, err = call(*words)
    [line] = complaints(err)
    assert status == expected and f"full{suffix}` cannot be written: No space left on device." in line
    assert json.loads(whole.read_text().splitlines()[0])["type"] == "Session"


def test_one_end_that_cannot_be_closed_keeps_no_other_open() -> None:
    class End:
        def __init__(self, trouble: Exception | None = None) -> None:
            self.trouble, self.is_closed = trouble, False

        def close(self) -> None:
            self.is_closed = True
            if self.trouble:
                raise self.trouble

    ends = [End(), End(SettingsError("full")), End()]
    with pytest.raises(SettingsError, match="full"):
        close_all(ends)
    assert all(end.is_closed for end in ends)


def live_command(tiny: Path, source: object, *words: object) -> list[str]:
    options = ["--model", tiny, "--vad", "webrtc", "--max-new-tokens", "6"]
    command = [sys.executable, "-m", "seamless_stream", "live", "--source", source, "--to", "es"]
    return [str(word) for word in (*command, *options, *words)]


def test_ctrl_c_at_a_microphone_translates_what_was_said(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And is no failure: it is how one stops speaking."""

    class Microphone:
        is_paced = is_endless = True

        def __init__(self) -> None:
            self.warnings: list[str] = []
            self.is_closed = False

        def chunks(self) -> Iterator[np.ndarray]:
            self.warnings.append("it crackles.")
            yield from np.array_split(voice(1.5), 15)
            raise KeyboardInterrupt

        def close(self) -> None:
            self.is_closed = True

    microphone = Microphone()
    monkeypatch.setattr("seamless_stream.cli.live.open_source", lambda name: microphone)
    status, out, err = call("live", "--source", "mic", "--to", "es", "--sink", tmp_path / "es.srt")
    assert status == 0 and out.startswith("[0:00") and microphone.is_closed
    assert err.count("note: it crackles.") == 1 and "Ctrl-C again ends at once" in err
    assert " --> " in (tmp_path / "es.srt").read_text()


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_reader_that_leaves_ends_it_quietly(tiny: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk.wav"
    write_wav(talk, np.concatenate([voice(1.0), np.zeros(RATE, np.float32)] * 20))
    process = subprocess.Popen(
        live_command(tiny, talk, "--pace", "fast", "--quiet"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_ends_cleanly_and_keeps_the_files(tiny: Path, tmp_path: Path) -> None:
    talk, speech, captions = tmp_path / "talk.wav", tmp_path / "es.wav", tmp_path / "es.jsonl"
    write_wav(talk, np.concatenate([voice(1.0), np.zeros(RATE, np.float32)] * 60))
    process = subprocess.Popen(
        live_command(tiny, talk, "--sink", speech, "--sink", captions),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts background jobs with SIGINT ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (captions.exists() and '"Speech"' in captions.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "interrupted" in err and "real-time factor" in err
    with wave.open(str(speech)) as file:
        assert file.getnframes() > 0
    assert all(json.loads(line) for line in captions.read_text().splitlines())
