"""Measure the phrasebook checkpoint on held-out speech and write the table of its model card.

    python -m tools.phrasebook.evaluate --work DIR [--model DIR] [--parts text human speech] [--limit N] [--pairs ...]

Everything runs through the product's own loader and decoder, greedy; held-out speech is transcribed with 5 beams, too.
Word error rate is over lower-cased words without punctuation (jiwer), BLEU is sacrebleu's with its signature. `speech`
lets Whisper base transcribe what the checkpoint says (never a dependency of the product), beside the target voice
itself; `human` reads what people recorded (human.py). Languages are those of the checkpoint; translation is measured,
both ways, between `--pairs` of them.

The file is written after every part, and keeps what other calls measured of the other parts with the same weights.
"""

import argparse
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import sacrebleu
import torch

from seamless_stream.engine.decoding import Decoded, decode, source_score
from seamless_stream.models.base import EncoderOutput
from seamless_stream.models.checkpoint import PHRASEBOOK_DIRECTORY, resolve
from seamless_stream.models.registry import load_model
from seamless_stream.models.seamless_m4t.model import SeamlessM4T
from seamless_stream.settings import DecodingSettings
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.files import write_text
from tools.phrasebook.human import FOLDERS, missing_packages, spoken_words
from tools.phrasebook.recipe import read_phrases
from tools.phrasebook.shards import ClipSet, read_index

PAIRS = ("eng-spa", "eng-fra", "eng-deu", "spa-fra")
SETTINGS = DecodingSettings(max_new_tokens=48)
BEAMS = 5  # with which Meta decodes
ROWS = {"text": ("seen", "unseen"), "human": ("human",), "speech": ("t2st",)}  # of each part, by their `set`
SPOKEN = {
    "text": ("seen", "unseen"),
    "human": (),
    "speech": ("seen", "target_heldout"),
}  # what each part hears

