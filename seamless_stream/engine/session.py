"""One client's conversation, without input or output: audio or text in, events out, work for the engine between.

Knows the sample clock, the open segment and what the policy committed. Knows no thread, no clock on the wall, no
tensor: the engine takes segments out with `take_ready` and hands what became of them to `resolve`.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.segmenter import SegmentAudio, SegmentClosed, SegmentEvent, SegmentOpened
from seamless_stream.engine.policy import Policy
from seamless_stream.engine.runner import Job, Outcome, Utterance
from seamless_stream.errors import SettingsError
from seamless_stream.events import Event, Failed, Final, SegmentEnded, SegmentStarted, Skipped, Speech
from seamless_stream.models.base import TextTokenizer
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


@dataclass(frozen=True, eq=False)
class Segment:
    """A closed segment that waits for the engine; positions in samples since the stream began."""

    number: int
    start_samples: int
    end_samples: int
    reason: str
    job: Job

    @property
    def start_s(self) -> float:
        """Where it begins in the stream."""
        return self.start_samples / SAMPLE_RATE

    @property
    def end_s(self) -> float:
        """Where it ends in the stream."""
        return self.end_samples / SAMPLE_RATE


class Session:
    """`push` and `finish` from the driver, `events` back to it; made by `Engine.open`.

    The events of a segment are SegmentStarted, then per target language Final and Speech, then SegmentEnded; or
    Failed in place of the answers. The segments' answers come in the order of the segments.
    """

    def __init__(
        self,
        session_id: int,
        settings: SessionSettings,
        cutter: Cutter,
        policy: Policy,
        tokenizer: TextTokenizer,
    ) -> None:
        self.id = session_id
        self.settings = settings
        self._cutter = cutter
        self._policy = policy
        self._tokenizer = tokenizer
        self._num_samples = 0  # the session's clock: samples pushed so far
        self._num_segments = 0
        self._open: list[np.ndarray] = []  # audio of the open segment
        self._ready: deque[Segment] = deque()
        self._backlog: dict[int, int] = {}  # number of a closed, unresolved segment -> its samples
        self._events: list[Event] = []
        self._is_finishing = False

    # Driver's side.

    def push(self, samples: np.ndarray) -> None:
        """Audio [n] of any length, float32 mono at 16 kHz; raises AudioError for anything else."""
        if self._is_finishing:
            raise SettingsError("A finished session must get no more audio.")
        self._num_samples += len(samples)
        self._follow(self._cutter.push(samples))

    def push_text(self, text: str) -> None:
        """One segment of text instead of audio, without a place in time; tasks t2tt and t2st."""
        self._started(self._num_samples)
        self._closed(self._num_samples, self._num_samples, "end_of_stream", None, text)

    def finish(self) -> None:
        """No more audio will come: what is open is closed."""
        if not self._is_finishing:
            self._is_finishing = True
            self._follow(self._cutter.flush())

    def events(self) -> list[Event]:
        """Everything new since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def num_segments(self) -> int:
        """Segments closed so far."""
        return self._num_segments

    @property
    def is_done(self) -> bool:
        """Finished, and every segment is resolved; events may still wait to be read."""
        return self._is_finishing and not self._backlog

    @property
    def backlog_samples(self) -> int:
        """Audio of closed segments that the engine has not resolved: the driver holds back while it is large."""
        return sum(self._backlog.values())

    @property
    def position_s(self) -> float:
        """Source time heard so far."""
        return self._num_samples / SAMPLE_RATE

    # Engine's side.

    def take_ready(self) -> list[Segment]:
        """Segments that became ready since the last call."""
        ready = list(self._ready)
        self._ready.clear()
        return ready

    def resolve(self, segment: Segment, outcome: Outcome) -> None:
        """Turn what became of a segment into events."""
        del self._backlog[segment.number]
        if outcome.error is not None:
            self._events.append(Failed(segment.number, str(outcome.error)))
        compute_s = sum(outcome.phases_s.values()) / max(1, len(outcome.utterances))
        for utterance in outcome.utterances:
            self._say(segment, utterance, compute_s)
        self._events.append(SegmentEnded(segment.number, segment.start_s, segment.end_s, segment.reason))

    def _say(self, segment: Segment, utterance: Utterance, compute_s: float) -> None:
        hypothesis = utterance.hypothesis
        num_committed = self._policy.commit(hypothesis, source_finished=True)
        token_ids = hypothesis.token_ids[:num_committed]
        text = self._tokenizer.decode(list(token_ids))
        self._events.append(
            Final(
                segment.number,
                hypothesis.language,
                text,
                segment.start_s,
                segment.end_s,
                token_ids,
                compute_s,
            )
        )
        if not hypothesis.is_complete:
            limit = self.settings.decoding.max_new_tokens
            self._events.append(Skipped(segment.number, "text", f"`max_new_tokens` = {limit} was reached"))
        if utterance.samples is not None:
            self._events.append(
                Speech(
                    segment.number, hypothesis.language, utterance.samples, SAMPLE_RATE, utterance.unit_ids
                )
            )

    def _follow(self, found: list[SegmentEvent]) -> None:
        for event in found:
            if isinstance(event, SegmentOpened):
                self._started(event.start)
            elif isinstance(event, SegmentAudio):
                self._open.append(event.samples)
            else:
                samples, self._open = np.concatenate(self._open), []
                self._closed(event.start, event.end, event.reason, samples, None)

    def _started(self, start_samples: int) -> None:
        self._events.append(SegmentStarted(self._num_segments, start_samples / SAMPLE_RATE))

    def _closed(
        self, start: int, end: int, reason: str, samples: np.ndarray | None, text: str | None
    ) -> None:
        settings = self.settings
        job = Job(
            samples,
            text,
            settings.source_language,
            settings.target_languages,
            settings.task in ("s2st", "t2st"),
            settings.speaker,
            settings.decoding,
        )
        self._ready.append(Segment(self._num_segments, start, end, reason, job))
        self._backlog[self._num_segments] = end - start
        self._num_segments += 1
