"""Synthesises the speech sets: `python -m tools.phrasebook.speak --work W --set train1 --clips 12000`.

Knows which phrases and how many clips each set has, and how a clip is finished (trim, room, level). All that
is random comes from (set, language, key), so that a set can be stopped, resumed and grown and stays the same.
"""

import argparse
import hashlib
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import soxr

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.engines import speak
from tools.phrasebook.recipe import LANGUAGES, read_phrases
from tools.phrasebook.rooms import augment, set_level
from tools.phrasebook.shards import SAMPLE_RATE, ClipWriter
from tools.phrasebook.voices import CASTS, VOICES, Range, Role, prepare

Float32 = npt.NDArray[np.float32]
T = TypeVar("T")

MAX_FAILED_SHARE: Final = 0.02  # of the clips of a voice in a set
FEW_FAILED: Final = 2  # say nothing of a voice, however few its clips are
_PATIENCE_S: Final = 600.0  # for one clip, by the slowest engine on a busy machine

_FRAME_SAMPLES: Final = 160
_SILENCE_DB: Final = -42.0  # below the loudest frame
_MIN_SECONDS_PER_LETTER: Final = 0.025
_MAX_SECONDS_PER_LETTER: Final = 0.30
_MAX_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Recipe:
    """What a set is made of. Silences are what stays before and after the speech."""

    corpora: tuple[str, ...]
    num_clips: int | None  # None: every phrase once
    first_phrase: int = 0
    lead_s: Range = (0.08, 0.15)
    trail_s: Range = (0.08, 0.15)
    level_db: Range = (-29.0, -21.0)
    augmented_share: float = 0.0


RECIPES: Final = {
    "target": Recipe(("train",), 6_000, level_db=(-24.0, -24.0), lead_s=(0.1, 0.1), trail_s=(0.12, 0.12)),
    "target_heldout": Recipe(
        ("seen", "unseen"), None, level_db=(-24.0, -24.0), lead_s=(0.1, 0.1), trail_s=(0.12, 0.12)
    ),
    "train1": Recipe(("train",), 12_000),
    # Begins where train1 ends, so that the two together say as many different phrases as there are.
    "train2": Recipe(
        ("train",),
        16_000,
        first_phrase=12_000,
        lead_s=(0.05, 0.35),
        trail_s=(0.08, 0.60),  # a segmenter leaves its hang-over
        level_db=(-38.0, -16.0),
        augmented_share=0.6,
    ),
    "train3": Recipe(
        ("train",),
        2_000,
        first_phrase=28_000,
        lead_s=(0.05, 0.35),
        trail_s=(0.08, 0.60),
        level_db=(-32.0, -18.0),
        augmented_share=0.3,
    ),
    "answers": Recipe(
        ("answers",),
        None,
        lead_s=(0.08, 0.35),
        trail_s=(0.10, 0.60),
        level_db=(-32.0, -18.0),
        augmented_share=0.3,
    ),
    "seen": Recipe(("seen",), None, level_db=(-26.0, -22.0)),
    "unseen": Recipe(("unseen",), None, level_db=(-26.0, -22.0)),
}


@dataclass(frozen=True)
class Job:
    """One clip to be made."""

    set_name: str
    language: str
    key: str
    text: str
    role: Role


@dataclass(frozen=True)
class Made:
    """A finished clip, or the reason why there is none."""

    job: Job
    samples: npt.NDArray[np.int16] | None
    problem: str = ""


def generator(*names: str) -> np.random.Generator:
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def plan(work: Path, set_name: str, language: str) -> list[Job]:
    """All clips of a set in the order in which they are made; the slowest voices come last."""
    recipe = RECIPES[set_name]
    paths = [work / "corpus" / f"{name}.jsonl" for name in recipe.corpora]
    phrases = [(p["key"], p["text"][language]) for path in paths for p in read_phrases(path)]
    total = min(recipe.num_clips or len(phrases), len(phrases))
    roles = CASTS[set_name][language]
    weights = np.array([role.weight for role in roles])
    jobs = []
    for number in range(total):
        key, text = phrases[(recipe.first_phrase + number) % len(phrases)]
        choice = generator("cast", set_name, language, key).choice(len(roles), p=weights / weights.sum())
        jobs.append(Job(set_name, language, key, text, roles[choice]))
    return sorted(jobs, key=lambda job: VOICES[job.role.voice].engine == "kokoro")


