"""Join sentences into minutes of speech with pauses and noise, and write the references with their times.

    python -m tools.make_long_recordings --output DIR [--set seen] [--source eng --target spa] [--minutes 2 --count 3]
    seamless-stream evaluate --data DIR/talks.yaml --to spa

Takes sentences of the phrasebook's held-out sets, which no checkpoint was trained on. `talks.yaml` has a row per
sentence (wav, offset, duration, reference, and what was said); with `--clips N` there is also `clips.tsv` with single
sentences.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from seamless_stream.audio.files import write_wav
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.recipe import read_phrases
from tools.phrasebook.shards import SAMPLE_RATE, ClipSet

SPEECH_RMS = 0.08
ROOM_RMS = 0.0005  # a microphone is never silent
LEAD_S = 0.5


@dataclass(frozen=True, eq=False)
class Sentence:
    """Samples [N] at one loudness, what is said, and its translation."""

    samples: np.ndarray
    source: str
    target: str
    voice: str


def sentences(work: Path, name: str, source: str, target: str) -> list[Sentence]:
    """All clips of a set, in its order."""
    phrases = {p["key"]: p["text"] for p in read_phrases(work / "corpus" / f"{name}.jsonl")}
    clips = ClipSet(work / "speech" / name / source)
    found = []
    for index in clips.saying({key: text[source] for key, text in phrases.items()}):
        key = clips.keys[index]
        speech = clips.samples(index).astype(np.float32) / 32768
        speech *= SPEECH_RMS / np.sqrt(np.mean(speech**2))
        found.append(Sentence(speech, phrases[key][source], phrases[key][target], clips.voices[index]))
    return found


def noise(length: int, snr_db: float | None, rng: np.random.Generator) -> np.ndarray:
    """A quiet room; with `snr_db` a steady hum of the street, louder at low pitch, so far below the speech."""
    room = rng.normal(0, ROOM_RMS, length).astype(np.float32)
    if snr_db is None:
        return room
    spectrum = np.fft.rfft(rng.normal(size=length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), length * 50 / SAMPLE_RATE))  # pink above 50 Hz
    street = np.fft.irfft(spectrum, length)
    street *= SPEECH_RMS / 10 ** (snr_db / 20) / np.sqrt(np.mean(street**2))
    return room + street.astype(np.float32)


def join(
    rest: Iterator[Sentence], seconds: float, pause_s: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[Sentence, int]]]:
    """Samples [N] of at least `seconds`, where there are sentences enough, and the sample where each one begins."""
    parts = [np.zeros(int(LEAD_S * SAMPLE_RATE), np.float32)]
    places: list[tuple[Sentence, int]] = []
    length = len(parts[0])
    for sentence in rest:
        pause = np.zeros(int(rng.uniform(*pause_s) * SAMPLE_RATE), np.float32)
        places.append((sentence, length))
        parts += [sentence.samples, pause]
        length += len(sentence.samples) + len(pause)
        if length >= seconds * SAMPLE_RATE:
            break
    return np.concatenate(parts), places


def write_talks(options: argparse.Namespace, rest: Iterator[Sentence], rng: np.random.Generator) -> None:
    rows = []
    for number in range(options.count):
        samples, places = join(rest, options.minutes * 60, tuple(options.pause), rng)
        if not places:
            break
        samples += noise(len(samples), options.snr, rng)
        write_wav(options.output / f"talk{number}.wav", samples)
        rows += [
            {
                "wav": f"talk{number}.wav",
                "offset": round(start / SAMPLE_RATE, 4),
                "duration": round(len(sentence.samples) / SAMPLE_RATE, 4),
                "reference": sentence.target,
                "source": sentence.source,
                "voice": sentence.voice,
            }
            for sentence, start in places
        ]
        print(f"talk{number}.wav: {len(samples) / SAMPLE_RATE:.1f} s, {len(places)} sentences")
    text = yaml.safe_dump(rows, sort_keys=False, allow_unicode=True)
    (options.output / "talks.yaml").write_text(text, encoding="utf-8")


def write_clips(options: argparse.Namespace, rest: Iterator[Sentence], rng: np.random.Generator) -> None:
    lines = ["audio\treference\tsource\n"]
    for number, sentence in zip(range(options.clips), rest, strict=False):
        edge = np.zeros(int(LEAD_S * SAMPLE_RATE), np.float32)
        samples = np.concatenate([edge, sentence.samples, edge])
        write_wav(options.output / f"clip{number}.wav", samples + noise(len(samples), options.snr, rng))
        lines.append(f"clip{number}.wav\t{sentence.target}\t{sentence.source}\n")
    (options.output / "clips.tsv").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--set", choices=("seen", "unseen"), default="seen", help="of voices")
    parser.add_argument("--source", default="eng")
    parser.add_argument("--target", default="spa")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=2.0, help="of each recording")
    parser.add_argument("--count", type=int, default=3, help="recordings")
    parser.add_argument("--clips", type=int, default=0, help="single sentences on top")
    parser.add_argument(
        "--pause", type=float, nargs=2, default=(0.3, 1.5), metavar=("MIN", "MAX"), help="seconds"
    )
    parser.add_argument("--snr", type=float, help="noise, dB below the speech; default: a quiet room")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    chosen = sentences(options.work.expanduser(), options.set, options.source, options.target)
    rest = iter([chosen[i] for i in rng.permutation(len(chosen))])
    write_talks(options, rest, rng)
    if options.clips:
        write_clips(options, rest, rng)


if __name__ == "__main__":
    main()
