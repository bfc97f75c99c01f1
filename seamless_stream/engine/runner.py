"""Tensors in and out: runs a batch of segments through features, encoder, decoder and vocoder.

The only place of the engine that turns segments into tensors. It knows no session, no event and no policy; a failure
of one segment is that segment's outcome, a failure of the batch is raised and the engine decides.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from seamless_stream.engine.decoding import Decoded, decode
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.errors import SeamlessStreamError
from seamless_stream.models.base import EncoderOutput, SpeechTranslator
from seamless_stream.settings import DecodingSettings


@dataclass(frozen=True, eq=False)
class Job:
    """One segment, complete: speech or text, and what is wanted from it. Languages are the checkpoint's codes."""

    samples: np.ndarray | None  # [N] float32 at 16 kHz
    text: str | None  # instead of samples
    source_language: str | None  # needed for text
    target_languages: tuple[str, ...]
    with_speech: bool
    speaker: int
    decoding: DecodingSettings


@dataclass(frozen=True, eq=False)
class Utterance:
    """The answer in one language; `samples` is None where no speech was wanted or nothing was said."""

    hypothesis: Hypothesis
    unit_ids: tuple[int, ...] = ()
    samples: np.ndarray | None = None  # [N] float32


@dataclass(eq=False)
class Outcome:
    """What became of one job; `phases_s` is its share of the time that the model worked."""

    utterances: list[Utterance] = field(default_factory=list)
    error: SeamlessStreamError | None = None
    phases_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))


Row = tuple[int, str]  # index of the job, target language


class Runner:
    """Batches what can be batched: encoding by kind of input, decoding and speech by language and choices."""

    def __init__(self, model: SpeechTranslator, clock: Callable[[], float] = time.perf_counter) -> None:
        self.model = model
        self._clock = clock

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome per job, in order; raises what the model raises for the batch as a whole."""
        outcomes = [Outcome() for _ in jobs]
        for is_text in (False, True):
            indices = [i for i, job in enumerate(jobs) if (job.text is not None) == is_text]
            encoded, indices = self._encode(jobs, indices, outcomes, is_text=is_text)
            if encoded is not None:
                decoded = self._decode(jobs, indices, encoded, outcomes)
                self._speak(jobs, decoded, outcomes)
        return outcomes

    def _encode(
        self, jobs: Sequence[Job], indices: list[int], outcomes: list[Outcome], *, is_text: bool
    ) -> tuple[EncoderOutput | None, list[int]]:
        """Encoder states and the jobs that they belong to, row by row; a job without input has its error."""
        started = self._clock()
        read = self._source_ids if is_text else self._features
        inputs = {}
        for index in indices:
            try:
                inputs[index] = read(jobs[index])
            except SeamlessStreamError as error:
                outcomes[index].error = error
        if not inputs:
            return None, []
        encode: Callable[[list], EncoderOutput] = (  # type: ignore[type-arg]
            self.model.encode_text if is_text else self.model.encode_speech
        )
        encoded = encode(list(inputs.values()))
        self._charge(outcomes, list(inputs), "encode", started)
        return encoded, list(inputs)

    def _features(self, job: Job) -> object:
        assert job.samples is not None
        return self.model.features(job.samples)

    def _source_ids(self, job: Job) -> object:
        assert job.text is not None and job.source_language is not None
        return self.model.tokenizer.encode_source(job.text, job.source_language)

    def _decode(
        self, jobs: Sequence[Job], indices: list[int], encoded: EncoderOutput, outcomes: list[Outcome]
    ) -> dict[Row, Decoded]:
        """One encoding serves all target languages of a job."""
        groups: dict[tuple[str, DecodingSettings], list[int]] = defaultdict(list)
        for row, index in enumerate(indices):
            for language in jobs[index].target_languages:
                groups[language, jobs[index].decoding].append(row)
        result: dict[Row, Decoded] = {}
        for (language, settings), rows in groups.items():
            started = self._clock()
            part = encoded if len(rows) == len(indices) else encoded.reorder(torch.tensor(rows))
            answers = decode(self.model.decoder, part, self.model.prompt(language), settings)
            owners = [indices[row] for row in rows]
            result |= {(index, language): answer for index, answer in zip(owners, answers, strict=True)}
            self._charge(outcomes, owners, "decode", started)
        return result

    def _speak(self, jobs: Sequence[Job], decoded: dict[Row, Decoded], outcomes: list[Outcome]) -> None:
        """Fill the outcomes with text, and with speech where it is wanted and something was said."""
        utterances: dict[Row, Utterance] = {}
        groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for (index, language), answer in decoded.items():
            prompt = len(self.model.prompt(language).token_ids)
            hypothesis = Hypothesis(language, tuple(answer.token_ids[prompt:]), answer.score, answer.finished)
            utterances[index, language] = Utterance(hypothesis)
            if jobs[index].with_speech and hypothesis.token_ids:
                groups[language, jobs[index].speaker].append((index, language))
        for (language, speaker), rows in groups.items():
            started = self._clock()
            answers = [decoded[row] for row in rows]
            ids, hidden = [a.token_ids for a in answers], [a.hidden for a in answers]
            speech = self.model.synthesize(ids, hidden, language, speaker)
            for row, units, samples in zip(rows, speech.unit_ids, speech.samples, strict=True):
                utterances[row] = Utterance(utterances[row].hypothesis, tuple(units), samples)
            self._charge(outcomes, [index for index, _ in rows], "synthesize", started)
        for index, language in decoded:
            outcomes[index].utterances.append(utterances[index, language])

    def _charge(self, outcomes: list[Outcome], indices: list[int], phase: str, started: float) -> None:
        """A batch's time is shared equally by its jobs, so that the shares add up to the time spent."""
        share = (self._clock() - started) / len(indices)
        for index in indices:
            outcomes[index].phases_s[phase] += share