def trim(samples: Float32, lead_s: float, trail_s: float) -> Float32:
    """Cuts or fills the silence around the speech to exactly `lead_s` and `trail_s`."""
    num_frames = len(samples) // _FRAME_SAMPLES
    frames = samples[: num_frames * _FRAME_SAMPLES].reshape(num_frames, _FRAME_SAMPLES)
    power = np.mean(np.square(frames), axis=1)
    loud = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (_SILENCE_DB / 10))
    if len(loud) == 0:
        return np.zeros(0, np.float32)
    lead, trail = int(lead_s * SAMPLE_RATE), int(trail_s * SAMPLE_RATE)
    start, stop = loud[0] * _FRAME_SAMPLES, (loud[-1] + 1) * _FRAME_SAMPLES
    kept = samples[max(0, start - lead) : stop + trail]
    missing_lead = max(0, lead - start)
    missing_trail = max(0, stop + trail - len(samples))
    return np.pad(kept, (missing_lead, missing_trail))


def problem_of(samples: Float32, text: str) -> str:
    """Why this cannot be the spoken text, or an empty string."""
    seconds = len(samples) / SAMPLE_RATE
    if not np.all(np.isfinite(samples)):
        return "not finite"
    if len(samples) == 0 or np.max(np.abs(samples)) < 1e-3:
        return "silent"
    if seconds < _MIN_SECONDS_PER_LETTER * len(text):
        return "too short"
    if seconds > min(_MAX_SECONDS, 1.0 + _MAX_SECONDS_PER_LETTER * len(text)):
        return "too long"
    return ""


def voiced(job: Job, rng: np.random.Generator) -> Float32:
    """The sentence in the voice of the role with its factors drawn, at 16 kHz."""
    role, voice = job.role, VOICES[job.role.voice]
    pitch, speed, warp = (rng.uniform(*limits) for limits in (role.pitch, role.speed, role.warp))
    samples, rate = speak(voice.engine, voice.model, job.text, pitch, speed / warp)
    if rate * warp != SAMPLE_RATE:
        samples = soxr.resample(samples, rate * warp, SAMPLE_RATE, quality="HQ")
    return np.asarray(samples, np.float32)


def make(job: Job) -> Made:
    """One clip from text to int16; a failing engine is reported, not raised: one sentence stops nothing."""
    recipe = RECIPES[job.set_name]
    rng = generator("clip", job.set_name, job.language, job.key, job.role.voice)
    try:
        raw = voiced(job, rng)
    except Exception as error:  # engines raise anything, and the report shows what
        return Made(job, None, f"{type(error).__name__}: {error}"[:120])
    samples = trim(raw, rng.uniform(*recipe.lead_s), rng.uniform(*recipe.trail_s))
    problem = problem_of(samples, job.text)
    if problem:
        return Made(job, None, problem)
    samples = set_level(samples, -24.0)
    if rng.random() < recipe.augmented_share:
        samples = augment(samples, rng)
    samples = set_level(samples, rng.uniform(*recipe.level_db))
    return Made(job, np.round(samples * 32_767).astype(np.int16))


def trial(job: Job) -> str:
    """Why the voice of this job cannot speak at all, or nothing: its engine is missing, or its files are."""
    try:
        voiced(job, generator("trial", job.role.voice))
    except Exception as error:  # as in `make`
        return f"`{job.role.voice}` cannot speak: {type(error).__name__}: {error}"
    return ""


