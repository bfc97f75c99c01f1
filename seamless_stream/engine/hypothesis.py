"""The decoder's answer to one segment in one language, as policies and sessions see it: plain values, no tensors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """Free tokens only: neither the prompt nor the final eos."""

    language: str
    token_ids: tuple[int, ...]
    score: float
    is_complete: bool  # the decoder said eos; False: `max_new_tokens` cut it
