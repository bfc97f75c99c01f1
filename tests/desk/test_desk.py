"""Microphone, loopback and loudspeaker on a real sound server, and the command line between them.

Virtual devices run in real time and the machine may be busy, so sound is compared by level, pitch and place, with
tolerances, never sample by sample.
"""

import json
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from seamless_stream import sources
from seamless_stream.audio.files import read, write_wav
from seamless_stream.cli import INTERRUPTED, main
from seamless_stream.cli.doctor import sound_card
from seamless_stream.devices import Device, choose, list_devices
from seamless_stream.errors import AudioError, SettingsError
from seamless_stream.events import SegmentEnded, Speech
from seamless_stream.sinks import SpeakerSink
from seamless_stream.sources import DeviceSource, open_source
from tests.desk.conftest import RATE, Pulse

SAMPLE = Path(__file__).parents[2] / "seamless_stream" / "checkpoints" / "samples" / "english.flac"
PATIENCE_S = 180  # on a busy machine


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def loud(samples: np.ndarray) -> np.ndarray:
    """Whether each 10 ms has sound [n // 160]."""
    return np.abs(samples[: len(samples) // 160 * 160]).reshape(-1, 160).max(1) > 0.02


def pitch(samples: np.ndarray) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


def device(kind: str, name: str) -> Device:
    return choose(list_devices(), kind, name)  # type: ignore[arg-type]


def listen(
    chunks: Iterator[np.ndarray], seconds: float, player: "subprocess.Popen[bytes] | None" = None
) -> np.ndarray:
    """What comes in this time, which begins when the player has ended."""
    heard, deadline = [], time.monotonic() + seconds
    for chunk in chunks:
        heard.append(chunk)
        if player is not None and player.poll() is None:
            deadline = time.monotonic() + seconds
        if time.monotonic() > deadline:
            break
    return np.concatenate(heard)


def test_endpoints_of_the_server_are_listed_with_their_numbers(
    pulse: Pulse, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {d.name: d for d in list_devices()}
    assert {name: d.kind for name, d in found.items()} == {
        "spk": "output",
        "mic": "output",
        "virtmic": "input",
        "spk.monitor": "loopback",
        "mic.monitor": "loopback",
    }
    assert found["virtmic"].rate == 48_000 and found["spk"].channels == 2
    assert found["spk"].is_default and found["spk.monitor"].is_default and found["virtmic"].is_default
    assert main(["devices", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [d["number"] for d in listed] == [0, 1, 2, 3, 4]
    assert main(["devices"]) == 0
    number = found["virtmic"].number
    assert f"--source mic:{number}" in capsys.readouterr().out
    assert open_source(f"mic:{number}").device == found["virtmic"]  # type: ignore[attr-defined]
    assert open_source("loopback").device == found["spk.monitor"]  # type: ignore[attr-defined]
    with pytest.raises(AudioError, match="no microphone `virtmik`: nearest are virtmic"):
        open_source("mic:virtmik")
    finding = sound_card()
    assert finding.is_fine and "1 input, 2 outputs, 2 loopbacks; default" in finding.detail


@pytest.mark.parametrize(("source", "sink"), [("mic:virtmic", "mic"), ("loopback", "spk")])
def test_what_is_played_is_heard_at_16_khz(pulse: Pulse, source: str, sink: str) -> None:
    opened = open_source(source)
    assert isinstance(opened, DeviceSource)
    chunks = opened.chunks()
    listen(chunks, 0.3)
    player = pulse.say(tone(1.0), sink)
    started = time.monotonic()
    heard = listen(chunks, 0.5, player)
    elapsed_s = time.monotonic() - started
    opened.close()
    assert len(heard) / RATE == pytest.approx(elapsed_s, abs=0.5)  # the clock of the source is right
    places = np.flatnonzero(loud(heard)) * 160
    assert (places[-1] - places[0]) / RATE == pytest.approx(1.0, abs=0.3)
    middle = (places[0] + places[-1]) // 2
    assert pitch(heard[middle - 2_000 : middle + 2_000]) == pytest.approx(440, abs=10)
    assert " s heard, " in opened.report and not opened.warnings


def test_sound_that_nobody_reads_in_time_is_counted_and_leaves_the_clock_right(
    pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "RING_S", 1)
    opened = DeviceSource(device("input", "virtmic"))
    chunks = opened.chunks()
    next(chunks)
    started = time.monotonic()
    time.sleep(3.0)
    heard = listen(chunks, 0.5)
    elapsed_s = time.monotonic() - started
    opened.close()
    assert 1.0 < opened.lost_s < 3.5 and opened.num_overflows >= 1
    assert len(heard) / RATE == pytest.approx(elapsed_s, abs=0.5)
    assert "lost" in opened.warnings[0] and "does not keep up" in opened.warnings[0]


def test_a_source_that_would_hear_its_own_translation_is_refused(
    pulse: Pulse, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["live", "--model", "phrasebook", "--to", "es", "--source", "loopback", "--sink", "speaker"]
    assert main(words) == SettingsError.exit_status
    err = capsys.readouterr().err
    assert "`--source loopback` hears what `--sink speaker` plays, and would translate itself" in err
    assert err.count("\n") == 1


def test_speech_in_pieces_is_heard_at_the_loudspeaker_without_gaps(pulse: Pulse) -> None:
    recording = pulse.record()
    speaker = SpeakerSink(device("output", "spk"))
    for piece in np.array_split(tone(1.2), 5):
        speaker.write(Speech(0, "spa", piece, RATE), 0.0)
    speaker.write(SegmentEnded(0, 0.0, 1.0, "silence"), 0.0)
    assert speaker.backlog_s > 0.5
    speaker.drain()
    assert speaker.backlog_s == 0
    time.sleep(0.5)
    speaker.close()
    heard = recording.stop()
    is_loud = loud(heard)
    places = np.flatnonzero(is_loud)
    assert (places[-1] - places[0]) / 100 == pytest.approx(1.2, abs=0.2)
    assert is_loud[places[0] : places[-1]].mean() > 0.9
    middle = (places[0] + places[-1]) // 2 * 160
    assert pitch(heard[middle - 2_000 : middle + 2_000]) == pytest.approx(440, abs=10)
    assert "0 gaps" in speaker.report and "0.0 s left out" in speaker.report


def test_unplugged_devices_are_one_sentence(pulse: Pulse) -> None:
    opened, speaker = DeviceSource(device("input", "virtmic")), SpeakerSink(device("output", "spk"))
    chunks = opened.chunks()
    next(chunks)
    pulse.kill()
    with pytest.raises(AudioError, match="The microphone `virtmic` has gone: it was unplugged"):
        listen(chunks, 10)
    with pytest.raises(AudioError, match="The loudspeaker `spk` has gone"):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            speaker.check()
    speaker.close()


# --- the whole way


def start(*words: object) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "seamless_stream",
        "live",
        "--model",
        "phrasebook",
        "--from",
        "eng",
        "--to",
        "es",
    ]
    return subprocess.Popen(
        [*command, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(path: Path, text: str, process: "subprocess.Popen[str]") -> float:
    """When it stood in the file."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and text in path.read_text(encoding="utf-8"):
            return time.monotonic()
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"{text} never came: {process.communicate()}")


def facts(path: Path, kind: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["type"] == kind]


def texts(path: Path) -> str:
    return " ".join(str(item["text"]) for item in facts(path, "Final"))


def test_speech_into_the_microphone_comes_out_translated_until_everything_is_unplugged(
    pulse: Pulse, tmp_path: Path
) -> None:
    sentence = np.concatenate(
        [read(SAMPLE)[round(1.0 * RATE) : round(4.8 * RATE)], np.zeros(2 * RATE, np.float32)]
    )
    events, speech = tmp_path / "es.jsonl", tmp_path / "es.wav"
    process = start("--source", "mic:virtmic", "--sink", "speaker:spk", "--sink", events, "--sink", speech)
    wait_for(events, '"Session"', process)
    time.sleep(1)
    recording = pulse.record()
    pulse.say(sentence)
    spoken_at = wait_for(events, '"Speech"', process)
    wait_for(events, '"SegmentEnded"', process)
    is_loud = loud(recording.heard())
    while not is_loud.any() or is_loud[-150:].any():  # until it has been silent for a while
        assert time.monotonic() - spoken_at < PATIENCE_S
        time.sleep(0.1)
        is_loud = loud(recording.heard())
    pulse.kill()
    out, err = process.communicate(timeout=PATIENCE_S)
    recording.stop()

    # The loudspeaker begins when the first speech is there, and says all of it.
    places = np.flatnonzero(is_loud)
    assert len(places) > 20
    assert recording.started + places[0] / 100 == pytest.approx(spoken_at, abs=2.0)
    said_s = sum(int(str(item["num_samples"])) / int(str(item["rate"])) for item in facts(events, "Speech"))
    # Not the span: a busy machine plays late, and then there are holes. The sentence itself has pauses.
    assert 0.4 * said_s < len(places) / 100 < said_s + 0.5

    # The end is one line, and the files are whole.
    assert process.returncode == AudioError.exit_status
    errors = [line for line in err.splitlines() if line.startswith("seamless-stream: The ")]
    assert len(errors) == 1 and "has gone: it was unplugged" in errors[0]
    assert "Traceback" not in err and "Expression" not in err
    assert "microphone virtmic: " in err and "loudspeaker spk: " in err
    with wave.open(str(speech)) as file:
        assert file.getnframes() / file.getframerate() > said_s

    # The captions are those of the same recording from a file, as far as the way through the air allows.
    assert out.startswith("[") and texts(events)
    path = tmp_path / "sentence.jsonl"
    write_wav(tmp_path / "sentence.wav", sentence)
    direct = start("--source", tmp_path / "sentence.wav", "--pace", "fast", "--sink", path)
    assert direct.wait(PATIENCE_S) == 0
    direct.communicate()
    assert SequenceMatcher(None, texts(path), texts(events)).ratio() > 0.4


def test_an_interruption_ends_listening_and_what_was_said_is_translated(pulse: Pulse, tmp_path: Path) -> None:
    events = tmp_path / "es.jsonl"
    process = start("--source", "mic:virtmic", "--sink", events)
    wait_for(events, '"Session"', process)
    pulse.say(read(SAMPLE)[RATE:])  # five sentences: a busy sound server drops parts of them
    wait_for(events, '"Partial"', process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and "no longer listening" in err and "Traceback" not in err
    assert texts(events) and facts(events, "SegmentEnded")


def test_a_second_interruption_ends_it_at_once(pulse: Pulse, tmp_path: Path) -> None:
    """Though the loudspeaker still speaks."""
    events = tmp_path / "es.jsonl"
    process = start("--source", "mic:virtmic", "--sink", "speaker:spk", "--sink", events)
    wait_for(events, '"Session"', process)
    pulse.say(read(SAMPLE)[RATE : 8 * RATE])
    wait_for(events, '"Speech"', process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "no longer listening" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == INTERRUPTED and "seamless-stream: interrupted;" in err
    assert "Traceback" not in err
