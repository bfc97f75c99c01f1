"""Tensors in and out: hears pieces of segments, writes their text, speaks it, each for a batch of segments.

The only place of the engine that turns segments into tensors. It knows no session, no event and no policy; what fails,
raises, and the engine decides whose failure it is. The time that the model works is charged to the segments.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seamless_stream.engine.decoding import Decoding, Sentence, find_units
from seamless_stream.engine.segment import Line, LineWatcher, Piece, Segment
from seamless_stream.engine.speech import Window
from seamless_stream.engine.voice import Speaking
from seamless_stream.errors import ModelError
from seamless_stream.models.base import EncoderMode, EncoderOutput, Listening, SpeechTranslator


@dataclass(frozen=True, eq=False)
class Hearing:
    """A piece of audio that a segment should hear; `before`: what its session has heard before this segment."""

    session_id: int
    segment: Segment
    piece: Piece
    mode: EncoderMode | None
    before: Listening | None


@dataclass(frozen=True, eq=False)
class Writing:
    """A line of text that the decoder works on."""

    session_id: int
    segment: Segment
    line: Line
    sentence: Sentence
    watcher: LineWatcher
    encoded: EncoderOutput
    source_finished: bool


def join_encoded(parts: Sequence[EncoderOutput]) -> EncoderOutput:
    """Rows of batch 1 to one batch, filled up to the longest."""
    if len(parts) == 1:
        return parts[0]
    states = pad_sequence([part.states[0] for part in parts], batch_first=True)  # [B, S, D]
    return EncoderOutput(states, torch.cat([part.lengths for part in parts]))


def clause(speaking: Speaking) -> tuple[list[int], Tensor]:
    """Prompt and asked tokens with the hidden state of each of them, as if the clause were a text of its own."""
    line, ask, hidden = speaking.line, speaking.ask, speaking.line.hidden
    assert hidden is not None
    ids = [*line.prompt.token_ids, *line.committed[ask.first : ask.last]]
    # A hidden state predicts the next token: that of the language token stands before the clause's first one. The
    # very last is not known where the policy stopped the decoder behind it; it predicts nothing that is spoken.
    given = line.num_given
    rows = [*range(len(line.prompt.token_ids) - 1), *range(given - 1 + ask.first, given + ask.last)]
    return ids, hidden[[min(row, len(hidden) - 1) for row in rows]]


class Runner:
    """One model, one decoding that sentences join and leave."""

    def __init__(self, model: SpeechTranslator, clock: Callable[[], float] = time.perf_counter) -> None:
        self.model = model
        self.writings: list[Writing] = []  # in the decoder's batch
        self._decoding = Decoding(model.decoder)
        self._clock = clock

    def hear(self, hearings: Sequence[Hearing]) -> None:
        """Each segment hears its piece."""
        started = self._clock()
        listenings = [h.segment.listening or self.model.open_segment(h.mode, h.before) for h in hearings]
        samples, ended = [h.piece.samples for h in hearings], [h.piece.is_last for h in hearings]
        for hearing, listening in zip(hearings, self.model.listen(listenings, samples, ended), strict=True):
            hearing.segment.listening, hearing.segment.is_heard = listening, hearing.piece.is_last
        self._charge([hearing.segment for hearing in hearings], started)

    def read(self, segments: Sequence[Segment], source_language: str) -> None:
        """Encode the texts of segments in one language."""
        started = self._clock()
        ids = [self.model.tokenizer.encode_source(s.text or "", source_language) for s in segments]
        encoded = self.model.encode_text(ids)
        for row, segment in enumerate(segments):
            segment.encoded = encoded.reorder(torch.tensor([row]))
            segment.is_heard = True
        self._charge(segments, started)

    def begin(self, writings: Sequence[Writing]) -> list[Writing]:
        """Let the decoder start on new lines -> those that are over after one token."""
        started = self._clock()
        over = self._decoding.add(
            [writing.sentence for writing in writings], join_encoded([w.encoded for w in writings])
        )
        self._charge([writing.segment for writing in writings], started)
        self.writings += writings
        return self._leave(over)

    def advance(self) -> list[Writing]:
        """One more token for every line -> those that are over."""
        if not self.writings:
            return []
        started = self._clock()
        over = self._decoding.step()
        self._charge([writing.segment for writing in self.writings], started)
        return self._leave(over)

    def speak(self, batch: Sequence[Speaking]) -> list[tuple[Window | None, np.ndarray]]:
        """What each line speaks next, in one language, voice and pace: its window of units and all of its samples."""
        started = self._clock()
        language, speaker = batch[0].line.language, batch[0].speaker
        inputs = [self._spoken(speaking) for speaking in batch]
        units = self.model.units(
            [ids for ids, _ in inputs],
            [hidden for _, hidden in inputs],
            language,
            duration_factor=batch[0].ask.duration_factor,
            search=partial(find_units, settings=batch[0].unit_decoding) if self._reads_end else None,
        )
        windows = [
            s.track.plan(s.pieces, unit, is_final=s.line.is_final)
            for s, unit in zip(batch, units, strict=True)
        ]
        wanted = [window.unit_ids for window in windows if window is not None]
        vocoded = iter(self._vocode(wanted, language, speaker) if wanted else [])
        none = np.zeros(0, np.float32)
        samples = [none if window is None else next(vocoded) for window in windows]
        self._charge([speaking.segment for speaking in batch], started)
        return list(zip(windows, samples, strict=True))

    def _vocode(self, unit_ids: list[list[int]], language: str, speaker: int) -> list[np.ndarray]:
        found = self.model.vocode(unit_ids, language, speaker)
        if not all(np.isfinite(samples).all() for samples in found):
            raise ModelError("The vocoder must give finite samples, but gave NaN.")
        return found

    @property
    def _reads_end(self) -> bool:
        return self.model.capabilities.has_unit_search

    @torch.inference_mode()
    def _spoken(self, speaking: Speaking) -> tuple[list[int], Tensor]:
        """The ids and hidden states of a clause; with the text's end where the units come of it too.

        The hidden state of the end is read anew: a beam that had ended was no longer in the decoder's batch.
        """
        ids, hidden = clause(speaking)
        segment, line = speaking.segment, speaking.line
        heard = segment.encoded or (segment.listening and segment.listening.encoded)
        if not (self._reads_end and line.is_ended and heard):
            return ids, hidden
        end = line.prompt.eos_id
        whole = torch.tensor([[*line.prompt.token_ids, *line.context, *line.committed, end]])
        decoder = self.model.decoder
        step = decoder.step(whole.to(self.model.device), decoder.init_state(heard))
        return [*ids, end], torch.cat([hidden, step.hidden[0, -1:]])

    def drop(self, session_id: int) -> None:
        """Forget the lines of a session."""
        gone = [writing for writing in self.writings if writing.session_id == session_id]
        self._decoding.drop([writing.sentence for writing in gone])
        self.writings = [writing for writing in self.writings if writing.session_id != session_id]

    def nbytes_of(self, session_id: int) -> int:
        """Memory of a session's rows in the decoder's batch, roughly: its equal share."""
        rows = sum(writing.session_id == session_id for writing in self.writings)
        return self._decoding.nbytes * rows // max(1, len(self.writings))

    def restart(self) -> list[Writing]:
        """After a failure in the decoder's batch: empty it and give back its lines."""
        writings, self.writings = self.writings, []
        self._decoding = Decoding(self.model.decoder)
        return writings

    def write_alone(self, writing: Writing) -> None:
        """Decode one line from its beginning to its end, in a batch of its own."""
        started = self._clock()
        decoding = Decoding(self.model.decoder)
        decoding.add([writing.sentence], writing.encoded)
        while len(decoding):
            decoding.step()
        self._charge([writing.segment], started)

    def _leave(self, over: Sequence[Sentence]) -> list[Writing]:
        gone = {id(sentence) for sentence in over}
        left = [writing for writing in self.writings if id(writing.sentence) in gone]
        if left:
            self.writings = [w for w in self.writings if id(w.sentence) not in gone]
        return left

    def _charge(self, segments: Sequence[Segment], started: float) -> None:
        """A batch's time is shared equally by its segments, so that the shares add up to the time spent."""
        spent = self._clock() - started
        for segment in segments:
            segment.compute_s += spent / len(segments)
