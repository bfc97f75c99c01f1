"""Trains the text-to-unit model of the phrasebook on the frozen text decoder's states.

Reads `main/weights.safetensors`, aligned target speech (`align`) and its units. Resumes where it stopped; where the
main model has become another one since, it begins again from the weights that it came to, at half the rate. Writes
weights, architecture fields, the character table and what it guesses for the vocoder.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seamless_stream.models.seamless_m4t.config import (
    SPECIAL_UNITS,
    SeamlessM4TConfig,
    parse_generation_config,
)
from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from seamless_stream.models.seamless_m4t.network import Network
from seamless_stream.models.seamless_m4t.t2u_nar import TextToUnit, spell
from seamless_stream.nn.attention import length_mask
from tools.phrasebook.align import spelled
from tools.phrasebook.carry import carry_all, character_rows, first_rows
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.earlier import Earlier
from tools.phrasebook.export import generation_json
from tools.phrasebook.files import fingerprint, replacing
from tools.phrasebook.recipe import CONFIG, LANGUAGES, Text, read_phrases
from tools.phrasebook.team import asked_to_stop
from tools.phrasebook.train_vocoder import encode_set, guessed_path, write_units
from tools.phrasebook.units import NUM_UNITS, load_units, neighbours, units_path

NUM_CHARACTERS: Final = 160  # rows kept free for the letters of more languages
FREE_UNITS: Final = 4  # the reference architecture has language codes behind the units
FIELDS: Final[dict[str, Any]] = {
    "t2u_vocab_size": NUM_UNITS + SPECIAL_UNITS + FREE_UNITS,
    "char_vocab_size": NUM_CHARACTERS,
    "t2u_encoder_layers": 1,
    "t2u_encoder_ffn_dim": 384,
    "t2u_encoder_attention_heads": 4,
    "t2u_decoder_layers": 2,
    "t2u_decoder_ffn_dim": 384,
    "t2u_decoder_attention_heads": 4,
    "t2u_max_position_embeddings": 2048,
    "t2u_variance_predictor_embed_dim": CONFIG.hidden_size,
    "t2u_variance_predictor_hidden_dim": 192,
    "t2u_variance_predictor_kernel_size": 3,
}
PARTS: Final = frozenset({"text_encoder", "text_decoder"})
BATCH: Final = 8
RATE: Final = 1.5e-3
WARM_STEPS: Final = 40
DROP_STATES: Final = (
    0.25  # share of sentences whose decoder states are hidden, so that spelling alone suffices
)
STATE_NOISE: Final = 0.2
DURATION_WEIGHT: Final = 1.0
NEIGHBOURS: Final = 8  # units that count as nearly right
SAVE_EVERY_S: Final = 120.0
HELD_OUT: Final = 32  # sentences of each language, kept from training to see what is learnt


@dataclass(frozen=True)
class Wanted:
    """What counts as right for every unit: itself and, less, what sounds nearly the same."""

    ids: Tensor  # [units, NEIGHBOURS] T2U ids
    shares: Tensor  # [units, NEIGHBOURS]

    def loss(self, logits: Tensor, units: Tensor) -> Tensor:
        """Cross-entropy of logits [N, V] to the shares of units [N], T2U ids."""
        rows = units - SPECIAL_UNITS
        log_probs = logits.log_softmax(1).gather(1, self.ids[rows])
        return -(self.shares[rows] * log_probs).sum(1).mean()


def wanted_units(work: Path) -> Wanted:
    """From the fitted inventories of all languages."""
    ids, shares = [], []
    for language in LANGUAGES:
        model = load_units(units_path(work, language))
        near, share = neighbours(torch.from_numpy(model.centroids), NEIGHBOURS)
        ids.append(near + model.first + SPECIAL_UNITS)
        shares.append(share)
    return Wanted(torch.cat(ids), torch.cat(shares))


@dataclass(frozen=True)
class Sentence:
    """One target sentence as the T2U reads and should speak it."""

    clip: int  # of its set
    hidden: Tensor  # [n + 2, D], of [</s>, lang, t1..tn]
    counts: Tensor  # [n + 2] characters per position
    char_ids: Tensor  # [C]
    durations: Tensor  # [C] in units
    units: Tensor  # [U] T2U ids


def t2u_config() -> SeamlessM4TConfig:
    """The phrasebook's architecture with the fields decided here."""
    return replace(CONFIG, **FIELDS)


def character_table(text: Text) -> dict[str, int]:
    """Every character of every piece; 0 is padding, 1 unknown."""
    letters = sorted({c for i in range(3, len(text.pieces)) for c in text.pieces.id_to_piece(i)})
    return {"<pad>": 0, "<unk>": 1} | {c: i + 2 for i, c in enumerate(letters)}


