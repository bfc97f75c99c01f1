"""Trains the vocoder of the phrasebook: units of the target voices to their samples.

Starts with spectral losses alone and adds discriminators later; resumes where it stopped, and with `--guessed` also
learns to speak what the T2U says instead of the true units. A unit's embedding is the sum of a row of its own and of
what its centroid sounds like, lifted into the same space, so that units of like sound learn together; it is exported as
one table. Writes the averaged weights under our own names, the architecture fields it decided, a log and curves into
W/vocoder.
"""

import argparse
import copy
import csv
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.seamless_m4t.vocoder import Vocoder
from tools.phrasebook.carry import carry_all, first_rows
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.earlier import Earlier
from tools.phrasebook.files import cut_log, fingerprint, replacing, save_arrays
from tools.phrasebook.recipe import LANGUAGES
from tools.phrasebook.shards import ClipSet
from tools.phrasebook.team import Team, asked_to_stop, default_size, gathered
from tools.phrasebook.units import NUM_UNITS, UNIT_SAMPLES, levelled, load_units, units_path
from tools.phrasebook.vocoder_losses import Discriminators, SpectralLoss, fool_loss, judge_loss

FIELDS: Final[dict[str, Any]] = {
    "unit_hifi_gan_vocab_size": NUM_UNITS,
    "unit_embed_dim": 96,
    "lang_embed_dim": 16,
    "spkr_embed_dim": 16,
    "vocoder_num_langs": len(LANGUAGES),
    "vocoder_num_spkrs": 2,
    "upsample_initial_channel": 256,
    "upsample_rates": [5, 4, 4, 4],  # 16 kHz layers of 16 channels; a fifth halving would leave 8
    "upsample_kernel_sizes": [11, 8, 8, 8],
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1], [3]],
}
SPEAKER: Final = 0
CROP_UNITS: Final = 32
EDGE_UNITS: Final = 2  # on either side of a crop: not counted, the generator lacks what is beside them
BATCH: Final = 2  # of each process
GUESSED_SHARE: Final = 0.6
JUDGED_SAMPLES: Final = 6_400  # of each crop; judging is dearer than speaking
EMA: Final = 0.995
CLIP_NORM: Final = 100.0
SAVE_EVERY_S: Final = 150
COLUMNS: Final = ("step", "minutes", "mel", "spectral", "fooled", "matched", "judge", "rate")


def vocoder_config() -> SeamlessM4TConfig:
    """The released architecture with this checkpoint's vocoder fields."""
    fields = {k: v for k, v in FIELDS.items() if not isinstance(v, list)}
    tuples = {
        k: tuple(tuple(x) if isinstance(x, list) else x for x in v)
        for k, v in FIELDS.items()
        if isinstance(v, list)
    }
    return replace(SeamlessM4TConfig(), **fields, **tuples)


def new_vocoder() -> Vocoder:
    """Small random weights; the duration predictor says exactly one for every unit, whatever is trained."""
    vocoder = Vocoder(vocoder_config())
    torch.nn.init.normal_(vocoder.units.weight, std=0.1)
    for convolution in [*vocoder.generator.blocks.modules(), *vocoder.generator.upsamplers]:
        if (
            isinstance(convolution, torch.nn.Conv1d | torch.nn.ConvTranspose1d)
            and convolution.bias is not None
        ):
            torch.nn.init.zeros_(convolution.bias)
    torch.nn.init.zeros_(vocoder.durations.projection.weight)
    torch.nn.init.constant_(vocoder.durations.projection.bias, math.log(2.0))
    vocoder.durations.requires_grad_(False)
    return vocoder


