"""From encoder states to token ids over any `Decoder`, for sentences that share a batch.

Knows token ids, hidden states and which rows of the decoder's state go on; which token comes next is decided in
`choosers.py`. Knows no text, family or session. Every sentence is decided on its own, so that its neighbours cannot
change its answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from seamless_stream.engine.choosers import Move, chooser_for
from seamless_stream.errors import SettingsError
from seamless_stream.models.base import Decoder, EncoderOutput, Prompt
from seamless_stream.nn.state import State
from seamless_stream.settings import DecodingSettings


@dataclass(frozen=True, eq=False)
class Decoded:
    """One sentence. `hidden` [T, D] has one row for each of `token_ids` [T], the prompt's included."""

    token_ids: list[int]  # prompt and free tokens, without the final eos
    hidden: Tensor
    score: float  # sum of log probabilities (eos included) / number of these ** length_penalty
    finished: bool  # False: `max_new_tokens` cut it
    probabilities: tuple[float, ...] = ()  # of each free token; beams keep none


class Watcher(Protocol):
    """Looks over the shoulder of a sentence that is decoded greedily, and may stop it."""

    def watch(self, attention: np.ndarray) -> None:
        """Attention [A, T, S] of the positions that were just read, the last of which predicts the next token."""

    def stops(self, token_ids: Sequence[int], probabilities: Sequence[float]) -> bool:
        """Whether the free tokens so far, the newest predicted by the last row, are enough; and how probable they
        were."""


@dataclass(eq=False)
class Sentence:
    """One row of the batch: its chooser, and the hidden states of every step of its rows.

    `draft` are free tokens that it may well begin with. They are read together with the prompt, in one pass of the
    decoder, and kept as far as the chooser takes the same ones: the answer is as without them, only sooner. Beams
    have no use for it.
    """

    prompt: Prompt
    settings: DecodingSettings
    watcher: Watcher | None = None
    draft: tuple[int, ...] = ()
    num_rows: int = 1  # in the decoder's batch at this step
    trace: list[Tensor] = field(default_factory=list)  # [K, P, D], then [K, 1, D] a step
    is_closing: bool = False
    was_stopped: bool = False  # by its watcher

    def __post_init__(self) -> None:
        self.chooser = chooser_for(self.prompt, self.settings)
        if self.settings.beams > 1:
            self.draft = ()

    def begin(self, logits: Tensor, hidden: Tensor, attention: Tensor | None) -> tuple[list[Move], int]:
        """Of its prompt and draft logits [1, 1 + F, V] from the prompt's end on, hidden [1, P + F, D] and attention
        [1, A, P + F, S] -> the rows of its next step, and how many tokens of the draft were of no use."""
        read = hidden.shape[1] - len(self.draft)
        moves = self.advance(logits[:, 0], hidden[:, :read], _positions(attention, 0, read))
        for place, token in enumerate(self.draft):
            if moves != [(0, token)]:
                return moves, len(self.draft) - place
            here = read + place
            looks = _positions(attention, here, here + 1)
            moves = self.advance(logits[:, place + 1], hidden[:, here : here + 1], looks)
        return moves, 0

    def advance(self, logits: Tensor, hidden: Tensor, attention: Tensor | None) -> list[Move]:
        """Logits [K, V], hidden [K, T, D] and attention [K, A, T, S] of its rows -> the rows of its next step."""
        self.trace.append(hidden)
        if attention is not None and self.watcher is not None:
            self.watcher.watch(attention[0].cpu().numpy())
        moves = [] if self.is_closing else self._moves(logits)
        self.num_rows = len(moves)
        return moves

    def _moves(self, logits: Tensor) -> list[Move]:
        moves = self.chooser.choose(logits.float())  # float32 also for float64 models, as transformers does
        if moves and self.watcher is not None:
            line, _ = self.chooser.best()
            self.was_stopped = self.watcher.stops(line.tokens, line.probabilities)
            if self.was_stopped:
                return []
        if not moves:
            hypothesis, _ = self.chooser.best()
            self.is_closing = hypothesis.tokens[-1] != self.prompt.eos_id
            if self.is_closing:  # The cut's last token has no hidden state yet: one more step gives it.
                moves = [(hypothesis.rows[-1], hypothesis.tokens[-1])]
        # After the first step, every beam of the sentence stands on its only row.
        return [(min(row, self.num_rows - 1), token) for row, token in moves]

    def result(self) -> Decoded:
        """The answer, with hidden states gathered along its ancestry."""
        hypothesis, score = self.chooser.best()
        steps = zip(hypothesis.rows[1:], self.trace[1:], strict=False)
        parts = [self.trace[0][0], *(hidden[row] for row, hidden in steps)]
        if self.is_closing:
            parts.append(self.trace[-1][0])
        ended = not (self.is_closing or self.was_stopped)
        tokens = hypothesis.tokens[:-1] if ended else hypothesis.tokens
        probabilities = hypothesis.probabilities[: len(tokens)]
        return Decoded([*self.prompt.token_ids, *tokens], torch.cat(parts), score, ended, probabilities)


