"""Recordings and text to translations, synchronously: the way into the engine for scripts and for the command line.

A recording up to the segmenter's hard maximum is one segment; a longer one is cut where the speaker pauses, with
flat memory. Knows no terminal and writes no file.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import AudioFile
from seamless_stream.audio.pcm import mix_down, silence_broken, to_float32
from seamless_stream.audio.resample import Resampler
from seamless_stream.engine.engine import Engine, check_session, speech_task, target_language
from seamless_stream.engine.session import Session
from seamless_stream.errors import ModelError, SettingsError
from seamless_stream.events import Event, Failed, Final, SegmentEnded, Skipped, Speech
from seamless_stream.models.base import Capabilities, SpeechTranslator
from seamless_stream.models.checkpoint import resolve
from seamless_stream.models.languages import resolve_language
from seamless_stream.models.registry import load_files
from seamless_stream.settings import (
    DecodingSettings,
    PolicySettings,
    SegmenterSettings,
    SessionSettings,
    Task,
    UnitDecodingSettings,
    VadName,
)

CHUNK_SAMPLES = SAMPLE_RATE
BATCH_S = 30  # a recording collects this much speech before the model works: bounded memory, fuller batches
DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}

Audio = str | PathLike[str] | np.ndarray


@dataclass(frozen=True, eq=False)
class TranslatedSegment:
    """One segment of the source and what became of it; times are seconds in the source."""

    number: int
    start_s: float
    end_s: float
    text: str
    token_ids: tuple[int, ...]
    unit_ids: tuple[int, ...] = ()
    speech: np.ndarray | None = field(default=None, repr=False)  # [N] float32


@dataclass(frozen=True, eq=False)
class Translation:
    """The answer to one input. `speech` [N] float32 at `rate` Hz is empty where the task gives none."""

    text: str
    task: Task
    target_language: str
    source_language: str | None
    segments: tuple[TranslatedSegment, ...]
    failures: tuple[Failed, ...]
    rate: int
    audio_s: float
    timings: dict[str, float]  # compute_s, total_s

    @property
    def token_ids(self) -> list[int]:
        """Of all segments, without prompts and ends."""
        return [token for segment in self.segments for token in segment.token_ids]

    @property
    def unit_ids(self) -> list[int]:
        """Of all segments, as the text-to-unit model gave them."""
        return [unit for segment in self.segments for unit in segment.unit_ids]

    @property
    def speech(self) -> np.ndarray:
        """The segments' speech one after the other."""
        parts = [segment.speech for segment in self.segments if segment.speech is not None]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class Collector:
    """Turns events into a Translation; without `keeps_speech` its memory does not grow with the speech."""

    def __init__(self, settings: SessionSettings, *, keeps_speech: bool = True) -> None:
        self._settings = settings
        self._keeps_speech = keeps_speech
        self._finals: dict[int, Final] = {}
        self._speech: dict[int, Speech] = {}
        self._failures: list[Failed] = []
        self._skipped: list[Skipped] = []
        self._end_s = 0.0
        self._rate = SAMPLE_RATE

    def add(self, event: Event) -> None:
        """Take note of one event."""
        if isinstance(event, Final):
            self._finals[event.segment] = event
        elif isinstance(event, Speech):
            samples = event.samples if self._keeps_speech else np.zeros(0, np.float32)
            self._speech[event.segment] = Speech(
                event.segment, event.language, samples, event.rate, event.unit_ids
            )
            self._rate = event.rate
        elif isinstance(event, Failed):
            self._failures.append(event)
        elif isinstance(event, SegmentEnded):
            self._end_s = max(self._end_s, event.end_s)

    def translation(self, total_s: float, audio_s: float | None = None) -> Translation:
        """Everything so far; `total_s` is the time that the whole call took."""
        segments = tuple(self._segment(final) for final in self._finals.values())
        texts = [segment.text for segment in segments if segment.text]
        assert self._settings.task is not None  # the engine has opened a session with it
        joint = "\n" if self._settings.task in ("t2tt", "t2st") else " "
        return Translation(
            joint.join(texts),
            self._settings.task,
            self._settings.target_languages[0],
            self._settings.source_language,
            segments,
            tuple(self._failures),
            self._rate,
            self._end_s if audio_s is None else audio_s,
            {"compute_s": sum(final.compute_s for final in self._finals.values()), "total_s": total_s},
        )

    def _segment(self, final: Final) -> TranslatedSegment:
        speech = self._speech.get(final.segment)
        return TranslatedSegment(
            final.segment,
            final.start_s,
            final.end_s,
            final.text,
            final.token_ids,
            speech.unit_ids if speech else (),
            speech.samples if speech else None,
        )


