"""All sessions and one model: `open`, `step`, `close`, driven by whoever calls, on the thread that calls.

Knows what a checkpoint can do and refuses what it cannot; batches the ready work of all sessions. A batch that fails is
tried again one by one, so that a failure belongs to its segment and every session goes on.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import torch

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.segmenter import Segmenter
from seamless_stream.audio.vad import Vad, WebrtcVad
from seamless_stream.engine.cutter import Cutter, Whole
from seamless_stream.engine.decoding import Sentence
from seamless_stream.engine.load import Load
from seamless_stream.engine.policy import policy_for
from seamless_stream.engine.runner import Hearing, Runner, Writing
from seamless_stream.engine.scheduler import Scheduler
from seamless_stream.engine.segment import Line, LineWatcher, Segment, inside_word
from seamless_stream.engine.session import Session
from seamless_stream.engine.speech import Window
from seamless_stream.engine.voice import Speaking
from seamless_stream.errors import BusyError, LanguageError, ModelError, SeamlessStreamError, SettingsError
from seamless_stream.models.base import Capabilities, EncoderMode, EncoderOutput, SpeechTranslator
from seamless_stream.models.families import FAMILIES_WITH_UNIT_SEARCH, families_with, families_writing
from seamless_stream.models.languages import resolve_language
from seamless_stream.models.vad import SileroVad
from seamless_stream.settings import EngineSettings, SessionSettings, Task, UnitDecodingSettings, VadName

log = logging.getLogger(__name__)

MAX_BATCH_S = 60  # source audio in one batch: bounds the memory of a step
MAX_ROWS = 64  # lines that are decoded together
MEASURE_S = 1.0  # of audio of each live session between two looks at the load

VADS: dict[VadName, Callable[[], Vad]] = {"silero": SileroVad, "webrtc": WebrtcVad}


def check_session(settings: SessionSettings, capabilities: Capabilities) -> SessionSettings:
    """The settings with the checkpoint's own language codes; raises SettingsError with all that it cannot do."""
    problems: list[str] = []
    if settings.task not in capabilities.tasks:
        known = ", ".join(sorted(capabilities.tasks))
        others = f" ({', '.join(families_with(settings.task))} can)" if settings.task is not None else ""
        problems.append(
            f"`task` must be one of {known} with this checkpoint, but is {settings.task}{others}."
        )
    speaks = settings.task in ("s2st", "t2st")
    targets = capabilities.speech_languages if speaks else capabilities.target_languages
    if not settings.target_languages:
        problems.append("`target_languages` must name at least one language, but is empty.")
    if settings.source_language is None and settings.task in ("t2tt", "t2st"):
        problems.append("`source_language` must be given for text, but is empty.")
    if speaks and settings.speaker >= capabilities.num_speakers > 0:
        limit = capabilities.num_speakers - 1
        problems.append(f"`speaker` must be 0 to {limit} with this checkpoint, but is {settings.speaker}.")
    if settings.unit_decoding != UnitDecodingSettings() and not capabilities.has_unit_search:
        others = ", ".join(FAMILIES_WITH_UNIT_SEARCH)
        problems.append(
            f"`unit_decoding` must be left out with {capabilities.family}, but is not ({others} can)."
        )
    if settings.task not in ("t2tt", "t2st"):
        problems += _streaming_problems(settings, capabilities)
    if problems:
        raise SettingsError("\n".join(problems))
    source = settings.source_language
    if source is not None:
        source = resolve_language(source, capabilities.source_languages)
    unspoken = tuple(
        target_language(text, capabilities.target_languages) for text in settings.unspoken_languages
    )
    allowed = tuple(dict.fromkeys((*targets, *unspoken)))
    resolved = tuple(
        dict.fromkeys(target_language(text, allowed, speaks) for text in settings.target_languages)
    )
    if settings.task == "asr" and resolved != (source or resolved[0],):
        raise SettingsError(
            f"`target_languages` must be the spoken language {source} for asr, but is {', '.join(resolved)}."
        )
    return replace(settings, target_languages=resolved, unspoken_languages=unspoken, source_language=source)


def _streaming_problems(settings: SessionSettings, capabilities: Capabilities) -> list[str]:
    """What this checkpoint cannot do while a segment is open."""
    problems, name = [], settings.policy.name
    if name != "segment" and not capabilities.encoder_modes:
        problems.append(f"`policy.name` must be segment with {capabilities.family}, but is {name}.")
    elif name == "alignatt" and not capabilities.has_alignment:
        known = "segment, wait-k, hold-n, local-agreement"
        problems.append(f"`policy.name` must be one of {known} with {capabilities.family}, but is {name}.")
    if settings.encoder is not None and settings.encoder not in capabilities.encoder_modes:
        known = ", ".join(capabilities.encoder_modes) or "left out"
        problems.append(f"`encoder` must be {known} with {capabilities.family}, but is {settings.encoder}.")
    return problems


