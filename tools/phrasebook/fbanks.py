"""Turns speech sets into the fbank cache: `python -m tools.phrasebook.fbanks --work W --set train1 seen`.

Knows that a clip becomes the package's own raw log-mel frames, stored as float16. Does not normalise or
stack: the model's features do that, and training must see exactly what the model computes from these frames.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seamless_stream.audio.fbank import fbank
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.shards import DONE_NAME, FRAMES, ClipSet, ClipWriter
from tools.phrasebook.speak import RECIPES

_FRAMES_PER_SECOND = 100


def clip_frames(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float16]:
    """Samples [N] -> raw log-mel frames [T, 80]."""
    return fbank(samples.astype(np.float32) / np.float32(2**15)).astype(np.float16)


def check_prefix(speech: ClipSet, cache: ClipWriter) -> None:
    """Raises ValueError unless the cache holds the frames of the first clips of the speech set."""
    for index, clip in enumerate(cache):
        if index >= len(speech) or (clip.key, clip.voice) != (speech.keys[index], speech.voices[index]):
            raise ValueError(
                f"`{cache.directory}` must follow the order of its speech, but row {index} does not."
            )


def cache_set(work: Path, set_name: str, language: str) -> None:
    """Appends the frames of all clips that have been spoken since the last time."""
    speech = ClipSet(work / "speech" / set_name / language)
    directory = work / "fbank" / set_name / language
    started_s = time.monotonic()
    with ClipWriter(directory, FRAMES) as cache:
        check_prefix(speech, cache)
        if len(cache.clips) < len(speech):
            (directory / DONE_NAME).unlink(missing_ok=True)
        for index in range(len(cache.clips), len(speech)):
            cache.append(speech.keys[index], speech.voices[index], clip_frames(speech.samples(index)))
        if speech.is_done:
            cache.finish()
        hours = cache.num_rows / _FRAMES_PER_SECOND / 3_600
        state = "complete" if speech.is_done else "speech not complete yet"
        print(
            f"{set_name}/{language}: {len(cache.clips)} clips, {hours:.2f} h, {state}, "
            f"{time.monotonic() - started_s:.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--set", choices=sorted(RECIPES), nargs="+", required=True, dest="set_names")
    parser.add_argument("--languages", nargs="+", default=["eng", "spa"])
    args = parser.parse_args()
    for set_name in args.set_names:
        for language in args.languages:
            cache_set(args.work, set_name, language)


if __name__ == "__main__":
    main()
