"""All sessions and one model: `open`, `step`, `close`, driven by whoever calls, on the thread that calls.

Knows what a checkpoint can do and refuses what it cannot; batches the ready segments of all sessions. A batch that
fails is tried again one by one, so that a failure belongs to its segment and every session goes on.
"""

import itertools
import logging
from collections.abc import Callable
from dataclasses import replace

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.segmenter import Segmenter
from seamless_stream.audio.vad import Vad, WebrtcVad
from seamless_stream.engine.policy import POLICIES
from seamless_stream.engine.runner import Job, Outcome, Runner
from seamless_stream.engine.scheduler import Scheduled, Scheduler
from seamless_stream.engine.session import Cutter, Segment, Session, Whole
from seamless_stream.errors import LanguageError, ModelError, SeamlessStreamError, SettingsError
from seamless_stream.models.base import Capabilities, SpeechTranslator
from seamless_stream.models.languages import resolve_language
from seamless_stream.models.vad import SileroVad
from seamless_stream.settings import SessionSettings, VadName

log = logging.getLogger(__name__)

MAX_BATCH_S = 60  # source audio in one batch: bounds the memory of a step

VADS: dict[VadName, Callable[[], Vad]] = {"silero": SileroVad, "webrtc": WebrtcVad}


def check_session(settings: SessionSettings, capabilities: Capabilities) -> SessionSettings:
    """The settings with the checkpoint's own language codes; raises SettingsError with all that it cannot do."""
    problems: list[str] = []
    if settings.task not in capabilities.tasks:
        known = ", ".join(sorted(capabilities.tasks))
        problems.append(f"`task` must be one of {known} with this checkpoint, but is {settings.task}.")
    speaks = settings.task in ("s2st", "t2st")
    targets = capabilities.speech_languages if speaks else capabilities.target_languages
    if not settings.target_languages:
        problems.append("`target_languages` must name at least one language, but is empty.")
    if settings.source_language is None and settings.task in ("t2tt", "t2st"):
        problems.append("`source_language` must be given for text, but is empty.")
    if speaks and settings.speaker >= capabilities.num_speakers:
        limit = capabilities.num_speakers - 1
        problems.append(f"`speaker` must be 0 to {limit} with this checkpoint, but is {settings.speaker}.")
    if problems:
        raise SettingsError("\n".join(problems))
    source = settings.source_language
    if source is not None:
        source = resolve_language(source, capabilities.source_languages)
    resolved = tuple(dict.fromkeys(_target(text, targets, speaks) for text in settings.target_languages))
    if settings.task == "asr" and resolved != (source or resolved[0],):
        raise SettingsError(
            f"`target_languages` must be the spoken language {source} for asr, but is {', '.join(resolved)}."
        )
    return replace(settings, target_languages=resolved, source_language=source)


def _target(text: str, allowed: tuple[str, ...], speaks: bool) -> str:
    try:
        return resolve_language(text, allowed)
    except LanguageError as error:
        if speaks:
            raise LanguageError(
                f"{error} (Languages with a voice; for text alone choose s2tt or t2tt.)"
            ) from None
        raise


class Engine:
    """Sessions that share a model. Not thread-safe: one thread calls everything (`engine.worker` has one)."""

    def __init__(self, model: SpeechTranslator, *, max_batch: int = 8) -> None:
        self.model = model
        self._runner = Runner(model)
        self._scheduler: Scheduler[Segment] = Scheduler(max_batch, MAX_BATCH_S * SAMPLE_RATE)
        self._sessions: dict[int, Session] = {}
        self._ids = itertools.count()

    def open(self, settings: SessionSettings, *, is_whole: bool = False) -> Session:
        """A new session; with `is_whole` all its audio is one segment, which the caller keeps short.

        Raises SettingsError or LanguageError where the checkpoint cannot do what is asked.
        """
        settings = check_session(settings, self.model.capabilities)
        cutter: Cutter = Segmenter(VADS[settings.vad](), settings.segmentation)
        cutter = Whole(cutter) if is_whole else cutter
        policy = POLICIES[settings.policy]()
        session = Session(next(self._ids), settings, cutter, policy, self.model.tokenizer)
        self._sessions[session.id] = session
        targets = ",".join(settings.target_languages)
        log.info("session %d opened: %s to %s", session.id, settings.task, targets)
        return session

    def close(self, session: Session) -> None:
        """Forget a session and its waiting work; what it has not read is lost."""
        if self._sessions.pop(session.id, None) is not None:
            self._scheduler.remove(session.id)
            log.info("session %d closed after %.1f s of audio", session.id, session.position_s)

    def step(self) -> bool:
        """Advance the sessions whose turn it is in one batch; False when there was nothing to do."""
        for session in self._sessions.values():
            for segment in session.take_ready():
                self._scheduler.add(session.id, segment, segment.end_samples - segment.start_samples)
        batch = self._scheduler.next_batch()
        outcomes = self._run([item.work.job for item in batch])
        for item, outcome in zip(batch, outcomes, strict=True):
            self._resolve(item, outcome)
        return bool(batch)

    def _resolve(self, item: Scheduled[Segment], outcome: Outcome) -> None:
        if outcome.error is not None:
            log.warning("session %d, segment %d: %s", item.session_id, item.work.number, outcome.error)
        self._sessions[item.session_id].resolve(item.work, outcome)

    def _run(self, jobs: list[Job]) -> list[Outcome]:
        """Outcomes of a batch, whatever the model raises."""
        try:
            return self._runner.run(jobs)
        except SeamlessStreamError as error:
            failure = error
        except Exception as error:
            log.debug("a batch of %d failed", len(jobs), exc_info=True)
            failure = ModelError(f"The model failed: {type(error).__name__}: {error}")
        if len(jobs) == 1:
            return [Outcome(error=failure)]
        return [outcome for job in jobs for outcome in self._run([job])]
