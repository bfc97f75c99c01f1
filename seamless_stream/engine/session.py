"""One client's conversation, without input or output: audio or text in, events out, work for the engine between.

Knows the sample clock, the segments in progress and what the policy committed. Knows no thread, no clock on the wall
and no batch: the engine asks what is `due`, and tells what became of it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.segmenter import SegmentAudio, SegmentClosed, SegmentEvent, SegmentOpened
from seamless_stream.engine.decoding import Decoded
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.engine.policy import Policy
from seamless_stream.engine.runner import Speaking
from seamless_stream.engine.segment import Line, Segment
from seamless_stream.errors import SettingsError
from seamless_stream.events import (
    Event,
    Failed,
    Final,
    Partial,
    SegmentEnded,
    SegmentStarted,
    Skipped,
    Speech,
)
from seamless_stream.models.base import EncoderMode, Listening, Prompt, TextTokenizer, Units
from seamless_stream.settings import SessionSettings


class Cutter(Protocol):
    """What finds the segments: `audio.segmenter.Segmenter`, or `Whole` for a short recording."""

    def push(self, samples: np.ndarray) -> list[SegmentEvent]:
        """Samples [n] of any length -> what they opened, held and closed."""

    def flush(self) -> list[SegmentEvent]:
        """The end of the stream."""


class Whole:
    """One segment from the first to the last sample, if `cutter` finds any speech in it."""

    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        self._chunks: list[np.ndarray] = []
        self._has_speech = False

    def push(self, samples: np.ndarray) -> list[SegmentEvent]:
        """Keep everything; the caller bounds the length."""
        self._chunks.append(samples)
        self._look(self._cutter.push(samples))
        return []

    def flush(self) -> list[SegmentEvent]:
        """Open, fill and close the only segment."""
        self._look(self._cutter.flush())
        if not self._has_speech:
            return []
        samples = np.concatenate(self._chunks)
        return [
            SegmentOpened(0),
            SegmentAudio(0, samples),
            SegmentClosed(0, len(samples), "end_of_stream"),
        ]

    def _look(self, found: list[SegmentEvent]) -> None:
        self._has_speech = self._has_speech or any(isinstance(event, SegmentOpened) for event in found)


class Session:
    """`push` and `finish` from the driver, `events` back to it; made by `Engine.open`.

    The events of a segment are SegmentStarted, Partials while it is open, then per target language a Final, and
    Speech as it is ready, then SegmentEnded; Failed takes the place of what could not be made. Text comes in the
    order of the segments; speech may come while the next segment is being written.
    """

    def __init__(
        self,
        session_id: int,
        settings: SessionSettings,
        cutter: Cutter,
        policy: Policy,
        tokenizer: TextTokenizer,
        prompt: Callable[[str], Prompt],
        mode: EncoderMode | None,
    ) -> None:
        self.id = session_id
        self.settings = settings
        self.policy = policy
        self.segments: deque[Segment] = deque()  # in progress, the oldest first
        self.mode = mode  # None: segments are heard when they have ended
        # Where nothing is final, one line of greedy text is enough, and it can be stopped early.
        self.open_decoding = replace(settings.decoding, beams=1, sample=False)
        self._cutter = cutter
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._num_samples = 0  # the session's clock: samples pushed so far
        self._num_segments = 0
        self._open: Segment | None = None
        self._is_finishing = False
        self.previous: Listening | None = None  # the last segment that was heard to its end

    # Driver's side.

    def push(self, samples: np.ndarray) -> None:
        """Audio [n] of any length, float32 mono at 16 kHz; raises AudioError for anything else."""
        if self._is_finishing:
            raise SettingsError("A finished session must get no more audio.")
        self._num_samples += len(samples)
        self._follow(self._cutter.push(samples))

    def push_text(self, text: str) -> None:
        """One segment of text instead of audio, without a place in time; tasks t2tt and t2st."""
        segment = self._start(self._num_samples, text)
        segment.end(self._num_samples, "end_of_stream")

    def finish(self) -> None:
        """No more audio will come: what is open is closed."""
        if not self._is_finishing:
            self._is_finishing = True
            self._follow(self._cutter.flush())

    def events(self) -> list[Event]:
        """Everything new since the last call: of a segment nothing, before the text of all earlier ones is there."""
        events: list[Event] = []
        for segment in self.segments:
            events += segment.events
            segment.events = []
            if not segment.is_text_done:
                break
        while self.segments and self.segments[0].is_closed and not self.segments[0].events:
            self.segments.popleft()
        return events

    @property
    def num_segments(self) -> int:
        """Segments begun so far."""
        return self._num_segments

    @property
    def is_done(self) -> bool:
        """Finished, and every segment is closed; events may still wait to be read."""
        return self._is_finishing and all(segment.is_closed for segment in self.segments)

    @property
    def backlog_samples(self) -> int:
        """Audio of ended segments that is not translated: the driver holds back while it is large."""
        waiting = [s for s in self.segments if s.has_ended and not s.is_text_done]
        return sum(segment.end_samples - segment.start_samples for segment in waiting)

    @property
    def nbytes(self) -> int:
        """Memory of audio and encoder states."""
        return sum(segment.nbytes for segment in self.segments)

    @property
    def position_s(self) -> float:
        """Source time heard so far."""
        return self._num_samples / SAMPLE_RATE

    # Engine's side.

    def due(self) -> list[tuple[Segment, int]]:
        """Segments that should hear more now, and how many samples."""
        policy = self.settings.policy
        step = policy.decode_every_ms * SAMPLE_RATE // 1000 if self.policy.wants_open_segments else 0
        first = policy.first_decode_ms * SAMPLE_RATE // 1000
        found = []
        for segment in self.segments:
            num_samples = segment.due_samples(step, first, skips=False)
            if num_samples is not None:
                found.append((segment, num_samples))
            # What is heard of an open segment depends on the ones before it: their levels are its prior.
            if step and not segment.is_heard and not segment.is_failed:
                break
        return found

    def answer(
        self, segment: Segment, line: Line, hypothesis: Hypothesis, decoded: Decoded, *, source_finished: bool
    ) -> None:
        """A new hypothesis: commit what the policy says and tell the driver."""
        while len(line.hypotheses) >= self.policy.memory:
            line.hypotheses.popleft()
        line.hypotheses.append(hypothesis)
        num_committed = self.policy.commit(list(line.hypotheses), source_finished)
        line.committed = hypothesis.token_ids[:num_committed]
        line.hidden = decoded.hidden[: len(line.prompt.token_ids) + num_committed]
        if not source_finished:
            self._show(segment, line, hypothesis)
            return
        line.is_final = True
        text = self._tokenizer.decode(list(line.committed))
        compute_s = segment.compute_s / len(segment.lines)
        segment.events.append(
            Final(
                segment.number, line.language, text, segment.start_s, segment.end_s, line.committed, compute_s
            )
        )
        if not hypothesis.is_complete:
            limit = self.settings.decoding.max_new_tokens
            segment.events.append(Skipped(segment.number, "text", f"`max_new_tokens` = {limit} was reached"))

    def fail(self, segment: Segment, message: str) -> None:
        """A segment cannot be translated; what is committed stays."""
        if not segment.is_failed:
            segment.fail()
            segment.events.append(Failed(segment.number, message))

    def unspoken(self) -> list[Speaking]:
        """What should be spoken next: of each language the earliest."""
        if self.settings.task not in ("s2st", "t2st"):
            return []
        found: dict[str, Speaking] = {}
        for segment in self.segments:
            for line in segment.lines.values():
                is_ready = line.is_final and not line.is_spoken and not segment.is_failed
                if is_ready and line.committed and line.language not in found:
                    found[line.language] = Speaking(self.id, segment, line, self.settings.speaker)
        return list(found.values())

    def spoken(self, speaking: Speaking, units: Units, samples: np.ndarray) -> None:
        """Speech for the driver."""
        segment, line = speaking.segment, speaking.line
        line.is_spoken = True
        segment.events.append(Speech(segment.number, line.language, samples, SAMPLE_RATE, tuple(units.ids)))

    def close_segments(self) -> None:
        """Say the end of every segment for which nothing more will come."""
        speaks = self.settings.task in ("s2st", "t2st")
        for segment in self.segments:
            lines = segment.lines.values()
            is_silent = segment.is_failed or not speaks
            is_spoken = is_silent or all(line.is_spoken or not line.committed for line in lines)
            if segment.has_ended and segment.is_text_done and is_spoken and not segment.is_closed:
                segment.is_closed = True
                segment.listening = segment.encoded = None
                segment.events.append(
                    SegmentEnded(segment.number, segment.start_s, segment.end_s, segment.reason)
                )

    def _show(self, segment: Segment, line: Line, hypothesis: Hypothesis) -> None:
        """Say what the text is now, if it has changed."""
        committed = self._tokenizer.decode(list(line.committed))
        whole = self._tokenizer.decode(list(hypothesis.token_ids))
        # A tokenizer may join pieces differently once more of them are there; committed text stands.
        pending = whole[len(committed) :] if whole.startswith(committed) else ""
        if (committed, pending) != line.shown:
            line.shown = (committed, pending)
            segment.events.append(Partial(segment.number, line.language, committed, pending))

    def _follow(self, found: list[SegmentEvent]) -> None:
        for event in found:
            if isinstance(event, SegmentOpened):
                self._open = self._start(event.start, None)
            elif isinstance(event, SegmentAudio):
                assert self._open is not None
                self._open.add(event.samples)
            else:
                assert self._open is not None
                self._open.end(event.end, event.reason)
                self._open = None

    def _start(self, start_samples: int, text: str | None) -> Segment:
        lines = [Line(language, self._prompt(language)) for language in self.settings.target_languages]
        segment = Segment(self._num_segments, start_samples, lines, text)
        segment.events.append(SegmentStarted(segment.number, segment.start_s))
        self._num_segments += 1
        self.segments.append(segment)
        return segment
