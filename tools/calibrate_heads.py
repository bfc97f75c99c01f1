"""Find the heads of the text decoder that look at what is said, and write them beside the checkpoint.

    python -m tools.calibrate_heads --work DIR [--clips N] [--output CHECKPOINT]

For a checkpoint of one's own from tools/phrasebook; the bundled one was trained to look with two heads. Speech is
transcribed, because there token and sound have the same order: the true end of a token is the last frame of its last
letter on the best path of the phrasebook's own letter CTC. A head's score is the share of tokens whose frame (as
`engine.alignment` computes it) lies within two states of that; the best few heads together, as many as score best, are
the choice. For other checkpoints the same scores need word times from elsewhere.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn

from seamless_stream.engine.alignment import ROW, Alignment, Array, Row
from seamless_stream.models.checkpoint import ALIGNMENT_FILE
from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from seamless_stream.models.seamless_m4t.network import Network
from tools.phrasebook.batches import Batches, Example, examples_of
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.recipe import BLANK, CONFIG, Text, read_phrases

PARTS: Final = frozenset({"speech_encoder", "text_decoder"})
STACKED_PER_STATE: Final = 8  # stacked frames of 20 ms
STATES_PER_SECOND: Final = 6.25
TOLERANCE_STATES: Final = 2
MAX_HEADS: Final = 8
_IMPOSSIBLE: Final = -1e9

Head = tuple[int, int]  # layer, head
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Transcript:
    """One clip with its text forced through the decoder."""

    attention: Array  # [A, T, S] of all heads; a row for each position of the decoder, the prompt's included
    ends: Floats  # state where each free token ends; NaN for one without letters


@dataclass(frozen=True)
class Score:
    """How well frames fit the true ends."""

    hits: float  # share within the tolerance
    monotone: float  # share of neighbours in the right order
    bias: float  # states, positive: looks behind the end


# --- true ends ---------------------------------------------------------------------------------------


def letter_ends(log_probs: Floats, letters: Sequence[int]) -> list[int]:
    """The last frame of each letter on the best CTC path; log_probs [T, V]. Raises ValueError if there is none."""
    labels = np.full(2 * len(letters) + 1, BLANK)
    labels[1::2] = letters
    skips = np.zeros(len(labels), bool)  # over the blank, between letters that differ
    skips[2:] = (labels[2:] != BLANK) & (labels[2:] != labels[:-2])
    score = np.full(len(labels), _IMPOSSIBLE)
    score[:2] = log_probs[0, labels[:2]]
    steps = np.zeros((len(log_probs), len(labels)), np.int64)
    for t in range(1, len(log_probs)):
        one = np.concatenate(([_IMPOSSIBLE], score[:-1]))
        two = np.where(skips, np.concatenate(([_IMPOSSIBLE] * 2, score[:-2])), _IMPOSSIBLE)
        ways = np.stack((score, one, two))
        steps[t] = ways.argmax(axis=0)
        score = ways.max(axis=0) + log_probs[t, labels]
    place = len(labels) - 1 if score[-1] >= score[-2] else len(labels) - 2
    if score[place] < _IMPOSSIBLE / 2:
        raise ValueError(f"{len(letters)} letters must fit into the frames, but there are {len(log_probs)}.")
    ends = [-1] * len(letters)
    for t in range(len(log_probs) - 1, -1, -1):
        if place % 2 and ends[place // 2] < 0:
            ends[place // 2] = t
        place -= steps[t, place]
    return ends


def token_ends(pieces: Sequence[str], letter_ids: dict[str, int], ends: Sequence[int]) -> Floats:
    """The end of each piece's last letter; NaN where it has none. Raises ValueError if the spellings differ."""
    result = np.full(len(pieces), np.nan)
    num_letters = -1  # the CTC spells no border before the first word
    for i, piece in enumerate(pieces):
        for letter in piece.lower().replace("-", "▁"):
            num_letters += letter in letter_ids
            if letter in letter_ids and letter != "▁":
                result[i] = ends[num_letters - 1]
    if num_letters != len(ends):
        raise ValueError(f"The pieces must spell {len(ends)} letters, but spell {num_letters}.")
    return result


# --- scores ------------------------------------------------------------------------------------------


def frames_of(attention: Array, row: Row, median_frames: int, num_tokens: int) -> Floats:
    """The frame of every token, as the engine will compute it."""
    alignment = Alignment(NUM_PROMPT_TOKENS, row, median_frames)
    alignment.push(attention)
    return np.array(alignment.frames()[:num_tokens], dtype=np.float64)


def score(
    transcripts: Sequence[Transcript], heads: Sequence[int], row: Row = ROW, median_frames: int = 0
) -> Score:
    """The heads with these numbers, together."""
    errors, orders = [], []
    for item in transcripts:
        frames = frames_of(item.attention[list(heads)], row, median_frames, len(item.ends))
        known = ~np.isnan(item.ends)
        errors.append((frames - item.ends)[known])
        orders.append(np.diff(frames[known]) >= 0)
    error, order = np.concatenate(errors), np.concatenate(orders)
    return Score(float((np.abs(error) <= TOLERANCE_STATES).mean()), float(order.mean()), float(error.mean()))


