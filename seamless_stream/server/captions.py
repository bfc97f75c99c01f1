"""What the engine tells, as messages of the wire: segment ids, revisions, appended text, speech on the output clocks.

Pure: one object per session, fed with the engine's events in their order. Both dialects come from here: ours has
segments, languages and binary speech, the OpenAI one gets the appended text and base64 speech alone.
"""

import base64
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import Final

import numpy as np

from seamless_stream import events
from seamless_stream.audio.pcm import Samples, to_bytes
from seamless_stream.audio.resample import Resampler
from seamless_stream.models.base import Capabilities
from seamless_stream.server import messages
from seamless_stream.server.changes import CaptionMode
from seamless_stream.server.languages import Languages
from seamless_stream.server.messages import Dialect, EndReason, Role, ServerMessage
from seamless_stream.server.protocol import FIRST, LAST, TORN, audio_frame
from seamless_stream.server.spoken import Spoken
from seamless_stream.settings import SessionSettings

# Languages that put no space between sentences.
UNSPACED: Final = frozenset({"cmn", "cmn_Hant", "yue", "jpn", "tha", "lao", "khm", "mya"})

# Of the engine's; the end of its stream has reasons of its own.
REASONS: Final[dict[str, EndReason]] = {"silence": "silence", "soft_max": "pause", "hard_max": "max_length"}
NOTHING: Final = np.zeros(0, np.float32)

Outgoing = ServerMessage | bytes


def ms(seconds: float) -> int:
    """Source time as the wire has it."""
    return round(seconds * 1000)


@dataclass
class Line:
    """What was said so far of one segment in one language."""

    stable: str = ""
    unstable: str = ""
    is_held: bool = False  # the newest unstable text was not told
    told_s: float = -math.inf  # when it last was
    rev: int = 0
    resampler: Resampler | None = None
    first_sample: int = 0  # of its speech on the output clock
    num_samples: int = 0
    has_frames: bool = False


@dataclass
class Segment:
    """One that is open; the targets are those it began with."""

    number: int  # of the session
    targets: tuple[str, ...]
    lines: dict[str, Line] = field(default_factory=dict)
    source: str | None = None  # the language that is spoken, where that matters and is known
    decided: dict[str, events.Decided] = field(default_factory=dict)  # where words have times
    is_silent: bool = False  # the client wants to hear no more of it
    partials: dict[str, events.Partial] = field(default_factory=dict)  # the newest, held until it is
    finals: dict[str, events.Final] = field(default_factory=dict)  # as well
    speech: list[events.Speech] = field(default_factory=list)  # as well

    @property
    def name(self) -> str:
        """Its id on the wire."""
        return f"s{self.number}"

    def line(self, code: str) -> Line:
        """Of one language."""
        return self.lines.setdefault(code, Line())


