"""Captions for people: final lines stay, open segments change in place where the terminal can do that.

In place means: a block of lines at the bottom that is drawn over itself in one write, so that nothing flickers. Knows
the width of characters and of the terminal; knows no session and no model.
"""

import math
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from seamless_stream.events import (
    Event,
    Failed,
    Final,
    Partial,
    SegmentEnded,
    SegmentStarted,
    Skipped,
    TargetsChanged,
)

# Control sequences of ECMA-48, and the synchronized update that newer terminals add (others ignore it).
BEGIN_UPDATE, END_UPDATE = "\x1b[?2026h", "\x1b[?2026l"
ERASE_LINE_REST, ERASE_BELOW = "\x1b[K", "\x1b[J"


class Block:
    """The last lines of a terminal. Between two draws the cursor stands at the end of the last one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._widths: list[int] = []  # cells of the lines on the screen

    def draw(self, lines: list[Text], above: list[Text]) -> None:
        """Put `lines` in the place of the old ones; `above` scrolls away with what was there before."""
        # One column stays free: after a character in the last one, terminals differ in where the cursor is.
        width, height = max(self._console.width - 1, 1), max(self._console.height - 1, 1)
        rows = [row for line in lines for row in line.wrap(self._console, width, overflow="fold")][-height:]
        parts = [BEGIN_UPDATE, self._to_start()]
        if above:  # may be longer than a row: the terminal breaks it, and can again when it is resized
            parts += [ERASE_BELOW, *(f"{self._styled(line)}\r\n" for line in above)]
        parts.append("\r\n".join(f"{self._styled(row)}{ERASE_LINE_REST}" for row in rows))
        parts += [ERASE_BELOW, END_UPDATE]
        self._widths = [row.cell_len for row in rows]
        self._console.file.write("".join(parts))
        self._console.file.flush()

    def _to_start(self) -> str:
        """To the first cell of the block, which has more rows if the terminal has become narrower since."""
        num_rows = sum(max(1, math.ceil(cells / self._console.width)) for cells in self._widths)
        return "\r" + (f"\x1b[{num_rows - 1}A" if num_rows > 1 else "")

    def _styled(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=True, highlight=False)
        return captured.get()


@dataclass
class OpenSegment:
    """What is shown of a segment: (committed, pending) by language; None once the text is final."""

    start_s: float | None
    captions: dict[str, tuple[str, str] | None] = field(default_factory=dict)


class TerminalSink:
    """Lines of finals and troubles; open segments in place. Its methods may be called from several threads."""

    def __init__(self, console: Console, *, shows_delay: bool, shows_language: bool = False) -> None:
        self._console = console
        self._shows_delay = shows_delay
        self._shows_language = shows_language
        self._segments: dict[int, OpenSegment] = {}
        self._lock = threading.Lock()
        is_able = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
        self._block = Block(console) if is_able else None

    def write(self, event: Event, elapsed_s: float) -> None:
        """Finals and troubles as lines, partials in place."""
        with self._lock:
            self._follow(event)
            self._show(list(self._lines(event, elapsed_s)))

    def note(self, text: str) -> None:
        """A line about the run; on stderr where nothing is drawn in place that it could disturb."""
        with self._lock:
            if self._block is not None:
                self._show([Text(text, style="yellow")])
            else:
                print(text, file=sys.stderr)

    def close(self) -> None:
        """Give the terminal back; what is open is no caption."""
        with self._lock:
            self._segments.clear()
            self._show([])

    def _show(self, lines: list[Text]) -> None:
        if self._block is not None:
            self._block.draw(list(self._open_lines()), lines)
            return
        try:
            for line in lines:
                self._console.print(line, highlight=False, soft_wrap=True)
        except (
            SystemExit
        ):  # rich's answer to a reader that has gone; on the worker's thread it would end nothing
            raise BrokenPipeError("The reader of the captions has gone.") from None

    def _follow(self, event: Event) -> None:
        """Keep the open segments."""
        if isinstance(event, SegmentStarted):
            self._segments[event.segment] = OpenSegment(event.start_s)
        elif isinstance(event, Partial):
            segment = self._segments.setdefault(event.segment, OpenSegment(None))
            segment.captions[event.language] = (event.committed, event.pending)
        elif isinstance(event, Final) and event.segment in self._segments:
            self._segments[event.segment].captions[event.language] = None
        elif isinstance(event, SegmentEnded | Failed):
            self._segments.pop(event.segment, None)

    def _open_lines(self) -> Iterator[Text]:
        for segment in self._segments.values():
            head = "" if segment.start_s is None else f"[{clock_time(segment.start_s)} - ...] "
            if not segment.captions:
                yield Text(head, style="dim")
            for language, caption in segment.captions.items():
                if caption is not None:
                    name = f"{language}: " if self._shows_language else ""
                    committed, pending = caption
                    yield Text.assemble((head, "cyan"), (name, "magenta"), committed, (pending, "dim"))

    def _lines(self, event: Event, elapsed_s: float) -> Iterator[Text]:
        if isinstance(event, Final) and event.text:
            line = Text(f"[{clock_time(event.start_s)} - {clock_time(event.end_s)}] ", style="cyan")
            line.append(f"{event.language}: " if self._shows_language else "", style="magenta")
            line.append(event.text, style="default")
            if self._shows_delay:
                line.append(f"  +{elapsed_s - event.end_s:.1f} s", style="dim")
            yield line
        elif isinstance(event, Failed):
            yield Text(f"segment {event.segment + 1} failed: {event.message}", style="red")
        elif isinstance(event, Skipped):
            yield Text(f"segment {event.segment + 1}: {event.what} left out: {event.reason}", style="yellow")
        elif isinstance(event, TargetsChanged):
            yield Text(f"from here on into {', '.join(event.languages)}", style="yellow")


def clock_time(seconds: float) -> str:
    """0:03.2, or 1:02:03.2 after an hour."""
    tenths = round(seconds * 10)
    hours, tenths = divmod(tenths, 36_000)
    minutes, tenths = divmod(tenths, 600)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{tenths // 10:02}.{tenths % 10}"
