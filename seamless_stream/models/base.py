"""What the engine needs from a family, as protocols: features, encode, decode, synthesize, capabilities.

A family answers these calls with tensors; it knows nothing of sessions, beams, policies or files.
Models are immutable after loading: every call is a function of its arguments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from seamless_stream.nn.state import State

Task = Literal["s2st", "s2tt", "t2st", "t2tt", "asr"]
TASKS: tuple[Task, ...] = ("s2st", "s2tt", "t2st", "t2tt", "asr")

# How the encoder hears a segment that is still open:
# chunked    chunk attention with a cache, constant cost; exact for a checkpoint trained with that chunk mask
# reencode   the whole segment again for every step; exact for any checkpoint
# windowed   a cache for what has enough right context, the tail again; bounded cost, approximate for full context
EncoderMode = Literal["chunked", "reencode", "windowed"]


@dataclass(frozen=True)
class Capabilities:
    """What one loaded checkpoint can do; languages are the checkpoint's own codes (`spa`, `cmn_Hant`)."""

    family: str
    tasks: frozenset[Task]
    source_languages: tuple[str, ...]  # as text
    target_languages: tuple[str, ...]  # as text
    speech_languages: tuple[str, ...]  # as synthesized speech
    num_speakers: int
    sample_rate: int  # of the synthesized speech, Hz
    encoder_modes: tuple[EncoderMode, ...] = ()  # the default first; empty: hears only finished segments
    has_alignment: bool = False  # `Decoder.step` can say where it looks
    least_log_prob: float | None = None  # mean of a token: words made of a false alarm are mostly below it
    names_source: bool = False  # behind </s>, the decoder predicts the token of the language that is spoken
    streams_speech: bool = False  # `units` says how many units each token takes
    has_unit_search: bool = (
        False  # `units` finds them one by one, and also reads the hidden state of the text's end
    )
    state_ms: int = 160  # of source behind one encoder state
    samples_per_unit: int = 320
    vocoder_reach_units: int = 0  # on one side of a unit, that its samples depend on


@dataclass(frozen=True, eq=False)
class EncoderOutput(State):
    """What the decoder attends to."""

    states: Tensor  # [B, S, D]
    lengths: Tensor  # [B] valid positions of S


@dataclass(frozen=True, eq=False)
class Prompt:
    """How a hypothesis starts and ends: ids given to the decoder before the first free token."""

    token_ids: tuple[int, ...]
    eos_id: int
    pad_id: int
    banned_next: Tensor | None = None  # [V] bool: what may not be the first free token
    num_forced: int = 0  # last of `token_ids` that count for the length of a hypothesis, as if they were free


class Listening(Protocol):
    """A segment as the encoder has heard it so far: an immutable value of batch 1 that the session keeps."""

    @property
    def encoded(self) -> EncoderOutput | None:
        """What the decoder may attend to now, the same object while nothing changed; None: nothing yet."""

    @property
    def heard_samples(self) -> int:
        """Samples of the segment behind `encoded`."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""


@dataclass(frozen=True, eq=False)
class Units:
    """Acoustic units of one text as the T2U gave them; `per_token` is empty where a family cannot tell."""

    ids: list[int]  # [U]
    per_token: list[int]  # units of each free token; their sum is U
    repeats: list[
        int
    ]  # [U] how often the vocoder says each unit: all ones where it has no durations of its own


@dataclass(frozen=True, eq=False)
class DecoderStep:
    """What one call of the decoder gives."""

    logits: Tensor  # [B, N, V] of the newest positions
    hidden: Tensor  # [B, T, D] last hidden states, the input of the T2U
    state: State
    attention: Tensor | None = None  # [B, A, T, S] of the alignment heads, where asked for


class Decoder(Protocol):
    """The autoregressive half: one call advances every row of a batch."""

    vocabulary_size: int

    def init_state(self, encoded: EncoderOutput) -> State:
        """Empty self-attention cache, and cross-attention keys and values computed once from `encoded`.

        States of rows of unequal lengths can be stacked, and `reorder` drops what no remaining row needs.
        """

    def step(
        self,
        token_ids: Tensor,
        state: State,
        *,
        counts: Tensor | None = None,
        num_logits: int = 1,
        with_attention: bool = False,
    ) -> DecoderStep:
        """token_ids [B, T], of which the last counts [B] (default: all) of each row are real and the rest filling.

        Logits are computed for the newest `num_logits` positions: of a large vocabulary they cost more than a layer.
        """

    def forget(self, state: State, counts: Tensor) -> State:
        """The state as it was before the newest counts [B] tokens of each row."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Last hidden states [B, T, D] -> [B, T, V], what `step` gave with them."""


# Finds units where they come one by one: of each row at most so many, behind the prompt, the end among them.
UnitSearch = Callable[[Decoder, EncoderOutput, Prompt, int], list[list[int]]]


class TextTokenizer(Protocol):
    """Text to ids and back, language tokens included."""

    def encode_source(self, text: str, language: str) -> list[int]:
        """[lang] pieces [</s>]; raises LanguageError."""

    def decode(self, token_ids: list[int]) -> str:
        """Text without special tokens."""

    def pieces(self, token_ids: list[int]) -> list[str]:
        """The piece of each id; a leading ▁ marks a word's start."""


class SpeechTranslator(Protocol):
    """One loaded checkpoint of any family."""

    @property
    def capabilities(self) -> Capabilities:
        """What this checkpoint can do, with the parts that were loaded."""

    @property
    def tokenizer(self) -> TextTokenizer:
        """Text to ids and back."""

    @property
    def decoder(self) -> Decoder:
        """The text decoder."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""

    @property
    def dtype(self) -> torch.dtype:
        """What the parameters are."""

    def open_segment(self, mode: EncoderMode | None, after: Listening | None = None) -> Listening:
        """A segment of which nothing is heard; None: it will be heard when it has ended, in one piece.

        `after` is an earlier segment of the same session: its statistics are the prior of this one's.
        """

    def listen(
        self, segments: Sequence[Listening], samples: Sequence[np.ndarray], ended: Sequence[bool]
    ) -> list[Listening]:
        """New samples [n] float32 at 16 kHz of each segment -> the segments after them, in one batch.

        A segment that has ended gets the states of the offline model, whatever its mode was; it raises AudioError
        where it is too short to be heard.
        """

    def encode_text(self, token_ids: list[list[int]]) -> EncoderOutput:
        """Source token ids (with language and </s>) -> encoder states."""

    def prompt(self, language: str) -> Prompt:
        """How the decoder starts for a target language; raises LanguageError."""

    def units(
        self,
        token_ids: list[list[int]],
        hidden: list[Tensor],
        language: str,
        *,
        duration_factor: float = 1.0,
        search: UnitSearch | None = None,
    ) -> list[Units]:
        """Target ids (prompt and free tokens) with the decoder's last hidden state [T, D] of each of these positions
        -> acoustic units; raises LanguageError if the language has no voice. Where `capabilities.has_unit_search`,
        the text's final </s> is given too and `search` is needed; elsewhere neither is."""

    def vocode(self, unit_ids: list[list[int]], language: str, speaker: int) -> list[np.ndarray]:
        """Units, already repeated -> samples [N] float32 of each row, `samples_per_unit` of each unit."""
