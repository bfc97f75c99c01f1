"""A model that follows `models.base` with a few tensors: its answer is a pure function of the samples it hears."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from seamless_stream.audio.vad import Windows
from seamless_stream.errors import AudioError, LanguageError
from seamless_stream.models.base import (
    TASKS,
    Capabilities,
    DecoderStep,
    EncoderMode,
    EncoderOutput,
    Listening,
    Prompt,
    Units,
    UnitSearch,
)
from seamless_stream.nn.state import State

PAD, EOS, LANGUAGES, FIRST_WORD, NUM_WORDS = 0, 3, {"eng": 4, "spa": 5, "fra": 6}, 10, 90
FRAME = 320  # samples behind one encoder state
STATES_PER_WORD = 8


@dataclass(frozen=True, eq=False)
class FakeState(State):
    """Words to say [B, W] (EOS after the last) and how many tokens each row has been given [B]."""

    words: Tensor
    position: Tensor

    @classmethod
    def stack(cls, states: Sequence[Self]) -> Self:
        """Lines of any lengths, as a real decoder takes them."""
        words = [row for state in states for row in state.words]
        padded = torch.nn.utils.rnn.pad_sequence(words, batch_first=True, padding_value=EOS)
        return cls(padded, torch.cat([state.position for state in states]))


class FakeDecoder:
    """Says one word per 8 encoder states: their level, plus the language's number."""

    vocabulary_size = FIRST_WORD + NUM_WORDS

    def init_state(self, encoded: EncoderOutput) -> FakeState:
        batch, length, _ = encoded.states.shape
        padding = -length % STATES_PER_WORD + STATES_PER_WORD
        states = torch.nn.functional.pad(encoded.states[:, :, 0], (0, padding))
        words = states.reshape(batch, -1, STATES_PER_WORD).amax(2)  # [B, W]
        ids = FIRST_WORD + (words * 1000).long() % NUM_WORDS
        num_words = encoded.lengths[:, None] // STATES_PER_WORD
        ids = torch.where(torch.arange(ids.shape[1]) < num_words, ids, EOS)
        return FakeState(ids, torch.zeros(batch, dtype=torch.int64))

    def step(
        self,
        token_ids: Tensor,
        state: FakeState,
        *,
        counts: Tensor | None = None,
        num_logits: int = 1,
        with_attention: bool = False,
    ) -> DecoderStep:
        """One head, which looks at the last encoder state of the word that is said next."""
        time = token_ids.shape[1]
        after = state.position + (time if counts is None else counts)
        positions = after[:, None] - time + torch.arange(time)  # [B, T]
        index = (positions - 1).clamp(0, state.words.shape[1] - 1)
        logits = torch.nn.functional.one_hot(state.words.gather(1, index), self.vocabulary_size) * 9.0
        num_frames = state.words.shape[1] * STATES_PER_WORD
        looks = torch.nn.functional.one_hot(index * STATES_PER_WORD + STATES_PER_WORD - 1, num_frames) * 1.0
        attention = looks[:, None] if with_attention else None  # [B, 1, T, S]
        hidden = positions[:, :, None] * 1.0
        return DecoderStep(logits[:, -num_logits:], hidden, FakeState(state.words, after), attention)

    def forget(self, state: FakeState, counts: Tensor) -> FakeState:
        return FakeState(state.words, state.position - counts)

    def logits(self, hidden: Tensor) -> Tensor:
        raise NotImplementedError("Its hidden states hold no words.")


class FakeTokenizer:
    """Words are w10 to w99."""

    def encode_source(self, text: str, language: str) -> list[int]:
        if language not in LANGUAGES:
            raise LanguageError(f"`{language}` is unknown.")
        return [LANGUAGES[language], *(FIRST_WORD + len(word) for word in text.split()), EOS]

    def decode(self, token_ids: list[int]) -> str:
        return " ".join(f"w{token}" for token in token_ids if token >= FIRST_WORD)

    def pieces(self, token_ids: list[int]) -> list[str]:
        return [f"▁w{token}" for token in token_ids]


