"""How many live sessions one engine carries in real time, and what batching them gains.

    python -m tools.bench_sessions [--sessions 1,8,16,32,64] [--seconds 30] [--speech] [--threads N] [--json FILE]

Time is simulated: a chunk of 100 ms of each session is heard when the clock says so, and the clock goes on by the time
that hearing and computing take, or waits for the next chunk. A lag is the time from when a text's newest audio was
heard to the text. Stops at the first count whose 95th percentile is above a second, or that leaves something out.
"""

import argparse
import ctypes
import gc
import heapq
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from seamless_stream.audio.files import AudioFile
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.session import Session
from seamless_stream.events import Event, Failed, Final, Partial, Skipped, Speech
from seamless_stream.models.base import SpeechTranslator
from seamless_stream.models.registry import load_model
from seamless_stream.settings import EngineSettings, PolicySettings, SessionSettings
from tools.make_long_recordings import join, noise, sentences
from tools.phrasebook.corpus import DEFAULT_WORK

SAMPLE_RATE = 16_000
CHUNK_SAMPLES = 1_600
CHUNK_S = CHUNK_SAMPLES / SAMPLE_RATE
MAX_LAG_S = 1.0
TRACK_S = 180  # of speech that is repeated; longer than a run, so that no session hears anything twice
SAMPLES = Path(__file__).parent.parent / "seamless_stream/checkpoints/samples"
DIRECTIONS = (("eng", "spa", "english.flac"), ("spa", "eng", "spanish.flac"))
TIMERS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True, eq=False)
class Track:
    """Speech with pauses [N], and what to translate it into."""

    samples: np.ndarray
    target: str
    name: str = ""  # where it is from

    def chunks(self, offset_samples: int) -> Iterator[np.ndarray]:
        """From there on, again and again."""
        for start in itertools.count(offset_samples, CHUNK_SAMPLES):
            places = np.arange(start, start + CHUNK_SAMPLES) % len(self.samples)
            yield self.samples[places]


def load_tracks(work: Path) -> list[Track]:
    """One for each direction: held-out sentences where they are, else the bundled recordings."""
    rng = np.random.default_rng(0)
    tracks = []
    for source, target, name in DIRECTIONS:
        try:
            found = sentences(work.expanduser(), "seen", source, target)
            samples, _ = join((found[i] for i in rng.permutation(len(found))), TRACK_S, (0.3, 1.5), rng)
            samples += noise(len(samples), None, rng)
            origin = f"held-out {source}"
        except FileNotFoundError:
            with AudioFile(SAMPLES / name) as file:
                samples = np.concatenate(list(file.chunks(CHUNK_SAMPLES)))
            origin = f"bundled {name}"
        tracks.append(Track(samples, target, f"{origin}, {len(samples) / SAMPLE_RATE:.0f} s"))
    return tracks


def session_settings(target: str, policy: PolicySettings, *, speaks: bool, is_live: bool) -> SessionSettings:
    return SessionSettings((target,), task="s2st" if speaks else "s2tt", policy=policy, is_live=is_live)


def rss_bytes() -> int:
    """Memory of this process that is resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def give_back_memory() -> None:
    """Free memory to the system, so that what a run needs can be seen."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


# --- simulated time ---


@dataclass
class Clock:
    """Simulated time: computing makes it go on, and waiting for the source."""

    timer: Callable[[], float]
    now_s: float = 0.0
    busy_s: float = 0.0

    def measure(self, work: Callable[[], object]) -> object:
        """Do it, and let the time pass that it takes."""
        begun = self.timer()
        result = work()
        taken = self.timer() - begun
        self.now_s += taken
        self.busy_s += taken
        return result


@dataclass
class Lags:
    """What came out of all sessions and how long after its newest audio was heard, in seconds."""

    words: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    speech: list[float] = field(default_factory=list)
    num_dropped: int = 0  # audio or speech
    num_guarded: int = 0
    num_failed: int = 0


class Ear:
    """Reads the events of one session; knows of each what had been heard of its segment when it was made."""

    def __init__(self, session: Session, start_s: float) -> None:
        self._session = session
        self._start_s = start_s  # on the simulated clock
        self._heard: dict[int, list[float]] = {}  # of the events of each segment that were not read yet
        self._num_words: dict[int, int] = {}

    def look(self) -> None:
        """After every step: the events of a segment may have to wait for those of an earlier one."""
        for segment in self._session.segments:
            heard = self._heard.setdefault(segment.number, [])
            place_s = (segment.start_samples + segment.num_given) / SAMPLE_RATE
            heard += [self._start_s + place_s] * (len(segment.events) - len(heard))

    def read(self, now_s: float, lags: Lags) -> None:
        """Everything new."""
        self.look()
        for event in self._session.events():
            self._take(event, now_s - self._heard[event.segment].pop(0), lags)
        known = {segment.number for segment in self._session.segments}
        self._heard = {number: places for number, places in self._heard.items() if number in known}
        self._num_words = {number: count for number, count in self._num_words.items() if number in known}

    def _take(self, event: Event, lag_s: float, lags: Lags) -> None:
        if isinstance(event, Partial | Final):
            text = event.text if isinstance(event, Final) else event.committed
            new = len(text.split()) - self._num_words.get(event.segment, 0)
            self._num_words[event.segment] = len(text.split())
            lags.words += [lag_s] * new
            lags.finals += [lag_s] * isinstance(event, Final)
        elif isinstance(event, Speech):
            lags.speech.append(lag_s)
        elif isinstance(event, Skipped):
            lags.num_dropped += event.what != "text"
            lags.num_guarded += event.what == "text"
        elif isinstance(event, Failed):
            lags.num_failed += 1