def decoder_states(network: Network, sources: list[list[int]], targets: list[list[int]]) -> list[Tensor]:
    """Text encoder on the sources, decoder teacher-forced on the targets -> one [T, D] for each."""
    source_lengths = torch.tensor([len(s) for s in sources])
    tokens = pad_sequence([torch.tensor(s) for s in sources], batch_first=True)
    encoded = network.encode_text(tokens, source_lengths)
    state = network.text_decoder.init_state(encoded, source_lengths)
    hidden, _, _ = network.decode(pad_sequence([torch.tensor(t) for t in targets], batch_first=True), state)
    return [row[: len(t)].clone() for row, t in zip(hidden, targets, strict=True)]


def load_main(work: Path) -> Network:
    """The text half of the main model; later parts of its file are not needed here."""
    network = Network(CONFIG, PARTS)
    weights = load_file(work / "main" / "weights.safetensors")
    network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("speech_encoder.")})
    return network.eval()


class Corpus:
    """Aligned sentences of a set, with the states of the decoder they are translated into."""

    def __init__(self, work: Path, main: Path, name: str, limit: int | None) -> None:
        self.work, self.name, self.limit = work, name, limit
        self.text = Text(main / "main" / "sentencepiece.bpe.model")
        self.tables = parse_generation_config(generation_json(self.text, character_table(self.text)))
        self.network = load_main(main)
        files = [work / f"corpus/{split}.jsonl" for split in ("train", "seen", "unseen")]
        self.phrases = {p["key"]: p["text"] for path in files for p in read_phrases(path)}

    @torch.inference_mode()
    def sentences(self, language: str) -> list[Sentence]:
        """All usable sentences of one language; half of them translated, half only repeated."""
        clips = encode_set(self.work, self.name, language, self.limit)
        with np.load(self.work / "align" / self.name / f"{language}.npz") as data:
            chosen = [int(i) for i in data["clips"] if i < len(clips.units)]
            durations = np.split(data["durations"].astype(np.int64), np.cumsum(data["counts"])[:-1])
        found = []
        for first in range(0, len(chosen), 64):
            part = range(first, min(first + 64, len(chosen)))
            texts = [self.phrases[clips.speech.keys[chosen[i]]] for i in part]
            sources, targets = self._token_ids(texts, language)
            states = decoder_states(self.network, sources, targets)
            for i, text, target, hidden in zip(part, texts, targets, states, strict=True):
                sentence = self._sentence(
                    chosen[i], text[language], target, hidden, durations[i], clips.units[chosen[i]]
                )
                found += [sentence] if sentence else []
        return found

    def _token_ids(
        self, texts: list[dict[str, str]], language: str
    ) -> tuple[list[list[int]], list[list[int]]]:
        others = [lang for lang in LANGUAGES if lang != language]
        sources = []
        for i, text in enumerate(texts):
            other = language if i % 4 == 3 else others[i % len(others)]
            sources.append(self.text.source(text[other], other))
        return sources, [self.text.target(text[language], language)[:-1] for text in texts]

    def _sentence(
        self,
        clip: int,
        text: str,
        target: list[int],
        hidden: Tensor,
        durations: np.ndarray,
        units: np.ndarray,
    ) -> Sentence | None:
        spelling = spell(target[NUM_PROMPT_TOKENS:], self.tables, CONFIG.eos_token_id, CONFIG.pad_token_id)
        if len(spelling.char_ids) != len(durations) or len(spelled(text)) != len(durations):
            return None
        return Sentence(
            clip,
            hidden,
            torch.tensor([0, *spelling.counts, 0]),
            torch.tensor(spelling.char_ids),
            torch.from_numpy(durations),
            torch.from_numpy(units.astype(np.int64)) + SPECIAL_UNITS,
        )


def padded(rows: list[Tensor]) -> Tensor:
    """[B, longest, ...] with zeros."""
    return pad_sequence(rows, batch_first=True)


def spoken_with_true_durations(
    model: TextToUnit, batch: list[Sentence], training: bool = False
) -> tuple[Tensor, Tensor]:
    """Unit logits [B, U, V] and the durations that the model would have chosen, as logarithms [B, C]."""
    hidden = padded([s.hidden for s in batch])
    if training:
        kept = (torch.rand(len(batch), 1, 1) >= DROP_STATES).float()
        hidden = kept * (hidden + STATE_NOISE * torch.randn_like(hidden))
    lengths = torch.tensor([len(s.hidden) for s in batch])
    counts = padded([s.counts for s in batch])
    characters = model.characters_of(hidden, lengths, padded([s.char_ids for s in batch]), counts)
    if training:
        characters = F.dropout(characters, 0.1)
    inside = length_mask(counts.sum(1), characters.shape[1])
    guessed = model.durations(characters, inside[:, :, None].to(characters.dtype))
    return model.units_of(characters, padded([s.durations for s in batch])), guessed


