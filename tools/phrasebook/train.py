"""Train the phrasebook's speech encoder, text encoder and text decoder, all tasks in one run.

    python -m tools.phrasebook.train --work DIR --minutes 90

Each step sees a batch of speech (transcribed or translated, with a character CTC on the conformer's frames beside the
decoder's loss) and a batch of text. It resumes from its last state, takes new clips as speech sets grow, uses a GPU
when there is one, and writes `main/log.csv`, `main/curves.png` and, for the exporter, `main/weights.safetensors`
(a moving average). Stopped by a signal it saves, and its exit status says so. Units and vocoder have trainers of their
own.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.phrasebook.batches import Batches, examples_of
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.earlier import Earlier
from tools.phrasebook.files import cut_log, write_text
from tools.phrasebook.held_out import checks
from tools.phrasebook.recipe import LANGUAGES, NUM_PIECES, Text, read_phrases, train_tokenizer
from tools.phrasebook.run_log import LOG_FILE, RECORD_FILE, note_start, plot, write_row
from tools.phrasebook.team import Team, asked_to_stop, default_size, gathered
from tools.phrasebook.trainer import Trainer
from tools.phrasebook.widen import widen_tokenizer

SAVE_EVERY_S = 120.0
SEED_STEP = 1_000_003  # from process to process: no two draw the same


def make_tokenizer(path: Path, phrases: list[dict[str, Any]], earlier: Earlier | None) -> None:
    """Of all languages, or that of an earlier checkpoint widened by those that it lacks."""
    known = earlier.languages if earlier else []
    old, new = (
        [p["text"][code] for p in phrases for code in LANGUAGES if (code in known) == is_known]
        for is_known in (True, False)
    )
    if earlier:
        widen_tokenizer(earlier.tokenizer, path, old, new, NUM_PIECES)
    else:
        train_tokenizer(new, path)


def repeated(sets: str) -> list[str]:
    """ "a,b:3" -> a, b, b, b: a set of few clips is heard more often."""
    pairs = (item.partition(":") for item in sets.split(","))
    return [name for name, _, times in pairs for _ in range(int(times or 1))]


def read_all_phrases(work: Path) -> list[dict[str, Any]]:
    """Everything that a step may show."""
    return [p for name in ("train", "answers") for p in read_phrases(work / "corpus" / f"{name}.jsonl")]


def new_trainer(work: Path, earlier: Earlier | None = None) -> Trainer:
    """Nothing learnt yet; the tokenizer is made at the first start of the run."""
    path = work / "main" / "sentencepiece.bpe.model"
    if not path.exists():
        make_tokenizer(path, read_all_phrases(work), earlier)
    return Trainer(Text(path), torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Where the run stopped, or from an earlier checkpoint, or from nothing; saved, for the others of the team."""
    folder = options.work / "main"
    is_resumed = (folder / "state.pt").exists()
    earlier = Earlier(options.start_from) if options.start_from and not is_resumed else None
    torch.manual_seed(options.seed)
    trainer = new_trainer(options.work, earlier)
    if is_resumed:
        trainer.load(folder)
        cut_log(folder / LOG_FILE, trainer.progress.step)
        print(f"Resumed at step {trainer.progress.step}.")
    else:
        if earlier:
            trainer.start_from(earlier)
            write_text(folder / RECORD_FILE, json.dumps(earlier.runs))
        trainer.save(folder)
    count = torch.get_num_threads() * options.processes
    machine = "a GPU" if trainer.device.type == "cuda" else f"{count} CPU thread{'s' if count > 1 else ''}"
    note_start(folder, trainer.progress.step, vars(options), machine)
    return trainer


def joined_trainer(work: Path) -> Trainer:
    """Another one that is where the leader of the team has saved."""
    trainer = new_trainer(work)
    trainer.load(work / "main")
    return trainer


def log_row(trainer: Trainer, sums: dict[str, list[float]], num_clips: int) -> dict[str, Any]:
    """Means since the last row."""
    row: dict[str, Any] = {name: f"{np.mean(values):.4g}" for name, values in sums.items()}
    progress = trainer.progress
    return row | {"step": progress.step, "seconds": round(progress.seconds), "clips": num_clips}


