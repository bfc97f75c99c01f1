"""Measure running feature normalisation: its constants, and the text error that it costs.

    python -m tools.measure_normalisation --constants      # SPEECH_MEAN and SPEECH_DEVIATION of features.py
    python -m tools.measure_normalisation [--limit 60]     # word error rate, running against exact statistics

Clips are the phrasebook's (`tools/phrasebook/speak.py`), held out from training, with 300 ms of room noise before and
400 ms after them, as a segment has them. The running rows are decoded from the state of the still open segment.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from seamless_stream.audio.fbank import fbank
from seamless_stream.engine.decoding import decode
from seamless_stream.models.base import EncoderOutput, Listening
from seamless_stream.models.registry import load_model
from seamless_stream.models.seamless_m4t.model import SeamlessM4T
from seamless_stream.settings import DecodingSettings
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.evaluate import Item, spoken, word_error_rate
from tools.phrasebook.shards import ClipSet

ROOM_LEVEL = 0.0005
PRE_ROLL_SAMPLES, POST_ROLL_SAMPLES = 4_800, 6_400
BATCH = 20


def in_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The clip with a random level (-25 to +5 dB) between two stretches of room noise."""
    quiet = np.zeros(PRE_ROLL_SAMPLES, np.float32), np.zeros(POST_ROLL_SAMPLES, np.float32)
    whole = np.concatenate((quiet[0], samples * 10 ** (rng.uniform(-25, 5) / 20), quiet[1]))
    room: np.ndarray = (whole + ROOM_LEVEL * rng.standard_normal(len(whole))).astype(np.float32)
    return room


def items(work: Path, name: str, language: str, limit: int, clean: bool = False) -> Iterator[Item]:
    """Clips of one set in a room, or as they are between silences."""
    rng = np.random.default_rng(0)
    for item in spoken(work, name, language, limit):
        padded = np.pad(item.samples, (PRE_ROLL_SAMPLES, POST_ROLL_SAMPLES))
        hiss = (0.1 * ROOM_LEVEL * rng.standard_normal(len(padded))).astype(np.float32)
        yield Item(padded + hiss if clean else in_room(item.samples, rng), item.language, item.text)


def print_constants(work: Path, languages: Sequence[str], limit: int) -> None:
    """Mean over training clips of the mean, and root of the mean variance, bin by bin."""
    rng = np.random.default_rng(0)
    frames = []
    for language in languages:
        clips = ClipSet(work / "speech" / "train1" / language)
        for index in rng.choice(len(clips), limit, replace=False):
            frames.append(fbank(in_room(clips.samples(int(index)).astype(np.float32) / 32_768, rng)))
    mean = np.mean([f.mean(axis=0) for f in frames], axis=0)
    deviation = np.sqrt(np.mean([f.var(axis=0) for f in frames], axis=0))
    for name, values in (("SPEECH_MEAN", mean), ("SPEECH_DEVIATION", deviation)):
        print(f"{name} = np.array(\n    [" + ", ".join(f"{v:.1f}" for v in values) + "]\n)")


@torch.inference_mode()
def texts(model: SeamlessM4T, states: list[EncoderOutput], language: str) -> list[str]:
    """Greedy transcripts."""
    longest = max(part.states.shape[1] for part in states)
    padded = [
        torch.nn.functional.pad(part.states, (0, 0, 0, longest - part.states.shape[1])) for part in states
    ]
    encoded = EncoderOutput(torch.cat(padded), torch.cat([part.lengths for part in states]))
    answers = decode(model.decoder, encoded, model.prompt(language), DecodingSettings(max_new_tokens=60))
    prompt = len(model.prompt(language).token_ids)
    return [model.tokenizer.decode(answer.token_ids[prompt:]) for answer in answers]


def heard(
    model: SeamlessM4T, mode: str | None, samples: list[np.ndarray], after: Listening | None
) -> list[EncoderOutput]:
    """States of the segments; None: of the ended ones, with exact statistics."""
    segments = [model.open_segment(mode, after) for _ in samples]  # type: ignore[arg-type]
    listened = model.listen(segments, samples, [mode is None] * len(samples))
    return [part.encoded for part in listened if part.encoded is not None]


def measure(
    model: SeamlessM4T, work: Path, name: str, languages: Sequence[str], limit: int, clean: bool
) -> None:
    """One row of the table per language."""
    for language in languages:
        clips = list(items(work, name, language, limit, clean))
        [before] = model.listen([model.open_segment(None)], [clips[-1].samples], [True])
        row = []
        for mode, after in ((None, None), ("reencode", None), ("chunked", None), ("chunked", before)):
            answers: list[str] = []
            for at in range(0, len(clips), BATCH):
                samples = [clip.samples for clip in clips[at : at + BATCH]]
                answers += texts(model, heard(model, mode, samples, after), language)
            row.append(word_error_rate([clip.text[language] for clip in clips], answers))
        print(
            f"| {name} {language} | {len(clips)} | " + " | ".join(f"{w:.1f}" for w in row) + " |", flush=True
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--constants", action="store_true")
    parser.add_argument("--clean", action="store_true", help="no room noise, and the clips' own level")
    parser.add_argument("--model", default="phrasebook")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="of the phrasebook, for its speech")
    parser.add_argument("--languages", nargs="+", default=["eng", "spa"], help="default: eng spa")
    parser.add_argument("--limit", type=int, default=60, help="clips of each set and language")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.constants:
        return print_constants(arguments.work, arguments.languages, arguments.limit)
    model = load_model(arguments.model, device="cpu", dtype=torch.float32)
    assert isinstance(model, SeamlessM4T)
    print("| clips | number | exact | reencode, running | chunked, running | chunked, second segment |")
    print("|---|---|---|---|---|---|")
    measure(model, arguments.work, "seen", arguments.languages, arguments.limit, arguments.clean)


if __name__ == "__main__":
    main()
