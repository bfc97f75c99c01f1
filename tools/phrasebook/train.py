"""Train the phrasebook's speech encoder, text encoder and text decoder, all tasks in one run.

    python -m tools.phrasebook.train --work DIR --minutes 90

Each step sees a batch of speech (transcribed or translated, with a character CTC on the conformer's frames beside the
decoder's loss) and a batch of text. It resumes from its last state, takes new clips as speech sets grow, uses a GPU
when there is one, and writes `main/log.csv`, `main/curves.png` and, for the exporter, `main/weights.safetensors`
(a moving average). Units and vocoder have trainers of their own.
"""

import argparse
import csv
import json
import math
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from seamless_stream.models.seamless_m4t.network import Network
from tools.phrasebook.batches import Batches, Example, SpeechBatch, TextBatch, examples_of
from tools.phrasebook.carry import carry_all, letter_rows, token_rows
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.guide import Guide
from tools.phrasebook.prefixes import HEADS, prefix_loss
from tools.phrasebook.recipe import BLANK, CONFIG, LANGUAGES, NUM_PIECES, Text, read_phrases, train_tokenizer
from tools.phrasebook.widen import widen_tokenizer

PARTS = frozenset({"speech_encoder", "text_encoder", "text_decoder"})
LABEL_SMOOTHING = 0.1
LETTERS_PER_STATE = 4  # that an encoder state of 160 ms has to spell: 25 letters a second
MAX_NEW_TOKENS = 48
MAX_SKIPPED = 20
START_FILE = "start.json"  # of what run, and for how long, where the weights come from one
LOSSES = "speech ctc text away prefix astray".split()
CHECKS = "seen_asr seen_s2tt unseen_asr unseen_s2tt".split()
FIELDS = ["step", "seconds", *LOSSES, "norm", "rate", *CHECKS, "clips"]