def train(options: argparse.Namespace, trainer: Trainer, batches: Batches, stop: list[int]) -> None:
    """The loop: step, log, check, save, until the minutes or the steps are used up, or a signal has come."""
    work, folder, progress = options.work, options.work / "main", trainer.progress
    by_key = {phrase["key"]: phrase for phrase in batches.phrases}
    started = saved = time.monotonic()
    before = progress.seconds
    sums: dict[str, list[float]] = {}
    team = trainer.team

    def goes_on() -> bool:
        is_over = progress.step >= options.steps or time.monotonic() - started >= 60 * options.minutes
        return team.agrees(not (stop or is_over))

    while goes_on():
        if progress.step % 200 == 0 or not batches.examples:
            batches.examples = examples_of(work, repeated(options.sets), by_key)
        losses = trainer.step(batches, options)
        progress.seconds = before + time.monotonic() - started
        if not team.is_leader:
            continue
        for name, value in losses.items():
            sums.setdefault(name, []).append(value)
        if losses and (progress.step % options.log_every == 0 or progress.step == options.steps):
            row = log_row(trainer, sums, len(batches.examples))
            sums.clear()
            if progress.step % options.check_every == 0:
                row |= checks(trainer, work, options.check_clips)
            write_row(folder, row)
            print(" ".join(f"{name}={value}" for name, value in row.items()), flush=True)
        if time.monotonic() - saved > SAVE_EVERY_S:
            trainer.save(folder)
            saved = time.monotonic()
    if team.is_leader:
        trainer.save(folder)
        plot(folder)


def take_part(team: Team, options: argparse.Namespace, trainer: Trainer | None = None) -> int:
    """Train as one of the team; the exit status: 0, or what says by which signal it was stopped before its end."""
    torch.set_num_threads(options.threads)
    trainer = trainer or joined_trainer(options.work)
    trainer.team, trainer.garble = team, options.garble
    seed = options.seed + trainer.progress.step + SEED_STEP * team.rank
    torch.manual_seed(seed)  # of the beginnings of sentences and of wrong words
    batches = Batches([], read_all_phrases(options.work), trainer.text, seed)
    batches.strength, batches.favoured = options.augment, frozenset(options.favour)
    batches.num_targets, batches.no_speech = options.targets, options.no_speech
    stop = asked_to_stop()
    train(options, trainer, batches, stop)
    return 128 + stop[0] if stop and trainer.progress.step < options.steps else 0


def run(options: argparse.Namespace) -> int:
    """The exit status of the leader."""
    options.processes = options.processes or default_size()
    if options.threads is None:
        options.threads = max(1, (os.cpu_count() or 1) // options.processes)
    torch.set_num_threads(options.threads)
    (options.work / "main").mkdir(parents=True, exist_ok=True)
    trainer = make_trainer(options)
    with gathered(options.processes, take_part, options) as team:
        return take_part(team, options, trainer)


def main() -> int:
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
        "--translate", type=float, default=0.5, help="share of first targets in another language"
    )
    parser.add_argument(
        "--targets",
        type=int,
        choices=range(1, 1 + len(LANGUAGES)),
        default=len(LANGUAGES),
        help="languages in which each clip is written in one step: the encoder costs more than the decoder",
    )
    parser.add_argument("--ctc", type=float, default=1.0, help="weight of the character CTC")
    parser.add_argument("--augment", type=float, default=0.7, help="strength of the augmentation, 0 to 1")
    parser.add_argument("--guide", type=float, default=1.0, help="weight of attention away from the diagonal")
    parser.add_argument(
        "--prefix", type=float, default=0.5, help="weight of the losses on sentence beginnings"
    )
    parser.add_argument(
        "--garble", type=float, default=0.0, help="share of wrong words in the decoder's input"
    )
    parser.add_argument(
        "--no-speech",
        type=float,
        default=0.04,
        help="share of clips that are noise or music: nothing is said",
    )
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=300)
    parser.add_argument("--plateau", type=float, default=0.6, help="share of the steps before the rate falls")
    parser.add_argument("--processes", type=int, help="that share each batch; default: 2, with a GPU 1")
    parser.add_argument(
        "--threads", type=int, help="of torch in each process; default: its share of the cores"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-from", type=Path, help="an earlier checkpoint, perhaps of fewer languages")
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--check-every", type=int, default=200)
    parser.add_argument("--check-clips", type=int, default=64)
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
