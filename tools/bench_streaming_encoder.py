"""Time `listen` of a checkpoint: a chunk early and late in a segment, and many sessions in one batch or one by one.

    python tools/bench_streaming_encoder.py [--model phrasebook] [--mode chunked] [--rounds 15] [--threads 1]

Machines change speed within minutes, so what is compared alternates within each round: the ratio of each round is
taken, and the median and the middle half of the ratios are what to quote.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from seamless_stream.models.base import EncoderMode, Listening, SpeechTranslator
from seamless_stream.models.registry import load_model

SAMPLE_RATE = 16_000
STEP_SAMPLES = 5_120  # 320 ms: one chunk of the phrasebook, one step of the other modes
NO_SAMPLES = np.zeros(0, np.float32)


def listeners(model: SpeechTranslator, mode: EncoderMode, seconds: float, count: int) -> list[Listening]:
    """`count` segments of which `seconds` are heard."""
    rng = np.random.default_rng(0)
    samples = (0.05 * rng.standard_normal(round(seconds * SAMPLE_RATE) // 320 * 320)).astype(np.float32)
    segments = [model.open_segment(mode) for _ in range(count)]
    return model.listen(segments, [samples] * count, [False] * count)


def timed_ms(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def middle(values: list[float]) -> str:
    """Median and middle half."""
    low, _, high = statistics.quantiles(values, n=4)
    return f"{statistics.median(values):6.2f} [{low:.2f}-{high:.2f}]"


def step(model: SpeechTranslator, segments: list[Listening], samples: np.ndarray) -> list[Listening]:
    """One more step of each."""
    return model.listen(segments, [samples] * len(segments), [False] * len(segments))


def bench_history(model: SpeechTranslator, mode: EncoderMode, rounds: int) -> None:
    """One step of one session after 2 s and after 12 s."""
    new = (0.05 * np.random.default_rng(1).standard_normal(STEP_SAMPLES)).astype(np.float32)
    early, late = (listeners(model, mode, seconds, 1) for seconds in (2, 12))
    pairs = []
    for _ in range(rounds):
        pairs.append((timed_ms(lambda: step(model, early, new)), timed_ms(lambda: step(model, late, new))))
    print(f"| {mode} | {middle([a for a, _ in pairs])} | {middle([b for _, b in pairs])} ", end="")
    print(f"| {middle([b / a for a, b in pairs])} | {late[0].nbytes / 1e6:.2f} |")


def bench_batch(model: SpeechTranslator, mode: EncoderMode, count: int, rounds: int) -> None:
    """One step of `count` sessions with 6 s of history, together and one by one."""
    new = (0.05 * np.random.default_rng(1).standard_normal(STEP_SAMPLES)).astype(np.float32)
    segments = listeners(model, mode, 6, count)
    together, alone = [], []
    for _ in range(rounds):
        together.append(timed_ms(lambda: step(model, segments, new)))
        alone.append(timed_ms(lambda: [step(model, [segment], new) for segment in segments]))
    ratios = [b / a for a, b in zip(together, alone, strict=True)]
    print(f"| {mode} | {count} | {middle(together)} | {middle(alone)} | {middle(ratios)} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="phrasebook")
    parser.add_argument("--mode", action="append", choices=["chunked", "reencode", "windowed"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_model(arguments.model, device="cpu", dtype=torch.float32)
    modes = arguments.mode or list(model.capabilities.encoder_modes)
    print("One session; ms a step of 320 ms, median [middle half]\n")
    print("| mode | after 2 s | after 12 s | ratio | MB held after 12 s |\n|---|---|---|---|---|")
    for mode in modes:
        bench_history(model, mode, arguments.rounds)
    print("\nMany sessions, 6 s heard; ms a step of all\n")
    print("| mode | sessions | one batch | one by one | gain |\n|---|---|---|---|---|")
    for mode in modes:
        for count in (1, 8, 32):
            bench_batch(model, mode, count, max(3, arguments.rounds // (1 + count // 8)))


if __name__ == "__main__":
    main()