@dataclass
class Progress:
    """Where a run stands; saved with the weights."""

    step: int = 0
    seconds: float = 0.0


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Warm-up, a long plateau, and a cosine to zero at the end: the CTC has to fall before the rate does."""
    if step < options.warmup:
        return float(options.rate * (step + 1) / options.warmup)
    start = int(options.steps * options.plateau)
    if step < start:
        return float(options.rate)
    done = min(1.0, (step - start) / max(1, options.steps - start))
    return float(options.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))))


class Trainer:
    """The network with its auxiliary head, optimizer and moving average."""

    def __init__(self, text: Text, device: torch.device) -> None:
        self.text, self.device = text, device
        self.network = Network(CONFIG, PARTS)
        self._init_weights()
        self.ctc_head = nn.Linear(CONFIG.hidden_size, len(text.letters) + 1)
        self.state_head = nn.Linear(CONFIG.hidden_size, LETTERS_PER_STATE * (len(text.letters) + 1))
        self.network.to(device), self.ctc_head.to(device), self.state_head.to(device)
        self.parameters = [
            *self.network.parameters(),
            *self.ctc_head.parameters(),
            *self.state_head.parameters(),
        ]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.progress = Progress()
        self.num_skipped = 0  # steps without a finite gradient, one after another

    def _init_weights(self) -> None:
        nn.init.normal_(self.network.tokens.weight, std=CONFIG.hidden_size**-0.5)
        for name, parameter in self.network.named_parameters():
            if parameter.dim() == 2 and "tokens" not in name and "distance" not in name:
                nn.init.xavier_uniform_(parameter)
            if name.endswith("distance.weight"):
                nn.init.normal_(parameter, std=0.02)

    def decoder_loss(
        self, states: Tensor, lengths: Tensor, targets: Tensor, languages: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the tokens after the language token, and where the heads of `prefixes` looked.

        The language of the target is given; in its place the decoder says which `languages` [B] it hears or reads.
        """
        state = self.network.text_decoder.init_state(states, lengths)
        hidden, _, attention = self.network.decode(targets[:, :-1], state, heads=HEADS)
        assert attention is not None
        labels = targets[:, 1:].clone()
        labels[:, 0] = languages
        logits = self.network.logits(hidden).flatten(0, 1)
        loss = F.cross_entropy(
            logits, labels.flatten(), ignore_index=CONFIG.pad_token_id, label_smoothing=LABEL_SMOOTHING
        )
        return loss, attention

    def letters_loss(self, logits: Tensor, lengths: Tensor, batch: SpeechBatch) -> Tensor:
        """Character CTC of logits [B, T, letters + 1] against what is said."""
        return F.ctc_loss(
            logits.log_softmax(2).transpose(0, 1),
            batch.letters,
            lengths.cpu(),
            batch.letter_lengths,
            blank=BLANK,
            zero_infinity=True,
        )

    def speech_losses(self, batch: SpeechBatch) -> dict[str, Tensor]:
        """By name: decoder loss, CTC loss, attention away from the diagonal; and of beginnings, loss and attention."""
        encoder = self.network.speech_encoder
        features, lengths, sizes = (t.to(self.device) for t in (batch.features, batch.lengths, batch.sizes))
        frames, _ = encoder.stream(features, lengths, encoder.init_state(len(lengths)))
        ctc = self.letters_loss(self.ctc_head(frames), lengths, batch)
        states, state_lengths = encoder.adapt(frames, lengths, sizes)
        spelled = self.state_head(states).unflatten(2, (LETTERS_PER_STATE, -1)).flatten(1, 2)
        ctc = ctc + 0.5 * self.letters_loss(spelled, LETTERS_PER_STATE * state_lengths, batch)
        targets = batch.targets.to(self.device)
        with Guide(self.network.text_decoder) as guide:
            loss, attention = self.decoder_loss(
                states, state_lengths, targets, batch.languages.to(self.device)
            )
        token_lengths = (targets[:, :-1] != CONFIG.pad_token_id).sum(1)
        away = guide.loss(token_lengths, state_lengths)
        prefix, astray = prefix_loss(self.network, frames, lengths, targets, attention)
        return {"speech": loss, "ctc": ctc, "away": away, "prefix": prefix, "astray": astray}

    def text_loss(self, batch: TextBatch) -> Tensor:
        """Decoder loss of one batch of text."""
        lengths = batch.source_lengths.to(self.device)
        states = self.network.encode_text(batch.sources.to(self.device), lengths)
        targets, languages = batch.targets.to(self.device), batch.languages.to(self.device)
        return self.decoder_loss(states, lengths, targets, languages)[0]

    def step(self, batches: Batches, options: argparse.Namespace) -> dict[str, float]:
        """One update; returns what is logged."""
        rate = learning_rate(self.progress.step, options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self.speech_losses(batches.speech(options.frames, options.translate))
        losses["text"] = self.text_loss(batches.texts(options.texts))
        weights = {
            "ctc": options.ctc,
            "away": options.guide,
            "prefix": options.prefix,
            "astray": options.prefix,
        }
        loss = torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.num_skipped = 0 if bool(torch.isfinite(norm)) else self.num_skipped + 1
        if self.num_skipped == MAX_SKIPPED:
            raise RuntimeError(f"{MAX_SKIPPED} steps one after another had no finite gradient: lower --rate.")
        if (
            self.num_skipped
        ):  # also a finite loss can have an infinite gradient, which would stay in the weights
            return {}
        self.optimizer.step()
        decay = min(0.998, (self.progress.step + 1) / (self.progress.step + 20))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
        self.progress.step += 1
        return {name: value.item() for name, value in losses.items()} | {"norm": float(norm), "rate": rate}

    def save(self, folder: Path) -> None:
        """State to resume from (weights-only loadable) and the average for the exporter; each replaced in one move."""
        state = {
            "network": self.network.state_dict(),
            "ctc_head": self.ctc_head.state_dict(),
            "state_head": self.state_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.progress.step,
            "seconds": self.progress.seconds,
        }
        torch.save(state, folder / "state.tmp")
        (folder / "state.tmp").replace(folder / "state.pt")
        save_file({k: v.cpu().contiguous() for k, v in self.average.items()}, folder / "weights.tmp")
        (folder / "weights.tmp").replace(folder / "weights.safetensors")
        save_file(
            {k: v.cpu() for k, v in self.ctc_head.state_dict().items()}, folder / "ctc_head.safetensors"
        )

    def load(self, folder: Path) -> None:
        """Go on where `save` stopped."""
        state = torch.load(folder / "state.pt", map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ctc_head.load_state_dict(state["ctc_head"])
        if "state_head" in state:
            self.state_head.load_state_dict(state["state_head"])
        state["optimizer"]["param_groups"][0]["fused"] = True
        numbers = list(range(len(self.parameters)))  # heads may be new
        state["optimizer"]["param_groups"][0]["params"] = numbers
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.progress = Progress(state["step"], state["seconds"])

    def start_from(self, work: Path) -> dict[str, Any]:
        """Averaged weights and heads of an earlier run, perhaps with another tokenizer and fewer languages; the
        optimizer begins anew. Returns what the card says of that run."""
        state = torch.load(work / "main" / "state.pt", map_location=self.device, weights_only=True)
        old = Text(work / "main" / "sentencepiece.bpe.model")
        languages = languages_of(work)
        tables = {"tokens.weight": token_rows(old, self.text, languages)}
        self.network.load_state_dict(carry_all(state["average"], self.network.state_dict(), tables))
        heads = {"ctc_head": (self.ctc_head, 1), "state_head": (self.state_head, LETTERS_PER_STATE)}
        for name, (head, repeats) in heads.items():
            rows = letter_rows(old, self.text, repeats)
            carried = carry_all(state[name], head.state_dict(), {"weight": rows, "bias": rows})
            head.load_state_dict(carried)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        return {"languages": languages, "step": state["step"], "seconds": state["seconds"]}


@torch.inference_mode()
def greedy(network: Network, states: Tensor, lengths: Tensor, languages: list[int]) -> list[list[int]]:
    """Greedy targets of a batch, without prompt and end: the check of training, not the product's decoder."""
    state = network.text_decoder.init_state(states, lengths)
    start = CONFIG.decoder_start_token_id
    tokens = torch.tensor([[start, lang] for lang in languages], device=states.device)
    rows: list[list[int]] = [[] for _ in languages]
    open_rows = set(range(len(rows)))
    for _ in range(MAX_NEW_TOKENS):
        hidden, state, _ = network.decode(tokens, state)
        tokens = network.logits(hidden[:, -1:]).argmax(2)
        for i in list(open_rows):
            token = int(tokens[i, 0])
            if token == CONFIG.eos_token_id:
                open_rows.discard(i)
            else:
                rows[i].append(token)
        if not open_rows:
            break
    return rows


@torch.inference_mode()
def check(trainer: Trainer, examples: list[Example], translate: bool) -> dict[str, float]:
    """By language, the share of held-out clips whose greedy text (transcript, or translation) is exactly right."""
    network = Network(CONFIG, PARTS).to(trainer.device)
    network.load_state_dict(trainer.average)
    batches = Batches(examples, [], trainer.text, seed=0)
    right: dict[str, list[bool]] = {}
    ordered = sorted(examples, key=lambda e: e.num_frames)
    for start in range(0, len(ordered), 16):
        chosen = ordered[start : start + 16]
        batch = batches.collate(chosen, 1.0 if translate else 0.0, plain=True)
        moved = (t.to(trainer.device) for t in (batch.features, batch.lengths, batch.sizes))
        states, lengths = network.speech_encoder(*moved)
        rows = greedy(network, states, lengths, batch.targets[:, 1].tolist())
        for row, target, example in zip(rows, batch.targets, chosen, strict=True):
            wanted = [t for t in target[2:].tolist() if t not in (CONFIG.pad_token_id, CONFIG.eos_token_id)]
            right.setdefault(example.language, []).append(row == wanted)
    return {language: float(np.mean(right[language])) for language in LANGUAGES if language in right}


def plot(folder: Path) -> None:
    """Losses and held-out exactness over steps, from the log."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if not (folder / "log.csv").exists():
        return  # stopped before the first row
    with open(folder / "log.csv") as file:
        rows = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for name in ("speech", "ctc", "text"):
        points = [(int(r["step"]), float(r[name])) for r in rows if r[name]]
        left.plot(*zip(*points, strict=True), label=name)
    left.set(xlabel="step", ylabel="training loss", yscale="log")
    for name in CHECKS:
        points = [(int(r["step"]), 100 * float(r[name])) for r in rows if r[name]]
        if points:
            right.plot(*zip(*points, strict=True), label=name, marker=".")
    right.set(xlabel="step", ylabel="held-out sentences exactly right, %", ylim=(0, 100))
    left.legend(), right.legend()
    figure.tight_layout()
    figure.savefig(folder / "curves.png", dpi=110)
    plt.close(figure)


def held_out(work: Path, count: int) -> dict[str, list[Example]]:
    """A fixed sample of the held-out clips that have been spoken, per set; as many of each language."""
    found = {}
    for name in ("seen", "unseen"):
        phrases = {p["key"]: p for p in read_phrases(work / "corpus" / f"{name}.jsonl")}
        examples = examples_of(work, [name], phrases)
        random.Random(0).shuffle(examples)
        share = count // max(1, len({example.language for example in examples}))
        by_language = ([e for e in examples if e.language == language] for language in LANGUAGES)
        found[name] = [example for group in by_language for example in group[:share]]
    return found


def checks(trainer: Trainer, work: Path, count: int) -> dict[str, str]:
    """The columns of the log that a look at the held-out clips fills; prints them by language, too."""
    row = {}
    for name, examples in held_out(work, count).items():
        for task in ("asr", "s2tt") if examples else ():
            shares = check(trainer, examples, task == "s2tt")
            row[f"{name}_{task}"] = f"{np.mean(list(shares.values())):.3f}"
            print(f"{name} {task}:", *(f"{code} {share:.2f}" for code, share in shares.items()), flush=True)
    return row


def languages_of(work: Path) -> list[str]:
    """Those of another work folder's corpus."""
    return list(read_phrases(work / "corpus" / "train.jsonl")[0]["text"])


def make_tokenizer(path: Path, phrases: list[dict[str, Any]], earlier: Path | None) -> None:
    """Of all languages, or that of an earlier run widened by those that it lacks."""
    known = languages_of(earlier) if earlier else []
    old, new = (
        [p["text"][code] for p in phrases for code in LANGUAGES if (code in known) == is_known]
        for is_known in (True, False)
    )
    if earlier:
        widen_tokenizer(earlier / "main" / path.name, path, old, new, NUM_PIECES)
    else:
        train_tokenizer(new, path)


def repeated(sets: str) -> list[str]:
    """ "a,b:3" -> a, b, b, b: a set of few clips is heard more often."""
    pairs = (item.partition(":") for item in sets.split(","))
    return [name for name, _, times in pairs for _ in range(int(times or 1))]


def run(options: argparse.Namespace) -> None:
    """The loop: step, log, check, save, until the minutes or the steps are used up."""
    work, folder = options.work, options.work / "main"
    if options.threads:
        torch.set_num_threads(options.threads)
    folder.mkdir(parents=True, exist_ok=True)
    phrases = [p for name in ("train", "answers") for p in read_phrases(work / "corpus" / f"{name}.jsonl")]
    model_path = folder / "sentencepiece.bpe.model"
    if not model_path.exists():
        make_tokenizer(model_path, phrases, options.start_from)
    text = Text(model_path)
    torch.manual_seed(options.seed)
    trainer = Trainer(text, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if (folder / "state.pt").exists():
        trainer.load(folder)
        print(f"Resumed at step {trainer.progress.step}.")
    elif options.start_from:
        (folder / START_FILE).write_text(json.dumps(trainer.start_from(options.start_from)))
    by_key = {p["key"]: p for p in phrases}
    batches = Batches([], phrases, text, options.seed + trainer.progress.step)
    batches.strength, batches.favoured = options.augment, frozenset(options.favour)
    stop: list[int] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: stop.append(number))
    started, saved = time.monotonic(), time.monotonic()
    before = trainer.progress.seconds
    sums: dict[str, list[float]] = {}
    while trainer.progress.step < options.steps and not stop:
        if trainer.progress.step % 200 == 0 or not batches.examples:
            batches.examples = examples_of(work, repeated(options.sets), by_key)
        for key, value in trainer.step(batches, options).items():
            sums.setdefault(key, []).append(value)
        trainer.progress.seconds = before + time.monotonic() - started
        if trainer.progress.step % options.log_every == 0 or trainer.progress.step == options.steps:
            row: dict[str, Any] = {k: f"{np.mean(v):.4g}" for k, v in sums.items()}
            sums.clear()
            row |= {
                "step": trainer.progress.step,
                "seconds": round(trainer.progress.seconds),
                "clips": len(batches.examples),
            }
            if trainer.progress.step % options.check_every == 0:
                row |= checks(trainer, work, options.check_clips)
            write_row(folder, row)
            print(" ".join(f"{k}={v}" for k, v in row.items()), flush=True)
        if time.monotonic() - saved > 120:
            trainer.save(folder)
            saved = time.monotonic()
        if time.monotonic() - started > 60 * options.minutes:
            break
    trainer.save(folder)
    plot(folder)


def write_row(folder: Path, row: dict[str, Any]) -> None:
    """Append to the log, with its header first."""
    path = folder / "log.csv"
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument(
        "--sets", default="train1,train2:2,train3:6,answers:2,target", help="SET or SET:TIMES, with commas"
    )
    parser.add_argument("--steps", type=int, default=10_000, help="where the learning rate reaches its end")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop (resumable) after this long")
    parser.add_argument(
        "--favour", nargs="+", choices=LANGUAGES, default=(), help="hear these twice as often: new ones"
    )
    parser.add_argument("--frames", type=int, default=5000, help="fbank frames of speech per batch")
    parser.add_argument("--texts", type=int, default=24, help="phrases of text per batch")
    parser.add_argument(
        "--translate", type=float, default=0.5, help="share of speech targets in another language"
    )
    parser.add_argument("--ctc", type=float, default=1.0, help="weight of the character CTC")
    parser.add_argument("--augment", type=float, default=0.7, help="strength of the augmentation, 0 to 1")
    parser.add_argument("--guide", type=float, default=1.0, help="weight of attention away from the diagonal")
    parser.add_argument(
        "--prefix", type=float, default=0.5, help="weight of the losses on sentence beginnings"
    )
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--plateau", type=float, default=0.6, help="share of the steps before the rate falls")
    parser.add_argument("--threads", type=int, help="of torch; default: all cores")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-from", type=Path, help="work folder of an earlier run")
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--check-every", type=int, default=200)
    parser.add_argument("--check-clips", type=int, default=64)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
