"""Join held-out sentences of several voices into the recordings that the demo plays, one for each language.

    python -m tools.phrasebook.samples --work DIR --output seamless_stream/checkpoints/samples

Sentences were never trained on. Between them are pauses, under them a little room noise, as a microphone hears it. The
texts and their times go beside each recording as `.txt`, for the tests.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.recipe import read_phrases
from tools.phrasebook.shards import SAMPLE_RATE, ClipSet

NAMES = {"eng": "english", "spa": "spanish", "fra": "french", "deu": "german"}
NUM_SENTENCES = 5
MIN_WORDS, MAX_WORDS = 4, 10
PAUSE_S = (1.1, 1.7)
NOISE_RMS = 0.0005


def choose(clips: ClipSet, texts: dict[str, str]) -> list[int]:
    """Sentences of middling length in the order of the set: each voice once, the rest as often as it is in the set."""
    found = [i for i in clips.saying(texts) if MIN_WORDS <= len(texts[clips.keys[i]].split()) <= MAX_WORDS]
    firsts = list({clips.voices[i]: i for i in reversed(found)}.values())
    others = [i for i in found if i not in firsts]
    return sorted((firsts + others)[:NUM_SENTENCES])


def join(clips: ClipSet, chosen: list[int], rng: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """Samples [N] float32 and the second at which each sentence begins."""
    parts, starts, length = [], [], 0
    for index in chosen:
        pause = np.zeros(int(rng.uniform(*PAUSE_S) * SAMPLE_RATE), np.float32)
        speech = clips.samples(index).astype(np.float32) / 32768
        speech *= 0.08 / np.sqrt(np.mean(speech**2))
        starts.append((length + len(pause)) / SAMPLE_RATE)
        parts += [pause, speech]
        length += len(pause) + len(speech)
    joined = np.concatenate([*parts, np.zeros(SAMPLE_RATE, np.float32)])
    return joined + rng.normal(0, NOISE_RMS, len(joined)).astype(np.float32), starts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--set", choices=("seen", "unseen"), default="seen", help="voices seen in training, or not"
    )
    parser.add_argument("--languages", nargs="+", choices=tuple(NAMES), default=tuple(NAMES))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    phrases = {p["key"]: p["text"] for p in read_phrases(options.work / "corpus" / f"{options.set}.jsonl")}
    for language in options.languages:
        name = NAMES[language]
        clips = ClipSet(options.work / "speech" / options.set / language)
        texts = {key: text[language] for key, text in phrases.items()}
        chosen = choose(clips, texts)
        samples, starts = join(clips, chosen, np.random.default_rng(options.seed))
        soundfile.write(options.output / f"{name}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
        rows = [
            f"{start:.2f}\t{clips.voices[index]}\t{texts[clips.keys[index]]}\n"
            for start, index in zip(starts, chosen, strict=True)
        ]
        (options.output / f"{name}.txt").write_text("".join(rows), encoding="utf-8")
        print(f"{name}.flac: {len(samples) / SAMPLE_RATE:.1f} s\n{''.join(rows)}", end="")


if __name__ == "__main__":
    main()
