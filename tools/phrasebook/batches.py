"""Batches for training: clips of similar length, features augmented on the fly, targets in any language.

Everything that a step sees is drawn from one seeded generator, so a run can be repeated. Knows the speech sets and the
tokenizer; nothing of the network.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seamless_stream.audio.fbank import HOP_SAMPLES, WINDOW_SAMPLES, fbank
from seamless_stream.models.seamless_m4t.features import VARIANCE_FLOOR, normalise, stack
from tools.phrasebook import rooms
from tools.phrasebook.recipe import CONFIG, LANGUAGES, Text
from tools.phrasebook.shards import SAMPLES_NAME, Clip, read_index

MAX_FRAMES = 700  # 7 s
MIN_FRAMES = 40
MIN_PREFIX_FRAMES = 50
HANDFUL = 2000  # clips that are sorted by length at once


@dataclass(frozen=True)
class Example:
    """One clip: where its samples are, what it says, in which language."""

    path: str
    clip: Clip
    language: str
    text: dict[str, str]
    num_frames: int


@dataclass(frozen=True)
class SpeechBatch:
    features: Tensor  # [B, T, 160]
    lengths: Tensor  # [B] valid stacked frames
    sizes: Tensor  # [B] stacked frames with the half-filled one
    letters: Tensor  # flat
    letter_lengths: Tensor  # [B]
    targets: Tensor  # [K B, L], padded with 0: each clip in one language, then each in another one
    languages: Tensor  # [B] token of the language that is spoken; padding where nothing is


@dataclass(frozen=True)
class TextBatch:
    sources: Tensor  # [B, S], padded with 0
    source_lengths: Tensor  # [B]
    targets: Tensor  # [B, L]
    languages: Tensor  # [B] token of the source's language


def pad(rows: list[list[int]]) -> Tensor:
    """Rows of ids to one tensor, padded with 0."""
    out = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row)
    return out


@cache
def raw_frames(path: str, offset: int, num_samples: int) -> np.ndarray:
    """Log-mel frames [T, 80] float16 of one clip, kept: 16 kB a second, and steps want them many times."""
    samples = np.fromfile(path, dtype=np.int16, count=num_samples, offset=2 * offset)
    return fbank(samples.astype(np.float32) / 32768).astype(np.float16)


def examples_of(work: Path, names: list[str], phrases: dict[str, dict[str, Any]]) -> list[Example]:
    """All clips of these sets that have been spoken so far."""
    found = []
    for name in names:
        for language in LANGUAGES:
            directory = work / "speech" / name / language
            if not (directory / "index.jsonl").exists():
                continue
            for clip in read_index(directory):
                num_frames = 1 + (clip.length - WINDOW_SAMPLES) // HOP_SAMPLES
                text = phrases[clip.key]["text"] if clip.key in phrases else {}
                if clip.says(text.get(language)) and MIN_FRAMES <= num_frames <= MAX_FRAMES:
                    path = str(directory / SAMPLES_NAME)
                    found.append(Example(path, clip, language, text, num_frames))
    return found


def uneven_times(num_frames: int, tempo: float, swing: float, rng: np.random.Generator) -> np.ndarray:
    """Where in the clip each new frame looks [T]: faster by `tempo`, and by up to `swing` more or less from a third of
    a second to the next, as speakers differ in which sounds they stretch."""
    size = max(2, round(num_frames / tempo))
    rates = 1 + rng.uniform(-swing, swing, size // 33 + 2)
    times = np.cumsum(np.interp(np.arange(size) / 33, np.arange(len(rates)), rates))
    scaled: np.ndarray = (times - times[0]) * (num_frames - 1) / max(times[-1] - times[0], 1e-6)
    return scaled


def warp(frames: np.ndarray, times: np.ndarray, pitch: float) -> np.ndarray:
    """Frames at these `times`, stretched along the mel axis by `pitch` (another vocal tract), bilinearly."""
    num_frames, num_bins = frames.shape
    bins = np.arange(num_bins) * pitch
    times, bins = np.clip(times, 0, num_frames - 1.001), np.clip(bins, 0, num_bins - 1.001)
    t0, b0 = times.astype(int), bins.astype(int)
    t1, b1 = (times - t0)[:, None].astype(np.float32), (bins - b0)[None, :].astype(np.float32)
    rows = frames[t0] * (1 - t1) + frames[t0 + 1] * t1
    out: np.ndarray = rows[:, b0] * (1 - b1) + rows[:, b0 + 1] * b1
    return out


def mask(frames: np.ndarray, rng: np.random.Generator, strength: float) -> None:
    """SpecAugment (Park et al. 2019) on normalised frames, in place."""
    for _ in range(2):
        width = int(strength * rng.integers(0, 16))
        start = int(rng.integers(0, frames.shape[1] - width))
        frames[:, start : start + width] = 0
        width = int(strength * rng.integers(0, min(25, frames.shape[0] // 6)))
        start = int(rng.integers(0, frames.shape[0] - width))
        frames[start : start + width] = 0


def pad_silence(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to half a second more of the clip's own quiet before and behind it, as a segmenter leaves it."""
    quiet = frames[np.argsort(frames.mean(axis=1))[:5]].mean(axis=0)
    parts = []
    for longest in (40, 50):
        size = (int(rng.integers(0, longest + 1)), frames.shape[1])
        parts.append((quiet + rng.uniform(0, 1) * rng.normal(0, 1, size)).astype(frames.dtype))
    return np.concatenate([parts[0], frames, parts[1]])


