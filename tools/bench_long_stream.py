"""Whether an hour-long stream stays as quick and as small as it was in its second minute.

    python -m tools.bench_long_stream [--minutes 60] [--speech] [--threads N] [--timer cpu] [--json FILE]

One live session hears speech with pauses, clips in random order with random gaps, on the simulated clock of
bench_sessions: an hour takes as long as its computing. Passes if in the last minute the median lag of finals is within
100 ms, and resident memory within 1 MB, of those in the second minute.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from seamless_stream.engine.engine import Engine
from seamless_stream.models.registry import load_model
from seamless_stream.settings import PolicySettings
from tools.bench_sessions import (
    CHUNK_S,
    CHUNK_SAMPLES,
    SAMPLE_RATE,
    TIMERS,
    Clock,
    Lags,
    Speaker,
    Track,
    load_tracks,
    percentile,
    play,
    rss_bytes,
    session_settings,
)
from tools.make_long_recordings import ROOM_RMS
from tools.phrasebook.corpus import DEFAULT_WORK

MAX_LAG_CHANGE_S = 0.1
MAX_MEMORY_CHANGE_BYTES = 1_000_000
REFERENCE_MINUTE = 2  # the first one makes buffers and caches


@dataclass(frozen=True)
class Minute:
    """One minute of the source, and what is known at its end."""

    number: int
    final_p50_s: float | None
    num_finals: int
    rss_bytes: float  # median over the minute
    held_bytes: float  # most that the session held
    num_dropped: int
    busy_s: float


def talk(track: Track, minutes: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Chunks: pieces of the track of 4 to 12 s with gaps of 0.2 to 3 s between; nothing long is ever held."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    num_left = round(60 * minutes / CHUNK_S)
    while num_left:
        length = int(rng.uniform(4, 12) * SAMPLE_RATE)
        start = int(rng.integers(max(1, len(track.samples) - length)))
        gap = int(rng.uniform(0.2, 3) * SAMPLE_RATE)
        parts += [
            track.samples[start : start + length],
            rng.normal(0, ROOM_RMS, gap).astype(np.float32),
        ]
        whole = np.concatenate(parts)
        num_chunks = min(len(whole) // CHUNK_SAMPLES, num_left)
        for i in range(num_chunks):
            yield whole[i * CHUNK_SAMPLES : (i + 1) * CHUNK_SAMPLES].copy()
        num_left -= num_chunks
        parts = [whole[num_chunks * CHUNK_SAMPLES :].copy()]


class Minutes:
    """Cuts a run into minutes of its source while it goes on."""

    def __init__(self, speaker: Speaker, engine: Engine, clock: Clock, lags: Lags) -> None:
        self.found: list[Minute] = []
        self._speaker, self._engine, self._clock, self._lags = speaker, engine, clock, lags
        self._last_second = 0
        self._begin()

    def _begin(self) -> None:
        self._rss: list[int] = []
        self._held = 0.0
        self._busy_s, self._num_dropped = self._clock.busy_s, self._lags.num_dropped
        self._lags.words.clear()  # only finals are looked at, and nothing here may grow with the stream
        self._lags.speech.clear()
        self._lags.finals.clear()

    def watch(self) -> None:
        """After every step."""
        self._held = max(self._held, *(row["nbytes"] for row in self._engine.stats()))
        second = int(self._speaker.session.position_s)
        if second == self._last_second:
            return
        is_over = second // 60 > self._last_second // 60
        self._last_second = second
        self._rss.append(rss_bytes())
        if is_over:
            self._end()

    def _end(self) -> None:
        lags = self._lags
        minute = Minute(
            len(self.found) + 1,
            percentile(lags.finals, 50),
            len(lags.finals),
            float(np.median(self._rss)),
            self._held,
            lags.num_dropped - self._num_dropped,
            self._clock.busy_s - self._busy_s,
        )
        self.found.append(minute)
        if minute.number <= 3 or minute.number % 5 == 0:
            print(line(minute), flush=True)
        self._begin()


HEADER = "| minute | finals | lag p50, s | MB resident | kB held | dropped | computing, s |\n|" + "---|" * 7


def line(minute: Minute) -> str:
    """Of the table."""
    lag = "-" if minute.final_p50_s is None else f"{minute.final_p50_s:.3f}"
    memory = f"{minute.rss_bytes / 1e6:.2f} | {minute.held_bytes / 1e3:.0f}"
    return (
        f"| {minute.number} | {minute.num_finals} | {lag} | {memory} | {minute.num_dropped} "
        f"| {minute.busy_s:.1f} |"
    )


def verdict(minutes: list[Minute]) -> tuple[bool, str]:
    """Whether the last minute is as the second one, and by how much it is not."""
    early, late = minutes[REFERENCE_MINUTE - 1], minutes[-1]
    if early.final_p50_s is None or late.final_p50_s is None:
        return False, "failed: a minute without a final text"
    lag_s, memory = late.final_p50_s - early.final_p50_s, late.rss_bytes - early.rss_bytes
    is_fine = abs(lag_s) <= MAX_LAG_CHANGE_S and abs(memory) <= MAX_MEMORY_CHANGE_BYTES
    text = f"minute {late.number} against minute {early.number}: lag {1e3 * lag_s:+.0f} ms, resident memory"
    return is_fine, f"{'passed' if is_fine else 'failed'}: {text} {memory / 1e6:+.2f} MB"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="phrasebook")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="of the phrasebook, for its speech")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--policy", default="alignatt")
    parser.add_argument("--speech", action="store_true", help="spoken translation, not text alone")
    parser.add_argument("--timer", choices=TIMERS, default="wall", help="cpu: on a busy machine, one thread")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.minutes <= REFERENCE_MINUTE:
        parser.error(f"--minutes must be above {REFERENCE_MINUTE}, but is {options.minutes}")
    if options.timer == "cpu" and options.threads != 1:
        parser.error("--timer cpu needs --threads 1: it would count the time of every thread")
    return options


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load_model(options.model, device="cpu", dtype=torch.float32)
    [track, *_] = load_tracks(options.work)
    engine = Engine(model)
    policy = PolicySettings(name=options.policy)
    session = engine.open(session_settings(track.target, policy, speaks=options.speech, is_live=True))
    speaker = Speaker(session, talk(track, options.minutes), 0.0)
    clock, lags = Clock(TIMERS[options.timer]), Lags()
    minutes = Minutes(speaker, engine, clock, lags)
    print(f"{options.policy}, {torch.get_num_threads()} threads; speech: {track.name}\n\n{HEADER}")
    play(engine, [speaker], clock, lags, minutes.watch)
    is_fine, text = verdict(minutes.found)
    print(f"\n{text}")
    if options.json:
        figures = {"speech": track.name, "minutes": [asdict(minute) for minute in minutes.found]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(not is_fine)


if __name__ == "__main__":
    main()
