"""Every format comes out as the same 16 kHz mono sound, every kind of broken file as one clear sentence."""

import os
import random
import subprocess
import sys
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seamless_stream.audio.decoders import open_decoder
from seamless_stream.audio.files import AudioFile, WavWriter, read, write_wav
from seamless_stream.errors import AudioError


def tone(rate: int, seconds: float = 2.0) -> np.ndarray:
    """A rising tone: two recordings of it fit each other at one place only."""
    time_s = np.arange(int(rate * seconds)) / rate
    phase = 2 * np.pi * (200 * time_s + 400 * time_s**2)  # 200 Hz, 800 Hz more each second
    return (0.4 * np.sin(phase) * np.minimum(1, time_s * 4)).astype(np.float32)


def sung(rate: int, seconds: float = 4.0) -> np.ndarray:
    """A tone with noise, so that compressed files have some size."""
    rng = np.random.default_rng(0)
    return tone(rate, seconds) + 0.1 * rng.standard_normal(int(rate * seconds)).astype(np.float32)


def write_av(
    path: Path, samples: np.ndarray, codec: str, sample_format: str, frame: int, **options: str
) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        for start in range(0, len(samples), frame):
            piece = av.AudioFrame.from_ndarray(samples[None, start : start + frame], sample_format, "mono")
            piece.sample_rate, piece.pts = 48_000, start
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def write_any(path: Path, samples: np.ndarray) -> None:
    """48 kHz mono samples to the format that the suffix says."""
    if path.suffix in (".m4a", ".mp4"):
        write_av(path, samples, "aac", "fltp", 1_024, movflags="faststart")
    elif path.suffix == ".webm":
        write_av(path, samples, "libopus", "flt", 960)
    elif path.suffix == ".opus":
        soundfile.write(path, samples, 48_000, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, samples, 48_000)


def cut(path: Path, fraction: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


ALL_SUFFIXES = ["wav", "flac", "ogg", "opus", "mp3", "m4a", "mp4", "webm"]


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tone.{suffix}"
    write_any(path, tone(48_000))
    file = AudioFile(path)
    samples = np.concatenate(list(file.chunks(480)))
    assert (file.rate, file.channels, file.warnings, file.truncated) == (48_000, 1, [], False)
    assert file.duration_s == pytest.approx(2.0, abs=0.05)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(32_000, abs=800)
    expected = tone(16_000)
    lag = int(np.argmax(np.correlate(samples[:20_000], expected[1_000:19_000], "valid"))) - 1_000
    inside = samples[4_000 + lag : 28_000 + lag]
    assert np.abs(inside - expected[4_000:28_000]).mean() < 0.02  # lossy, yet in the same place and as loud


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000])
def test_every_rate_and_stereo_is_the_mean(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack((tone(rate), 0 * tone(rate)), axis=1), rate, subtype="FLOAT")
    samples = read(path)
    assert abs(len(samples) - 32_000) <= 1
    assert np.abs(samples[2_000:30_000] - 0.5 * tone(16_000)[2_000:30_000]).max() < 1e-3


@pytest.mark.parametrize("chunk_samples", [1, 159, 480, 8_192, 50_000])
def test_chunks_have_the_asked_length_and_join_to_the_whole(tmp_path: Path, chunk_samples: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sung(44_100, 0.5), 44_100)
    chunks = list(AudioFile(path).chunks(chunk_samples))
    assert all(len(chunk) == chunk_samples for chunk in chunks[:-1]) and 0 < len(chunks[-1]) <= chunk_samples
    assert np.array_equal(np.concatenate(chunks), read(path))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "mp4", "webm"])
def test_truncated_files_give_what_is_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    write_any(path, sung(48_000))
    file = AudioFile(cut(path))
    samples = np.concatenate(list(file.chunks(16_000)))
    assert 0.4 * 64_000 < len(samples) < 0.75 * 64_000
    assert file.truncated
    assert file.warnings == [f"`{path}` is truncated: what there is was used."]


