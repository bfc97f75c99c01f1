"""The decoder's answer to what was heard of a segment, as policies and sessions see it: plain values, no tensors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """Free tokens only, neither the prompt nor the final eos; the committed ones come first."""

    language: str
    token_ids: tuple[int, ...]
    score: float
    is_complete: bool  # the decoder said eos; False: it was stopped, by a policy or by `max_new_tokens`
    num_committed: int = 0  # leading tokens that were given to the decoder and never change
    starts_word: tuple[bool, ...] = ()  # per token: whether its piece begins a word
    # Per token: the encoder state where its attention is highest; empty: unknown.
    frames: tuple[int, ...] = ()
    num_frames: int = 0  # encoder states that there were
    heard_samples: int = 0  # of the segment
    # Per token, the decoder's own; 1 where it was given; empty: unknown.
    probabilities: tuple[float, ...] = ()
