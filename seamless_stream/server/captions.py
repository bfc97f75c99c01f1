"""What the engine tells, as messages of the wire: segment ids, revisions, appended text, speech on the output clock.

Pure: one object per session, fed with the engine's events in their order. Both dialects come from here: ours has
segments and binary speech, the OpenAI one gets the appended text and base64 speech alone.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import Final

from seamless_stream import events
from seamless_stream.audio.pcm import Samples, to_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.server import messages
from seamless_stream.server.messages import Dialect, ServerMessage
from seamless_stream.server.protocol import audio_frame

# Languages that put no space between sentences.
UNSPACED: Final = frozenset({"cmn", "cmn_Hant", "yue", "jpn", "tha", "lao", "khm", "mya"})

Outgoing = ServerMessage | bytes


def ms(seconds: float) -> int:
    """Source time as the wire has it."""
    return round(seconds * 1000)


@dataclass
class Line:
    """What was said so far of one segment."""

    stable: str = ""
    rev: int = 0
    resampler: Resampler | None = None
    first_sample: int = 0  # of its speech on the output clock
    num_samples: int = 0


@dataclass
class Captions:
    """`convert` makes messages; `restart` when the engine's session is followed by another one."""

    dialect: Dialect
    output_rate: int
    names: dict[str, str] = field(
        default_factory=dict
    )  # the engine's language code -> as the client wrote it
    num_finals: int = 0
    num_samples: int = 0  # of speech: the output clock
    _lines: dict[int, Line] = field(default_factory=dict)
    _offset_s: float = 0.0
    _first_segment: int = 0  # number of the engine's segment 0
    _num_segments: int = 0
    _num_frames: int = 0
    _has_text: bool = False

    def restart(self, offset_s: float) -> None:
        """The next events come from a new session of the engine, which began at this source time."""
        self._offset_s, self._first_segment = offset_s, self._num_segments
        self._lines.clear()

    def convert(self, event: events.Event, elapsed_ms: int) -> list[Outgoing]:
        """The messages of one event; `elapsed_ms` is the source time heard by now."""
        everything = list(self._messages(event, elapsed_ms))
        if self.dialect == "native":
            return everything
        return [message for message in everything if isinstance(message, messages.OpenAIMessage)]

    def _messages(self, event: events.Event, elapsed_ms: int) -> Iterator[Outgoing]:
        number = self._first_segment + event.segment
        name, line = f"s{number}", self._lines.setdefault(event.segment, Line())
        if isinstance(event, events.SegmentStarted):
            self._num_segments = max(self._num_segments, number + 1)
            yield messages.SegmentStarted(name, self._ms(event.start_s))
        elif isinstance(event, events.Partial):
            yield from self._partial(event, name, line, elapsed_ms)
        elif isinstance(event, events.Final):
            yield from self._final(event, name, line, elapsed_ms)
        elif isinstance(event, events.Speech):
            if line.resampler is None:
                line.resampler = Resampler(event.rate, self.output_rate)
                line.first_sample = self.num_samples
            yield from self._speech(line.resampler.push(event.samples), number, line, elapsed_ms)
        elif isinstance(event, events.SegmentEnded):
            yield from self._end(event, number, line, elapsed_ms)
        elif isinstance(event, events.Failed):
            yield messages.SegmentCancelled(name, event.message)
        elif isinstance(event, events.Skipped):
            yield messages.Skipped(name, event.what, event.reason)
        else:
            yield messages.TargetChanged(name, self._name(event.languages[0]))

    def _partial(
        self, event: events.Partial, name: str, line: Line, elapsed_ms: int
    ) -> Iterator[ServerMessage]:
        # A tokenizer may join its pieces differently later; what was told stands.
        stable = event.committed if event.committed.startswith(line.stable) else line.stable
        added = stable[len(line.stable) :]
        line.stable, line.rev = stable, line.rev + 1
        language = self._name(event.language)
        yield from self._delta(added, is_first=stable == added, code=event.language, elapsed_ms=elapsed_ms)
        yield messages.SegmentUpdated(name, language, line.rev, added, stable, event.pending)

    def _final(self, event: events.Final, name: str, line: Line, elapsed_ms: int) -> Iterator[ServerMessage]:
        added = event.text[len(commonprefix([line.stable, event.text])) :]
        is_first = not line.stable
        line.stable, line.rev = event.text, line.rev + 1
        self.num_finals += 1
        yield from self._delta(added, is_first=is_first, code=event.language, elapsed_ms=elapsed_ms)
        place = (self._ms(event.start_s), self._ms(event.end_s))
        yield messages.SegmentFinal(name, self._name(event.language), line.rev, added, event.text, *place)

    def _delta(
        self, added: str, *, is_first: bool, code: str, elapsed_ms: int
    ) -> Iterator[messages.OutputTranscriptDelta]:
        if not added or self.dialect == "native":
            return
        space = " " if is_first and self._has_text and code not in UNSPACED else ""
        self._has_text = True
        yield messages.OutputTranscriptDelta(space + added, elapsed_ms)

    def _speech(self, samples: Samples, number: int, line: Line, elapsed_ms: int) -> Iterator[Outgoing]:
        if not len(samples):
            return
        pcm = to_bytes(samples)
        if self.dialect == "native":
            yield audio_frame(self._num_frames, self.num_samples, number, pcm)
        else:
            text = base64.b64encode(pcm).decode("ascii")
            yield messages.OutputAudioDelta(text, self.output_rate, elapsed_ms)
        self._num_frames += 1
        self.num_samples += len(samples)
        line.num_samples += len(samples)

    def _end(
        self, event: events.SegmentEnded, number: int, line: Line, elapsed_ms: int
    ) -> Iterator[Outgoing]:
        if line.resampler is not None:
            yield from self._speech(line.resampler.flush(), number, line, elapsed_ms)
            yield messages.SegmentAudioDone(f"s{number}", line.first_sample, line.num_samples)
        place = (self._ms(event.start_s), self._ms(event.end_s))
        yield messages.SegmentEnded(f"s{number}", *place, event.reason)
        del self._lines[event.segment]

    def _name(self, code: str) -> str:
        return self.names.get(code, code)

    def _ms(self, engine_s: float) -> int:
        return ms(self._offset_s + engine_s)
