"""Captions in files: subtitle texts by the letter, every event as a JSON line."""

import io
import json
from pathlib import Path

import pytest

from seamless_stream.errors import SettingsError
from seamless_stream.events import Final, SegmentStarted
from seamless_stream.sinks import JsonLinesSink, SubtitleSink, open_text
from seamless_stream.sinks.captions import cues, timestamp

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


def test_json_lines_have_a_header_and_every_event() -> None:
    stream = io.StringIO()
    sink = JsonLinesSink(stream, {"type": "Session", "model": "fake"})
    sink.write(SegmentStarted(0, 1.5), 1.6)
    sink.write(FINAL, 4.0)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["Session", "SegmentStarted", "Final"]
    assert lines[2]["text"] == FINAL.text and lines[2]["elapsed_s"] == 4.0


def test_unwritable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written: No such file or directory"):
        open_text(tmp_path / "no" / "out.srt")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_captions_on_a_full_disk_are_one_sentence() -> None:
    srt, events = SubtitleSink(Path("/dev/full"), "srt"), JsonLinesSink(Path("/dev/full"))
    for sink in (srt, events):
        with pytest.raises(SettingsError, match="`/dev/full` cannot be written: No space left on device"):
            sink.write(FINAL, 0.0)
        sink.close()
    with pytest.raises(SettingsError, match="No space left"):
        SubtitleSink(Path("/dev/full"), "vtt")