def losses(
    model: TextToUnit, right: Wanted, batch: list[Sentence], training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of units with true durations, squared error of log durations, share of units exactly right."""
    durations = padded([s.durations for s in batch])
    num_chars = torch.tensor([len(s.char_ids) for s in batch])
    logits, guessed = spoken_with_true_durations(model, batch, training)
    inside = length_mask(num_chars, durations.shape[1])
    duration = (guessed - torch.log1p(durations.float())).square()[inside].mean()
    wanted = padded([s.units for s in batch])
    spoken = length_mask(durations.sum(1), wanted.shape[1])
    unit = right.loss(logits[spoken], wanted[spoken])
    return unit, duration, (logits[spoken].argmax(1) == wanted[spoken]).float().mean()


@torch.inference_mode()
def write_guesses(model: TextToUnit, work: Path, name: str, language: str, sentences: list[Sentence]) -> None:
    """What the model says with true durations, clip by clip, for the vocoder to learn from; else the true units."""
    units = encode_set(work, name, language).units
    order = sorted(sentences, key=lambda s: len(s.units))
    for first in range(0, len(order), 16):
        batch = order[first : first + 16]
        logits, _ = spoken_with_true_durations(model, batch)
        for sentence, row in zip(batch, logits, strict=True):
            said = row[: len(sentence.units), SPECIAL_UNITS:].argmax(1)
            units[sentence.clip] = said.numpy().astype(np.int16)
    write_units(guessed_path(work, name, language), units)


def shuffled(sentences: list[Sentence], seed: int) -> Iterator[list[Sentence]]:
    """Batches of like length, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        order = sorted(
            rng.permutation(len(sentences)), key=lambda i: len(sentences[i].units) + rng.integers(20)
        )
        batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        for index in rng.permutation(len(batches)):
            yield [sentences[i] for i in batches[index]]


class Trainer:
    """A T2U in training: weights, their average, optimizer."""

    def __init__(self, folder: Path, right: Wanted, main: str) -> None:
        """`main` tells the weights apart whose states are learnt."""
        self.folder, self.right, self.main = folder, right, main
        folder.mkdir(parents=True, exist_ok=True)
        self.model = TextToUnit(t2u_config())
        torch.nn.init.normal_(self.model.characters.weight, std=CONFIG.hidden_size**-0.5)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.num_steps, self.seconds, self.peak = 0, 0.0, RATE
        self.is_fresh = not (folder / "t2u.safetensors").exists()
        if (folder / "state.pt").exists():
            self.resume(torch.load(folder / "state.pt", weights_only=True))
        elif not self.is_fresh:  # of a time that kept no state
            self.begin_again(load_file(folder / "t2u.safetensors"))

    def resume(self, state: dict[str, Any]) -> None:
        """Go on where `save` stopped, if it was for the same main model."""
        if state["main"] != self.main:
            self.begin_again(state["average"])
            return
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.num_steps, self.seconds, self.peak = state["num_steps"], state["seconds"], state["peak"]

    def begin_again(self, weights: dict[str, Tensor]) -> None:
        """From what was learnt, with a new clock."""
        self.model.load_state_dict(weights)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.peak = RATE / 2

    def start_from(self, earlier: Earlier, characters: dict[str, int]) -> None:
        """The weights of a checkpoint, perhaps of fewer languages: its units are the first of ours."""
        old = earlier.part("t2u")
        num_kept = len(old["head.weight"]) - FREE_UNITS
        tables = {
            "characters.weight": character_rows(earlier.characters, characters, NUM_CHARACTERS),
            "head.weight": first_rows(num_kept, FIELDS["t2u_vocab_size"]),
        }
        self.model.load_state_dict(carry_all(old, self.model.state_dict(), tables))
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def step(self, batch: list[Sentence], rate: float) -> tuple[float, float, float]:
        """One update, of which losses and the share of right units are told."""
        self.num_steps += 1
        keep = min(0.99, 1 - 1 / (1 + self.num_steps / 5))
        self.optimizer.param_groups[0]["lr"] = rate
        unit, duration, right = losses(self.model, self.right, batch, training=True)
        self.optimizer.zero_grad()
        (unit + DURATION_WEIGHT * duration).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)
        return float(unit.detach()), float(duration.detach()), float(right)

    def averaged(self) -> TextToUnit:
        """What is kept in the end."""
        model = TextToUnit(t2u_config())
        model.load_state_dict(self.average)
        return model.eval()

    @torch.no_grad()
    def check(self, batch: list[Sentence]) -> str:
        """Held-out figures of the averaged weights."""
        unit, duration, right = losses(self.averaged(), self.right, batch, training=False)
        shares = f"units {float(unit):.3f} ({float(right):.1%} right)"
        return f"held out: {shares}, log durations {float(duration):.3f}"

    def save(self, characters: dict[str, int]) -> None:
        """State to resume from, and what the exporter takes."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "num_steps": self.num_steps,
            "seconds": self.seconds,
            "peak": self.peak,
            "main": self.main,
        }
        with replacing(self.folder / "state.pt") as path:
            torch.save(state, path)
        with replacing(self.folder / "t2u.safetensors") as path:
            save_file({k: v.contiguous() for k, v in self.average.items()}, path)
        (self.folder / "config_fields.json").write_text(json.dumps(FIELDS, indent=1))
        table = json.dumps(characters, ensure_ascii=False, indent=0)
        (self.folder / "char_to_id.json").write_text(table, encoding="utf-8")


def train(
    trainer: Trainer,
    sentences: list[Sentence],
    held_out: list[Sentence],
    minutes: float,
    table: dict[str, int],
    stop: Sequence[int] = (),
) -> None:
    """Until the run, earlier parts counted in, has taken `minutes`, or until `stop` is not empty.

    The rate falls to nothing at the end.
    """
    batches = shuffled(sentences, seed=1000 + trainer.num_steps)
    sums = np.zeros(3)
    last = saved = time.monotonic()
    while not stop and (part := trainer.seconds / (60 * minutes)) < 1:
        warm = min(1.0, (trainer.num_steps + 1) / WARM_STEPS)
        sums += trainer.step(
            next(batches), trainer.peak * warm * max(0.02, 0.5 * (1 + math.cos(math.pi * part)))
        )
        now = time.monotonic()
        trainer.seconds, last = trainer.seconds + now - last, now
        if trainer.num_steps % 25 == 0:
            unit, duration, right = sums / 25
            shares = f"units {unit:.3f} ({right:.1%} right), durations {duration:.3f}"
            print(f"{trainer.num_steps}: {shares}, {part:.0%}", flush=True)
            sums[:] = 0
        if now - saved > SAVE_EVERY_S:
            trainer.save(table)
            print(trainer.check(held_out), flush=True)
            saved = time.monotonic()
    trainer.save(table)
    print(trainer.check(held_out), flush=True)


def main() -> int:
    """The exit status: 0, or what says by which signal it was stopped before its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument(
        "--main", type=Path, help="work folder that holds the main model, where it is another"
    )
    parser.add_argument("--set", default="target")
    parser.add_argument("--clips", type=int, help="of each language")
    parser.add_argument("--minutes", type=float, default=12.0, help="in all")
    parser.add_argument(
        "--favour", nargs="+", choices=LANGUAGES, default=(), help="speak these twice as often"
    )
    parser.add_argument(
        "--start-from", type=Path, help="an earlier checkpoint; WORK must have its units (units --bundled)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    corpus = Corpus(args.work, args.main or args.work, args.set, args.clips)
    by_language = [corpus.sentences(language) for language in LANGUAGES]
    num_held_out = [min(HELD_OUT, len(found) // 4) for found in by_language]
    held_out = [s for found, n in zip(by_language, num_held_out, strict=True) for s in found[:n]]
    sentences = [
        s
        for language, found, n in zip(LANGUAGES, by_language, num_held_out, strict=True)
        for s in found[n:] * (1 + (language in args.favour))
    ]
    print(f"{len(sentences)} sentences, {len(held_out)} held out", flush=True)
    learnt = fingerprint((args.main or args.work) / "main" / "weights.safetensors")
    trainer = Trainer(args.work / "t2u", wanted_units(args.work), learnt)
    if args.start_from and trainer.is_fresh:
        trainer.start_from(Earlier(args.start_from), corpus.tables.char_to_id)
    stop = asked_to_stop()
    train(trainer, sentences, held_out, args.minutes, corpus.tables.char_to_id, stop)
    model = trainer.averaged()
    for language, found in zip(LANGUAGES, by_language, strict=True):
        if stop:
            return 128 + stop[0]
        write_guesses(model, args.work, args.set, language, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
