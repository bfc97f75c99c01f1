"""Speech: its place in a file, a pipe's bytes, and a loudspeaker's block by block without clicks."""

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seamless_stream.audio.pcm import from_bytes
from seamless_stream.events import Final, SegmentEnded, SegmentStarted, Speech
from seamless_stream.sinks import PipeSink, WavSink
from seamless_stream.sinks.speech import FADE_MS, JITTER_MS, Playback

FINAL = Final(0, "spa", "¿Dónde está la estación?", 1.5, 3.25)
RATE = 8_000
BLOCK = 80  # 10 ms


def spoken(segment: int, num_samples: int, level: float = 0.5) -> Speech:
    return Speech(segment, "spa", np.full(num_samples, level, np.float32), 1_000)


def samples_of(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert file.getframerate() == 1_000
        return np.frombuffer(file.readframes(10**6), "<i2")


@pytest.mark.parametrize(("anchor", "place"), [("start", 1_500), ("end", 3_250)])
def test_speech_lies_where_its_segment_lies(tmp_path: Path, anchor: Any, place: int) -> None:
    path = tmp_path / "out.wav"
    sink = WavSink(path, anchor)
    assert not sink.has_speech
    sink.write(FINAL, 0.0)
    sink.write(spoken(0, 4_000), 0.0)
    samples = samples_of(path)  # complete already, without close
    assert len(samples) == place + 4_000
    assert not samples[:place].any() and samples[place:].all()
    sink.write(Final(1, "spa", "Sí.", 4.0, 5.0), 0.0)
    sink.write(spoken(1, 100), 0.0)  # the first speech is longer than its segment: no overlap, no gap
    sink.close()
    assert len(samples_of(path)) == place + 4_100


def test_pieces_of_an_open_segment_follow_each_other(tmp_path: Path) -> None:
    """They come before the final text: a file that cannot know their time holds them until it does."""
    for anchor, place in (("start", 1_500), ("end", 3_250)):
        sink = WavSink(tmp_path / f"{anchor}.wav", anchor)  # type: ignore[arg-type]
        sink.write(SegmentStarted(0, 1.5), 0.0)
        sink.write(spoken(0, 300, 0.1), 0.0)
        sink.write(spoken(0, 300, 0.2), 0.0)
        sink.write(FINAL, 0.0)
        sink.write(spoken(0, 300, 0.3), 0.0)
        sink.write(SegmentEnded(0, 1.5, 3.25, "silence"), 0.0)
        sink.close()
        samples = samples_of(tmp_path / f"{anchor}.wav")
        assert not samples[:place].any()
        np.testing.assert_allclose(samples[place:] / 32_768, np.repeat([0.1, 0.2, 0.3], 300), atol=1e-4)


def test_live_speech_lies_where_it_was_said(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "out.wav", "live")
    sink.write(SegmentStarted(0, 0.5), 0.6)
    sink.write(spoken(0, 1_000), 2.0)
    sink.write(spoken(0, 1_000), 2.3)  # while the first is still heard
    sink.write(spoken(0, 1_000), 4.05)  # a little late: no seam
    sink.write(spoken(0, 1_000), 6.0)  # late: a pause that was heard as well
    sink.close()
    samples = samples_of(tmp_path / "out.wav")
    is_spoken = samples != 0
    assert len(samples) == 7_000
    assert is_spoken[2_000:5_000].all() and is_spoken[6_000:].all()
    assert not is_spoken[:2_000].any() and not is_spoken[5_000:6_000].any()


def test_other_languages_are_not_spoken(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "out.wav", "end", "fra")
    sink.write(FINAL, 0.0)
    sink.write(spoken(0, 10), 0.0)
    assert not sink.has_speech


def test_pipe_gets_all_of_the_speech_at_16_khz() -> None:
    stream = io.BytesIO()
    sink = PipeSink(stream)
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
    for piece in np.array_split(tone, 7):
        sink.write(Speech(0, "spa", piece, RATE), 0.0)
    sink.write(SegmentEnded(0, 0.0, 1.0, "silence"), 0.0)
    heard = from_bytes(stream.getvalue())
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(heard) == 16_000
    np.testing.assert_allclose(heard[200:-200], expected[200:-200], atol=0.01)


# --- loudspeaker


def play(playback: Playback, num_blocks: int) -> np.ndarray:
    out = np.full((num_blocks, BLOCK, 2), 9, np.float32)
    for block in out:
        playback.fill(block)
    assert (out[:, :, 0] == out[:, :, 1]).all()
    return out[:, :, 0].reshape(-1)


def level(num_samples: int) -> np.ndarray:
    return np.ones(num_samples, np.float32)


def test_pieces_are_played_without_a_gap_and_faded_at_both_ends() -> None:
    playback = Playback(RATE)
    assert not play(playback, 3).any()
    playback.ring.write(level(1_000))
    head = play(playback, 4)
    playback.ring.write(level(1_000))
    heard = np.concatenate([head, play(playback, 40)])
    is_heard = np.flatnonzero(heard)
    assert is_heard[-1] - is_heard[0] == 2_000 - 2  # the last gain is 0
    fade = RATE * FADE_MS // 1_000
    inner = heard[is_heard[0] + fade : is_heard[-1] - fade]
    assert (inner == 1).all()
    assert np.abs(np.diff(heard)).max() <= 1 / fade + 1e-6  # no click
    assert playback.num_gaps == 0


def test_an_empty_queue_in_a_segment_is_a_gap_without_a_click() -> None:
    playback = Playback(RATE)
    playback.expects_more = True
    playback.ring.write(level(1_003))
    heard = [play(playback, 20)]
    assert playback.num_gaps == 1
    playback.ring.write(level(900))
    playback.expects_more = False
    heard.append(play(playback, 20))
    assert playback.num_gaps == 1
    assert np.abs(np.diff(np.concatenate(heard))).max() <= 1000 / FADE_MS / RATE + 1e-6


def test_a_piece_that_comes_during_the_fade_out_turns_it_back_without_a_click() -> None:
    playback = Playback(RATE)
    playback.ring.write(level(BLOCK * 12 + 40))
    heard = [play(playback, 12)]  # 40 samples are left: the gain is falling
    assert 0 < heard[0][-1] < 1
    playback.ring.write(level(2_000))
    heard.append(play(playback, 40))
    together = np.concatenate(heard)
    assert np.abs(np.diff(together)).max() <= 1000 / FADE_MS / RATE + 1e-6
    assert (together > 0).sum() == BLOCK * 12 + 40 + 2_000 - 1


def test_little_speech_waits_for_more_but_not_for_ever() -> None:
    playback = Playback(RATE)
    playback.ring.write(level(100))  # 12.5 ms
    num_waiting = JITTER_MS // 10
    assert not play(playback, num_waiting - 1).any()
    assert play(playback, 3).any()
    assert not playback.ring.available