class Translator:
    """One loaded checkpoint and an engine around it. One thread at a time."""

    def __init__(
        self, model: SpeechTranslator, name: str = "", description: str = "", revision: str | None = None
    ) -> None:
        self.model = model
        self.name = name  # of the checkpoint that `load` took, never `auto`
        self.description = description  # one line: which checkpoint this is and what it is good for
        self.revision = revision  # its commit, or what its weights can be told by
        self.engine = Engine(model)

    @property
    def capabilities(self) -> Capabilities:
        """Tasks, languages, speakers."""
        return self.model.capabilities

    def translate(
        self,
        audio: Audio | None = None,
        *,
        text: str | None = None,
        target_language: str | None = None,
        source_language: str | None = None,
        task: Task | None = None,
        rate: int = SAMPLE_RATE,
        speaker: int = 0,
        beams: int = 1,
        decoding: DecodingSettings | None = None,
        unit_decoding: UnitDecodingSettings | None = None,
        segmentation: SegmenterSettings | None = None,
        vad: VadName = "silero",
    ) -> Translation:
        """Translate a recording (a path, or samples [N] or [N, C] at `rate` Hz) or a text (a segment per line).

        Languages are codes (`spa`), BCP 47 tags (`es-MX`) or names (`spanish`). Without `task`, speech and text
        come out where the target language has a voice, else text; the spoken language itself as target gives a
        transcript. `decoding` replaces `beams` where more is to be said; `unit_decoding` is for SeamlessM4T v1, which
        finds its units one by one: the `speech_...` options of transformers. A recording without speech gives an
        empty translation.

        Raises AudioError, SettingsError, LanguageError, and ModelError when every segment failed.
        """
        if (audio is None) == (text is None):
            raise SettingsError("Exactly one of `audio` and `text` must be given.")
        settings = self.settings(
            is_text=text is not None,
            target_language=target_language,
            source_language=source_language,
            task=task,
            speaker=speaker,
            decoding=decoding or DecodingSettings(beams=beams),
            unit_decoding=unit_decoding,
            segmentation=segmentation or SegmenterSettings(),
            vad=vad,
        )
        started = time.perf_counter()
        collector = Collector(settings)
        found = (
            self.text_events(text, settings)
            if text is not None
            else self._audio_events(audio, rate, settings)
        )
        for event in found:
            collector.add(event)
        translation = collector.translation(time.perf_counter() - started)
        if translation.failures and not translation.segments:
            raise ModelError(translation.failures[0].message)
        return translation

    def settings(
        self,
        *,
        is_text: bool,
        target_language: str | None,
        source_language: str | None = None,
        task: Task | None = None,
        wants_speech: bool = True,
        speaker: int = 0,
        decoding: DecodingSettings | None = None,
        unit_decoding: UnitDecodingSettings | None = None,
        segmentation: SegmenterSettings | None = None,
        vad: VadName = "silero",
    ) -> SessionSettings:
        """The settings of a session with what was left out inferred; raises SettingsError, LanguageError."""
        target = source_language if task == "asr" and target_language is None else target_language
        if target is None:
            raise SettingsError("`target_language` must be given, but is empty.")
        if task is None:
            task = self._infer_task(target, source_language, is_text=is_text, wants_speech=wants_speech)
        if is_text != (task in ("t2tt", "t2st")):
            kind = "text" if is_text else "speech"
            raise SettingsError(f"`task` must be one for {kind}, but is {task}.")
        settings = SessionSettings(
            target_languages=(target,),
            source_language=source_language,
            task=task,
            speaker=speaker,
            vad=vad,
            policy=PolicySettings("segment"),
            decoding=decoding or DecodingSettings(),
            unit_decoding=unit_decoding or UnitDecodingSettings(),
            segmentation=segmentation or SegmenterSettings(),
        )
        return check_session(settings, self.capabilities)

    def _infer_task(self, target: str, source: str | None, *, is_text: bool, wants_speech: bool) -> Task:
        capabilities = self.capabilities
        code = target_language(target, capabilities.target_languages)
        speaks = wants_speech and code in capabilities.speech_languages
        if is_text:
            return "t2st" if speaks and "t2st" in capabilities.tasks else "t2tt"
        if source is not None and resolve_language(source, capabilities.source_languages) == code:
            return "asr"
        return speech_task(capabilities, speaks=speaks and "s2st" in capabilities.tasks)

    def _audio_events(self, audio: Audio | None, rate: int, settings: SessionSettings) -> Iterator[Event]:
        if isinstance(audio, np.ndarray):
            return self.audio_events(_array_chunks(audio, rate), settings)
        assert audio is not None
        return self.audio_events(AudioFile(Path(audio)).chunks(CHUNK_SAMPLES), settings)

    def audio_events(self, chunks: Iterable[np.ndarray], settings: SessionSettings) -> Iterator[Event]:
        """The events of a recording, given as chunks of 16 kHz mono; memory does not grow with its length."""
        rest = iter(chunks)
        head: list[np.ndarray] = []
        limit = settings.segmentation.hard_max_ms * SAMPLE_RATE // 1000
        while sum(map(len, head)) <= limit:
            chunk = next(rest, None)
            if chunk is None:
                break
            head.append(chunk)
        is_whole = sum(map(len, head)) <= limit
        session = self.engine.open(settings, is_whole=is_whole)
        try:
            for part in (head, rest):
                for chunk in part:
                    session.push(chunk)
                    if session.backlog_samples >= BATCH_S * SAMPLE_RATE:
                        yield from self._advance(session)
            session.finish()
            yield from self._advance(session)
        finally:
            self.engine.close(session)

    def text_events(self, text: str, settings: SessionSettings) -> Iterator[Event]:
        """The events of a text: every line that is not blank is a segment."""
        session = self.engine.open(settings)
        try:
            for line in text.splitlines():
                if line.strip():
                    session.push_text(line.strip())
            session.finish()
            yield from self._advance(session)
        finally:
            self.engine.close(session)

    def _advance(self, session: Session) -> Iterator[Event]:
        while self.engine.step():
            yield from session.events()
        yield from session.events()