def _positions(attention: Tensor | None, first: int, end: int) -> Tensor | None:
    """The part of attention [K, A, T, S] that positions first to end of T had."""
    return None if attention is None else attention[:, :, first:end]


class Decoding:
    """Sentences that are decoded together; they join and leave between tokens.

    A finished sentence leaves the batch; its rows are computed no longer. A sentence that `max_new_tokens`
    cuts keeps all its tokens and gets a hidden state for each of them, by one more step of the decoder. Here
    transformers differs: it takes the last token for the eos and drops it from the speech (not from the
    text). Who wants exactly its speech drops the last token and hidden state of an unfinished sentence.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._sentences: list[Sentence] = []
        self._state: State | None = None
        self._tokens: list[int] = []  # of each row, not yet read
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._sentences)

    @property
    def nbytes(self) -> int:
        """Memory of the batch's keys and values."""
        return self._state.nbytes if self._state is not None else 0

    @torch.inference_mode()
    def add(self, sentences: Sequence[Sentence], encoded: EncoderOutput) -> list[Sentence]:
        """Let them join: row i of `encoded` is what sentence i translates. Prompts may hold committed tokens.

        Reads all prompts and drafts in one pass; returns the sentences that are over by then. Raises SettingsError
        on too many beams, ModelError on NaN logits.
        """
        for sentence in sentences:
            check_beams(self._decoder, sentence.settings)
        self._device = encoded.states.device
        given = [[*sentence.prompt.token_ids, *sentence.draft] for sentence in sentences]
        counts = [len(ids) for ids in given]
        rows = [
            [sentence.prompt.pad_id] * (max(counts) - len(ids)) + ids
            for sentence, ids in zip(sentences, given, strict=True)
        ]
        step = self._decoder.step(
            torch.tensor(rows, device=self._device),
            self._decoder.init_state(encoded),
            counts=torch.tensor(counts, device=self._device),
            num_logits=1 + max(len(sentence.draft) for sentence in sentences),
            with_attention=any(sentence.watcher is not None for sentence in sentences),
        )
        moves, useless = [], []
        for row, (sentence, count) in enumerate(zip(sentences, counts, strict=True)):
            own = slice(row, row + 1)
            looks = None if step.attention is None else step.attention[own, :, -count:]
            logits = step.logits[own, -1 - len(sentence.draft) :]
            chosen, num_useless = sentence.begin(logits, step.hidden[own, -count:], looks)
            moves.append(chosen)
            useless.append(num_useless)
        state = step.state
        if any(useless):
            state = self._decoder.forget(state, torch.tensor(useless, device=self._device))
        return self._go_on(sentences, state, moves, [1] * len(sentences))

    @torch.inference_mode()
    def step(self) -> list[Sentence]:
        """One more token for every sentence -> those that are over now. Raises ModelError on NaN logits."""
        if self._state is None:
            return []
        sentences, state = self._sentences, self._state
        token_ids = torch.tensor(self._tokens, device=self._device)[:, None]  # [R, 1]
        watched = any(sentence.watcher is not None for sentence in sentences)
        step = self._decoder.step(token_ids, state, with_attention=watched)
        self._sentences, self._state, self._tokens = [], None, []
        sizes = [sentence.num_rows for sentence in sentences]
        moves, first = [], 0
        for sentence, size in zip(sentences, sizes, strict=True):
            own = slice(first, first + size)
            looks = None if step.attention is None else step.attention[own]
            moves.append(sentence.advance(step.logits[own, -1], step.hidden[own], looks))
            first = own.stop
        return self._go_on(sentences, step.state, moves, sizes)

    def drop(self, sentences: Sequence[Sentence]) -> None:
        """Let sentences leave whose answers nobody wants any more."""
        gone = {id(sentence) for sentence in sentences}
        rows: list[int] = []
        first = 0
        for sentence in self._sentences:
            if id(sentence) not in gone:
                rows += range(first, first + sentence.num_rows)
            first += sentence.num_rows
        if len(rows) == first:
            return
        self._sentences = [s for s in self._sentences if id(s) not in gone]
        self._tokens = [self._tokens[row] for row in rows]
        self._state = self._state.reorder(torch.tensor(rows)) if rows and self._state else None

    def _go_on(
        self, sentences: Sequence[Sentence], state: State, moves: list[list[Move]], sizes: list[int]
    ) -> list[Sentence]:
        """Sentences that had so many rows of the state and make these moves: those that go on (re)enter the batch,
        the others are returned."""
        rows: list[int] = []
        tokens: list[int] = []
        first = 0
        for own, size in zip(moves, sizes, strict=True):
            rows += [first + row for row, _ in own]
            tokens += [token for _, token in own]
            first += size
        if rows:
            state = state if rows == list(range(first)) else state.reorder(torch.tensor(rows))
            self._state = state if self._state is None else type(state).stack([self._state, state])
            self._tokens += tokens
            self._sentences += [sentence for sentence in sentences if sentence.num_rows]
        return [sentence for sentence in sentences if not sentence.num_rows]