@dataclass
class Captions:
    """`convert` makes messages; `restart` when the engine's session is followed by another one."""

    dialect: Dialect
    output_rate: int
    names: dict[str, str] = field(
        default_factory=dict
    )  # the engine's language code -> as the client wrote it
    targets: tuple[str, ...] = ()  # the engine's codes; segments that begin later have these
    spoken: Spoken = field(default_factory=Spoken)
    transcribes: bool = False  # what was said is a caption too
    skips_same: bool = False  # what is spoken in a target language is not translated into it
    is_two_way: bool = False
    mode: CaptionMode = "stable+unstable"
    min_interval_ms: int = 0  # between updates of one line of which nothing is settled
    pre_roll_ms: int = 300  # of a segment, before its speech
    # For how long the audio up to a place of the input is here.
    age_ms: Callable[[int], int] = lambda place_ms: 0
    ended_by: EndReason = "close"  # what ends the engine's stream now, if it ends
    # Told of what is said, by the target's place.
    on_speech: Callable[[events.Speech, int], None] | None = None
    num_finals: int = 0  # segments of which there was one
    clocks: dict[int, int] = field(default_factory=dict)  # samples said, by the target's place
    _segments: dict[int, Segment] = field(default_factory=dict)
    _offset_s: float = 0.0
    _first_segment: int = 0  # number of the engine's segment 0
    _num_segments: int = 0
    _num_frames: int = 0
    _codes: tuple[str, ...] | None = None  # what the engine's session writes; None: there is none yet
    _targets_of: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    _now_s: float = 0.0
    # Output clocks on which speech was left out since the last frame.
    _torn: set[int] = field(default_factory=set)
    _has_text: set[Role | None] = field(default_factory=set)

    @property
    def num_samples(self) -> int:
        """Of speech, in all languages."""
        return sum(self.clocks.values())

    def follow(self, languages: Languages, capabilities: Capabilities, start_ms: int) -> None:
        """These are the languages of what comes behind this place of the input."""
        self.names |= languages.names
        self.is_two_way = languages.is_two_way
        self.transcribes = languages.is_two_way or languages.is_transcribed(capabilities)
        self.skips_same = languages.skips_same
        candidates = tuple(named.code for named in languages.possible)
        if self.spoken.candidates != candidates:
            self.spoken = Spoken(candidates)
        self.spoken.declare(start_ms, None if languages.source is None else languages.source.code)
        codes, targets = languages.codes(capabilities), tuple(target.code for target in languages.targets)
        self._targets_of[codes] = targets
        if self._codes in (None, codes):  # else the engine says when
            self.targets = targets

    def begin(self, settings: SessionSettings) -> None:
        """The engine's session that the next events come from is this one."""
        self._codes, self.pre_roll_ms = settings.target_languages, settings.segmentation.pre_roll_ms
        self.targets = self._targets_of[self._codes]

    def restart(self, offset_s: float) -> None:
        """The next events come from a new session of the engine, which began at this source time."""
        self._offset_s, self._first_segment = offset_s, self._num_segments
        self._segments.clear()
        self._codes = None

    def convert(self, event: events.Event, elapsed_ms: int, now_s: float = 0.0) -> list[Outgoing]:
        """The messages of one event; `elapsed_ms` is the source time heard by now, `now_s` a clock."""
        self._now_s = now_s
        everything = list(self._messages(event, elapsed_ms))
        if self.dialect == "native":
            return everything
        return [message for message in everything if isinstance(message, messages.OpenAIMessage)]

    def _messages(self, event: events.Event, elapsed_ms: int) -> Iterator[Outgoing]:
        number = self._first_segment + event.segment
        segment = self._segments.setdefault(event.segment, Segment(number, self.targets))
        if isinstance(event, events.SegmentStarted):
            yield from self._start(event, segment)
        elif isinstance(event, events.Partial):
            yield from self._partial(event, segment, elapsed_ms)
        elif isinstance(event, events.Final):
            yield from self._final(event, segment, elapsed_ms)
        elif isinstance(event, events.Speech):
            yield from self._speak(event, segment, elapsed_ms)
        elif isinstance(event, events.SegmentEnded):
            yield from self._end(event, segment, elapsed_ms)
        elif isinstance(event, events.Failed):
            for line in segment.lines.values():
                line.is_held = False
            yield messages.SegmentCancelled(segment.name, event.message)
        elif isinstance(event, events.Skipped):
            if event.what == "speech" and event.language in segment.targets:
                self._torn.add(segment.targets.index(event.language))
            language = None if event.language is None else self._name(event.language)
            yield messages.Skipped(segment.name, event.what, event.reason, language)
        elif isinstance(event, events.Decided):
            segment.decided[event.language] = event
        elif isinstance(event, events.TargetsChanged):
            self._codes = event.languages
            self.targets = segment.targets = self._targets_of.get(self._codes, self._codes)
            names = [self._name(code) for code in self.targets]
            yield messages.TargetChanged(segment.name, names[0], names)

    # Text.

    def _start(self, event: events.SegmentStarted, segment: Segment) -> Iterator[ServerMessage]:
        self._num_segments = max(self._num_segments, segment.number + 1)
        start_ms = self._ms(event.start_s)
        yield messages.SegmentStarted(segment.name, start_ms)
        segment.source = self.spoken.declared(start_ms + self.pre_roll_ms)
        if self.spoken.candidates and segment.source is not None:
            yield self._direct(segment, segment.source, is_detected=False)

    def _is_settled(self, segment: Segment) -> bool:
        """Whether all is known of what is spoken that will be."""
        return segment.source is not None or not self.spoken.candidates

    def _partial(self, event: events.Partial, segment: Segment, elapsed_ms: int) -> Iterator[Outgoing]:
        if self._is_settled(segment):
            yield from self._update(event, segment, elapsed_ms)
            return
        segment.partials[event.language] = event
        if self.spoken.is_sure(event):
            yield from self._settle(event.language, segment, elapsed_ms)

    def _update(self, event: events.Partial, segment: Segment, elapsed_ms: int) -> Iterator[ServerMessage]:
        line = segment.line(event.language)
        line.is_held = False
        if self.mode == "final" or self._role(segment, event.language) is None:
            return
        # A tokenizer may join its pieces differently later; what was told stands.
        stable = event.committed if event.committed.startswith(line.stable) else line.stable
        added = stable[len(line.stable) :]
        line.stable, line.unstable = stable, event.pending if self.mode == "stable+unstable" else ""
        yield from self._delta(
            added,
            self._role(segment, event.language),
            is_first=stable == added,
            code=event.language,
            elapsed_ms=elapsed_ms,
        )
        if added or (self.mode == "stable+unstable" and self._is_due(line)):
            yield self._show(segment, event.language, line, added)
        else:
            line.is_held = self.mode == "stable+unstable"

    def _is_due(self, line: Line) -> bool:
        return self._now_s - line.told_s >= self.min_interval_ms / 1000

    def _show(self, segment: Segment, code: str, line: Line, added: str) -> messages.SegmentUpdated:
        line.rev, line.told_s, line.is_held = line.rev + 1, self._now_s, False
        role, name = self._role(segment, code), self._name(code)
        return messages.SegmentUpdated(segment.name, name, role, line.rev, added, line.stable, line.unstable)

    def due(self, now_s: float) -> Iterator[ServerMessage]:
        """What was held so that it does not come too often; ask again and again."""
        self._now_s = now_s
        for segment in self._segments.values():
            for code, line in segment.lines.items():
                if self.mode == "stable+unstable" and line.is_held and self._is_due(line):
                    yield self._show(segment, code, line, "")

    def _final(self, event: events.Final, segment: Segment, elapsed_ms: int) -> Iterator[Outgoing]:
        segment.finals[event.language] = event
        self.num_finals += len(segment.finals) == 1
        if self._is_settled(segment):
            yield from self._finish(event, segment, elapsed_ms)
        elif segment.finals.keys() >= set(self.spoken.candidates):
            yield from self._settle(self.spoken.likely(segment.finals), segment, elapsed_ms)

    def _settle(self, source: str | None, segment: Segment, elapsed_ms: int) -> Iterator[Outgoing]:
        """It was found out which language is spoken: say it, and then what had to wait for that."""
        if source is None:
            return  # no candidate has a text: the segment failed
        yield self._direct(segment, source, is_detected=True)
        for language, partial in segment.partials.items():
            if language not in segment.finals:
                yield from self._update(partial, segment, elapsed_ms)
        for final in segment.finals.values():
            yield from self._finish(final, segment, elapsed_ms)
        waiting, segment.speech = segment.speech, []
        for speech in waiting:
            yield from self._speak(speech, segment, elapsed_ms)

    def _direct(self, segment: Segment, source: str, *, is_detected: bool) -> messages.SegmentDirection:
        segment.source = source
        targets = [code for code in segment.targets if self._role(segment, code) == "target"]
        target = self._name(targets[0]) if targets else None
        return messages.SegmentDirection(segment.name, self._name(source), target, is_detected)

    def _finish(self, event: events.Final, segment: Segment, elapsed_ms: int) -> Iterator[ServerMessage]:
        role = self._role(segment, event.language)
        if event.language in segment.targets and role != "target" and not self.is_two_way:
            what, why = "translation", "same_language"
            yield messages.Skipped(segment.name, what, why, self._name(event.language))
        if role is None:
            return
        line = segment.line(event.language)
        added = event.text[len(commonprefix([line.stable, event.text])) :]
        is_first = not line.stable
        line.stable, line.rev, line.is_held = event.text, line.rev + 1, False
        yield from self._delta(added, role, is_first=is_first, code=event.language, elapsed_ms=elapsed_ms)
        end_ms = self._ms(event.end_s)
        yield messages.SegmentFinal(
            segment.name,
            self._name(event.language),
            role,
            line.rev,
            added,
            event.text,
            self._ms(event.start_s),
            end_ms,
            self._reason(event.reason),
            self.age_ms(end_ms),
            self._words(segment, event),
            None if segment.source is None else self._name(segment.source),
        )

    def _reason(self, reason: str) -> EndReason:
        return REASONS.get(reason, self.ended_by)

    def _words(self, segment: Segment, final: events.Final) -> list[messages.Word] | None:
        """When each word was said, to a frame of the encoder; None: not asked for, or not known."""
        decided = segment.decided.get(final.language)
        if decided is None or not decided.frames:
            return None
        frame_s = (decided.until_s - decided.from_s) / max(1, decided.num_frames)
        words: list[messages.Word] = []
        for piece, frame in list(zip(decided.pieces, decided.frames, strict=False))[: decided.num_committed]:
            start_ms = self._ms(decided.from_s + frame * frame_s)
            end_ms = self._ms(decided.from_s + (frame + 1) * frame_s)
            if words and not piece.startswith("▁") and final.language not in UNSPACED:
                last = words.pop()
                text, start_ms, end_ms = last.text + piece, last.start_ms, max(last.end_ms, end_ms)
            else:
                text = piece.removeprefix("▁")
            words.append(messages.Word(text, start_ms, end_ms))
        return [word for word in words if word.text]

    def _role(self, segment: Segment, code: str) -> Role | None:
        """None: this text only served to find out what is spoken."""
        is_target = code in segment.targets
        if code == segment.source and (self.skips_same or not is_target):
            return "source" if self.transcribes else None
        return "target" if is_target else None

    def _delta(
        self, added: str, role: Role | None, *, is_first: bool, code: str, elapsed_ms: int
    ) -> Iterator[messages.InputTranscriptDelta | messages.OutputTranscriptDelta]:
        if not added or self.dialect == "native":
            return
        space = " " if is_first and role in self._has_text and code not in UNSPACED else ""
        self._has_text.add(role)
        kind = messages.InputTranscriptDelta if role == "source" else messages.OutputTranscriptDelta
        yield kind(space + added, elapsed_ms)

    # Speech.

    def silence(self) -> list[int]:
        """Speak nothing more of the segments that have begun: the place on every clock from which on speech is new."""
        for segment in self._segments.values():
            segment.is_silent = True
            segment.speech.clear()
        self._torn |= self.clocks.keys()
        return [self.clocks.get(place, 0) for place in range(max(1, len(self.targets)))]

    def _speak(self, event: events.Speech, segment: Segment, elapsed_ms: int) -> Iterator[Outgoing]:
        if not self._is_settled(segment):
            segment.speech.append(event)
            return
        if segment.is_silent or self._role(segment, event.language) != "target":
            return  # nobody hears his own words again
        line = segment.line(event.language)
        place = segment.targets.index(event.language)
        if line.resampler is None:
            line.resampler = Resampler(event.rate, self.output_rate)
            line.first_sample = self.clocks.setdefault(place, 0)
        if self.on_speech is not None:
            self.on_speech(event, place)
        yield from self._say(line.resampler.push(event.samples), segment, line, place, elapsed_ms)

    def _say(
        self, samples: Samples, segment: Segment, line: Line, place: int, elapsed_ms: int, flags: int = 0
    ) -> Iterator[Outgoing]:
        if not len(samples) and (not flags or self.dialect != "native"):
            return
        pcm = to_bytes(samples)
        if self.dialect == "native":
            if len(samples) and place in self._torn:
                self._torn.remove(place)
                flags |= TORN
            flags |= 0 if line.has_frames else FIRST
            line.has_frames = True
            yield audio_frame(self._num_frames, place, self.clocks[place], segment.number, pcm, flags)
        else:
            text = base64.b64encode(pcm).decode("ascii")
            yield messages.OutputAudioDelta(text, self.output_rate, elapsed_ms)
        self._num_frames += 1
        self.clocks[place] += len(samples)
        line.num_samples += len(samples)

    def _end(self, event: events.SegmentEnded, segment: Segment, elapsed_ms: int) -> Iterator[Outgoing]:
        if not self._is_settled(segment):
            yield from self._settle(self.spoken.likely(segment.finals), segment, elapsed_ms)
        for code, line in segment.lines.items():
            if line.resampler is not None:
                place = segment.targets.index(code)
                rest = NOTHING if segment.is_silent else line.resampler.flush()
                # Which samples are the last is known only now: to hold them back would make all speech late.
                yield from self._say(rest, segment, line, place, elapsed_ms, LAST)
                name = self._name(code)
                yield messages.SegmentAudioDone(segment.name, name, line.first_sample, line.num_samples)
        times = (self._ms(event.start_s), self._ms(event.end_s))
        yield messages.SegmentEnded(segment.name, *times, self._reason(event.reason))
        del self._segments[event.segment]

    def _name(self, code: str) -> str:
        return self.names.get(code, code)

    def _ms(self, engine_s: float) -> int:
        return ms(self._offset_s + engine_s)
