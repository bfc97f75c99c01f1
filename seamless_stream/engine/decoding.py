"""From encoder states to token ids: greedy, sampling and beam search over any `Decoder`.

Knows token ids, scores and which rows of the decoder's state go on; knows no text, family or session.
Filters forbid tokens, a chooser picks among the rest and says when a sentence is over, and `decode` conducts
the batch. Every sentence is decided on its own, so that its neighbours cannot change its answer.
Beam search follows transformers 5.23 (`early_stopping=False`) step by step, in the same float32 arithmetic.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from seamless_stream.errors import ModelError, SettingsError
from seamless_stream.models.base import Decoder, DecoderStep, EncoderOutput, Prompt
from seamless_stream.nn.state import State
from seamless_stream.settings import DecodingSettings

LOST = -1e9  # score of what must not win; not -inf, because differences of it are taken


@dataclass(frozen=True, eq=False)
class Decoded:
    """One sentence. `hidden` [T, D] has one row for each of `token_ids` [T], the prompt's included."""

    token_ids: list[int]  # prompt and free tokens, without the final eos
    hidden: Tensor
    score: float  # sum of log probabilities (eos included) / number of these ** length_penalty
    finished: bool  # False: `max_new_tokens` cut it


@dataclass(frozen=True)
class Hypothesis:
    """Free tokens and, for each, the row of the sentence whose logits it was chosen from."""

    tokens: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()

    def extended(self, row: int, token: int) -> "Hypothesis":
        """This hypothesis and one more token."""
        return Hypothesis((*self.tokens, token), (*self.rows, row))


# --- filters: which tokens may not come next -------------------------------------------------------


def repeated_ngram_tokens(token_ids: Sequence[int], size: int) -> set[int]:
    """Tokens that would end an n-gram which `token_ids` already holds; size 0 forbids nothing."""
    if size == 0 or len(token_ids) < size:
        return set()
    ending = tuple(token_ids[len(token_ids) - size + 1 :])
    starts = range(len(token_ids) - size + 1)
    return {token_ids[i + size - 1] for i in starts if tuple(token_ids[i : i + size - 1]) == ending}


def forbid(
    scores: Tensor, hypotheses: Sequence[Hypothesis], prompt: Prompt, settings: DecodingSettings
) -> Tensor:
    """Scores [K, V] of the tokens after K hypotheses, with -inf where a token may not follow."""
    if settings.no_repeat_ngram == 0 and settings.min_new_tokens == 0 and prompt.banned_next is None:
        return scores
    scores = scores.clone()
    for row, hypothesis in enumerate(hypotheses):
        if prompt.banned_next is not None and not hypothesis.tokens:
            scores[row, prompt.banned_next] = -math.inf
        banned = repeated_ngram_tokens((*prompt.token_ids, *hypothesis.tokens), settings.no_repeat_ngram)
        if len(hypothesis.tokens) < settings.min_new_tokens:
            banned = banned | {prompt.eos_id}
        scores[row, sorted(banned)] = -math.inf
    return scores