def _mapped(work: Callable[[Job], T], jobs: list[Job], folder: Path, num_jobs: int) -> Iterator[T]:
    """Results in order. A process that was killed answers nothing more: that ends the wait, with an error."""
    if num_jobs == 1:
        prepare(folder)
        yield from map(work, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(num_jobs, prepare, (folder,)) as pool:
        results = pool.imap(work, jobs)  # in chunks it would have no timeout
        for _ in jobs:
            yield results.next(timeout=_PATIENCE_S)


class Progress:
    """A line that says how far a set is: once a second on a terminal, once a minute in a file."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.started_s = self.shown_s = time.monotonic()
        self.num_clips, self.num_samples = 0, 0
        self.problems: Counter[str] = Counter()

    def add(self, made: Made) -> None:
        self.num_clips += 1
        if made.samples is None:
            self.problems[f"{made.job.role.voice}: {made.problem}"] += 1
        else:
            self.num_samples += len(made.samples)
        now_s = time.monotonic()
        if now_s - self.shown_s >= (1.0 if sys.stdout.isatty() else 60.0):
            self.shown_s = now_s
            self.show(end="\r" if sys.stdout.isatty() else "\n")

    def show(self, end: str = "\n") -> None:
        elapsed_s = time.monotonic() - self.started_s
        left_s = elapsed_s / max(1, self.num_clips) * (self.total - self.num_clips)
        hours = self.num_samples / SAMPLE_RATE / 3_600
        counts = f"{self.num_clips}/{self.total} clips, {hours:.2f} h, {sum(self.problems.values())} failed"
        print(f"{self.title}: {counts}, {elapsed_s:.0f} s gone, {left_s:.0f} s left", end=end, flush=True)


def failing(jobs: list[Job], present: set[tuple[str, str]]) -> list[str]:
    """Voices that have spoken too few of their clips of a set, in sentences."""
    asked = Counter(job.role.voice for job in jobs)
    failed = Counter(job.role.voice for job in jobs if (job.key, job.role.voice) not in present)
    return [
        f"`{voice}` failed in {count} of {asked[voice]} clips, more than {MAX_FAILED_SHARE:.0%}."
        for voice, count in failed.items()
        if count > max(FEW_FAILED, MAX_FAILED_SHARE * asked[voice])
    ]


def speak_set(work: Path, set_name: str, language: str, num_clips: int | None, num_jobs: int) -> None:
    """Makes what is missing among the first `num_clips` (None: all) clips of one set in one language.

    Ends with an error before the work where a voice that has not spoken yet cannot, and behind it where one failed in
    too many clips.
    """
    jobs = plan(work, set_name, language)[:num_clips]
    with ClipWriter(work / "speech" / set_name / language) as writer:
        texts = {job.key: job.text for job in jobs}
        present = {(clip.key, clip.voice) for clip in writer if clip.says(texts.get(clip.key))}
        missing = [job for job in jobs if (job.key, job.role.voice) not in present]
        new = {job.role.voice: job for job in missing}
        trials = [new[voice] for voice in new.keys() - {clip.voice for clip in writer}]
        if trials and (problems := [text for text in _mapped(trial, trials, work, num_jobs) if text]):
            raise SystemExit("\n".join(problems))
        progress = Progress(f"{set_name}/{language}", len(missing))
        for made in _mapped(make, missing, work, num_jobs):
            progress.add(made)
            if made.samples is not None:
                writer.append(made.job.key, made.job.role.voice, made.samples, made.job.text)
        present = {(clip.key, clip.voice) for clip in writer if clip.says(texts.get(clip.key))}
    progress.show()
    for problem, count in progress.problems.most_common(20):
        print(f"  {count} x {problem}")
    if problems := failing(jobs, present):
        raise SystemExit("\n".join(problems))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--set", choices=sorted(RECIPES), required=True, dest="set_name")
    parser.add_argument("--languages", nargs="+", default=LANGUAGES)
    parser.add_argument("--clips", type=int, help="stop after so many; a later call goes on")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    for language in args.languages:
        speak_set(args.work, args.set_name, language, args.clips, args.jobs)


if __name__ == "__main__":
    main()