class Speaker:
    """Somebody who talks into a session: a chunk every 100 ms, until there are no more."""

    def __init__(self, session: Session, chunks: Iterator[np.ndarray], start_s: float) -> None:
        self.session = session
        self.ear = Ear(session, start_s)
        self.due_s = start_s + CHUNK_S  # when its next chunk is complete
        self._chunks = chunks

    def talk(self) -> bool:
        """The next chunk; False: that was all."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.session.finish()
            return False
        self.session.push(chunk)
        self.due_s += CHUNK_S
        return True


def play(
    engine: Engine,
    speakers: Sequence[Speaker],
    clock: Clock,
    lags: Lags,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Until all have said everything and all of it is translated; `watch` is called after every step."""
    waiting = [(speaker.due_s, number) for number, speaker in enumerate(speakers)]
    heapq.heapify(waiting)
    has_worked = True
    while waiting or has_worked:
        if not has_worked:
            clock.now_s = max(clock.now_s, waiting[0][0])
        while waiting and waiting[0][0] <= clock.now_s:
            _, number = heapq.heappop(waiting)
            if clock.measure(speakers[number].talk):
                heapq.heappush(waiting, (speakers[number].due_s, number))
            speakers[number].ear.look()
        has_worked = bool(clock.measure(engine.step))
        for speaker in speakers:
            speaker.ear.read(clock.now_s, lags)
        watch()


# --- one row of the table ---


@dataclass(frozen=True)
class Row:
    """Figures of one count of sessions; None where nothing came out."""

    sessions: int
    speaks: bool
    num_words: int
    lag_p50_s: float | None  # of committed words and finals
    lag_p95_s: float | None
    lag_p99_s: float | None
    final_p50_s: float | None
    final_p95_s: float | None
    speech_p95_s: float | None
    num_dropped: int
    num_guarded: int
    num_failed: int
    max_level: int  # of relief
    busy: float  # computing per second of the clock
    held_kb: float  # most memory of a session, as the engine knows it
    rss_kb: float  # most resident memory that was added, per session

    @property
    def is_carried(self) -> bool:
        return bool(
            not self.num_dropped
            and not self.num_failed
            and self.lag_p95_s is not None
            and self.lag_p95_s <= MAX_LAG_S
        )