def test_a_wav_from_a_pipe_is_not_truncated(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    soundfile.write(path, tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    file = AudioFile(path)
    assert sum(map(len, file.chunks(1_000))) == 32_000
    assert not file.warnings


def test_clipped_and_broken_values_are_warned_about(tmp_path: Path) -> None:
    loud, broken = tmp_path / "loud.wav", tmp_path / "broken.wav"
    soundfile.write(loud, np.clip(5 * tone(16_000), -1, 1), 16_000)
    values = tone(16_000)
    values[1_000:1_010] = np.nan
    soundfile.write(broken, values, 16_000, subtype="FLOAT")
    for path, word in ((loud, "is clipped"), (broken, "10 values that are no numbers")):
        file = AudioFile(path)
        samples = np.concatenate(list(file.chunks(4_000)))
        assert len(samples) == 32_000 and np.isfinite(samples).all()
        assert len(file.warnings) == 1 and word in file.warnings[0]


def make_missing(path: Path) -> None:
    pass


def make_folder(path: Path) -> None:
    path.mkdir()


def make_empty(path: Path) -> None:
    path.touch()


def make_text(path: Path) -> None:
    path.write_text("This is a text about audio.\n" * 50)


def make_noise(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(50_000))


def make_header_only(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), 16_000)


def make_low_rate(path: Path) -> None:
    soundfile.write(path, np.zeros(4_000, np.float32), 4_000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_missing, "does not exist"),
        (make_folder, "must be a file, but is a folder"),
        (make_empty, "is empty"),
        (make_text, "must be"),
        (make_noise, "must be"),
        (make_header_only, "holds no sound"),
        (make_low_rate, "must be 8000 to 192000 Hz, but is 4000"),
    ],
)
def test_what_cannot_be_heard_is_one_clear_error(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "bad.wav"
    make(path)  # type: ignore[operator]
    with pytest.raises(AudioError, match=message) as caught:
        AudioFile(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_raw_without_a_header_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(1_000))
    with pytest.raises(AudioError):
        AudioFile(path)


def test_video_without_sound_is_an_error(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio stream"):
        AudioFile(path)


def film(path: Path, sound: np.ndarray, sound_from_s: float, picture_s: float) -> None:
    """48 kHz sound that begins later than a picture of so many seconds."""
    av = pytest.importorskip("av")
    codec, size = ("aac", 1_024) if path.suffix == ".mp4" else ("libopus", 960)
    with av.open(str(path), "w") as container:
        picture, voice = (
            container.add_stream("mpeg4", rate=10),
            container.add_stream(codec, rate=48_000, layout="mono"),
        )
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        for _ in range(int(10 * picture_s)):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(picture.encode(None))
        kind = "fltp" if codec == "aac" else "flt"
        for start in range(0, len(sound) // size * size, size):
            piece = av.AudioFrame.from_ndarray(sound[None, start : start + size], kind, "mono")
            piece.sample_rate, piece.pts = 48_000, start + int(48_000 * sound_from_s)
            container.mux(voice.encode(piece))
        container.mux(voice.encode(None))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_sound_of_a_film_keeps_its_place_and_may_be_shorter(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    film(path, sung(48_000), sound_from_s=1.5, picture_s=8)
    file = AudioFile(path)
    samples = np.concatenate(list(file.chunks(1_600)))
    assert not file.warnings
    assert (
        np.abs(samples[: int(1.4 * 16_000)]).max() == 0 < np.abs(samples[int(1.6 * 16_000) :][:1_600]).max()
    )
    assert len(samples) == pytest.approx(5.5 * 16_000, abs=1_600)


def test_aac_without_a_container_is_not_truncated(tmp_path: Path) -> None:
    """FFmpeg guesses its length by the first, quiet frames; and a joined one changes its rate inside."""
    av = pytest.importorskip("av")
    parts = []
    for rate in (22_050, 44_100):
        path = tmp_path / f"{rate}.aac"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=rate, layout="mono")
            samples = np.concatenate((np.zeros(rate // 2, np.float32), sung(rate, 2)[: rate // 2]))
            for start in range(0, rate // 1_024 * 1_024, 1_024):
                piece = av.AudioFrame.from_ndarray(samples[None, start : start + 1_024], "fltp", "mono")
                piece.sample_rate, piece.pts = rate, start
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        parts.append(path.read_bytes())
    (tmp_path / "joined.aac").write_bytes(b"".join(parts))
    file = AudioFile(tmp_path / "joined.aac")
    samples = np.concatenate(list(file.chunks(1_600)))
    assert not file.warnings
    assert len(samples) == pytest.approx(2 * 16_000, abs=3_200)


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.m4a"
    write_any(path, tone(48_000, 0.5))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"pip install 'seamless-stream\[media\]'"):
        open_decoder(path)


def test_long_silence_needs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    num_samples = 600 * 16_000  # 38 MB as float32
    soundfile.write(path, np.zeros(1, np.int16), 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = (2 * num_samples).to_bytes(4, "little")
    data[4:8] = (2 * num_samples + at - 4).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(data)
        file.truncate(at + 4 + 2 * num_samples)  # sparse: zeros that take no disk
    tracemalloc.start()
    audio = AudioFile(path)
    assert audio.duration_s == 600
    assert sum(map(len, audio.chunks(16_000))) == num_samples
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2_000_000
    assert not audio.warnings


def test_wav_writer_is_valid_after_every_write(tmp_path: Path) -> None:
    path, samples = tmp_path / "out.wav", tone(24_000, 0.1)
    with WavWriter(path, 24_000) as writer:
        for start in range(0, len(samples), 500):
            writer.write(samples[start : start + 500])
            with wave.open(str(path)) as on_disk:
                assert on_disk.getnframes() == writer.num_samples == min(start + 500, len(samples))
    stored, rate = soundfile.read(path, dtype="float32")
    assert rate == 24_000
    assert np.abs(stored - samples).max() <= 2.0**-16 + 1e-7


def test_write_wav_and_read_give_back_the_int16_values(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = (np.arange(-2_000, 2_000) * 2.0**-15).astype(np.float32)
    write_wav(path, samples)
    assert np.array_equal(read(path), samples)


def test_nothing_written_is_an_empty_but_valid_wav(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(0, np.float32))
    assert soundfile.info(tmp_path / "a.wav").frames == 0


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be written: No such file or directory"):
        WavWriter(tmp_path / "missing" / "a.wav", 16_000)


def test_a_wav_beyond_4_gib_is_of_unknown_length_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with WavWriter(path, 16_000) as writer:
        writer.write(tone(16_000, 0.1))
        writer.num_samples = 2**31 - 100  # as after 37 hours
        for part in np.split(tone(16_000, 0.2), 2):
            writer.write(part)
    head = path.read_bytes()[:44]
    assert head[4:8] == head[40:44] == b"\xff" * 4
    file = AudioFile(path)
    assert sum(map(len, file.chunks(16_000))) == 4_800 and not file.warnings


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_one_sentence_and_the_end_of_the_wav() -> None:
    with pytest.raises(AudioError, match="`/dev/full` cannot be written: No space left on device"):
        WavWriter("/dev/full", 16_000)


@pytest.mark.skipif(os.name != "posix", reason="needs limits of a process")
def test_a_disk_that_fills_up_leaves_a_playable_wav(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys, numpy as np\n"
        "from seamless_stream.audio.files import WavWriter\n"
        "from seamless_stream.errors import AudioError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "writer = WavWriter(sys.argv[1], 16_000)\n"
        "writer.write(np.full(16_000, 0.5, np.float32))\n"
        "try: writer.write(np.full(16_000, 0.5, np.float32))\n"
        "except AudioError as error: print(error)\n"
        "writer.close()"
    )
    path = tmp_path / "a.wav"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large." in done.stdout
    assert soundfile.info(path).frames >= 16_000


@pytest.mark.skipif(os.name != "posix", reason="a name may be longer elsewhere")
def test_a_name_that_no_file_can_have_is_one_sentence() -> None:
    with pytest.raises(AudioError, match="cannot be read: File name too long"):
        AudioFile("a" * 300 + ".wav")
