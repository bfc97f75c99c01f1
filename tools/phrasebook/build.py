"""Everything from the grammar to the shipped checkpoint, unattended; each stage resumes where it stopped.

    python -m tools.phrasebook.build --work DIR [--steps 20000]
    python -m tools.phrasebook.build --rehearse     # every stage in small, elsewhere: does it all run here?

Long: one CPU core took 1.6 s a training step. Each stage is a program of its own that goes on where it stopped.
Needs Debian's flite, festival, festvox-kallpc16k, festvox-kdlpc16k, festvox-us-slt-hts, espeak-ng, npm and, for the
evaluation, asterisk-core-sounds-{en,es,fr}-g722.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.phrasebook.corpus import DEFAULT_WORK

SETS = ("target", "train1", "seen", "unseen", "target_heldout", "train2", "answers", "train3")
OUTPUT = Path(__file__).parents[2] / "seamless_stream" / "checkpoints" / "phrasebook"


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    steps: int = 20_000
    vocoder_minutes: float = 120
    guessed_minutes: float = 30  # of the vocoder, with the T2U's units
    t2u_minutes: float = 60
    clips: int | None = None  # of each speech set and language; None: as the set's recipe says
    checked_clips: int | None = None  # of each held-out set


REHEARSAL = Scale(
    steps=12, vocoder_minutes=0.5, guessed_minutes=0.2, t2u_minutes=0.5, clips=24, checked_clips=4
)


def stages(scale: Scale, work: Path, output: Path) -> list[list[str]]:
    """Module and arguments of each stage, in order."""
    clips = [] if scale.clips is None else ["--clips", str(scale.clips)]
    checked = [] if scale.checked_clips is None else ["--limit", str(scale.checked_clips)]
    vocoder = ["train_vocoder", *clips, "--minutes"]
    return [
        ["corpus"],
        ["voices"],
        *(["speak", "--set", name, *clips] for name in SETS),
        ["train", "--steps", str(scale.steps)],
        ["units"],
        [*vocoder, str(scale.vocoder_minutes)],
        ["align", *clips],
        ["export", "--text-only", "--output", str(work / "main" / "export")],
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
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--steps", type=int, default=standard.steps)
    parser.add_argument("--vocoder-minutes", type=float, default=standard.vocoder_minutes)
    parser.add_argument("--guessed-minutes", type=float, default=standard.guessed_minutes)
    parser.add_argument("--t2u-minutes", type=float, default=standard.t2u_minutes)
    parser.add_argument("--rehearse", action="store_true", help="every stage in small, in WORK/rehearsal")
    options = parser.parse_args()
    scale = Scale(options.steps, options.vocoder_minutes, options.guessed_minutes, options.t2u_minutes)
    work, output = options.work, options.output
    if options.rehearse:
        scale, work = REHEARSAL, work / "rehearsal"
        output = work / "checkpoint"
    todo = stages(scale, work, output)
    for number, stage in enumerate(todo, 1):
        print(f"== {number}/{len(todo)}: {' '.join(stage)}", flush=True)
        run(stage, work)


if __name__ == "__main__":
    main()
