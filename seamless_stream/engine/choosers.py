"""Which token comes next: filters forbid some, a chooser picks among the rest and says when a sentence is over.

Knows the logits of one sentence and its settings; knows no decoder, batch or hidden state. Beam search follows
transformers 5.23 (`early_stopping=False`) step by step, in the same float32 arithmetic.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from seamless_stream.errors import ModelError
from seamless_stream.models.base import Prompt
from seamless_stream.settings import DecodingSettings

LOST = -1e9  # score of what must not win; not -inf, because differences of it are taken


@dataclass(frozen=True)
class Hypothesis:
    """Free tokens and, for each, the row of the sentence whose logits it was chosen from."""

    tokens: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()  # the model's own, of each token; beams keep none

    def extended(self, row: int, token: int, *probability: float) -> "Hypothesis":
        """This hypothesis and one more token."""
        return Hypothesis((*self.tokens, token), (*self.rows, row), (*self.probabilities, *probability))


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
        self._line = self._line.extended(0, token, math.exp(log_prob))
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


def chooser_for(prompt: Prompt, settings: DecodingSettings) -> Chooser:
    """The search that the settings name."""
    if settings.beams > 1:
        return Beams(prompt, settings)
    return SingleLine(prompt, settings, sampler(settings) if settings.sample else pick_best)