@dataclass(frozen=True)
class UnitClips:
    """Clips of one set and language with their units; samples stay on disk."""

    speech: ClipSet
    language: int
    units: list[np.ndarray]
    guessed: list[np.ndarray] | None = None  # what the T2U says with true durations

    def crop(
        self, index: int, start: int, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """`count` units from `start`, true or guessed, and their levelled samples."""
        samples = levelled(self.speech.samples(index))[start * UNIT_SAMPLES : (start + count) * UNIT_SAMPLES]
        use_guess = self.guessed is not None and rng.random() < GUESSED_SHARE
        units = self.guessed[index] if self.guessed is not None and use_guess else self.units[index]
        return units[start : start + count], samples


def read_units(path: Path, inventory: str = "") -> list[np.ndarray]:
    """Units of the clips of a set; nothing where there is no file yet, or one of another inventory.

    A file that does not say of which inventory it is, is taken.
    """
    if not path.exists():
        return []
    with np.load(path) as data:
        if inventory and "inventory" in data and str(data["inventory"]) != inventory:
            return []
        return np.split(data["units"], np.cumsum(data["counts"])[:-1])


def write_units(path: Path, units: list[np.ndarray], inventory: str = "") -> None:
    """With the fingerprint of the inventory, where it matters later."""
    named = {"inventory": np.array(inventory)} if inventory else {}
    save_arrays(path, units=np.concatenate(units), counts=np.array([len(u) for u in units]), **named)


def guessed_path(work: Path, name: str, language: str) -> Path:
    """Where the T2U's guesses for a set lie."""
    return work / "units" / f"{name}_guessed" / f"{language}.npz"


def encode_set(work: Path, name: str, language: str, limit: int | None = None) -> UnitClips:
    """Units of a set, kept in W/units/<set>/<lang>.npz; clips that are new since are added, and all are encoded again
    where the inventory has changed."""
    speech = ClipSet(work / "speech" / name / language)
    path = work / "units" / name / f"{language}.npz"
    inventory = fingerprint(units_path(work, language))
    units = read_units(path, inventory)
    wanted = min(len(speech), limit or len(speech))
    if len(units) < wanted:
        model = load_units(units_path(work, language))
        units += [np.array(model.units_of(speech.samples(i)), np.int16) for i in range(len(units), wanted)]
        write_units(path, units, inventory)
    return UnitClips(speech, LANGUAGES.index(language), units[:wanted])


def batches(sets: list[UnitClips], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Random crops: units [B, U], languages [B], samples [B, N]."""
    rows = []
    while len(rows) < BATCH:
        clips = sets[int(rng.integers(len(sets)))]
        index = int(rng.integers(len(clips.units)))
        spare = len(clips.units[index]) - CROP_UNITS
        if spare >= 0:
            start = int(rng.integers(spare + 1))
            rows.append((clips.language, *clips.crop(index, start, CROP_UNITS, rng)))
    languages = torch.tensor([row[0] for row in rows])
    units = torch.from_numpy(np.stack([row[1] for row in rows]).astype(np.int64))
    return units, languages, torch.from_numpy(np.stack([row[2] for row in rows]))


def all_sounds(work: Path) -> Tensor:
    """What the units of all languages sound like, standardised [NUM_UNITS, F]."""
    found = torch.from_numpy(
        np.concatenate([load_units(units_path(work, code)).sounds() for code in LANGUAGES])
    )
    return (found - found.mean(0)) / found.std(0).clamp(min=1e-3)


class Trainer:
    """The state of a training run and its one step."""

    def __init__(self, work: Path, device: torch.device, sounds: Tensor, team: Team | None = None) -> None:
        """`sounds` [NUM_UNITS, F] as of `all_sounds`."""
        self.team = team or Team()
        self.sounds = sounds.to(device)
        self.lift = torch.nn.Linear(sounds.shape[1], FIELDS["unit_embed_dim"], bias=False).to(device)
        self.average_lift = copy.deepcopy(self.lift)
        self.folder = work / "vocoder"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = device
        self.vocoder = new_vocoder().to(device)
        self.average = copy.deepcopy(self.vocoder)
        self.judges = Discriminators().to(device)
        self.spectral = SpectralLoss().to(device)
        trained = [p for p in self.vocoder.parameters() if p.requires_grad] + [self.lift.weight]
        self.optimizer = torch.optim.AdamW(trained, 1e-3, betas=(0.8, 0.99), weight_decay=0.0, fused=True)
        self.judge_optimizer = torch.optim.AdamW(
            self.judges.parameters(), 3e-4, betas=(0.8, 0.99), fused=True
        )
        self.num_steps = 0
        self.seconds = 0.0
        self.resume()

    def _parts(self) -> dict[str, Any]:
        return {
            "vocoder": self.vocoder,
            "average": self.average,
            "lift": self.lift,
            "average_lift": self.average_lift,
            "judges": self.judges,
            "optimizer": self.optimizer,
            "judge_optimizer": self.judge_optimizer,
        }

    def resume(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.num_steps, self.seconds = state["num_steps"], state["seconds"]
        cut_log(self.folder / "log.csv", self.num_steps)

    def start_from(self, earlier: Earlier) -> None:
        """The weights of a checkpoint, perhaps of fewer languages and speakers: its units are the first of ours."""
        old, fresh = earlier.part("vocoder"), self.vocoder.state_dict()
        names = ("units.weight", "languages.weight", "speakers.weight")
        tables = {name: first_rows(len(old[name]), len(fresh[name])) for name in names}
        carried = carry_all(old, fresh, tables)
        self.vocoder.load_state_dict(carried)
        self.average.load_state_dict(carried)
        for lift in (self.lift, self.average_lift):  # its rows are whole
            torch.nn.init.zeros_(lift.weight)

    def save(self) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        with replacing(self.folder / "state.pt") as path:
            torch.save({**state, "num_steps": self.num_steps, "seconds": self.seconds}, path)
        weights = dict(self.average.state_dict())
        weights["units.weight"] = weights["units.weight"] + self.average_lift(self.sounds).detach()
        weights = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
        with replacing(self.folder / "vocoder.safetensors") as path:
            save_file(weights, path)
        (self.folder / "config_fields.json").write_text(json.dumps(FIELDS, indent=1))

    def step(self, batch: tuple[Tensor, Tensor, Tensor], rate: float, adversarial: bool) -> dict[str, float]:
        """One update of the vocoder and, where adversarial, of the judges."""
        units, languages, real = (x.to(self.device) for x in batch)
        for optimizer in (self.optimizer, self.judge_optimizer):
            optimizer.param_groups[0]["lr"] = rate
        speakers = torch.full_like(languages, SPEAKER)
        embedded = self.vocoder.units(units) + self.lift(self.sounds[units])
        made = self.vocoder.generate(embedded, languages, speakers)
        losses = {"fooled": 0.0, "matched": 0.0, "judge": 0.0}
        edge = EDGE_UNITS * UNIT_SAMPLES
        made, real = made[:, edge:-edge], real[:, edge:-edge]
        heard = slice(UNIT_SAMPLES, UNIT_SAMPLES + JUDGED_SAMPLES)
        if adversarial:
            self.judge_optimizer.zero_grad()
            judge = judge_loss(self.judges(real[:, heard]), self.judges(made[:, heard].detach()))
            judge.backward()
            self.team.average_gradients(self.judges.parameters())
            self.judge_optimizer.step()
            losses["judge"] = float(judge.detach())
        loss, mel = self.spectral(made, real)
        losses |= {"mel": float(mel.detach()), "spectral": float(loss.detach())}
        if adversarial:
            self.judges.requires_grad_(False)
            with torch.no_grad():
                wanted = self.judges(real[:, heard])
            fooled, matched = fool_loss(wanted, self.judges(made[:, heard]))
            self.judges.requires_grad_(True)
            loss = loss + 2 * fooled + 2 * matched
            losses |= {"fooled": float(fooled.detach()), "matched": float(matched.detach())}
        self.optimizer.zero_grad()
        loss.backward()
        self.team.average_gradients([*self.vocoder.parameters(), self.lift.weight])
        torch.nn.utils.clip_grad_norm_(self.vocoder.parameters(), CLIP_NORM)
        self.optimizer.step()
        self._follow()
        return losses

    @torch.no_grad()
    def _follow(self) -> None:
        self.num_steps += 1
        keep = min(EMA, 1 - 1 / (1 + self.num_steps / 10))
        for average, trained in ((self.average, self.vocoder), (self.average_lift, self.lift)):
            for slow, fast in zip(average.parameters(), trained.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)


def learning_rate(minutes: float, warm_minutes: float, total_minutes: float) -> float:
    """1.5e-3 while only spectra count, then 5e-4 falling to a tenth along a cosine."""
    if minutes < warm_minutes:
        return 1.5e-3
    part = min(1.0, (minutes - warm_minutes) / max(total_minutes - warm_minutes, 1e-6))
    return 5e-5 + 4.5e-4 * 0.5 * (1 + math.cos(math.pi * part))


def draw(log: Path, picture: Path) -> None:
    """Curves of the log."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = list(csv.DictReader(log.read_text().splitlines()))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3))
    for axis, names in zip(axes, (("mel",), ("fooled", "matched", "judge")), strict=True):
        for name in names:
            axis.plot([float(r["step"]) for r in rows], [float(r[name]) for r in rows], label=name)
        axis.set_xlabel("step")
        axis.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=90)
    plt.close(figure)


def train(
    trainer: Trainer, sets: list[UnitClips], minutes: float, warm_minutes: float, stop: Sequence[int] = ()
) -> None:
    """Until the run, earlier parts counted in, has taken `minutes`, or until `stop` is not empty."""
    team = trainer.team
    rng = np.random.default_rng((1000 + trainer.num_steps, team.rank))
    log = trainer.folder / "log.csv"
    if team.is_leader and not log.exists():
        log.write_text(",".join(COLUMNS) + "\n")
    sums: dict[str, float] = {}
    since = 0
    saved = last = time.monotonic()
    while team.agrees(not stop and trainer.seconds < minutes * 60):
        past = trainer.seconds / 60
        rate = learning_rate(past, warm_minutes, minutes)
        losses = trainer.step(batches(sets, rng), rate, adversarial=past >= warm_minutes)
        now = time.monotonic()
        trainer.seconds = team.of_leader(trainer.seconds + now - last)  # the rate depends on it
        last = now
        if not team.is_leader:
            continue
        since += 1
        sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
        if since == 50:
            row = {"step": trainer.num_steps, "minutes": past, "rate": rate} | {
                k: v / since for k, v in sums.items()
            }
            with log.open("a") as file:
                file.write(",".join(f"{row[name]:.6g}" for name in COLUMNS) + "\n")
            sums, since = {}, 0
        if now - saved > SAVE_EVERY_S:
            trainer.save()
            draw(log, trainer.folder / "curves.png")
            saved = time.monotonic()
    if team.is_leader:
        trainer.save()
        draw(log, trainer.folder / "curves.png")


def read_sets(options: argparse.Namespace) -> list[UnitClips]:
    """What the options say to learn from: the clips of all languages, those of favoured ones twice."""
    sets = []
    for language in LANGUAGES:
        clips = encode_set(options.work, options.set, language, options.clips)
        if options.guessed:
            clips = replace(clips, guessed=read_units(guessed_path(options.work, options.set, language)))
        sets += [clips] * (1 + (language in options.favour))
    return sets


def take_part(team: Team, options: argparse.Namespace, sets: list[UnitClips] | None = None) -> int:
    """Train as one of the team; the exit status: 0, or what says by which signal it was stopped before its end."""
    stop = asked_to_stop()
    # a second thread saves a tenth, or takes 20 times as long beside another busy program
    torch.set_num_threads(1)
    torch.manual_seed(1)  # all begin with the same weights
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(options.work, device, all_sounds(options.work), team)
    if options.start_from and not trainer.num_steps:
        trainer.start_from(Earlier(options.start_from))
    train(trainer, sets or read_sets(options), options.minutes, options.warm_minutes, stop)
    return 128 + stop[0] if stop and trainer.seconds < options.minutes * 60 else 0


def run(options: argparse.Namespace) -> int:
    """The exit status of the leader."""
    sets = read_sets(options)  # the others find all encoded
    with gathered(options.processes or default_size(), take_part, options) as team:
        return take_part(team, options, sets)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--set", default="target")
    parser.add_argument("--clips", type=int, default=3000, help="of each language")
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--warm-minutes", type=float, default=25.0)
    parser.add_argument(
        "--guessed", action="store_true", help="learn from the units that train_t2u wrote, too"
    )
    parser.add_argument(
        "--favour", nargs="+", choices=LANGUAGES, default=(), help="speak these twice as often"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        help="an earlier checkpoint; its judges are not kept, and WORK must have its units (units --bundled)",
    )
    parser.add_argument("--processes", type=int, help="that share each batch; default: 2, with a GPU 1")
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
