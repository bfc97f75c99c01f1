"""Write the model card of the phrasebook checkpoint from what was measured.

    python -m tools.phrasebook.card --work DIR --output seamless_stream/checkpoints/phrasebook

Takes `evaluation.json`, what the exporter recorded of the training and the table of voices. It has no number of its
own: what was not measured is not in the card.
"""

import argparse
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.phrasebook.build import Scale
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.evaluate import BEAMS
from tools.phrasebook.recipe import CONFIG, LANGUAGES, read_phrases
from tools.phrasebook.run_log import RECORD_FILE
from tools.phrasebook.shards import read_index
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
- It was trained on synthetic voices and has heard no person{human}.
- Its {count} voices are synthetic (SVOX Pico) and are rebuilt from 20 ms units; intelligible at best, not pleasant.
{notes}- Not for medical, legal or safety-relevant use.

## Train one like it

```sh
make phrasebook                         # everything, from the grammar to a card like this one
python -m tools.phrasebook.evaluate     # the tables
```

`make phrasebook` trains {trained} together and from nothing, with `--steps {steps}` and otherwise the defaults of
`tools/phrasebook/train.py`. How this checkpoint came about is said above, under "Training".
"""

RESULTS = """## Results

Clean audio, no recording of it trained on; greedy where nothing else is said. Word error rate (WER), BLEU, and how
often the model says rightly which language it hears, in %.
"""
SETS = {
    "seen": "unseen sentences, voices of the training",
    "unseen": "unseen sentences, and voices that were never trained on; of their engines some were, in other voices",
    "human": "single words (numbers, days, months) read by people, from Debian's asterisk-core-sounds; the recordings "
    "were not trained on, the same words in synthetic voices were",
}
SPOKEN = """
Error rates of spoken output are counted against the text that the model itself wrote, so its errors of translation are
not in them; of the target voice, against what it was to say.
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


