"""Everything from the grammar to the shipped checkpoint, unattended; each stage resumes where it stopped.

    python -m tools.phrasebook.build --work DIR [--steps 20000]

Long: one CPU core took 1.6 s a training step. Each stage is a program of its own that goes on where it stopped.
Needs Debian's flite, festival, festvox-kallpc16k, festvox-kdlpc16k, festvox-us-slt-hts and espeak-ng.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tools.phrasebook.corpus import DEFAULT_WORK

SETS = ("target", "train1", "seen", "unseen", "target_heldout", "train2")
OUTPUT = Path(__file__).parents[2] / "seamless_stream" / "checkpoints" / "phrasebook"


def stages(options: argparse.Namespace) -> list[list[str]]:
    """Module and arguments of each stage, in order."""
    return [
        ["corpus"],
        *(["speak", "--set", name] for name in SETS),
        ["train", "--steps", str(options.steps)],
        ["units"],
        ["train_vocoder", "--minutes", str(options.vocoder_minutes)],
        ["align"],
        ["export", "--text-only", "--output", str(options.work / "main" / "export")],
        ["train_t2u", "--minutes", str(options.t2u_minutes)],
        ["train_vocoder", "--guessed", "--minutes", str(options.vocoder_minutes + options.guessed_minutes)],
        ["export", "--output", str(options.output)],
        ["evaluate", "--model", str(options.output)],
        ["card", "--output", str(options.output)],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--vocoder-minutes", type=float, default=120)
    parser.add_argument(
        "--guessed-minutes", type=float, default=30, help="of the vocoder, with the T2U's units"
    )
    parser.add_argument("--t2u-minutes", type=float, default=60)
    options = parser.parse_args()
    for number, (module, *arguments) in enumerate(stages(options), 1):
        command = [
            sys.executable,
            "-m",
            f"tools.phrasebook.{module}",
            "--work",
            str(options.work),
            *arguments,
        ]
        print(f"== {number}/{len(stages(options))}: {' '.join(command[2:])}", flush=True)
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
