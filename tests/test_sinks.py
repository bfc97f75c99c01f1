"""Sinks: subtitle texts by the letter, speech on the source's time line, captions for people."""

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from seamless_stream.errors import SettingsError
from seamless_stream.events import Failed, Final, Partial, SegmentStarted, Skipped, Speech
from seamless_stream.sinks import (
    JsonLinesSink,
    SubtitleSink,
    TerminalSink,
    WavSink,
    clock_time,
    cues,
    open_text,
    timestamp,
)

FINAL = Final(0, "spa", "¿Dónde está la estación?", 1.5, 3.25)


def subtitles(kind: str, *finals: Final, language: str | None = None) -> str:
    stream = io.StringIO()
    sink = SubtitleSink(stream, kind, language)  # type: ignore[arg-type]
    for final in finals:
        sink.write(final, 0.0)
    return stream.getvalue()


def test_srt_and_vtt_by_the_letter() -> None:
    second = Final(1, "spa", "a < b & c", 3600.0, 3601.0)
    assert subtitles("srt", FINAL, second) == (
        "1\n00:00:01,500 --> 00:00:03,250\n¿Dónde está la estación?\n\n"
        "2\n01:00:00,000 --> 01:00:01,000\na < b & c\n\n"
    )
    assert subtitles("vtt", FINAL, second) == (
        "WEBVTT\n\n00:00:01.500 --> 00:00:03.250\n¿Dónde está la estación?\n\n"
        "01:00:00.000 --> 01:00:01.000\na &lt; b &amp; c\n\n"
    )


def test_empty_text_and_other_languages_make_no_cue() -> None:
    assert subtitles("srt", Final(0, "spa", "", 0.0, 1.0)) == ""
    assert subtitles("srt", FINAL, language="fra") == ""


def test_long_text_becomes_cues_of_two_short_lines_that_fill_the_time() -> None:
    text = " ".join(f"word{i}" for i in range(40))
    found = cues(Final(0, "eng", text, 2.0, 12.0))
    assert len(found) > 2
    assert all(len(line) <= 42 for cue in found for line in cue.text.split("\n"))
    assert all(cue.text.count("\n") <= 1 for cue in found)
    assert " ".join(cue.text.replace("\n", " ") for cue in found) == text
    assert found[0].start_s == 2.0 and found[-1].end_s == pytest.approx(12.0)
    assert all(a.end_s == b.start_s for a, b in zip(found, found[1:], strict=False))


def test_times_round_without_sixty_seconds() -> None:
    assert timestamp(59.9996, ",") == "00:01:00,000"
    assert timestamp(36_000.0, ".") == "10:00:00.000"
    assert clock_time(59.96) == "1:00.0"
    assert clock_time(3.24) == "0:03.2"
    assert clock_time(3_723.5) == "1:02:03.5"


def spoken(segment: int, num_samples: int) -> Speech:
    return Speech(segment, "spa", np.full(num_samples, 0.5, np.float32), 1_000)


@pytest.mark.parametrize(("anchor", "place"), [("start", 1_500), ("end", 3_250)])
def test_speech_lies_where_its_segment_lies(tmp_path: Path, anchor: str, place: int) -> None:
    path = tmp_path / "out.wav"
    sink = WavSink(path, anchor)  # type: ignore[arg-type]
    assert not sink.has_speech
    sink.write(FINAL, 0.0)
    sink.write(spoken(0, 4_000), 0.0)
    with wave.open(str(path)) as file:  # complete already, without close
        assert file.getframerate() == 1_000
        samples = np.frombuffer(file.readframes(10**6), "<i2")
    assert len(samples) == place + 4_000
    assert not samples[:place].any() and samples[place:].all()
    sink.write(Final(1, "spa", "Sí.", 4.0, 5.0), 0.0)
    sink.write(spoken(1, 100), 0.0)  # the first speech is longer than its segment: no overlap, no gap
    sink.close()
    with wave.open(str(path)) as file:
        assert file.getnframes() == place + 4_100


def test_other_languages_are_not_spoken(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "out.wav", "end", "fra")
    sink.write(FINAL, 0.0)
    sink.write(spoken(0, 10), 0.0)
    assert not sink.has_speech


def test_json_lines_have_a_header_and_every_event() -> None:
    stream = io.StringIO()
    sink = JsonLinesSink(stream, {"type": "Session", "model": "fake"})
    sink.write(SegmentStarted(0, 1.5), 1.6)
    sink.write(FINAL, 4.0)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["Session", "SegmentStarted", "Final"]
    assert lines[2]["text"] == FINAL.text and lines[2]["elapsed_s"] == 4.0


def terminal(is_terminal: bool, **options: bool) -> tuple[TerminalSink, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=100, no_color=True)
    return TerminalSink(console, shows_delay=options.get("shows_delay", True)), stream


def test_pipe_gets_plain_lines_of_finals_and_troubles() -> None:
    sink, stream = terminal(False)
    for event in (SegmentStarted(0, 1.5), Partial(0, "spa", "¿Dónde", "esta"), FINAL):
        sink.write(event, 4.05)
    sink.write(Failed(1, "it broke [red]"), 5.0)
    sink.write(Skipped(2, "text", "too long"), 5.0)
    sink.close()
    assert stream.getvalue().splitlines() == [
        "[0:01.5 - 0:03.2] ¿Dónde está la estación?  +0.8 s",
        "segment 2 failed: it broke [red]",
        "segment 3: text left out: too long",
    ]


def test_terminal_shows_the_open_segment_in_place() -> None:
    sink, stream = terminal(True)
    sink.write(Partial(0, "spa", "¿Dónde ", "esta"), 2.0)
    sink.write(FINAL, 4.05)
    sink.close()
    shown = stream.getvalue()
    assert "¿Dónde \x1b[2mesta\x1b[0m" in shown  # pending is dim
    assert shown.index("esta") < shown.index(FINAL.text)
    assert "esta\x1b" not in shown[shown.index(FINAL.text) :]  # and gone when the text is final


def test_unwritable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written: No such file or directory"):
        open_text(tmp_path / "no" / "out.srt")
