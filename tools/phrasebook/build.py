"""Everything from the grammar to the shipped checkpoint, unattended; each stage resumes where it stopped.

    python -m tools.phrasebook.build --work DIR [--steps 20000]
    python -m tools.phrasebook.build --rehearse     # every stage in small, elsewhere: does it all run here?

Long: one CPU core took 1.6 s a training step. Each stage is a program of its own that goes on where it stopped. The
first one, `needs`, names all that this machine lacks. Training keeps the features of all its speech in memory: 7 GB.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from seamless_stream.models.checkpoint import PHRASEBOOK_DIRECTORY
from tools.phrasebook.corpus import DEFAULT_WORK

SETS = ("target", "train1", "seen", "unseen", "target_heldout", "train2", "answers", "train3")
MINUTES = ("vocoder_minutes", "guessed_minutes", "t2u_minutes")  # that can be chosen


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    steps: int = 20_000
    vocoder_minutes: float = 120
    warm_minutes: float = 25  # of these, before the discriminators
    guessed_minutes: float = 30  # of the vocoder, with the T2U's units
    t2u_minutes: float = 60
    clips: int | None = None  # of each speech set and language; None: as the set's recipe says
    checked_clips: int | None = None  # of each held-out set


REHEARSAL = Scale(
    steps=12,
    vocoder_minutes=0.5,
    warm_minutes=0.2,
    guessed_minutes=0.2,
    t2u_minutes=0.5,
    clips=24,
    checked_clips=4,
)


def stages(scale: Scale, output: Path) -> list[list[str]]:
    """Module and arguments of each stage, in order."""
    clips = [] if scale.clips is None else ["--clips", str(scale.clips)]
    checked = [] if scale.checked_clips is None else ["--limit", str(scale.checked_clips)]
    vocoder = ["train_vocoder", *clips, "--warm-minutes", str(scale.warm_minutes), "--minutes"]
    return [
        ["needs"],
        ["corpus"],
        ["voices"],
        *(["speak", "--set", name, *clips] for name in SETS),
        ["train", "--steps", str(scale.steps)],
        ["units"],
        [*vocoder, str(scale.vocoder_minutes)],
        ["align", *clips],
        ["train_t2u", *clips, "--minutes", str(scale.t2u_minutes)],
        [*vocoder, str(scale.vocoder_minutes + scale.guessed_minutes), "--guessed"],
        ["export", "--output", str(output)],
        ["evaluate", "--model", str(output), *checked],
        ["card", "--output", str(output)],
    ]


def run(stage: list[str], work: Path) -> None:
    """One stage, as a process of its own."""
    module, *arguments = stage
    command = [sys.executable, "-m", f"tools.phrasebook.{module}", "--work", str(work), *arguments]
    subprocess.run(command, check=True)


def main() -> None:
    standard = Scale()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--output", type=Path, help="default: the bundled checkpoint")
    parser.add_argument("--steps", type=int, help=f"default: {standard.steps}")
    for name in MINUTES:
        default = getattr(standard, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=f"default: {default:g}")
    parser.add_argument(
        "--rehearse", action="store_true", help="every stage in small, in WORK/rehearsal; takes --work alone"
    )
    options = parser.parse_args()
    chosen = {name: value for name in ("steps", *MINUTES) if (value := getattr(options, name)) is not None}
    if options.rehearse and (chosen or options.output):
        parser.error("--rehearse has its own steps, minutes and output: leave these options out")
    scale, work, output = replace(standard, **chosen), options.work, options.output or PHRASEBOOK_DIRECTORY
    if options.rehearse:
        scale, work = REHEARSAL, work / "rehearsal"
        output = work / "checkpoint"
    todo = stages(scale, output)
    for number, stage in enumerate(todo, 1):
        print(f"== {number}/{len(todo)}: {' '.join(stage)}", flush=True)
        run(stage, work)


if __name__ == "__main__":
    main()
