"""Write the model card of the phrasebook checkpoint from what was measured.

    python -m tools.phrasebook.card --work DIR --output seamless_stream/checkpoints/phrasebook

Takes `evaluation.json`, the training logs and the table of voices. It has no number of its own: what was not
measured is not in the card.
"""

import argparse
import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.recipe import CONFIG, LANGUAGES, read_phrases
from tools.phrasebook.shards import read_index
from tools.phrasebook.train import START_FILE
from tools.phrasebook.voices import VOICES

NAMES = {"eng": "English", "spa": "Spanish", "fra": "French", "deu": "German"}
CODES = {"eng": "en", "spa": "es", "fra": "fr", "deu": "de"}
COUNTS = {2: "two", 3: "three", 4: "four"}

HEAD = """---
license: mit
language: [{codes}]
pipeline_tag: translation
---

# The phrasebook

A small SeamlessM4T v2 checkpoint that ships with `seamless_stream`, so that everything runs and is tested on real
speech without a download. **It knows the phrasebook; anything else will be wrong.** Travel and everyday sentences
(greetings, directions, food, numbers, times, prices, hotel, transport, health, small talk) in {names}:
transcription, translation between any two of them from speech and from text, and one synthetic voice per language.

Files are in Hugging Face layout: `seamless_stream.load("phrasebook")` and
`transformers.SeamlessM4Tv2Model.from_pretrained(directory)` both load it. Weights are stored in float16 and computed in
float32.
"""

LIMITS = """## Limits, said plainly

- Sentences outside its grammar come out as the nearest phrasebook sentence, fluently and wrongly.
- It was trained on synthetic voices. Real voices work worse than the table's unseen voices, see the row `human`.
- Its {count} voices are synthetic (SVOX Pico) and are rebuilt from 20 ms units; intelligible at best, not pleasant.
{notes}- Not for medical, legal or safety-relevant use.

## Reproduce

```sh
make phrasebook                                              # everything, from the grammar to this card
python -m tools.phrasebook.evaluate --parts text speech human  # the table
```
"""

GROWN = """
The recipe has grown since: `make phrasebook` now trains {names}, the table is of this checkpoint as it is.
"""

# Of which voices something must be said: the start of their names -> the sentence.
NOTES = {
    "kokoro-de-": "Kokoro has no German voice: the German ones are its voices of other languages, with their accents.",
}
CREDITS = {"ff_siwis": "Kokoro's ff_siwis was trained on the SIWIS recordings (CC BY 4.0)."}


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def languages_of(rows: list[dict[str, Any]]) -> list[str]:
    """Those that were measured."""
    found = {row["source"] for row in rows if "source" in row}
    return [code for code in LANGUAGES if code in found]


def percent(row: dict[str, Any], name: str) -> str:
    """A cell; a dash for what this row does not have."""
    return f"{row[name]:.1f}" if name in row else "–"