def _array_chunks(samples: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    if samples.ndim not in (1, 2):
        raise SettingsError(f"`audio` must be samples [N] or [N, C], but has {samples.ndim} dimensions.")
    mono = mix_down(silence_broken(to_float32(samples))[0])
    resampler = Resampler(rate)
    for start in range(0, len(mono), CHUNK_SAMPLES):
        yield resampler.push(mono[start : start + CHUNK_SAMPLES])
    yield resampler.flush()


def load(
    model: str = "auto",
    device: str | None = None,
    dtype: str | None = None,
    *,
    tasks: Iterable[Task] | None = None,
    offline: bool = False,
) -> Translator:
    """Load a checkpoint: `auto`, `phrasebook`, `v2-large`, a directory or a hub id; `tasks` loads only their parts.

    `auto` takes v2-large where it is in the hub cache already and else the bundled phrasebook;
    `Translator.description` says which. The device is cuda where there is one, else the CPU; the type float16 on
    cuda, else float32. Raises CheckpointError, SettingsError.
    """
    place = choose_device(device)
    number_type = choose_dtype(dtype, place)
    files = resolve(model, offline=offline)
    loaded = load_files(files, device=place, dtype=number_type, tasks=tasks)
    return Translator(loaded, files.name, files.description, files.identity)


def choose_device(name: str | None) -> torch.device:
    """None: the best that is here; raises SettingsError for one that is not."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        known = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        known += ["mps"] if torch.backends.mps.is_available() else []
        raise SettingsError(f"`device` must be one of {', '.join(known)} here, but is {name}.") from None
    return device


def choose_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """None: float16 on cuda, else float32; raises SettingsError for an unknown name."""
    if name is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise SettingsError(f"`dtype` must be one of {', '.join(DTYPES)}, but is {name}.")
    return DTYPES[name]
