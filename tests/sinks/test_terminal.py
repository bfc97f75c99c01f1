"""The terminal: what a person sees, on a screen that follows the control sequences; pipes get plain lines."""

import io

import pyte
import pytest
from rich.console import Console

from seamless_stream.events import Event, Failed, Final, Partial, SegmentEnded, SegmentStarted, Skipped
from seamless_stream.sinks import TerminalSink
from seamless_stream.sinks.terminal import clock_time

FINAL = Final(0, "spa", "¿Dónde está la estación?", 1.5, 3.25)


class Window:
    """A terminal window of our own: `screen` is what it shows."""

    def __init__(self, width: int, height: int = 12, **options: bool) -> None:
        self.screen = pyte.Screen(width, height)
        self.screen.set_mode(pyte.modes.LNM)  # as the line discipline: \n also returns
        self._terminal = pyte.Stream(self.screen)
        self.out = io.StringIO()
        self._shown = 0
        self.console = Console(
            file=self.out,
            force_terminal=True,
            width=width,
            height=height,
            color_system="truecolor",
            legacy_windows=False,
        )
        self.sink = TerminalSink(self.console, shows_delay=True, **options)

    def write(self, *events: Event, elapsed_s: float = 4.05) -> list[str]:
        for event in events:
            self.sink.write(event, elapsed_s)
        return self.lines()

    def lines(self) -> list[str]:
        self._terminal.feed(self.out.getvalue()[self._shown :])
        self._shown = len(self.out.getvalue())
        return [line.rstrip() for line in self.screen.display if line.strip()]


def test_pipe_gets_plain_lines_of_finals_and_troubles(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    sink = TerminalSink(Console(file=stream, force_terminal=False, width=20), shows_delay=True)
    for event in (SegmentStarted(0, 1.5), Partial(0, "spa", "¿Dónde", " esta"), FINAL):
        sink.write(event, 4.05)
    sink.write(Failed(1, "it broke [red]"), 5.0)
    sink.write(Skipped(2, "text", "too long"), 5.0)
    sink.note("a note")
    sink.close()
    assert stream.getvalue().splitlines() == [
        "[0:01.5 - 0:03.2] ¿Dónde está la estación?  +0.8 s",
        "segment 2 failed: it broke [red]",
        "segment 3: text left out: too long",
    ]
    assert capsys.readouterr().err == "a note\n"


def test_open_segment_changes_in_place_and_its_final_stays() -> None:
    window = Window(60)
    assert window.write(SegmentStarted(0, 1.5)) == ["[0:01.5 - ...]"]
    assert window.write(Partial(0, "spa", "¿Dónde", " esta")) == ["[0:01.5 - ...] ¿Dónde esta"]
    assert "¿Dónde\x1b[2m esta\x1b[0m" in window.out.getvalue()  # pending is dim, committed plain
    assert window.write(Partial(0, "spa", "¿Dónde", "")) == ["[0:01.5 - ...] ¿Dónde"]
    assert window.write(FINAL) == ["[0:01.5 - 0:03.2] ¿Dónde está la estación?  +0.8 s"]
    assert window.write(SegmentEnded(0, 1.5, 3.25, "silence")) == [
        "[0:01.5 - 0:03.2] ¿Dónde está la estación?  +0.8 s"
    ]
    window.sink.note("a note")
    window.write(SegmentStarted(1, 5.0))
    window.sink.close()
    assert window.lines() == ["[0:01.5 - 0:03.2] ¿Dónde está la estación?  +0.8 s", "a note"]


def test_two_languages_and_overlapping_segments_have_a_line_each() -> None:
    window = Window(60, shows_language=True)
    events = (SegmentStarted(0, 1.0), Partial(0, "spa", "Hola", ""), Partial(0, "fra", "", "Bonjour"))
    assert window.write(*events, SegmentStarted(1, 4.0)) == [
        "[0:01.0 - ...] spa: Hola",
        "[0:01.0 - ...] fra: Bonjour",
        "[0:04.0 - ...]",
    ]
    assert window.write(Final(0, "spa", "Hola.", 1.0, 3.0)) == [
        "[0:01.0 - 0:03.0] spa: Hola.  +1.0 s",
        "[0:01.0 - ...] fra: Bonjour",
        "[0:04.0 - ...]",
    ]
    assert window.write(Failed(0, "it broke"))[1:] == ["segment 1 failed: it broke", "[0:04.0 - ...]"]


TEXTS = {
    "words": "Mañana por la mañana nos vamos a la playa con toda la familia y con el perro. " * 3,
    "wide": "今日は天気がとてもいいので、みんなで海へ行きましょう。" * 6,
    "one word": "x" * 200,
}


@pytest.mark.parametrize("width", [20, 21, 33, 80, 81])
@pytest.mark.parametrize("kind", TEXTS)
def test_growing_text_leaves_nothing_behind_at_any_width(width: int, kind: str) -> None:
    """Also where it becomes shorter again, and where it was higher than the window."""
    window, text = Window(width), TEXTS[kind]
    window.write(SegmentStarted(0, 0.0))
    for length in [*range(0, len(text), 7), 5]:
        lines = window.write(Partial(0, "jpn", text[: length // 2], text[length // 2 : length]))
        whole = f"[0:00.0 - ...] {text[:length]}"
        shown = "".join("".join(lines).split())
        assert "".join(whole.split()).endswith(shown) and shown
        assert len(lines) <= 11
    assert "".join("".join(lines).split()) == "".join(f"[0:00.0-...]{text[:5]}".split())
    window.write(Final(0, "jpn", "short", 0.0, 1.0), elapsed_s=4.1)
    assert "".join("".join(window.lines()).split()) == "[0:00.0-0:01.0]short+3.1s"


def test_each_event_is_one_write_between_update_marks() -> None:
    """What flickers is a screen that is shown half drawn."""

    class Counting(io.StringIO):
        writes: list[str] = []

        def write(self, text: str) -> int:
            self.writes.append(text)
            return len(text)

    file = Counting()
    sink = TerminalSink(
        Console(file=file, force_terminal=True, width=40, height=10, legacy_windows=False), shows_delay=False
    )
    sink.write(SegmentStarted(0, 0.0), 0.0)
    sink.write(Partial(0, "spa", "uno", " dos"), 0.0)
    writes = [text for text in file.writes if text]
    assert len(writes) == 2
    assert all(text.startswith("\x1b[?2026h") and text.endswith("\x1b[?2026l") for text in writes)


def test_narrower_window_is_cleaned_as_well() -> None:
    """Terminals break lines again when they become narrower: the old block then has more rows."""
    window = Window(40)
    window.write(SegmentStarted(0, 0.0), Partial(0, "spa", "uno dos tres cuatro cinco", ""))
    assert window.lines() == ["[0:00.0 - ...] uno dos tres cuatro", "cinco"]
    window.console.width = 25
    assert window.sink._block is not None
    assert window.sink._block._to_start() == "\r\x1b[2A"  # 2 rows and 1


def test_times_round_without_sixty_seconds() -> None:
    assert clock_time(59.96) == "1:00.0"
    assert clock_time(3.24) == "0:03.2"
    assert clock_time(3_723.5) == "1:02:03.5"