def table(columns: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown; `columns` by bars."""
    names = columns.split("|")
    return [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows)]


def unmeasured(heard: Sequence[dict[str, Any]], languages: Sequence[str]) -> str:
    """A sentence on the pairs whose translation nobody measured, where there are any."""
    pairs = itertools.combinations(languages, 2)
    done = {(row["source"], code) for row in heard for code in languages if f"s2tt_{code}_bleu" in row}
    left = [f"{NAMES[a]} and {NAMES[b]}" for a, b in pairs if not done & {(a, b), (b, a)}]
    return f"Trained but not measured is translation between {'; '.join(left)}.\n" if left else ""


def results(rows: list[dict[str, Any]]) -> str:
    """The tables of what was measured."""
    heard = [row for row in rows if "source" in row]
    lines = [RESULTS]
    cells = [
        [
            row["set"],
            row["source"],
            str(row["clips"]),
            *(percent(row, name) for name in ("asr_wer", "asr_beams_wer", "language_right")),
        ]
        for row in heard
    ]
    lines += [*table(f"set|spoken|clips|ASR WER|with {BEAMS} beams|language known", cells), ""]
    cells = [
        [row["set"], row["source"], target]
        + [percent(row, f"{task}_{target}_{what}") for task in ("s2tt", "t2tt") for what in ("bleu", "exact")]
        for row, target in itertools.product(heard, LANGUAGES)
        if f"s2tt_{target}_bleu" in row
    ]
    lines += table("set|from|to|speech translation BLEU|exact|text translation BLEU|exact", cells)
    lines += ["", unmeasured(heard, languages_of(rows))]
    lines += [f"- `{name}`: {text}." for name, text in SETS.items() if any(r["set"] == name for r in rows)]
    signatures = {row["signature"] for row in rows if "signature" in row}
    lines += ["", f"sacrebleu: `{'`, `'.join(sorted(signatures))}`.", ""]
    speech = [row for row in rows if "speech_wer" in row]
    if speech:
        cells = [
            [row["target"], str(row["clips"]), percent(row, "speech_wer"), percent(row, "voice_wer")]
            for row in speech
        ]
        lines += [*table("spoken output|clips|WER by Whisper base|the target voice itself", cells), SPOKEN]
    return "\n".join(lines)


def starts(runs: list[dict[str, Any]]) -> list[str]:
    """With which options each run was started, as far as that was kept."""
    lines, cells = [], []
    for number, run in enumerate(runs, 1):
        unknown = run["starts"][0]["step"] if run["starts"] else run["steps"]
        which = f" of run {number}" if len(runs) > 1 else ""
        lines += [f"The options of the first {unknown} steps{which} were not kept."] if unknown else []
        cells += [
            [str(number), str(s["step"]), s["machine"], f"`{spelled(s['options'])}`"] for s in run["starts"]
        ]
    columns = "run|from step|on|options of `tools/phrasebook/train.py`"
    return [*lines, "", *([*table(columns, cells), ""] if cells else [])]


def spelled(options: dict[str, Any]) -> str:
    """As on a command line."""
    words = []
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')} {' '.join(map(str, values))}"] if values else []
    return " ".join(words)


def training(work: Path, runs: list[dict[str, Any]]) -> str:
    """Architecture, steps and amounts of speech, as the logs have them."""
    lines = ["## Training", "", "![loss and held-out quality](curves.png)", ""]
    told = "; then ".join(
        f"{run['steps']} steps in {run['seconds'] / 3600:.1f} h in {listed([NAMES[c] for c in run['languages']])}"
        for run in runs
    )
    lines.append(
        f"{told}. Width"
        f" {CONFIG.hidden_size}, {CONFIG.speech_encoder_layers} conformer, {CONFIG.encoder_layers} text encoder and"
        f" {CONFIG.decoder_layers} decoder layers; attention chunks of"
        f" {CONFIG.speech_encoder_chunk_size} stacked frames with {CONFIG.speech_encoder_left_chunk_num} chunks to the"
        " left, so cached incremental encoding is exact."
    )
    lines += starts(runs)
    sentences = len(read_phrases(work / "corpus" / "train.jsonl"))
    lines += [
        f"{sentences} training sentences per language from the grammar in `tools/phrasebook/grammar`.",
        "",
    ]
    rows = []
    for directory in sorted((work / "speech").glob("*/*")):
        clips = read_index(directory)
        hours = sum(clip.length for clip in clips) / 16_000 / 3600
        rows.append([directory.parent.name, directory.name, str(len(clips)), f"{hours:.2f}"])
    return "\n".join([*lines, *table("speech|language|clips|hours", rows), ""])


def speakers(work: Path) -> dict[str, set[str]]:
    """Every voice that speaks -> the sets in which it does."""
    used: dict[str, set[str]] = {}
    for directory in (work / "speech").glob("*/*"):
        for voice in {clip.voice for clip in read_index(directory)}:
            used.setdefault(voice, set()).add(directory.parent.name)
    return used


def voices(used: dict[str, set[str]]) -> str:
    """The table of voices with their licences."""
    facts = {voice: VOICES[voice] for voice in sorted(used)}
    rows = [[name, v.language, v.licence, ", ".join(sorted(used[name]))] for name, v in facts.items()]
    lines = ["## Voices and licences", "", *table("voice|language|licence|sets", rows)]
    credits = [text for name, text in CREDITS.items() if any(voice.endswith(name) for voice in used)]
    lines += [
        "",
        "What ships is weights (MIT, as the package) and speech of the voices above; no recording of a person.",
        *credits,
    ]
    return "\n".join([*lines, ""])


def write(work: Path, rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> str:
    """The whole card, of what was measured and of the runs of training."""
    languages, used = languages_of(rows), speakers(work)
    codes, names = ", ".join(CODES[code] for code in languages), listed([NAMES[code] for code in languages])
    notes = [f"- {text}\n" for start, text in NOTES.items() if any(voice.startswith(start) for voice in used)]
    trained, steps = listed([NAMES[code] for code in LANGUAGES]), Scale().steps
    human = "; how it hears people say single words is in the row `human`"
    limits = {"count": COUNTS[len(languages)], "notes": "".join(notes), "trained": trained, "steps": steps}
    limits["human"] = human if any(row["set"] == "human" for row in rows) else ""
    parts = [HEAD.format(codes=codes, names=names), results(rows), training(work, runs), voices(used)]
    return "\n".join([*parts, LIMITS.format(**limits)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = json.loads((options.work / "evaluation.json").read_text(encoding="utf-8"))
    if not any(row["set"] == "seen" for row in rows):
        raise SystemExit("evaluation.json must have the part `text`: python -m tools.phrasebook.evaluate")
    runs = json.loads((options.output / RECORD_FILE).read_text(encoding="utf-8"))
    card = write(options.work, rows, runs)
    (options.output / "README.md").write_text(card, encoding="utf-8")
    shutil.copy(options.work / "main" / "curves.png", options.output / "curves.png")
    print(f"{options.output / 'README.md'}: {len(card.splitlines())} lines")


if __name__ == "__main__":
    main()