def check_beams(decoder: Decoder, settings: DecodingSettings) -> None:
    """Raises SettingsError where the vocabulary is too small for so many beams."""
    if 2 * settings.beams > decoder.vocabulary_size:
        limit = decoder.vocabulary_size // 2
        raise SettingsError(f"`beams` must be at most {limit} for this vocabulary, but is {settings.beams}.")


def decode(
    decoder: Decoder, encoded: EncoderOutput, prompt: Prompt, settings: DecodingSettings
) -> list[Decoded]:
    """Decode every row of `encoded` to its end; see `Decoding`."""
    sentences = [Sentence(prompt, settings) for _ in range(encoded.states.shape[0])]
    decoding = Decoding(decoder)
    decoding.add(sentences, encoded)
    while len(decoding):
        decoding.step()
    return [sentence.result() for sentence in sentences]


def find_units(
    decoder: Decoder, encoded: EncoderOutput, prompt: Prompt, most: int, *, settings: DecodingSettings
) -> list[list[int]]:
    """`base.UnitSearch` with these settings."""
    most = min(most, settings.max_new_tokens)
    settings = replace(settings, max_new_tokens=most, min_new_tokens=min(most, settings.min_new_tokens))
    first = len(prompt.token_ids)
    return [
        [*row.token_ids[first:], *([prompt.eos_id] if row.finished else [])]
        for row in decode(decoder, encoded, prompt, settings)
    ]


@torch.inference_mode()
def source_score(decoder: Decoder, hidden: Tensor, prompt: Prompt) -> float:
    """Hidden states [T, D] of a sentence -> log probability that the prompt's language is the one that was spoken.

    Only for `Capabilities.names_source`: the first row knows nothing but </s>, and predicts what a prompt gives next.
    """
    logits = decoder.logits(hidden[None, :1])[0, 0]  # [V]
    return float(logits.float().log_softmax(0)[prompt.token_ids[1]])
