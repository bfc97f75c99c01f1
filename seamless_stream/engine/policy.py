"""Policies: rules that say how many tokens of a hypothesis to commit, given what has been heard.

A policy is a small pure class; it sees hypotheses and answers with a number and the rule behind it, it keeps nothing
and emits nothing. All of them cut between words only, and none takes back what was committed. Knows no tensors and no
text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.hypothesis import Hypothesis
from seamless_stream.settings import PolicyName, PolicySettings

# Written without spaces: every token may end what is committed.
SPACELESS: Final = frozenset({"cmn", "cmn_Hans", "cmn_Hant", "yue", "jpn", "tha", "lao", "khm", "mya"})


# What holds the first token that is not believed; "none": all are. "end" commits everything, the source has finished.
Rule = Literal[
    "none",
    "end",
    "segment",
    "wait-k",
    "hold-n",
    "first",
    "agreement",
    "attention",
    "unsure",
    "unknown",
    "rewind",
]


@dataclass(frozen=True)
class Verdict:
    """What a policy makes of a hypothesis, the words that may go on taken off."""

    num_tokens: int  # never change again
    num_believed: int  # before such words were taken off
    rule: Rule
    place: int  # the token that the rule is about


class Policy(Protocol):
    """What a session asks while and after a hypothesis grows."""

    wants_open_segments: bool  # False: no hypothesis is computed before the segment has ended
    wants_attention: bool  # hypotheses need `frames`
    memory: int  # how many hypotheses `judge` looks at, the newest included

    def judge(self, hypotheses: Sequence[Hypothesis], source_finished: bool) -> Verdict:
        """Hypotheses of one segment and language, the newest last -> how many tokens of it never change again.

        At least its `num_committed`; all of them once the source has finished.
        """

    def stops(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis that is still growing holds a token already, so that more of them are of no use.

        Not asked once the source has finished. The held token stays in the hypothesis: it says whether the word
        before it is complete.
        """


# --- words -----------------------------------------------------------------------------------------


def starts_word(hypothesis: Hypothesis, place: int) -> bool:
    """Whether a word begins with this token."""
    return hypothesis.language in SPACELESS or hypothesis.starts_word[place]


def ends_word(hypothesis: Hypothesis, num_tokens: int) -> bool:
    """Whether these leading tokens end with a whole word: another one begins after them, or the sentence is over."""
    if num_tokens < len(hypothesis.token_ids):
        return starts_word(hypothesis, num_tokens)
    return hypothesis.is_complete or hypothesis.language in SPACELESS


def whole_words(hypothesis: Hypothesis, num_tokens: int) -> int:
    """The most tokens, `num_tokens` at most, that end with a whole word; never fewer than are committed."""
    while num_tokens > hypothesis.num_committed and not ends_word(hypothesis, num_tokens):
        num_tokens -= 1
    return max(num_tokens, hypothesis.num_committed)


def cut(hypothesis: Hypothesis, num_believed: int, rule: Rule) -> Verdict:
    """Commit the whole words of the tokens that are believed."""
    num_believed = max(num_believed, hypothesis.num_committed)
    if num_believed >= len(hypothesis.token_ids):
        rule = "none"
    return Verdict(whole_words(hypothesis, num_believed), num_believed, rule, num_believed)


def everything(hypothesis: Hypothesis) -> Verdict:
    """The source has finished."""
    num_tokens = len(hypothesis.token_ids)
    return Verdict(num_tokens, num_tokens, "end", num_tokens)


def nothing(hypothesis: Hypothesis, rule: Rule) -> Verdict:
    """No more than there was."""
    first = hypothesis.num_committed
    return Verdict(first, first, rule, first)


# --- policies --------------------------------------------------------------------------------------


class Segment:
    """Wait for the end of the segment, then commit everything: the offline quality, and the longest delay."""

    wants_open_segments = False
    wants_attention = False
    memory = 1

    def judge(self, hypotheses: Sequence[Hypothesis], source_finished: bool) -> Verdict:
        """All or nothing."""
        newest = hypotheses[-1]
        return everything(newest) if source_finished else nothing(newest, "segment")

    def stops(self, hypothesis: Hypothesis) -> bool:
        """Never."""
        return False