def percentile(values: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None


def run(
    model: SpeechTranslator,
    tracks: Sequence[Track],
    count: int,
    seconds: float,
    timer: str,
    policy: PolicySettings,
    *,
    speaks: bool,
) -> Row:
    """`count` sessions at once, each somewhere else in a track and its chunks at another time."""
    give_back_memory()
    rss_before = rss_bytes()
    # The admission is not what is measured here: everybody may come.
    engine = Engine(model, EngineSettings(max_sessions=count, max_load=1.0))
    speakers = []
    num_chunks = round(seconds / CHUNK_S)
    for number in range(count):
        track = tracks[number % len(tracks)]
        session = engine.open(session_settings(track.target, policy, speaks=speaks, is_live=True))
        offset = round(number * 0.618 % 1 * len(track.samples))
        chunks = itertools.islice(track.chunks(offset), num_chunks)
        speakers.append(Speaker(session, chunks, number / count * CHUNK_S))
    clock, lags = Clock(TIMERS[timer]), Lags()
    peaks = {"held": 0.0, "rss": 0.0, "level": 0.0}

    def watch() -> None:
        stats = engine.stats()
        peaks["held"] = max(peaks["held"], *(row["nbytes"] for row in stats))
        peaks["level"] = max(peaks["level"], *(row["overload_level"] for row in stats))
        peaks["rss"] = max(peaks["rss"], rss_bytes() - rss_before)

    play(engine, speakers, clock, lags, watch)
    texts = lags.words + lags.finals
    return Row(
        sessions=count,
        speaks=speaks,
        num_words=len(lags.words),
        lag_p50_s=percentile(texts, 50),
        lag_p95_s=percentile(texts, 95),
        lag_p99_s=percentile(texts, 99),
        final_p50_s=percentile(lags.finals, 50),
        final_p95_s=percentile(lags.finals, 95),
        speech_p95_s=percentile(lags.speech, 95),
        num_dropped=lags.num_dropped,
        num_guarded=lags.num_guarded,
        num_failed=lags.num_failed,
        max_level=int(peaks["level"]),
        busy=clock.busy_s / clock.now_s,
        held_kb=peaks["held"] / 1e3,
        rss_kb=peaks["rss"] / 1e3 / count,
    )


HEADER = (
    "| sessions | output | words | lag p50 | p95 | p99, s | final p50 | p95, s | speech p95, s | dropped | guards"
    " | relief | busy | kB held | kB resident |\n|" + "---|" * 15
)


def line(row: Row) -> str:
    """Of the table."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    lags = (row.lag_p50_s, row.lag_p95_s, row.lag_p99_s, row.final_p50_s, row.final_p95_s, row.speech_p95_s)
    cells = [str(row.sessions), "speech" if row.speaks else "text", str(row.num_words), *map(number, lags)]
    cells += [str(row.num_dropped), str(row.num_guarded), str(row.max_level), f"{100 * row.busy:.0f} %"]
    return "| " + " | ".join([*cells, f"{row.held_kb:.0f}", f"{row.rss_kb:.0f}"]) + " |"


# --- batching ---


def work_through(
    engines: Sequence[Engine], parts: Sequence[tuple[SessionSettings, list[np.ndarray]]]
) -> None:
    """All chunks of all sessions as fast as it goes: one engine for all of them, or one after another."""
    share = len(parts) // len(engines)
    for number, engine in enumerate(engines):
        own = parts[number * share : (number + 1) * share]
        sessions = [engine.open(settings) for settings, _ in own]
        for chunks in itertools.zip_longest(*(chunks for _, chunks in own)):
            for session, chunk in zip(sessions, chunks, strict=True):
                session.push(chunk)
            while engine.step():
                pass
        for session in sessions:
            session.finish()
        while engine.step():
            pass
        for session in sessions:
            engine.close(session)


def bench_batching(
    model: SpeechTranslator,
    tracks: Sequence[Track],
    count: int,
    seconds: float,
    rounds: int,
    timer: str,
    policy: PolicySettings,
    *,
    speaks: bool,
) -> dict[str, float]:
    """Time of the same work one session after another over the time together: median and range over the rounds."""
    parts = []
    for number in range(count):
        track = tracks[number % len(tracks)]
        settings = session_settings(track.target, policy, speaks=speaks, is_live=False)
        chunks = track.chunks(round(number * 0.618 % 1 * len(track.samples)))
        parts.append((settings, list(itertools.islice(chunks, round(seconds / CHUNK_S)))))
    together, alone = [Engine(model)], [Engine(model) for _ in range(count)]
    ratios, times = [], []
    for _ in range(rounds):
        clock_together, clock_alone = Clock(TIMERS[timer]), Clock(TIMERS[timer])
        clock_together.measure(lambda: work_through(together, parts))
        clock_alone.measure(lambda: work_through(alone, parts))
        ratios.append(clock_alone.busy_s / clock_together.busy_s)
        times.append(clock_together.busy_s)
    return {
        "sessions": count,
        "speaks": speaks,
        "gain": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "together_s_per_audio_s": statistics.median(times) / (count * seconds),
    }


# --- command line ---


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="phrasebook")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="of the phrasebook, for its speech")
    parser.add_argument("--sessions", default="1,8,16,32,64,96,128", help="counts, in this order")
    parser.add_argument("--seconds", type=float, default=30.0, help="of audio in each session")
    parser.add_argument("--policy", default="alignatt")
    parser.add_argument("--speech", action="store_true", help="spoken translation, not text alone")
    parser.add_argument("--gain", default="8,32", help="counts for the gain of batching; empty: none")
    parser.add_argument("--gain-seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5, help="of the gain of batching")
    parser.add_argument("--timer", choices=TIMERS, default="wall", help="cpu: on a busy machine, one thread")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.timer == "cpu" and options.threads != 1:
        parser.error("--timer cpu needs --threads 1: it would count the time of every thread")
    return options


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    policy = PolicySettings(name=options.policy)
    model = load_model(options.model, device="cpu", dtype=torch.float32)
    tracks = load_tracks(options.work)
    run(model, tracks, 1, 4, options.timer, policy, speaks=options.speech)  # the first steps are slow
    print(f"{options.policy}, {options.seconds:g} s a session, {torch.get_num_threads()} threads")
    print(f"speech: {'; '.join(track.name for track in tracks)}\n\n{HEADER}")
    rows = []
    for count in map(int, options.sessions.split(",")):
        rows.append(run(model, tracks, count, options.seconds, options.timer, policy, speaks=options.speech))
        print(line(rows[-1]), flush=True)
        if not rows[-1].is_carried:
            break
    print(f"\ncarried: {max((row.sessions for row in rows if row.is_carried), default=0)} sessions")
    gains = []
    for count in map(int, filter(None, options.gain.split(","))):
        rest = (options.gain_seconds, options.rounds, options.timer, policy)
        gains.append(found := bench_batching(model, tracks, count, *rest, speaks=options.speech))
        print(
            f"{count} sessions in one engine against one after another: {found['gain']:.2f} times as fast"
            f" [{found['least']:.2f} .. {found['most']:.2f}]",
            flush=True,
        )
    if options.json:
        names = [track.name for track in tracks]
        figures = {"speech": names, "rows": [asdict(row) for row in rows], "gains": gains}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
