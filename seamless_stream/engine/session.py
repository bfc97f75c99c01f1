"""One client's conversation, without input or output: audio or text in, events out, work for the engine between.

Knows the sample clock, the segments in progress and what the policy committed. Knows no thread, no clock on the wall
and no batch: the engine asks what is `due`, and tells what became of it.
"""

from collections import deque
from dataclasses import replace

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.segmenter import SegmentAudio, SegmentEvent, SegmentOpened
from seamless_stream.engine.alignment import carry_over
from seamless_stream.engine.cutter import Cutter
from seamless_stream.engine.decoding import Decoded, source_score
from seamless_stream.engine.explain import decided
from seamless_stream.engine.guards import guard
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.engine.load import Overload, Relief
from seamless_stream.engine.policy import Policy, starts_word
from seamless_stream.engine.segment import Line, Segment
from seamless_stream.engine.speech import Window
from seamless_stream.engine.voice import Speaking, Voice
from seamless_stream.errors import SettingsError
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
from seamless_stream.models.base import EncoderMode, Listening, SpeechTranslator
from seamless_stream.settings import SessionSettings

# Longer steps that relieve the model must not look like more audio that waits.
MAX_RELIEF_STEP_SAMPLES = 1_280 * SAMPLE_RATE // 1000
SEGMENT_GRACE_MS = 200  # the end of a segment is known a hang-over after it, on the detector's grid
JOIN_SAMPLES = 300 * SAMPLE_RATE // 1000  # between two segments that are one stretch of speech
JOIN_KNOWN_SAMPLES = (
    500 * SAMPLE_RATE // 1000
)  # after these the segmenter has opened such a segment, if there is one


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
        model: SpeechTranslator,
        mode: EncoderMode | None,
    ) -> None:
        self.id = session_id
        self.settings = settings
        self.policy = policy
        self.segments: deque[Segment] = deque()  # in progress, the oldest first
        self.mode = mode  # None: segments are heard when they have ended
        # Where nothing is final, one line of greedy text is enough, and it can be stopped early; nobody has said yet
        # how much text there will be.
        self.open_decoding = replace(settings.decoding, beams=1, sample=False, min_new_tokens=0)
        self._cutter = cutter
        self._model = model
        self._tokenizer = model.tokenizer
        self._overload = Overload()
        self.relief = Relief()
        self.voices: dict[str, Voice] = {}
        self._targets_changed = False
        self._add_voices()
        self._num_samples = 0  # the session's clock: samples pushed so far
        self._num_segments = 0
        self._compute_s = 0.0  # of segments that are gone
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
            self._compute_s += self.segments.popleft().compute_s
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
    def compute_s(self) -> float:
        """Time that the model worked for it; what several sessions share is shared equally."""
        return self._compute_s + sum(segment.compute_s for segment in self.segments)

    @property
    def nbytes(self) -> int:
        """Memory of audio and encoder states."""
        return sum(segment.nbytes for segment in self.segments)

    @property
    def waiting_s(self) -> float:
        """Audio of segments that is not heard yet."""
        return sum(segment.num_waiting for segment in self.segments) / SAMPLE_RATE

    @property
    def behind_s(self) -> float:
        """For how long audio could have been heard that was not."""
        return max((self._behind_samples(segment) for segment in self.segments), default=0) / SAMPLE_RATE

    def _behind_samples(self, segment: Segment) -> int:
        if segment.is_heard or segment.text is not None:
            return 0
        if segment.has_ended:
            grace_ms = self.settings.segmentation.hang_over_ms + SEGMENT_GRACE_MS
            return max(0, self._num_samples - segment.end_samples - grace_ms * SAMPLE_RATE // 1000)
        step, first = self._grid
        # An open segment waits for the next step of its grid; what comes on top of that is late.
        return max(0, segment.num_waiting - max(first - segment.num_given, step)) if step else 0

    @property
    def _grid(self) -> tuple[int, int]:
        """Samples between two hypotheses of an open segment (0: it has none), and before the first."""
        policy = self.settings.policy
        step = policy.decode_every_ms * SAMPLE_RATE // 1000 if self.policy.wants_open_segments else 0
        return step, policy.first_decode_ms * SAMPLE_RATE // 1000

    @property
    def unplayed_s(self) -> float:
        """Speech that is not played yet, of the language that is most behind, if it is played at once."""
        return max((voice.backlog_s(self.position_s) for voice in self.voices.values()), default=0.0)

    @property
    def overload_level(self) -> int:
        """How much is done to catch up: 0 nothing, see `load.LADDER`."""
        return self._overload.level

    @property
    def position_s(self) -> float:
        """Source time heard so far."""
        return self._num_samples / SAMPLE_RATE

    # Engine's side.

    def due(self) -> list[tuple[Segment, int]]:
        """Segments that should hear more now, and how many samples."""
        step, first = self._grid
        found = []
        for place, segment in enumerate(self.segments):
            if segment.goes_on and not segment.is_heard and not self._is_joined(segment, place):
                break
            wide = min(step * self.relief.step_factor, max(step, MAX_RELIEF_STEP_SAMPLES))
            num_samples = segment.due_samples(wide, first, skips=self.relief.skips_steps)
            if num_samples is not None:
                found.append((segment, num_samples))
            # What is heard of an open segment depends on the ones before it: their levels are its prior.
            if step and not segment.is_heard and not segment.is_failed:
                break
            if self.goes_on(segment) and not segment.is_text_done:
                break  # it leaves its last words to the next one
        return found

    def _is_joined(self, segment: Segment, place: int) -> bool:
        """Whether it is known by now if speech goes on behind a segment that was cut without a pause."""
        following = self.segments[place + 1] if place + 1 < len(self.segments) else None
        if following is None and self._num_samples < segment.end_samples + JOIN_KNOWN_SAMPLES:
            segment.goes_on = not self._is_finishing
            return self._is_finishing
        is_next = following is not None and following.start_samples <= segment.end_samples + JOIN_SAMPLES
        segment.goes_on = is_next
        return True

    def relieve(self) -> None:
        """Keep up where somebody listens: see how much audio waits, leave out the oldest where it is too much."""
        if not self.settings.is_live:
            return
        self.relief = self._overload.relief(self.behind_s)
        if self.relief.drops_audio:
            oldest = next(
                (s for s in self.segments if s.num_waiting and s.has_ended and not s.num_decoding), None
            )
            if oldest is not None:
                lost_s = oldest.num_waiting / SAMPLE_RATE
                oldest.events.append(
                    Skipped(oldest.number, "audio", f"the model is too slow: {lost_s:.1f} s were not heard")
                )
                self.give_up(oldest)

    def give_up(self, segment: Segment) -> None:
        """Hear no more of a segment; what is committed becomes its text."""
        for line in segment.lines.values():
            if not line.is_final:
                self._finish(segment, line)
        segment.give_up()

    def answer(
        self, segment: Segment, line: Line, hypothesis: Hypothesis, decoded: Decoded, *, source_finished: bool
    ) -> None:
        """A new hypothesis: commit what the policy says and tell the driver."""
        least_log_prob = self._model.capabilities.least_log_prob if source_finished else None
        guarded, raw = guard(hypothesis, least_log_prob), hypothesis
        hypothesis = guarded.hypothesis
        if guarded.reason and source_finished:  # before that, waiting is nothing worth telling
            segment.events.append(Skipped(segment.number, "text", guarded.reason))
        while len(line.hypotheses) >= self.policy.memory:
            line.hypotheses.popleft()
        line.hypotheses.append(hypothesis)
        is_whole = source_finished and not self.leaves_words(segment, line)
        verdict = self.policy.judge(list(line.hypotheses), is_whole)
        line.committed = hypothesis.token_ids[: verdict.num_tokens]
        line.hidden = decoded.hidden[: line.num_given + verdict.num_tokens]
        if self.settings.explains:
            pieces = self._tokenizer.pieces(list(raw.token_ids))
            segment.events.append(decided(segment, pieces, raw, guarded, verdict))
        line.score = hypothesis.score
        if not source_finished:
            self._show(segment, line, hypothesis)
            return
        line.is_ended = is_whole and hypothesis.is_complete
        self._finish(segment, line)
        if self.goes_on(segment):
            self._leave_over(segment, line, hypothesis)
        if is_whole and not hypothesis.is_complete and not guarded.reason:
            limit = self.settings.decoding.max_new_tokens
            segment.events.append(Skipped(segment.number, "text", f"`max_new_tokens` = {limit} was reached"))

    def goes_on(self, segment: Segment) -> bool:
        """Whether the words at its end are left to the next segment: only alignment says which ones."""
        return segment.goes_on and self.policy.wants_attention

    def leaves_words(self, segment: Segment, line: Line) -> bool:
        """The same of one line: there must be somebody who takes them, in its language."""
        following = self._following(segment)
        return self.goes_on(segment) and following is not None and line.language in following.lines

    def _following(self, segment: Segment) -> Segment | None:
        return next((s for s in self.segments if s.number == segment.number + 1), None)

    def _leave_over(self, segment: Segment, line: Line, hypothesis: Hypothesis) -> None:
        """Give the next segment the last committed words as context, with their audio; as StreamAtt does."""
        following = self._following(segment)
        if following is None or following.is_heard:  # it was given up
            return
        if line.language in following.lines:
            samples_per_frame = hypothesis.heard_samples / max(1, hypothesis.num_frames)
            count = len(line.committed)
            first, frame = carry_over(
                hypothesis.frames[:count],
                [starts_word(hypothesis, place) for place in range(count)],
                hypothesis.num_frames,
                int(len(segment.tail) / samples_per_frame),
            )
            following.lines[line.language].context = line.committed[first:]
            wanted = hypothesis.heard_samples - int(frame * samples_per_frame)
            segment.num_left = max(segment.num_left, wanted)
        if segment.is_text_done and segment.num_left:
            following.begin_with(segment.tail[len(segment.tail) - min(segment.num_left, len(segment.tail)) :])

    def _finish(self, segment: Segment, line: Line) -> None:
        """What is committed is the text."""
        line.is_final = True
        text = self._tokenizer.decode(list(line.committed))
        compute_s = segment.compute_s / len(segment.lines)
        place = (segment.start_s, segment.end_s)
        segment.events.append(
            Final(
                segment.number,
                line.language,
                text,
                *place,
                line.committed,
                compute_s,
                line.score,
                self._source_score(line),
                segment.reason,
            )
        )

    def _source_score(self, line: Line) -> float | None:
        """See `Final.source_score`."""
        if len(self.settings.target_languages) < 2 or line.hidden is None:
            return None
        if not self._model.capabilities.names_source:
            return None
        return source_score(self._model.decoder, line.hidden, line.prompt)

    def change_targets(self, languages: tuple[str, ...]) -> None:
        """Translate into these from the next segment on; the engine has checked them."""
        self.settings = replace(self.settings, target_languages=languages)
        self._add_voices()
        self._targets_changed = True

    def _add_voices(self) -> None:
        if self.settings.task in ("s2st", "t2st"):
            for language in self.settings.target_languages:
                if language not in self.voices and language not in self.settings.unspoken_languages:
                    self.voices[language] = Voice(
                        self.id, self.settings, self._model.capabilities, self._tokenizer
                    )

    def fail(self, segment: Segment, message: str) -> None:
        """A segment cannot be translated; what is committed stays."""
        if not segment.is_failed:
            segment.fail()
            segment.events.append(Failed(segment.number, message))

    def unspoken(self) -> list[Speaking]:
        """What should be spoken next: in each language one piece."""
        found = []
        for language, voice in self.voices.items():
            waiting = [
                (segment, segment.lines[language])
                for segment in self.segments
                if language in segment.lines and not segment.lines[language].is_spoken
            ]
            for segment, line in waiting:
                if segment.is_failed:
                    voice.drop(line)
            rest = [(segment, line) for segment, line in waiting if not line.is_spoken]
            speaking = voice.next(rest, self.position_s, is_mute=self.relief.is_mute)
            if speaking is not None:
                found.append(speaking)
        return found

    def spoken(self, speaking: Speaking, window: Window | None, samples: np.ndarray) -> None:
        """What the model has said."""
        self.voices[speaking.line.language].play(speaking, window, samples, self.position_s)

    def close_segments(self) -> None:
        """Say the end of every segment for which nothing more will come."""
        for segment in self.segments:
            lines = segment.lines.values()
            is_spoken = all(line.is_spoken or line.language not in self.voices for line in lines)
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
            score = self._source_score(line)
            segment.events.append(Partial(segment.number, line.language, committed, pending, score))

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
                self._open.goes_on = event.reason == "hard_max"
                self._open = None

    def _start(self, start_samples: int, text: str | None) -> Segment:
        lines = [Line(language, self._model.prompt(language)) for language in self.settings.target_languages]
        segment = Segment(self._num_segments, start_samples, lines, text)
        segment.events.append(SegmentStarted(segment.number, segment.start_s))
        if self._targets_changed:
            self._targets_changed = False
            segment.events.append(TargetsChanged(segment.number, self.settings.target_languages))
        self._num_segments += 1
        self.segments.append(segment)
        return segment