class WaitK:
    """Read k steps, then a word for every step: Ma et al. 2019 (arXiv 1810.08398), steps of fixed length as in
    Ma et al. 2020 (arXiv 2011.02048)."""

    wants_open_segments = True
    wants_attention = False
    memory = 1

    def __init__(self, k: int, step_ms: int) -> None:
        self._k = k
        self._step_samples = step_ms * SAMPLE_RATE // 1_000

    def judge(self, hypotheses: Sequence[Hypothesis], source_finished: bool) -> Verdict:
        """The words that the steps heard so far allow."""
        newest = hypotheses[-1]
        if source_finished:
            return everything(newest)
        ends = [*self._starts(newest), len(newest.token_ids)]
        return cut(newest, ends[min(self._num_words(newest), len(ends) - 1)], "wait-k")

    def stops(self, hypothesis: Hypothesis) -> bool:
        """Once a word beyond the allowed ones has begun."""
        return len(self._starts(hypothesis)) > self._num_words(hypothesis)

    def _num_words(self, hypothesis: Hypothesis) -> int:
        return max(0, hypothesis.heard_samples // self._step_samples - self._k + 1)

    def _starts(self, hypothesis: Hypothesis) -> list[int]:
        return [i for i in range(len(hypothesis.token_ids)) if starts_word(hypothesis, i)]


class HoldN:
    """All but the last n tokens: Liu et al. 2020 (arXiv 2005.11185)."""

    wants_open_segments = True
    wants_attention = False
    memory = 1

    def __init__(self, n: int) -> None:
        self._n = n

    def judge(self, hypotheses: Sequence[Hypothesis], source_finished: bool) -> Verdict:
        """See the class."""
        newest = hypotheses[-1]
        if source_finished:
            return everything(newest)
        return cut(newest, len(newest.token_ids) - self._n, "hold-n")

    def stops(self, hypothesis: Hypothesis) -> bool:
        """Never: where the end is, is known only there."""
        return False


class LocalAgreement:
    """What the last n hypotheses begin with alike: Liu et al. 2020 (arXiv 2005.11185), n = 2 in Polák et al. 2022."""

    wants_open_segments = True
    wants_attention = False

    def __init__(self, n: int) -> None:
        self.memory = n

    def judge(self, hypotheses: Sequence[Hypothesis], source_finished: bool) -> Verdict:
        """The longest common prefix; its last word must be whole in each of the hypotheses."""
        newest = hypotheses[-1]
        if source_finished:
            return everything(newest)
        recent = hypotheses[-self.memory :]
        if len(recent) < self.memory:
            return nothing(newest, "first")
        columns = zip(*(hypothesis.token_ids for hypothesis in recent), strict=False)
        alike = [len(set(column)) == 1 for column in columns]
        num_tokens = num_alike = [*alike, False].index(False)
        while num_tokens and not all(ends_word(hypothesis, num_tokens) for hypothesis in recent):
            num_tokens -= 1
        first = newest.num_committed
        rule: Rule = "agreement" if num_alike < len(newest.token_ids) else "none"
        return Verdict(max(num_tokens, first), max(num_alike, first), rule, max(num_alike, first))

    def stops(self, hypothesis: Hypothesis) -> bool:
        """Never: the next hypothesis is compared with all of this one."""
        return False


class AlignAtt:
    """Up to the first token whose attention is highest in the last f frames: Papi et al. 2023 (arXiv 2305.11408).

    A token of which the decoder is not sure waits longer: until what it looks at is `unsure_frames` back. A first word
    that is guessed from little sound is what the rule of the paper commits and cannot take back; what stays uncertain
    however much is heard, because it can be said in several ways, must not wait for ever.

    A hypothesis that looks back further than any reordering does is not believed at all, as in SimulStreaming
    (Macháček and Polák 2025, arXiv 2506.17077). Where the held token begins a word or is the end, the word before
    it is whole and goes along; the paper always drops it.
    """

    wants_open_segments = True
    wants_attention = True
    memory = 1

    def __init__(
        self, num_frames: int, rewind_frames: int, sure_probability: float, unsure_frames: int
    ) -> None:
        self._num_frames = num_frames
        self._rewind_frames = rewind_frames
        self._sure_probability = sure_probability
        self._unsure_frames = max(num_frames, unsure_frames)

    def judge(self, hypotheses: Sequence[Hypothesis], source_finished: bool) -> Verdict:
        """See the class."""
        newest = hypotheses[-1]
        num_tokens = len(newest.token_ids)
        if source_finished:
            return everything(newest)
        first, known = newest.num_committed, len(newest.frames)
        # A token that the decoder has not been given yet has no frame, and waits.
        end = num_tokens if newest.is_complete else max(first, known)
        waits = ((i, rule) for i in range(first, known) if (rule := self._holds(newest, i)))
        held, rule = next(waits, (end, "unknown"))
        back = next((i for i in range(first, min(held, known)) if self._is_rewound(newest, i)), None)
        if back is not None:
            return Verdict(first, first, "rewind", back)
        return cut(newest, held, rule)

    def stops(self, hypothesis: Hypothesis) -> bool:
        """At the first held token, and where the attention has jumped back."""
        newest = len(hypothesis.frames) - 1
        if newest < hypothesis.num_committed:
            return False
        return self._holds(hypothesis, newest) is not None or self._is_rewound(hypothesis, newest)

    def _holds(self, hypothesis: Hypothesis, place: int) -> Rule | None:
        """Why a token waits, if it does."""
        distance = hypothesis.num_frames - hypothesis.frames[place]
        if distance <= self._num_frames:
            return "attention"
        known = hypothesis.probabilities[place : place + 1]
        is_sure = not known or known[0] >= self._sure_probability
        return None if is_sure or distance > self._unsure_frames else "unsure"

    def _is_rewound(self, hypothesis: Hypothesis, place: int) -> bool:
        furthest = max(hypothesis.frames[: hypothesis.num_committed], default=0)
        return furthest - hypothesis.frames[place] > self._rewind_frames


POLICIES: dict[PolicyName, Callable[[PolicySettings], Policy]] = {
    "segment": lambda settings: Segment(),
    "wait-k": lambda settings: WaitK(settings.wait_k, settings.wait_k_step_ms),
    "hold-n": lambda settings: HoldN(settings.hold_n),
    "local-agreement": lambda settings: LocalAgreement(settings.agreement_n),
    "alignatt": lambda settings: AlignAtt(
        settings.alignatt_frames,
        settings.rewind_frames,
        settings.sure_probability,
        settings.unsure_frames,
    ),
}

FRAME_MS: Final = 160  # of a "frame" in the settings


def policy_for(settings: PolicySettings, state_ms: int) -> Policy:
    """The policy that the settings name, where an encoder state is so many ms of source."""
    names = ("alignatt_frames", "rewind_frames", "unsure_frames")
    frames: dict[str, Any] = {name: -(-getattr(settings, name) * FRAME_MS // state_ms) for name in names}
    own = replace(settings, **frames)
    return POLICIES[own.name](own)