def keep_top_k(logits: Tensor, top_k: int) -> Tensor:
    """Logits [V] with -inf below the k-th best; 0 keeps all."""
    if top_k == 0 or top_k >= logits.shape[0]:
        return logits
    return logits.masked_fill(logits < logits.topk(top_k).values[-1], -math.inf)


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Logits [V] with -inf outside the smallest set of best tokens whose probabilities reach `top_p`."""
    if top_p == 1.0:
        return logits
    ascending, order = logits.sort()
    outside = ascending.softmax(0).cumsum(0) <= 1 - top_p
    outside[-1] = False  # the best token always stays, whatever rounding did to the sum
    return logits.masked_fill(torch.zeros_like(outside).scatter(0, order, outside), -math.inf)


# --- choosers: which tokens come next, and when a sentence is over ---------------------------------

Move = tuple[int, int]  # row of the sentence whose state goes on, and the token that it is given


class Chooser(Protocol):
    """Decides one sentence, step by step."""

    def choose(self, logits: Tensor) -> list[Move]:
        """Logits [K, V] float32 of the K current rows -> the rows of the next step; empty when it is over."""

    def best(self) -> tuple[Hypothesis, float]:
        """The answer (its last token is eos unless it was cut) and its score."""


Pick = Callable[[Tensor], int]  # allowed logits [V] -> token


def pick_best(logits: Tensor) -> int:
    """Greedy; the lowest id among equals."""
    return int(logits.argmax())


def sampler(settings: DecodingSettings) -> Pick:
    """Random picks of one sentence: its own generator on the CPU, so that neither batch nor device matter."""
    generator = torch.Generator()
    if settings.seed is None:
        generator.seed()
    else:
        generator.manual_seed(settings.seed)

    def pick(logits: Tensor) -> int:
        warped = keep_top_p(keep_top_k(logits / settings.temperature, settings.top_k), settings.top_p)
        return int(torch.multinomial(warped.softmax(0).cpu(), 1, generator=generator))

    return pick


class SingleLine:
    """One hypothesis, one token a step; over at eos or at `max_new_tokens`."""

    def __init__(self, prompt: Prompt, settings: DecodingSettings, pick: Pick) -> None:
        self._prompt, self._settings, self._pick = prompt, settings, pick
        self._line = Hypothesis()
        self._log_prob = 0.0

    def choose(self, logits: Tensor) -> list[Move]:
        """See `Chooser`."""
        token = self._pick(forbid(logits, [self._line], self._prompt, self._settings)[0])
        # The score is the model's own probability: before filters and temperature.
        log_prob = float(logits[0, token] - logits[0].logsumexp(0))
        if math.isnan(log_prob):
            raise ModelError("The decoder must give finite logits, but gave NaN.")
        self._log_prob += log_prob
        self._line = self._line.extended(0, token)
        is_over = token == self._prompt.eos_id or len(self._line.tokens) == self._settings.max_new_tokens
        return [] if is_over else [(0, token)]

    def best(self) -> tuple[Hypothesis, float]:
        """See `Chooser`."""
        return self._line, self._log_prob / len(self._line.tokens) ** self._settings.length_penalty


class Beams:
    """K running hypotheses and the K best finished ones, with the bookkeeping of transformers.

    The best 2K continuations are looked at: one eos per beam at most, so K of them can always go on. Only
    the K best of the 2K may finish. It is over when all K finished places are taken and the best running
    hypothesis, at its present length, cannot beat the worst of them; or at `max_new_tokens`, where everything
    counts as finished.
    """

    def __init__(self, prompt: Prompt, settings: DecodingSettings) -> None:
        self._prompt, self._settings = prompt, settings
        self._running = [Hypothesis()] * settings.beams
        # Every beam starts from the same prompt: all but one must lose the first step.
        self._scores = torch.tensor([0.0] + [LOST] * (settings.beams - 1))  # [K]
        self._finished: list[Hypothesis | None] = [None] * settings.beams
        self._finished_scores = torch.full((settings.beams,), LOST)  # [K], best first

    def choose(self, logits: Tensor) -> list[Move]:
        """See `Chooser`; the first step has one row."""
        scores, candidates = self._candidates(logits.expand(self._settings.beams, -1))
        num_tokens = len(candidates[0].tokens)
        is_cut = num_tokens == self._settings.max_new_tokens
        ends = torch.tensor([is_cut or c.tokens[-1] == self._prompt.eos_id for c in candidates])
        self._keep_running(scores, candidates, ends)
        self._keep_finished(scores / self._penalty(num_tokens), candidates, ends)
        if is_cut or not self._can_improve(num_tokens):
            return []
        return [(hypothesis.rows[-1], hypothesis.tokens[-1]) for hypothesis in self._running]

    def best(self) -> tuple[Hypothesis, float]:
        """See `Chooser`."""
        hypothesis = self._finished[0]
        assert hypothesis is not None  # asked only when it is over
        return hypothesis, float(self._finished_scores[0])

    def _candidates(self, logits: Tensor) -> tuple[Tensor, list[Hypothesis]]:
        """Logits [K, V] -> the 2K best continuations, best first: summed scores [2K] and hypotheses."""
        vocabulary_size = logits.shape[1]
        log_probs = forbid(logits.log_softmax(1), self._running, self._prompt, self._settings)
        total = log_probs + self._scores.to(logits.device)[:, None]  # [K, V]
        top, places = total.flatten().topk(2 * self._settings.beams)
        top = top.cpu()
        if bool(top.isnan().any()):
            raise ModelError("The decoder must give finite logits, but gave NaN.")
        pairs = [divmod(place, vocabulary_size) for place in places.tolist()]
        return top, [self._running[row].extended(row, token) for row, token in pairs]

    def _keep_running(self, scores: Tensor, candidates: list[Hypothesis], ends: Tensor) -> None:
        self._scores, order = (scores + ends * LOST).topk(self._settings.beams)
        self._running = [candidates[i] for i in order.tolist()]

    def _keep_finished(self, scores: Tensor, candidates: list[Hypothesis], ends: Tensor) -> None:
        may_finish = ends & (torch.arange(len(candidates)) < self._settings.beams)
        merged = torch.cat([self._finished_scores, scores + ~may_finish * LOST])
        entries = self._finished + [
            c if may else None for c, may in zip(candidates, may_finish.tolist(), strict=True)
        ]
        self._finished_scores, order = merged.topk(self._settings.beams)
        self._finished = [entries[i] for i in order.tolist()]

    def _can_improve(self, num_tokens: int) -> bool:
        # While a finished place is free, the worst score is `LOST`. Like transformers, assumes the present length
        # even where a longer hypothesis could score better.
        return bool(self._scores[0] / self._penalty(num_tokens) > self._finished_scores[-1])

    def _penalty(self, num_tokens: int) -> float:
        """What a summed score is divided by."""
        length = num_tokens + self._prompt.num_forced
        return float(length**self._settings.length_penalty)


# --- conductor -------------------------------------------------------------------------------------


class Watcher(Protocol):
    """Looks over the shoulder of a sentence that is decoded greedily, and may stop it."""

    def watch(self, attention: np.ndarray) -> None:
        """Attention [A, T, S] of the positions that were just read, the last of which predicts the next token."""

    def stops(self, token_ids: Sequence[int]) -> bool:
        """Whether the free tokens so far, the newest predicted by the last row, are enough."""


@dataclass(eq=False)
class Sentence:
    """One row of the batch: its chooser, and the hidden states of every step of its rows."""

    prompt: Prompt
    settings: DecodingSettings
    watcher: Watcher | None = None
    num_rows: int = 1  # in the decoder's batch at this step
    trace: list[Tensor] = field(default_factory=list)  # [K, P, D], then [K, 1, D] a step
    is_closing: bool = False
    was_stopped: bool = False  # by its watcher

    def __post_init__(self) -> None:
        self.chooser = _chooser(self.prompt, self.settings)

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
        if moves and self.watcher is not None and self.watcher.stops(self.chooser.best()[0].tokens):
            self.was_stopped = True
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
        return Decoded([*self.prompt.token_ids, *tokens], torch.cat(parts), score, ended)


def _chooser(prompt: Prompt, settings: DecodingSettings) -> Chooser:
    if settings.beams > 1:
        return Beams(prompt, settings)
    return SingleLine(prompt, settings, sampler(settings) if settings.sample else pick_best)


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

        Reads all prompts in one pass; returns the sentences that are over after their first token. Raises
        SettingsError on too many beams, ModelError on NaN logits.
        """
        for sentence in sentences:
            check_beams(self._decoder, sentence.settings)
        self._device = encoded.states.device
        counts = [len(sentence.prompt.token_ids) for sentence in sentences]
        rows = [
            [sentence.prompt.pad_id] * (max(counts) - count) + list(sentence.prompt.token_ids)
            for sentence, count in zip(sentences, counts, strict=True)
        ]
        step = self._decoder.step(
            torch.tensor(rows, device=self._device),
            self._decoder.init_state(encoded),
            counts=torch.tensor(counts, device=self._device),
            with_attention=any(sentence.watcher is not None for sentence in sentences),
        )
        return self._advance(list(sentences), step, counts)

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
        return self._advance(sentences, step, [1] * len(sentences))

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

    def _advance(self, sentences: list[Sentence], step: DecoderStep, counts: list[int]) -> list[Sentence]:
        """Give each sentence its rows of a step; those that go on (re)enter the batch, the others are returned."""
        rows: list[int] = []
        tokens: list[int] = []
        first = 0
        for sentence, count in zip(sentences, counts, strict=True):
            own = slice(first, first + sentence.num_rows)
            attention = None if step.attention is None else step.attention[own, :, -count:]
            moves = sentence.advance(step.logits[own, -1], step.hidden[own, -count:], attention)
            rows += [first + row for row, _ in moves]
            tokens += [token for _, token in moves]
            first = own.stop
        if rows:
            state = step.state if rows == list(range(first)) else step.state.reorder(torch.tensor(rows))
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