def target_language(text: str, allowed: tuple[str, ...], speaks: bool = False) -> str:
    """The checkpoint's code of a language to write or to say; raises LanguageError that says which families can."""
    try:
        return resolve_language(text, allowed)
    except LanguageError as error:
        hint = " (Languages with a voice; for text alone choose s2tt or t2tt.)" if speaks else ""
        others = ", ".join(families_writing(text, speaks=speaks))
        hint += f" (Families with checkpoints that can: {others}.)" if others else ""
        raise LanguageError(f"{error}{hint}") from None


def speech_task(capabilities: Capabilities, *, speaks: bool) -> Task:
    """What becomes of speech where nobody names a task: what is asked for, or a transcript where nothing else is."""
    if speaks:
        return "s2st"
    return "asr" if capabilities.tasks == {"asr"} else "s2tt"


class Owned(Protocol):
    """A piece of work that belongs to a segment of a session."""

    @property
    def session_id(self) -> int: ...

    @property
    def segment(self) -> Segment: ...


Item = TypeVar("Item", bound=Owned)
Result = TypeVar("Result")


def _note(what: str, num_rows: int, error: Exception) -> None:
    """That the model failed at it, and where; several rows are worked on again, each alone, which takes longer."""
    if num_rows > 1:
        log.warning("%s of %d rows failed (%s): each goes on alone", what, num_rows, type(error).__name__)
    log.debug("%s failed", what, exc_info=error)


def _by_kind(speakings: Sequence[Speaking]) -> list[list[Speaking]]:
    """What is spoken together: one language, voice and pace. None may be left out: each was asked for once."""
    kinds: dict[tuple[object, ...], list[Speaking]] = {}
    for speaking in speakings:
        how = (speaking.speaker, speaking.ask.duration_factor, speaking.unit_decoding)
        kind = (speaking.line.language, *how)
        kinds.setdefault(kind, []).append(speaking)
    return [rows[i : i + MAX_ROWS] for rows in kinds.values() for i in range(0, len(rows), MAX_ROWS)]


@dataclass(frozen=True, eq=False)
class Reading:
    """A text that should be encoded."""

    session_id: int
    segment: Segment
    language: str