def running_normalise(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Statistics of a random beginning only, as a stream has them while the speaker is still talking."""
    prefix = frames[: int(rng.integers(min(MIN_PREFIX_FRAMES, len(frames)), len(frames) + 1))]
    scale = np.sqrt(prefix.var(axis=0, ddof=1) + VARIANCE_FLOOR)
    normal: np.ndarray = ((frames - prefix.mean(axis=0)) / np.maximum(scale, 0.5)).astype(np.float32)
    return normal


def augment(frames: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Raw log-mel of one clip -> normalised, warped and masked frames; `strength` 0 to 1 scales all of it."""
    tempo, pitch = 1 + strength * rng.uniform(-0.15, 0.2), 1 + strength * rng.uniform(-0.12, 0.14)
    times = uneven_times(len(frames), float(tempo), 0.3 * strength, rng)
    frames = warp(frames, times, float(pitch))
    if rng.random() < 0.3 * strength:  # a breathier voice: its harmonics run into each other
        share = np.float32(rng.uniform(0.1, 0.3))
        frames[:, 1:-1] = (1 - 2 * share) * frames[:, 1:-1] + share * (frames[:, :-2] + frames[:, 2:])
    if rng.random() < strength:
        frames = pad_silence(frames, rng)
    if rng.random() < 0.3 * strength:  # broadband noise at a random level under the speech
        floor = frames.max() - rng.uniform(4, 12)
        frames = np.logaddexp(frames, floor + rng.normal(0, 1, frames.shape).astype(np.float32)).astype(
            np.float32
        )
    frames = running_normalise(frames, rng) if rng.random() < 0.3 * strength else normalise(frames)
    mask(frames, rng, strength)
    return frames


class Batches:
    """Endless batches of speech and of text."""

    def __init__(self, examples: list[Example], phrases: list[dict[str, Any]], text: Text, seed: int) -> None:
        self.strength = 1.0  # of the augmentation
        self.favoured: frozenset[str] = frozenset()  # languages that are heard twice as often as the others
        self.num_targets = 1  # languages in which each clip is written
        self.no_speech = 0.0  # share of the clips that are noise or music instead: nothing is written
        self.examples, self.phrases, self.text = examples, phrases, text
        self.rng = np.random.default_rng(seed)
        self.pool: list[list[Example]] = []
        self.text_pool: list[list[tuple[list[int], list[int], int]]] = []

    def _refill(self, frames_per_batch: int) -> None:
        """Sort a random handful by length, cut it into batches of about equal numbers of frames, shuffle these.

        The share of a language does not depend on how many clips it has.
        """
        counts = Counter(example.language for example in self.examples)
        of = {code: (1 + (code in self.favoured)) / count for code, count in counts.items()}
        shares = np.array([of[example.language] for example in self.examples])
        size = min(HANDFUL, len(self.examples))
        chosen = self.rng.choice(len(self.examples), size=size, replace=False, p=shares / shares.sum())
        batch: list[Example] = []
        for example in sorted((self.examples[i] for i in chosen), key=lambda e: e.num_frames):
            if batch and (len(batch) + 1) * example.num_frames > frames_per_batch:
                self.pool.append(batch)
                batch = []
            batch.append(example)
        self.pool.append(batch)  # the longest
        self.rng.shuffle(self.pool)  # type: ignore[arg-type]

    def speech(self, frames_per_batch: int, translate: float, *, plain: bool = False) -> SpeechBatch:
        """The next batch; the first target of each clip is in another language with probability `translate`."""
        if not self.pool:
            self._refill(frames_per_batch)
        return self.collate(self.pool.pop(), translate, plain=plain)

    def collate(self, chosen: list[Example], translate: float, *, plain: bool) -> SpeechBatch:
        """Features, letters and targets of these clips; `plain` leaves the frames as they are."""
        rows, letters, languages = [], [], []
        targets: list[list[list[int]]] = [[] for _ in range(self.num_targets)]
        for example in chosen:
            is_speech = plain or self.rng.random() >= self.no_speech
            frames = self._frames(example) if is_speech else self._other_frames(example)
            text = example.text if is_speech else dict.fromkeys(LANGUAGES, "")
            rows.append(stack(normalise(frames) if plain else augment(frames, self.rng, self.strength)))
            letters.append(self.text.ctc(text[example.language]))
            languages.append(self.text.language_id(example.language) if is_speech else CONFIG.pad_token_id)
            for target, language in zip(targets, self._written(example.language, translate), strict=False):
                target.append(self.text.target(text[language], language))
        features = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(r.values) for r in rows], batch_first=True
        )
        return SpeechBatch(
            features,
            torch.tensor([r.num_valid for r in rows]),
            torch.tensor([len(r.values) for r in rows]),
            torch.tensor([i for row in letters for i in row], dtype=torch.int64),
            torch.tensor([len(row) for row in letters]),
            pad([row for target in targets for row in target]),
            torch.tensor(languages),
        )

    def _frames(self, example: Example) -> np.ndarray:
        return raw_frames(example.path, example.clip.offset, example.clip.length).astype(np.float32)

    def _other_frames(self, example: Example) -> np.ndarray:
        """Of noise or music, at most as long as the clip: what a detector takes for speech is short."""
        num_frames = self.rng.integers(MIN_FRAMES, example.num_frames + 1)
        num_samples = WINDOW_SAMPLES + HOP_SAMPLES * (int(num_frames) - 1)
        return fbank(rooms.no_speech(num_samples, self.rng)).astype(np.float32)

    def _written(self, spoken: str, translate: float) -> list[str]:
        """All languages in the order in which a clip's targets take them."""
        others = [str(code) for code in self.rng.permutation(LANGUAGES) if code != spoken]
        if self.rng.random() < translate:
            return [others[0], spoken, *others[1:]]
        return [spoken, *others]

    def texts(self, count: int) -> TextBatch:
        """Phrases in one language as source and in another as target, of similar length."""
        if not self.text_pool:
            pairs = sorted(
                (self._pair() for _ in range(16 * count)), key=lambda pair: sum(map(len, pair[:2]))
            )
            self.text_pool = [pairs[start : start + count] for start in range(0, len(pairs), count)]
            self.rng.shuffle(self.text_pool)  # type: ignore[arg-type]
        sources, targets, languages = (list(column) for column in zip(*self.text_pool.pop(), strict=True))
        lengths = torch.tensor([len(s) for s in sources])
        return TextBatch(pad(sources), lengths, pad(targets), torch.tensor(languages))

    def _pair(self) -> tuple[list[int], list[int], int]:
        """Source, target, and the token of the source's language."""
        phrase = self.phrases[int(self.rng.integers(len(self.phrases)))]["text"]
        source, target = (str(lang) for lang in self.rng.permutation(LANGUAGES)[:2])
        return (
            self.text.source(phrase[source], source),
            self.text.target(phrase[target], target),
            self.text.language_id(source),
        )