def choose(transcripts: Sequence[Transcript], max_heads: int = MAX_HEADS) -> list[int]:
    """The best heads one by one, as many as are best together."""
    alone = [score(transcripts, [head]) for head in range(len(transcripts[0].attention))]
    ranked = sorted(range(len(alone)), key=lambda head: (-alone[head].hits, -alone[head].monotone, head))
    sizes = range(1, min(max_heads, len(ranked)) + 1)
    best = max(sizes, key=lambda size: (score(transcripts, ranked[:size]).hits, -size))
    return ranked[:best]


# --- the phrasebook ------------------------------------------------------------------------------------


class Phrasebook:
    """The weights that training has come to, with the letter CTC that belongs to them."""

    def __init__(self, work: Path) -> None:
        main = work / "main"
        self.text = Text(main / "sentencepiece.bpe.model")
        weights = load_file(main / "weights.safetensors")
        self.network = Network(CONFIG, PARTS)
        wanted = self.network.state_dict()
        self.network.load_state_dict({name: weights[name] for name in wanted})
        self.network.eval()
        self.ctc_head = nn.Linear(CONFIG.hidden_size, len(self.text.letters) + 1)
        self.ctc_head.load_state_dict(load_file(main / "ctc_head.safetensors"))
        self.heads: list[Head] = [
            (layer, head)
            for layer in range(CONFIG.decoder_layers)
            for head in range(CONFIG.decoder_attention_heads)
        ]
        self._batches = Batches([], [], self.text, seed=0)

    @torch.inference_mode()
    def transcript(self, example: Example) -> Transcript:
        """Raises ValueError where text and sound do not fit together."""
        batch = self._batches.collate([example], 0.0, plain=True)
        encoder = self.network.speech_encoder
        frames, _ = encoder.stream(batch.features, batch.lengths, encoder.init_state(1))
        states, lengths = encoder.adapt(frames, batch.lengths, batch.sizes)
        log_probs = self.ctc_head(frames[0, : int(batch.lengths[0])]).log_softmax(1).double().numpy()
        ends = letter_ends(log_probs, batch.letters.tolist())
        state = self.network.text_decoder.init_state(states, lengths)
        _, _, attention = self.network.decode(batch.targets[:, :-1], state, heads=self.heads)
        assert attention is not None
        ids = batch.targets[0, NUM_PROMPT_TOKENS:-1].tolist()
        pieces = [self.text.pieces.id_to_piece(i - 1) for i in ids]
        stacked = token_ends(pieces, self.text.letter_ids, ends)
        return Transcript(attention[0].numpy(), stacked / STACKED_PER_STATE)

    def transcripts(self, examples: Sequence[Example]) -> list[Transcript]:
        """Of all clips that can be aligned."""
        found = []
        for example in examples:
            try:
                found.append(self.transcript(example))
            except ValueError as error:
                print(f"{example.clip.key} ({example.language}) is left out: {error}")
        return found


def held_out(work: Path, num_clips: int) -> list[Example]:
    """The first clips of the held-out set, evenly of each language."""
    phrases = {p["key"]: p for p in read_phrases(work / "corpus" / "seen.jsonl")}
    examples = examples_of(work, ["seen"], phrases)
    by_language = [
        [e for e in examples if e.language == lang] for lang in sorted({e.language for e in examples})
    ]
    return [example for own in by_language for example in own[: num_clips // len(by_language)]]


def report(transcripts: Sequence[Transcript], heads: Sequence[Head], chosen: Sequence[int]) -> None:
    """Every head alone, then the choice with either row and with the median filter."""
    print("layer head  within 2 states  in order   bias")
    for number, (layer, head) in enumerate(heads):
        s = score(transcripts, [number])
        mark = "*" if number in chosen else " "
        print(f"{layer:5d} {head:4d}{mark} {100 * s.hits:13.1f} % {100 * s.monotone:8.1f} % {s.bias:+6.2f}")
    rows: tuple[Row, ...] = ("predicted", "given")
    for row in rows:
        for width in (0, 3, 5, 7):
            s = score(transcripts, chosen, row, width)
            print(
                f"row {row:9s} median {width}: {100 * s.hits:5.1f} % within 2 states, "
                f"{100 * s.monotone:5.1f} % in order, bias {s.bias:+.2f} states"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--output", type=Path, help="directory of the checkpoint; default: only show")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = Phrasebook(options.work)
    transcripts = model.transcripts(held_out(options.work, options.clips))
    chosen = choose(transcripts)
    report(transcripts, model.heads, chosen)
    document = {
        "heads": sorted(model.heads[number] for number in chosen),
        "frames_per_second": STATES_PER_SECOND,
        "source": f"{len(transcripts)} held-out clips of the phrasebook, aligned by its letter CTC",
    }
    print(json.dumps(document))
    if options.output:
        (options.output / ALIGNMENT_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
