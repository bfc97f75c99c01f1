"""What the engine needs from a family, as protocols: features, encode, decode, synthesize, capabilities.

A family answers these calls with tensors; it knows nothing of sessions, beams, policies or files.
Models are immutable after loading: every call is a function of its arguments.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from seamless_stream.nn.state import State

Task = Literal["s2st", "s2tt", "t2st", "t2tt", "asr"]
TASKS: tuple[Task, ...] = ("s2st", "s2tt", "t2st", "t2tt", "asr")


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


@dataclass(frozen=True, eq=False)
class Features:
    """What the speech encoder reads of one segment."""

    values: np.ndarray  # [T, F] float32; raw samples [N, 1] for families that read waveforms
    num_valid: int  # leading rows of T that are wholly speech; a last, half-filled row is there but not valid


@dataclass(frozen=True, eq=False)
class EncoderOutput(State):
    """What the decoder attends to."""

    states: Tensor  # [B, S, D]
    lengths: Tensor  # [B] valid positions of S


@dataclass(frozen=True)
class Prompt:
    """How a hypothesis starts and ends: ids given to the decoder before the first free token."""

    token_ids: tuple[int, ...]
    eos_id: int
    pad_id: int


@dataclass(frozen=True, eq=False)
class Synthesis:
    """Speech of a batch: units [U] as the T2U gave them and samples [N] float32, one pair per row."""

    unit_ids: list[list[int]]
    samples: list[np.ndarray]


class Decoder(Protocol):
    """The autoregressive half: one call advances every row of a batch."""

    vocabulary_size: int

    def init_state(self, encoded: EncoderOutput) -> State:
        """Empty self-attention cache, and cross-attention keys and values computed once from `encoded`."""

    def step(self, token_ids: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """token_ids [B, T] -> logits [B, T, V], last hidden states [B, T, D] (input of the T2U), next state."""


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

    def features(self, samples: np.ndarray) -> Features:
        """Samples [N] at 16 kHz -> features of one whole segment; raises AudioError if too short."""

    def encode_speech(self, features: list[Features]) -> EncoderOutput:
        """Features of several segments -> encoder states, padded to the longest."""

    def encode_text(self, token_ids: list[list[int]]) -> EncoderOutput:
        """Source token ids (with language and </s>) -> encoder states."""

    def prompt(self, language: str) -> Prompt:
        """How the decoder starts for a target language; raises LanguageError."""

    def synthesize(
        self, token_ids: list[list[int]], hidden: list[Tensor], language: str, speaker: int
    ) -> Synthesis:
        """Target ids (prompt and free tokens, no final </s>) with the decoder's last hidden state [T, D] of each of
        these positions -> units and speech; raises LanguageError if the language has no voice."""
