"""Guards: rules that notice what no speaker said. Each shortens a hypothesis and gives the reason as a sentence.

Pure functions on hypotheses; committed tokens always stay. What forbids repeated n-grams while the decoder searches is
`no_repeat_ngram` of its settings, and what keeps noise from being heard at all is the segmenter with its detector.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.engine.policy import whole_words

MAX_PERIOD: Final = 16  # tokens of the longest phrase that counts as a loop when it comes again and again
MIN_ROUNDS: Final = 4  # "no, no, no" is speech
MIN_ROUNDS_OF_ONE: Final = 6  # a single token: digits of a number may be alike
MIN_LOOP_TOKENS: Final = 8
TOKENS_PER_SECOND: Final = 13.0  # of speech; no clip of the phrasebook has more than 12, most have 5
SPARE_TOKENS: Final = 3
EDGES_S: Final = 0.5  # of a segment is silence kept around the speech
SHORT_S: Final = 1.5  # up to this length of a segment, too many tokens or doubt mean that there was no speech


@dataclass(frozen=True)
class Guarded:
    """What is left of a hypothesis, and why that is not all; without a reason it is untouched."""

    hypothesis: Hypothesis
    reason: str = ""


def loop_tokens(token_ids: tuple[int, ...]) -> tuple[int, int]:
    """Length and period of the loop that the tokens end with; 0, 0 where they do not. Its last round may be broken."""
    for period in range(1, MAX_PERIOD + 1):
        length = period
        while length < len(token_ids) and token_ids[-1 - length] == token_ids[-1 - length + period]:
            length += 1
        rounds = MIN_ROUNDS_OF_ONE if period == 1 else MIN_ROUNDS
        if length >= max(rounds * period, MIN_LOOP_TOKENS):
            return length, period
    return 0, 0


def break_loop(hypothesis: Hypothesis) -> Guarded:
    """A phrase said over and over at the end is kept once."""
    length, period = loop_tokens(hypothesis.token_ids)
    keep = len(hypothesis.token_ids) - length + period
    if not length:
        return Guarded(hypothesis)
    return _cut(hypothesis, keep, f"The decoder repeated {period} tokens {length / period:.1f} times.")


def limit_length(hypothesis: Hypothesis) -> Guarded:
    """More tokens than anybody can say in the time heard: of a short segment nothing is believed, of a longer one the
    rest is held. A detector's false alarm is short, and decoders make whole sentences of it. Text has no such limit.
    """
    heard_s = hypothesis.heard_samples / SAMPLE_RATE
    most = int(TOKENS_PER_SECOND * max(0.0, heard_s - EDGES_S)) + SPARE_TOKENS
    num_tokens = len(hypothesis.token_ids)
    if not hypothesis.heard_samples or num_tokens <= most:
        return Guarded(hypothesis)
    keep = 0 if heard_s <= SHORT_S else whole_words(hypothesis, most)
    return _cut(hypothesis, keep, f"The decoder gave {num_tokens} tokens for {heard_s:.1f} s of sound.")


def mean_log_prob(probabilities: Sequence[float]) -> float:
    """Of a token; there must be one."""
    return sum(math.log(max(p, 1e-9)) for p in probabilities) / len(probabilities)


def doubt_short(hypothesis: Hypothesis, least_log_prob: float | None) -> Guarded:
    """Of a short segment nothing is believed that the decoder itself finds unlikely: a detector's false alarm is short,
    and decoders make words of it. `least_log_prob` is the checkpoint's (`Capabilities`); None: it never doubts.
    """
    is_short = 0 < hypothesis.heard_samples <= SHORT_S * SAMPLE_RATE
    free = hypothesis.probabilities[hypothesis.num_committed : len(hypothesis.token_ids)]
    if least_log_prob is None or not is_short or not free:
        return Guarded(hypothesis)
    log_prob = mean_log_prob(free)
    if log_prob >= least_log_prob:
        return Guarded(hypothesis)
    heard_s = hypothesis.heard_samples / SAMPLE_RATE
    sure = f"{math.exp(log_prob):.0%} sure"
    return _cut(hypothesis, 0, f"The decoder was only {sure} of what it made of {heard_s:.1f} s of sound.")


def guard(hypothesis: Hypothesis, least_log_prob: float | None = None) -> Guarded:
    """All guards; the first that acts gives the reason. `least_log_prob` is for segments that have ended."""
    looped = break_loop(hypothesis)
    limited = limit_length(looped.hypothesis)
    doubted = doubt_short(limited.hypothesis, least_log_prob)
    return Guarded(doubted.hypothesis, looped.reason or limited.reason or doubted.reason)


def _cut(hypothesis: Hypothesis, num_tokens: int, reason: str) -> Guarded:
    keep = max(num_tokens, hypothesis.num_committed)
    if keep >= len(hypothesis.token_ids):
        return Guarded(hypothesis)
    shorter = replace(
        hypothesis,
        token_ids=hypothesis.token_ids[:keep],
        starts_word=hypothesis.starts_word[:keep],
        frames=hypothesis.frames[:keep],
        is_complete=False,
    )
    return Guarded(shorter, reason)