def results(rows: list[dict[str, Any]]) -> str:
    """The tables of what was measured."""
    lines = [
        "## Results",
        "",
        "Greedy, clean audio, nothing of it trained on. Word error rate (WER), BLEU, and how often the",
        "model says rightly which language it hears, in %.",
        "",
    ]
    lines += ["| set | spoken | clips | ASR WER | language known |", "|---|---|---|---|---|"]
    heard = [row for row in rows if "source" in row]
    for row in heard:
        cells = [row["set"], row["source"], str(row["clips"])]
        cells += [percent(row, "asr_wer"), percent(row, "language_right")]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| set | from | to | speech translation BLEU | exact | text translation BLEU | exact |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row, target in ((row, code) for row in heard for code in LANGUAGES if f"s2tt_{code}_bleu" in row):
        cells = [row["set"], row["source"], target]
        cells += [
            percent(row, f"{task}_{target}_{what}") for task in ("s2tt", "t2tt") for what in ("bleu", "exact")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "`seen`: unseen sentences, voices of the training; `unseen`: unseen sentences, voices and engines never",
    ]
    lines += [
        "trained on; `human`: single words (numbers, days, months) read by people, from Debian's asterisk-core-sounds."
    ]
    signatures = {row["signature"] for row in rows if "signature" in row}
    lines += [f"sacrebleu: `{'`, `'.join(sorted(signatures))}`.", ""]
    speech = [row for row in rows if "speech_wer" in row]
    if speech:
        lines += [
            "| spoken output | clips | WER by Whisper base | the target voice itself |",
            "|---|---|---|---|",
        ]
        for row in speech:
            cells = [row["target"], str(row["clips"]), percent(row, "speech_wer"), percent(row, "voice_wer")]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def training(work: Path, step: int | None) -> str:
    """Architecture, steps and amounts of speech, as the logs have them."""
    with open(work / "main" / "log.csv") as file:
        rows = [row for row in csv.DictReader(file) if step is None or int(row["step"]) <= step]
    last = rows[-1]
    lines = ["## Training", "", "![loss and held-out quality](curves.png)", ""]
    lines.append(
        f"{last['step']} steps in {int(last['seconds']) / 3600:.1f} h on one to two CPU cores{earlier(work)}: width"
        f" {CONFIG.hidden_size}, {CONFIG.speech_encoder_layers} conformer, {CONFIG.encoder_layers} text encoder and"
        f" {CONFIG.decoder_layers} decoder layers; attention chunks of"
        f" {CONFIG.speech_encoder_chunk_size} stacked frames with {CONFIG.speech_encoder_left_chunk_num} chunks to the"
        " left, so cached incremental encoding is exact."
    )
    sentences = len(read_phrases(work / "corpus" / "train.jsonl"))
    lines += [
        "",
        f"{sentences} training sentences per language from the grammar in `tools/phrasebook/grammar`.",
        "",
    ]
    lines += ["| speech | language | clips | hours |", "|---|---|---|---|"]
    for directory in sorted((work / "speech").glob("*/*")):
        clips = read_index(directory)
        hours = sum(clip.length for clip in clips) / 16_000 / 3600
        lines.append(f"| {directory.parent.name} | {directory.name} | {len(clips)} | {hours:.2f} |")
    return "\n".join([*lines, ""])


def earlier(work: Path) -> str:
    """On top of which run the training came."""
    path = work / "main" / START_FILE
    if not path.exists():
        return ""
    start = json.loads(path.read_text())
    names = listed([NAMES[code] for code in start["languages"]])
    return f", after {start['step']} steps in {start['seconds'] / 3600:.1f} h with {names} only"


def speakers(work: Path) -> dict[str, set[str]]:
    """Every voice that speaks -> the sets in which it does."""
    used: dict[str, set[str]] = {}
    for directory in (work / "speech").glob("*/*"):
        for voice in {clip.voice for clip in read_index(directory)}:
            used.setdefault(voice, set()).add(directory.parent.name)
    return used


def voices(used: dict[str, set[str]]) -> str:
    """The table of voices with their licences."""
    lines = ["## Voices and licences", "", "| voice | language | licence | sets |", "|---|---|---|---|"]
    for voice in sorted(used):
        facts = VOICES[voice]
        lines.append(f"| {voice} | {facts.language} | {facts.licence} | {', '.join(sorted(used[voice]))} |")
    credits = [text for name, text in CREDITS.items() if any(voice.endswith(name) for voice in used)]
    lines += [
        "",
        "What ships is weights (MIT, as the package) and speech of the voices above; no recording of a person.",
        *credits,
    ]
    return "\n".join([*lines, ""])


def write(work: Path, step: int | None, rows: list[dict[str, Any]]) -> str:
    """The whole card."""
    languages, used = languages_of(rows), speakers(work)
    codes, names = ", ".join(CODES[code] for code in languages), listed([NAMES[code] for code in languages])
    notes = [f"- {text}\n" for start, text in NOTES.items() if any(voice.startswith(start) for voice in used)]
    grown = GROWN.format(names=listed([NAMES[code] for code in LANGUAGES]))
    return "\n".join(
        [
            HEAD.format(codes=codes, names=names),
            results(rows),
            training(work, step),
            voices(used),
            LIMITS.format(count=COUNTS[len(languages)], notes="".join(notes)),
        ]
    ) + (grown if len(languages) < len(LANGUAGES) else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--step", type=int, help="of the exported weights, where training went on since")
    options = parser.parse_args()
    rows = json.loads((options.work / "evaluation.json").read_text())
    card = write(options.work, options.step, rows)
    (options.output / "README.md").write_text(card, encoding="utf-8")
    shutil.copy(options.work / "main" / "curves.png", options.output / "curves.png")
    print(f"{options.output / 'README.md'}: {len(card.splitlines())} lines")


if __name__ == "__main__":
    main()
