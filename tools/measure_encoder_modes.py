"""How far the states of an open segment are from the offline model's, by mode, chunk, left context and right reach.

    python -m tools.measure_encoder_modes [--model phrasebook] [--clips 20] [FILE ...]

Cosine of each state with the offline state of the same place, by position from the end (1: the newest), and how many
greedy tokens are those of the offline model. The states are those at the last grid point before the end.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from seamless_stream.audio.files import AudioFile
from seamless_stream.engine.decoding import decode
from seamless_stream.models.base import EncoderMode, EncoderOutput
from seamless_stream.models.registry import load_model
from seamless_stream.models.seamless_m4t import listening
from seamless_stream.models.seamless_m4t.listening import Reach
from seamless_stream.models.seamless_m4t.model import SeamlessM4T
from seamless_stream.settings import DecodingSettings
from tools.phrasebook.corpus import DEFAULT_WORK

POSITIONS = (1, 2, 3, 4, 6, 8, 12)


@dataclass(frozen=True)
class Case:
    """One row; chunk and left chunks of None are the checkpoint's own."""

    mode: EncoderMode
    chunk: int | None = None
    left_chunks: int | None = None
    reach: Reach = Reach()

    @property
    def name(self) -> str:
        """What is special about it."""
        parts = [] if self.chunk is None else [f"chunk {self.chunk}, left {self.left_chunks}"]
        if self.mode == "windowed":
            parts.append(f"right {self.reach.right_frames}, left {self.reach.left_frames}")
        return ", ".join([self.mode, *parts])


def cases() -> list[Case]:
    """Frames of 20 ms."""
    windowed = [Case("windowed", reach=Reach(16, right, 200)) for right in (0, 32, 48)]
    chunked = [Case("chunked", chunk, 256 // chunk) for chunk in (16, 32, 64)]
    return [Case("reencode"), Case("chunked"), *windowed, *chunked]


def tokens(model: SeamlessM4T, encoded: EncoderOutput, language: str) -> list[int]:
    """Greedy free tokens."""
    prompt = model.prompt(language)
    [answer] = decode(model.decoder, encoded, prompt, DecodingSettings(max_new_tokens=60))
    return answer.token_ids[len(prompt.token_ids) :]


@torch.inference_mode()
def measure(model: SeamlessM4T, case: Case, clips: list[np.ndarray], language: str) -> str:
    """One row of the table."""
    conformer = model.network.speech_encoder.conformer
    own = conformer.chunk_size, conformer.left_chunks
    cosines: dict[int, list[float]] = {position: [] for position in POSITIONS}
    same = total = 0
    for samples in clips:
        [ended] = model.listen([model.open_segment(None)], [samples], [True])
        if case.chunk is not None and case.left_chunks is not None:
            conformer.chunk_size, conformer.left_chunks = case.chunk, case.left_chunks
        encoder = model.network.speech_encoder
        segment = listening.open_segment(encoder, case.mode, None, case.reach)
        [heard] = listening.listen(encoder, [segment], [samples], [False])
        conformer.chunk_size, conformer.left_chunks = own
        if heard.encoded is None or ended.encoded is None:
            continue
        states, exact = heard.encoded.states[0], ended.encoded.states[0]
        likeness = torch.cosine_similarity(states, exact[: len(states)], dim=1).tolist()
        for position in POSITIONS:
            if position <= len(likeness):
                cosines[position].append(likeness[-position])
        ours, theirs = (tokens(model, part, language) for part in (heard.encoded, ended.encoded))
        same += sum(a == b for a, b in zip(ours, theirs, strict=False))
        total += max(len(ours), len(theirs))
    values = " | ".join(f"{np.mean(cosines[p]):.3f}" if cosines[p] else "-" for p in POSITIONS)
    return f"| {case.name} | {values} | {100 * same / max(1, total):.0f} % |"


def read(paths: list[str], work: Path, source: str, limit: int) -> list[np.ndarray]:
    """Files given, or held-out clips of the phrasebook."""
    if paths:
        return [np.concatenate(list(AudioFile(path).chunks(16_000)))[: 14 * 16_000] for path in paths]
    from tools.measure_normalisation import items  # it needs the packages of the evaluation

    return [item.samples for item in items(work, "seen", source, limit)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*")
    parser.add_argument("--model", default="phrasebook")
    parser.add_argument("--language", default="eng", help="target of the greedy tokens")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="of the phrasebook, without files")
    parser.add_argument("--source", default="eng", help="of the phrasebook's clips")
    parser.add_argument("--clips", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model, device="cpu", dtype=torch.float32)
    assert isinstance(model, SeamlessM4T)
    clips = read(arguments.files, arguments.work, arguments.source, arguments.clips)
    print("| mode | " + " | ".join(f"-{p}" for p in POSITIONS) + " | same tokens |")
    print("|---" * (len(POSITIONS) + 2) + "|")
    for case in cases():
        print(measure(model, case, clips, arguments.language), flush=True)


if __name__ == "__main__":
    main()