Row = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One held-out utterance: what was spoken, and what it should become."""

    samples: np.ndarray
    language: str
    text: dict[str, str]


def plain(text: str) -> str:
    """Lower-case words without punctuation; accents stay."""
    return " ".join(re.sub(r"[^\w'\s]", " ", unicodedata.normalize("NFC", text).lower()).split())


def word_error_rate(references: list[str], hypotheses: list[str]) -> float:
    """Per cent."""
    return 100 * float(jiwer.wer([plain(r) for r in references], [plain(h) for h in hypotheses]))


def spoken(work: Path, name: str, language: str, limit: int) -> Iterator[Item]:
    """Clips of a held-out set in a fixed random order: in its own one, the slow engines come last."""
    phrases = {p["key"]: p["text"] for p in read_phrases(work / "corpus" / f"{name}.jsonl")}
    clips = ClipSet(work / "speech" / name / language)
    usable = clips.saying({key: text[language] for key, text in phrases.items()})
    for index in np.random.default_rng(0).permutation(usable)[:limit]:
        samples = clips.samples(int(index)).astype(np.float32) / 32768
        yield Item(samples, language, phrases[clips.keys[int(index)]])


def human(language: str, limit: int) -> Iterator[Item]:
    """Single words by a professional speaker."""
    for samples, word in spoken_words(language, limit):
        yield Item(samples, language, {language: word})


class Evaluation:
    """One loaded checkpoint and the measures over it."""

    def __init__(self, model: SeamlessM4T, work: Path, limit: int, pairs: Sequence[str]) -> None:
        self.model, self.work, self.limit = model, work, limit
        self.languages = model.capabilities.source_languages
        self.pairs = [tuple(pair.split("-")) for pair in pairs]

    def targets(self, source: str) -> list[str]:
        """Languages into which translation is measured."""
        return [
            code for code in self.languages if (source, code) in self.pairs or (code, source) in self.pairs
        ]

    def decode(self, encoded: EncoderOutput, language: str, beams: int = 1) -> Decoded:
        """What was heard or read, written in a language."""
        settings = replace(SETTINGS, beams=beams)
        return decode(self.model.decoder, encoded, self.model.prompt(language), settings)[0]

    def encode(self, item: Item) -> EncoderOutput:
        """An utterance, as every transcript and translation of it takes it."""
        return self.model.encode_speech([self.model.features(item.samples)])

    def from_text(self, text: str, source: str, target: str) -> Decoded:
        """Translation of a text."""
        return self.decode(self.model.encode_text([self.model.tokenizer.encode_source(text, source)]), target)

    def heard(self, decoded: Decoded) -> str:
        """The language that the model says it hears."""
        decoder, hidden = self.model.decoder, decoded.hidden
        return max(self.languages, key=lambda code: source_score(decoder, hidden, self.model.prompt(code)))

    def text_of(self, decoded: Decoded) -> str:
        """Plain text of a hypothesis."""
        return self.model.tokenizer.decode(decoded.token_ids)

    def text_rows(self) -> list[dict[str, Any]]:
        """ASR, S2TT and T2TT of both held-out sets."""
        rows = []
        for name in ("seen", "unseen"):
            for source in self.languages:
                items = list(spoken(self.work, name, source, self.limit))
                encoded = [self.encode(item) for item in items]
                decoded = [self.decode(speech, source) for speech in encoded]
                beamed = [self.decode(speech, source, BEAMS) for speech in encoded]
                row: dict[str, Any] = {"set": name, "source": source, "clips": len(items)}
                for figure, found in (("asr_wer", decoded), ("asr_beams_wer", beamed)):
                    row[figure] = word_error_rate(
                        [i.text[source] for i in items], [self.text_of(d) for d in found]
                    )
                row["language_right"] = 100 * sum(self.heard(d) == source for d in decoded) / len(items)
                for target in self.targets(source):
                    references = [i.text[target] for i in items]
                    texts = {
                        "s2tt": [self.text_of(self.decode(speech, target)) for speech in encoded],
                        "t2tt": [self.text_of(self.from_text(i.text[source], source, target)) for i in items],
                    }
                    for task, said in texts.items():
                        bleu = sacrebleu.metrics.BLEU()
                        score = bleu.corpus_score(said, [references])
                        row[f"{task}_{target}_bleu"], row["signature"] = (
                            score.score,
                            str(bleu.get_signature()),
                        )
                        exact = sum(a == r for a, r in zip(said, references, strict=True))
                        row[f"{task}_{target}_exact"] = 100 * exact / len(items)
                rows.append(row)
                print(row, flush=True)
        return rows

    def human_rows(self) -> list[dict[str, Any]]:
        """Real people; not in any training set."""
        rows = []
        for language in (code for code in self.languages if code in FOLDERS):
            items = list(human(language, self.limit))
            decoded = [self.decode(self.encode(item), language) for item in items]
            heard = [self.text_of(d) for d in decoded]
            row: dict[str, Any] = {"set": "human", "source": language, "clips": len(items)}
            row["asr_wer"] = word_error_rate([i.text[language] for i in items], heard)
            row["language_right"] = 100 * sum(self.heard(d) == language for d in decoded) / len(items)
            rows.append(row)
            print(row, heard[:12], flush=True)
        return rows

    def speech_rows(
        self, transcribe: Callable[..., Any], score: Callable[..., float]
    ) -> list[dict[str, Any]]:
        """What Whisper understands of our speech, and of the target voice saying the same."""
        rows = []
        for target in self.languages:
            source = next(code for code in self.languages if code != target)
            items = list(spoken(self.work, "seen", source, self.limit))
            said, wanted = [], []
            for item in items:
                decoded = self.from_text(item.text[source], source, target)
                units = self.model.units([decoded.token_ids], [decoded.hidden], target)[0]
                repeated = np.repeat(units.ids, units.repeats).tolist()
                said += self.model.vocode([repeated], target, 0)
                wanted.append(self.text_of(decoded))
            row = {"set": "t2st", "target": target, "clips": len(items)}
            row["speech_wer"] = 100 * score(wanted, transcribe(said, target), target)
            voice = list(self._voice(target, {i.text[target] for i in items}))
            row["voice_wer"] = 100 * score(
                [t for t, _ in voice], transcribe([s for _, s in voice], target), target
            )
            rows.append(row)
            print(row, flush=True)
        return rows

    def _voice(self, language: str, texts: set[str]) -> Iterator[tuple[str, np.ndarray]]:
        phrases = read_phrases(self.work / "corpus" / "seen.jsonl")
        wanted = {p["key"]: p["text"][language] for p in phrases if p["text"][language] in texts}
        clips = ClipSet(self.work / "speech" / "target_heldout" / language)
        for index in clips.saying(wanted):
            yield wanted[clips.keys[index]], clips.samples(index).astype(np.float32) / 32768


def missing(work: Path, parts: Sequence[str], languages: Sequence[str]) -> list[str]:
    """What these parts would miss, in sentences."""
    sets = sorted({name for part in parts for name in SPOKEN[part]})
    folders = [work / "speech" / name / language for name in sets for language in languages]
    found = [f"`{folder}` must hold clips, but does not." for folder in folders if not read_index(folder)]
    if "human" in parts and (packages := missing_packages(languages)):
        found.append(f"Recordings of people are missing: apt-get install {' '.join(packages)}")
    return found


def merged(before: Sequence[Row], rows: Sequence[Row], part: str, weights: str) -> list[Row]:
    """The rows of all parts, with those of one measured again; what was measured with other weights is left out."""
    kept = [row for row in before if row.get("weights") == weights and row["set"] not in ROWS[part]]
    order = [name for names in ROWS.values() for name in names]
    return sorted(
        [*kept, *(row | {"weights": weights} for row in rows)], key=lambda row: order.index(row["set"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--model", type=Path, default=PHRASEBOOK_DIRECTORY)
    parser.add_argument("--parts", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    parser.add_argument("--limit", type=int, default=300, help="clips per set")
    parser.add_argument(
        "--pairs", nargs="+", default=PAIRS, metavar="XXX-YYY", help=f"default: {' '.join(PAIRS)}"
    )
    parser.add_argument("--threads", type=int)
    parser.add_argument("--output", type=Path, help="JSON of all rows; default: WORK/evaluation.json")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    output = options.output or options.work / "evaluation.json"
    tasks = None if "speech" in options.parts else ("asr", "t2tt")
    model = load_model(str(options.model), device="cpu", dtype=torch.float32, tasks=tasks)
    assert isinstance(model, SeamlessM4T)
    evaluation = Evaluation(model, options.work, options.limit, options.pairs)
    if problems := missing(options.work, options.parts, evaluation.languages):
        raise SystemExit("\n".join(problems))
    measures = {"text": evaluation.text_rows, "human": evaluation.human_rows}
    if "speech" in options.parts:
        from tools.phrasebook import judge

        judge.assemble()
        measures["speech"] = lambda: evaluation.speech_rows(judge.transcribe, judge.word_error_rate)
    weights = resolve(str(options.model)).identity
    for part in (part for part in ROWS if part in options.parts):
        rows = measures[part]()
        before = json.loads(output.read_text(encoding="utf-8")) if output.exists() else []
        text = json.dumps(merged(before, rows, part, weights), indent=1, ensure_ascii=False)
        write_text(output, text + "\n")


if __name__ == "__main__":
    main()