class Engine:
    """Sessions that share a model. Not thread-safe: one thread calls everything (`engine.worker` has one)."""

    def __init__(
        self, model: SpeechTranslator, settings: EngineSettings | None = None, *, max_batch: int = 16
    ) -> None:
        self.model = model
        self.settings = settings or EngineSettings()
        self._load = Load()
        # Seconds of audio of live sessions and of work for them: at the last look at the load, and of closed ones.
        self._measured = self._closed = (0.0, 0.0)
        self._runner = Runner(model)
        self._scheduler: Scheduler[Segment] = Scheduler(max_batch, MAX_BATCH_S * SAMPLE_RATE)
        self._sessions: dict[int, Session] = {}
        self._ids = itertools.count()
        inside = inside_word(model.tokenizer, model.decoder.vocabulary_size)
        self._banned_at_start = torch.from_numpy(inside).to(model.device)  # [V]

    def open(self, settings: SessionSettings, *, is_whole: bool = False) -> Session:
        """A new session; with `is_whole` all its audio is one segment, which the caller keeps short.

        Raises SettingsError or LanguageError where the checkpoint cannot do what is asked, and BusyError where there
        is no room for another session.
        """
        settings = check_session(settings, self.model.capabilities)
        self._admit(settings)
        cutter: Cutter = Segmenter(VADS[settings.vad](), settings.segmentation)
        cutter = Whole(cutter) if is_whole else cutter
        policy = policy_for(settings.policy, self.model.capabilities.state_ms)
        mode: EncoderMode | None = None
        if policy.wants_open_segments and self.model.capabilities.encoder_modes:
            mode = settings.encoder or self.model.capabilities.encoder_modes[0]
        session = Session(next(self._ids), settings, cutter, policy, self.model, mode)
        self._sessions[session.id] = session
        targets = ",".join(settings.target_languages)
        log.info("session %d opened: %s to %s", session.id, settings.task, targets)
        return session

    def change_targets(self, session: Session, languages: Sequence[str]) -> None:
        """Translate into these from the next segment on, where TargetsChanged says so.

        Raises SettingsError or LanguageError where the checkpoint cannot do what is asked.
        """
        wanted = replace(session.settings, target_languages=tuple(languages))
        session.change_targets(check_session(wanted, self.model.capabilities).target_languages)

    def close(self, session: Session) -> None:
        """Forget a session and its waiting work; what it has not read is lost."""
        if self._sessions.pop(session.id, None) is not None:
            if session.settings.is_live:
                audio_s, busy_s = self._closed
                self._closed = (audio_s + session.position_s, busy_s + session.compute_s)
            self._scheduler.remove(session.id)
            self._runner.drop(session.id)
            log.info("session %d closed after %.1f s of audio", session.id, session.position_s)

    def step(self) -> bool:
        """Hear what is ready, write one more token of every line, speak what is written; False: nothing to do."""
        has_worked = self._hear()
        has_worked |= self._write()
        has_worked |= self._speak()
        for session in self._sessions.values():
            session.close_segments()
        self._measure()
        return has_worked

    @property
    def load(self) -> float:
        """Part of its time that the model works for the live sessions that are open, as measured lately."""
        return self._load.per_session * sum(session.settings.is_live for session in self._sessions.values())

    def stats(self) -> list[dict[str, float]]:
        """Of each session: source time heard, audio that waits, speech not yet played, level of relief, memory."""
        return [
            {
                "session": session.id,
                "position_s": session.position_s,
                "waiting_s": session.waiting_s,
                "behind_s": session.behind_s,
                "unplayed_s": session.unplayed_s,
                "overload_level": session.overload_level,
                "nbytes": session.nbytes + self._runner.nbytes_of(session.id),
            }
            for session in self._sessions.values()
        ]

    def _admit(self, settings: SessionSettings) -> None:
        """Refuse what there is no room for."""
        num_sessions = len(self._sessions)
        if num_sessions >= self.settings.max_sessions:
            raise BusyError(f"The engine must have room for another session, but has {num_sessions} of them.")
        expected = self.load + self._load.per_session
        if settings.is_live and self.load > 0 and expected > self.settings.max_load:
            raise BusyError(
                f"The model must have time for another live session, but {num_sessions} sessions take"
                f" {100 * self.load:.0f} % of it and `max_load` is {100 * self.settings.max_load:.0f} %."
            )

    def _measure(self) -> None:
        live = [session for session in self._sessions.values() if session.settings.is_live]
        # Not the work for recordings: it waits while somebody speaks.
        audio_s = self._closed[0] + sum(session.position_s for session in live)
        busy_s = self._closed[1] + sum(session.compute_s for session in live)
        if live and audio_s - self._measured[0] >= MEASURE_S * len(live):
            self._load.add(audio_s - self._measured[0], busy_s - self._measured[1])
            self._measured = (audio_s, busy_s)

    # Hearing.

    def _hear(self) -> bool:
        """Pieces and texts whose turn it is; then the decoder begins with what is new."""
        for session in self._sessions.values():
            session.relieve()
            for segment, num_samples in session.due():
                if not segment.is_queued:
                    segment.is_queued = True
                    self._scheduler.add(session.id, segment, num_samples)
        if len(self._runner.writings) >= MAX_ROWS:
            return False
        hearings: list[Hearing] = []
        readings: list[Reading] = []
        batch = self._scheduler.next_batch()
        for item in batch:
            session, segment = self._sessions[item.session_id], item.work
            segment.is_queued = False
            if segment.text is not None:
                readings.append(Reading(session.id, segment, session.settings.source_language or ""))
            else:
                counts = [count for due, count in session.due() if due is segment]
                if not counts:
                    continue  # given up while it waited
                [num_samples] = counts
                piece = segment.take(num_samples)
                hearings.append(Hearing(session.id, segment, piece, session.mode, session.previous))
        heard = self._isolated(self._hear_batch, hearings)
        self._begin(self._isolated(self._heard, heard) + self._isolated(self._read_batch, readings))
        return bool(batch)

    def _hear_batch(self, hearings: Sequence[Hearing]) -> list[Hearing]:
        """Those of which there are new states. Nothing else belongs here: what fails is heard again."""
        old = [h.segment.listening and h.segment.listening.encoded for h in hearings]
        self._runner.hear(hearings)
        news: list[Hearing] = []
        for hearing, before in zip(hearings, old, strict=True):
            listening = hearing.segment.listening
            assert listening is not None
            if hearing.piece.is_last:
                self._sessions[hearing.session_id].previous = listening
            if listening.encoded is not None and (hearing.piece.is_last or listening.encoded is not before):
                news.append(hearing)
        return news

    def _heard(self, hearings: Sequence[Hearing]) -> list[Writing]:
        writings: list[Writing] = []
        for hearing in hearings:
            assert hearing.segment.listening is not None and hearing.segment.listening.encoded is not None
            session, encoded = self._sessions[hearing.session_id], hearing.segment.listening.encoded
            writings += self._writings(session, hearing.segment, encoded)
        return writings

    def _read_batch(self, readings: Sequence[Reading]) -> list[Writing]:
        for language in {reading.language for reading in readings}:
            self._runner.read([r.segment for r in readings if r.language == language], language)
        writings: list[Writing] = []
        for reading in readings:
            assert reading.segment.encoded is not None
            session = self._sessions[reading.session_id]
            writings += self._writings(session, reading.segment, reading.segment.encoded)
        return writings

    # Writing.

    def _writings(self, session: Session, segment: Segment, encoded: EncoderOutput) -> list[Writing]:
        """What the decoder should do with what a segment has heard: one line per language."""
        segment.num_decoding = len(segment.lines)
        return [self._writing(session, segment, line, encoded) for line in segment.lines.values()]

    def _writing(self, session: Session, segment: Segment, line: Line, encoded: EncoderOutput) -> Writing:
        is_last = segment.is_heard and not session.leaves_words(segment, line)
        tokenizer = self.model.tokenizer
        watcher = LineWatcher(line, segment, session.policy, tokenizer, encoded, is_last=is_last)
        prompt = line.full_prompt(self._banned_at_start)
        draft = line.pending
        if is_last:
            decoding = session.settings.decoding
            missing = max(0, decoding.min_new_tokens - len(line.committed))
            decoding = replace(decoding, min_new_tokens=missing)
            # No policy asks where the last words were said, only an explanation does; beams cannot be watched.
            watches = session.settings.explains and decoding.beams == 1
            sentence = Sentence(prompt, decoding, watcher if watches else None, draft)
        else:
            sentence = Sentence(prompt, session.open_decoding, watcher, draft)
        return Writing(session.id, segment, line, sentence, watcher, encoded, segment.is_heard)

    def _begin(self, writings: Sequence[Writing]) -> None:
        if not writings:
            return
        try:
            over = self._runner.begin(writings)
        except Exception as error:
            _note("the beginning", len(writings), error)
            self._write_alone(writings)
            return
        self._answer(over)

    def _write(self) -> bool:
        """One more token of every line."""
        if not self._runner.writings:
            return False
        try:
            over = self._runner.advance()
        except Exception as error:
            _note("a step", len(self._runner.writings), error)
            self._write_alone(self._runner.restart())
            return True
        self._answer(over)
        return True

    def _write_alone(self, writings: Sequence[Writing]) -> None:
        """Lines whose batch failed: each again from its beginning, in a batch of its own."""
        for old in writings:
            new = self._writing(self._sessions[old.session_id], old.segment, old.line, old.encoded)
            if not old.segment.is_failed:
                self._answer(self._isolated(self._finish_alone, [new]))

    def _finish_alone(self, writings: Sequence[Writing]) -> list[Writing]:
        for writing in writings:
            self._runner.write_alone(writing)
        return list(writings)

    def _answer(self, writings: Sequence[Writing]) -> None:
        """Lines are decoded: let their policies commit."""
        for writing in writings:
            segment = writing.segment
            segment.num_decoding -= 1
            if not segment.is_failed:
                decoded = writing.sentence.result()
                self._sessions[writing.session_id].answer(
                    segment,
                    writing.line,
                    writing.watcher.answer(decoded),
                    decoded,
                    source_finished=writing.source_finished,
                )

    # Speaking.

    def _speak(self) -> bool:
        """All that is written and long enough, before more is written: so the pieces depend on the text alone."""
        has_worked = False
        while speakings := [s for session in self._sessions.values() for s in session.unspoken()]:
            has_worked = True
            for batch in _by_kind(speakings):
                for speaking, (window, samples) in self._isolated(self._speak_batch, batch):
                    self._sessions[speaking.session_id].spoken(speaking, window, samples)
        return has_worked

    def _speak_batch(
        self, batch: Sequence[Speaking]
    ) -> list[tuple[Speaking, tuple[Window | None, np.ndarray]]]:
        return list(zip(batch, self._runner.speak(batch), strict=True))

    # Failures.

    def _isolated(self, call: Callable[[Sequence[Item]], list[Result]], items: list[Item]) -> list[Result]:
        """What `call` gives for these items; if it fails, each is tried alone, and whose fails, has failed."""
        if not items:
            return []
        try:
            return call(items)
        except SeamlessStreamError as error:
            failure = error
        except Exception as error:
            _note("a batch", len(items), error)
            failure = ModelError(f"The model failed: {type(error).__name__}: {error}")
        if len(items) > 1:
            return [result for item in items for result in self._isolated(call, [item])]
        session, segment = self._sessions[items[0].session_id], items[0].segment
        log.warning("session %d, segment %d: %s", session.id, segment.number, failure)
        session.fail(segment, str(failure))
        return []
