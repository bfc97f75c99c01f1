"""How sure the bundled phrasebook is of what it makes of short speech, and of sound that is no speech.

    python -m tools.measure_doubt --work DIR [--model DIR] [--clips N]

For each bound (mean log probability of a token) the shares that reach it: of right and wrong transcripts of short
held-out clips, of short answers (trained on), of single words by people, and of what was made of noise and music. What
does not reach the bound is left out by `engine.guards`.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.engine.guards import SHORT_S, mean_log_prob
from seamless_stream.models.checkpoint import PHRASEBOOK_DIRECTORY
from seamless_stream.models.registry import load_model
from seamless_stream.models.seamless_m4t.model import SeamlessM4T
from tools.phrasebook import rooms
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.evaluate import Evaluation, Item, human, plain, spoken
from tools.phrasebook.human import FOLDERS

BOUNDS = (-0.3, -0.4, -0.45, -0.5, -0.6, -0.8)
NOISES = {"noise": rooms.noise, "music": rooms.music}


def items(work: Path, languages: tuple[str, ...], num_clips: int) -> Iterator[tuple[str, Item]]:
    """Short utterances and other sounds, by kind."""
    for language in languages:
        for name in ("seen", "unseen", "answers"):
            short = (
                i for i in spoken(work, name, language, 10_000) if len(i.samples) <= SHORT_S * SAMPLE_RATE
            )
            yield from ((name, item) for item in islice(short, num_clips))
        if language in FOLDERS:
            yield from (("people", item) for item in human(language, num_clips))
        rng = np.random.default_rng(1)
        for name, make in NOISES.items():
            for _ in range(num_clips):
                samples = make(int(rng.uniform(0.5, SHORT_S) * SAMPLE_RATE), rng)
                yield name, Item(rooms.set_level(samples, -20.0), language, {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--model", type=Path, default=PHRASEBOOK_DIRECTORY)
    parser.add_argument("--clips", type=int, default=60, help="of each kind and language")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(str(options.model), device="cpu", dtype=torch.float32, tasks=("asr",))
    assert isinstance(model, SeamlessM4T)
    evaluation = Evaluation(model, options.work, options.clips, ())
    found: dict[str, list[float]] = defaultdict(list)
    for name, item in items(options.work, evaluation.languages, options.clips):
        decoded = evaluation.decode(evaluation.encode(item), item.language)
        said, wanted = plain(evaluation.text_of(decoded)), plain(item.text.get(item.language, ""))
        if said:  # silence is always right
            kind = name if name in NOISES else f"{name}, {'right' if said == wanted else 'wrong'}"
            found[kind].append(mean_log_prob(decoded.probabilities))
        else:
            found[f"{name}, nothing made of it"].append(-np.inf)
    print("| what | number |" + "".join(f" {bound} |" for bound in BOUNDS))
    print("|---" * (2 + len(BOUNDS)) + "|")
    for kind, log_probs in sorted(found.items()):
        shares = [f"{np.mean(np.array(log_probs) >= bound):.0%}" for bound in BOUNDS]
        print(f"| {kind} | {len(log_probs)} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
