"""Sources: the same samples from a file, a raw pipe and a WAV pipe of any type; pacing on one clock."""

import io
import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seamless_stream.audio.files import write_wav
from seamless_stream.audio.pcm import to_bytes
from seamless_stream.errors import AudioError
from seamless_stream.sources import FileSource, StdinSource, open_source, paced
from tests.fakes import speech

TALK = speech(0.2, 0.4, 0.6)


class Pipe(io.BytesIO):
    """Gives odd pieces, as pipes do."""

    def read1(self, size: int = -1) -> bytes:
        return super().read1(min(size, 333))


def wav_bytes(samples: np.ndarray, rate: int, channels: int = 1) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(to_bytes(np.repeat(samples, channels)))
    return stream.getvalue()


def heard(data: bytes) -> tuple[np.ndarray, list[str]]:
    source = StdinSource(Pipe(data))  # type: ignore[arg-type]
    return np.concatenate(list(source.chunks())), source.warnings


def test_file_raw_pipe_and_wav_pipe_agree(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    write_wav(path, TALK)
    source = open_source(str(path))
    assert isinstance(source, FileSource) and not source.is_paced
    by_file = np.concatenate(list(source.chunks()))
    raw, warnings = heard(to_bytes(TALK))
    assert not warnings
    np.testing.assert_array_equal(raw, by_file)
    np.testing.assert_array_equal(heard(wav_bytes(TALK, 16_000))[0], by_file)
    np.testing.assert_allclose(heard(wav_bytes(TALK, 16_000, channels=2))[0], by_file, atol=1e-6)


def test_wav_pipe_of_another_rate_is_resampled() -> None:
    assert abs(len(heard(wav_bytes(TALK, 8_000))[0]) - 2 * len(TALK)) <= 2


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_32", 2**-30), ("FLOAT", 2**-23), ("DOUBLE", 2**-23)],
)
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_every_type_of_wav_is_heard(container: str, subtype: str, step: float) -> None:
    """WAVEX: the extensible header, in which the type stands elsewhere."""
    stream = io.BytesIO()
    soundfile.write(stream, TALK, 16_000, format=container, subtype=subtype)
    samples, warnings = heard(stream.getvalue())
    assert len(samples) == len(TALK) and not warnings
    np.testing.assert_allclose(samples, TALK, atol=step)


def test_half_a_sample_at_the_end_is_a_warning() -> None:
    samples, warnings = heard(to_bytes(TALK) + b"x")
    assert len(samples) == len(TALK)
    assert warnings == ["The standard input ends inside a sample (1 bytes too many)."]


def test_titles_behind_the_sound_are_not_played() -> None:
    samples, warnings = heard(
        wav_bytes(TALK, 16_000) + b"LIST" + (3_000).to_bytes(4, "little") + b"\x7f" * 3_000
    )
    assert len(samples) == len(TALK) and not warnings


def test_a_cut_wav_says_so_and_one_written_to_a_pipe_does_not() -> None:
    whole = wav_bytes(TALK, 16_000)
    assert heard(whole[:-2_000])[1] == ["The standard input is truncated: what there is was used."]
    at = whole.index(b"data") + 4
    samples, warnings = heard(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :])
    assert len(samples) == len(TALK) and not warnings


def test_values_that_are_no_numbers_are_silence() -> None:
    values = TALK.copy()
    values[100], values[200] = np.nan, np.inf
    stream = io.BytesIO()
    soundfile.write(stream, values, 16_000, format="WAV", subtype="FLOAT")
    samples, warnings = heard(stream.getvalue())
    assert np.isfinite(samples).all() and samples[100] == samples[200] == 0
    assert warnings == ["The standard input has 2 values that are no numbers, taken as silence."]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"RIFF\x00\x00\x00\x00WAVE", "holds no sound"),
        (wav_bytes(TALK, 16_000).replace(b"\x01\x00\x01\x00", b"\x55\x00\x01\x00", 1), "format 85"),
        (wav_bytes(TALK, 16_000).replace(b"\x01\x00\x01\x00", b"\x01\x00\x00\x00", 1), "format 1 with 16"),
        (wav_bytes(TALK, 16_000).replace(b"\x80\x3e\x00\x00", b"\x00\x00\x00\x00", 1), "but is 0"),
    ],
)
def test_bad_pipes_are_one_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(AudioError, match=sentence):
        heard(data)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_a_terminal_is_no_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = os.openpty()
    with open(controller, "rb"), open(terminal, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(AudioError, match="but is a terminal"):
            open_source("-")


def test_missing_file_is_refused_at_once() -> None:
    with pytest.raises(AudioError, match="does not exist"):
        open_source("nowhere.wav")


def test_pace_follows_the_clock_and_catches_up() -> None:
    """The clock of the test only moves by sleeping, and once by a stall of 250 ms."""
    times = [0.0]  # the last one is now
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        times.append(times[-1] + seconds)

    chunks = [np.zeros(1_600, np.float32)] * 6
    for number, _ in enumerate(paced(chunks, lambda: times[-1], sleep)):
        if number == 1:
            times.append(times[-1] + 0.25)
    assert slept == [0.1, 0.1, 0.05, 0.1]
    assert times[-1] == pytest.approx(0.6)