class FakeTranslator:
    """Two voices, three languages of which French is mute. `poison`: raises for samples that hold this value."""

    capabilities = Capabilities(
        family="fake",
        tasks=frozenset(TASKS),
        source_languages=tuple(LANGUAGES),
        target_languages=tuple(LANGUAGES),
        speech_languages=("eng", "spa"),
        num_speakers=2,
        sample_rate=16_000,
        encoder_modes=("chunked", "reencode"),
        has_alignment=True,
        streams_speech=True,
    )
    tokenizer = FakeTokenizer()
    decoder = FakeDecoder()
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, poison: float | None = None) -> None:
        self.poison = poison
        self.batches: list[int] = []  # sizes of the encoder's batches

    def open_segment(self, mode: EncoderMode | None, after: Listening | None = None) -> "FakeSegment":
        return FakeSegment(mode is not None, np.zeros(0, np.float32))

    def listen(
        self, segments: Sequence[Listening], samples: Sequence[np.ndarray], ended: Sequence[bool]
    ) -> list[Listening]:
        self.batches.append(len(segments))
        heard = []
        for segment, new, is_over in zip(segments, samples, ended, strict=True):
            assert isinstance(segment, FakeSegment)
            audio = np.concatenate([segment.audio, new])
            if self.poison is not None and (np.abs(audio) == np.float32(self.poison)).any():
                raise RuntimeError("poisoned")
            if is_over and len(audio) < FRAME:
                raise AudioError(f"A segment must have at least {FRAME} samples, but has {len(audio)}.")
            heard.append(segment.after(audio, is_over))
        return heard

    def encode_text(self, token_ids: list[list[int]]) -> EncoderOutput:
        values = [torch.tensor(ids).repeat_interleave(STATES_PER_WORD)[:, None] / 1000 for ids in token_ids]
        lengths = torch.tensor([len(value) for value in values])
        return EncoderOutput(torch.nn.utils.rnn.pad_sequence(values, batch_first=True), lengths)

    def prompt(self, language: str) -> Prompt:
        return Prompt((EOS, LANGUAGES[language]), EOS, PAD)

    def units(
        self,
        token_ids: list[list[int]],
        hidden: list[Tensor],
        language: str,
        *,
        duration_factor: float = 1.0,
        search: UnitSearch | None = None,
    ) -> list[Units]:
        """Two units a word, each the number of its token."""
        for ids, states in zip(token_ids, hidden, strict=True):
            assert states.shape[0] == len(ids)
        rows = [[token for token in ids[2:] for _ in range(2)] for ids in token_ids]
        return [Units(row, [2] * (len(row) // 2), [1] * len(row)) for row in rows]

    def vocode(self, unit_ids: list[list[int]], language: str, speaker: int) -> list[np.ndarray]:
        return [np.repeat((np.array(row, np.float32) + speaker) / 1000, FRAME) for row in unit_ids]


@dataclass(frozen=True, eq=False)
class FakeSegment:
    """All audio so far; while the segment is open, states come a word at a time."""

    is_streaming: bool
    audio: np.ndarray
    encoded: EncoderOutput | None = None
    heard_samples: int = 0

    @property
    def nbytes(self) -> int:
        return self.audio.nbytes

    def after(self, audio: np.ndarray, is_over: bool) -> "FakeSegment":
        grid = FRAME if is_over else FRAME * STATES_PER_WORD
        heard = len(audio) // grid * grid if is_over or self.is_streaming else 0
        if heard == self.heard_samples and not is_over:
            return FakeSegment(self.is_streaming, audio, self.encoded, heard)
        states = torch.from_numpy(
            np.abs(audio[:heard].reshape(1, -1, FRAME)).max(axis=2, keepdims=True)[..., 0]
        )
        encoded = EncoderOutput(states[:, :, None], torch.tensor([states.shape[1]]))
        return FakeSegment(self.is_streaming, audio, encoded, heard)


def speech(*levels: float, word_s: float = 0.16, seed: int = 0) -> np.ndarray:
    """A tone per level, 0.16 s each; 0 is silence. The fake model says one word per tone."""
    num_samples = round(word_s * 16_000)
    tone = np.sin(np.arange(num_samples) * 2 * np.pi * 440 / 16_000)
    return np.concatenate([np.float32(level) * tone for level in levels]).astype(np.float32)


class LevelVad:
    """Speech is what is loud; follows `audio.vad.Vad`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._windows = Windows()

    def push(self, samples: np.ndarray) -> list[float]:
        return [float(np.abs(window).max() > 0.01) for window in self._windows.push(samples)]
