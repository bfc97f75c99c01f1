"""Sentences that are still being spoken: the decoder learns to say what it has heard, and to wait at the end.

A step that saw whole sentences sees their beginnings too. The chunked encoder gives a beginning the same states as the
whole, so its frames are cut, not computed again. Where a token's sound ends comes from the attention over the whole
sentence. Tokens that were heard are asked for as usual; for the next ones a policy like AlignAtt wants to see the
attention at the end of the audio, and that is what costs here where it is elsewhere. Knows no audio and no loop.
"""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from seamless_stream.models.seamless_m4t.network import Network
from tools.phrasebook.recipe import CONFIG

HEADS: Final = ((2, 0), (2, 1))  # of the decoder: guided ones, in its last layer
CHUNK: Final = CONFIG.speech_encoder_chunk_size  # stacked frames; a stream is heard in whole chunks
MIN_CHUNKS: Final = 2
LAST_STATES: Final = 2  # where the attention waits: 0.32 s
NUM_WAITING: Final = 2  # tokens behind the heard ones that must wait; a policy sees no more of them


@dataclass(frozen=True)
class Parts:
    """Of each row's tokens [B, T]: which are heard, and which are the first that are not."""

    heard: Tensor
    waiting: Tensor


def ends_of(attention: Tensor) -> Tensor:
    """Attention [B, A, T, S] of rows that were given a token -> the state [B, T] up to which it and those before it
    were said."""
    return attention.detach().mean(dim=1).argmax(dim=2).cummax(dim=1).values


def parts_of(ends: Tensor, lengths: Tensor, is_token: Tensor) -> Parts:
    """Ends [B, T], states heard [B], real tokens [B, T] -> parts; in between lies a border where nothing is asked."""
    limits = lengths[:, None]
    heard = is_token & (ends < limits - LAST_STATES)
    late = is_token & (ends >= limits)
    return Parts(heard, late & (late.cumsum(dim=1) <= NUM_WAITING))


def cut(lengths: Tensor, shares: Tensor) -> Tensor:
    """Frames [B] of whole sentences, a share in 0..1 of each -> frames of a beginning in whole chunks."""
    chunks = (lengths + CHUNK - 1) // CHUNK
    chosen = MIN_CHUNKS + (shares * (chunks - MIN_CHUNKS).clamp(min=0)).long()
    return torch.minimum(lengths, chosen * CHUNK)


def prefix_loss(
    network: Network, frames: Tensor, lengths: Tensor, targets: Tensor, attention: Tensor
) -> tuple[Tensor, Tensor]:
    """Conformer frames [B, T, D] of whole sentences with lengths [B], their targets [B, L], the attention [B, A, L - 1,
    S] of HEADS over all of it -> cross-entropy of what was heard, and attention that is on the wrong side of the end.
    """
    shares = torch.rand(len(lengths), device=lengths.device)
    heard_frames = cut(lengths, shares)
    states, state_lengths = network.speech_encoder.adapt(
        frames[:, : int(heard_frames.max())], heard_frames, heard_frames
    )
    state = network.text_decoder.init_state(states, state_lengths)
    hidden, _, looks = network.decode(targets[:, :-1], state, heads=HEADS)
    assert looks is not None
    # Row t was given token t and predicts token t + 1; the first that counts predicts the token behind the language.
    given = ends_of(attention)[:, NUM_PROMPT_TOKENS:]
    labels = targets[:, NUM_PROMPT_TOKENS:-1]
    parts = parts_of(given, state_lengths, (labels != CONFIG.pad_token_id) & (labels != CONFIG.eos_token_id))
    rows = slice(NUM_PROMPT_TOKENS - 1, NUM_PROMPT_TOKENS - 1 + labels.shape[1])
    logits = network.logits(hidden[:, rows])
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    loss = (each * parts.heard).sum() / parts.heard.sum().clamp(min=1)
    places = torch.arange(looks.shape[3], device=looks.device)
    at_end = (places >= state_lengths[:, None] - LAST_STATES).float()[:, None, None]
    mass = (looks[:, :, rows] * at_end).sum(dim=3).mean(dim=1)  # [B, T]
    wrong = mass * parts.heard + (1 - mass) * parts.waiting
    return loss, wrong.sum() / (parts.heard | parts.waiting).sum().clamp(min=1)
