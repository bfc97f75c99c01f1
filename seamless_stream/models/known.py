"""The public checkpoints that this package knows by name: where they are, how large, what they may be used for.

Facts that nobody has confirmed are absent. Knows nothing of files.
"""

from dataclasses import dataclass

from seamless_stream.models.base import TASKS, Task


@dataclass(frozen=True)
class KnownCheckpoint:
    """One line of `seamless-stream models`; `hub_id` is None for what ships with the package."""

    name: str
    hub_id: str | None
    revision: str
    family: str
    million_parameters: float | None  # None: nobody has said, or read from files that are always here
    gigabytes: float | None  # on disk, 10^9 bytes
    licence: str
    tasks: tuple[Task, ...]
    scope: str


# `main` is no pin in itself: the first pull resolves it to a commit and records that (see
# `checkpoint._recorded_revision`), and from then on only an explicit pull moves it. A commit hash belongs here as soon
# as somebody has verified one.
KNOWN = (
    KnownCheckpoint(
        "phrasebook", None, "", "seamless_m4t_v2", None, None, "MIT", TASKS,
        "travel phrases only; for open speech: seamless-stream models pull v2-large",
    ),
    KnownCheckpoint(
        "v2-large", "facebook/seamless-m4t-v2-large", "main", "seamless_m4t_v2", 2309.25, 9.24,
        "CC-BY-NC-4.0", TASKS, "open speech, about 100 languages; not for commercial use",
    ),
    KnownCheckpoint(
        "v1-large", "facebook/hf-seamless-m4t-large", "main", "seamless_m4t", 2359.99, None,
        "CC-BY-NC-4.0", TASKS, "open speech, about 100 languages; not for commercial use",
    ),
    KnownCheckpoint(
        "v1-medium", "facebook/hf-seamless-m4t-medium", "main", "seamless_m4t", 1209.46, 4.84,
        "CC-BY-NC-4.0", TASKS, "open speech, about 200 languages as text; not for commercial use",
    ),
    *(
        KnownCheckpoint(
            f"s2t-{size}-librispeech-asr", f"facebook/s2t-{size}-librispeech-asr", "main", "speech_to_text",
            millions, gigabytes, "MIT", ("asr",), "English read aloud",
        )
        for size, millions, gigabytes in (
            ("small", 29.54, None), ("medium", 71.2, 0.285), ("large", 267.8, None),
        )
    ),
    KnownCheckpoint(
        "s2t-small-mustc-en-de-st", "facebook/s2t-small-mustc-en-de-st", "main", "speech_to_text",
        None, 0.124, "MIT", ("s2tt",), "English talks to German; by hub id also to es, fr, it, nl, pt, ro, ru",
    ),
    KnownCheckpoint(
        "s2t-medium-mustc-multilingual-st", "facebook/s2t-medium-mustc-multilingual-st", "main",
        "speech_to_text", None, 0.305, "MIT", ("s2tt",), "English talks to eight European languages",
    ),
    KnownCheckpoint(
        "s2t-wav2vec2-large-en-de", "facebook/s2t-wav2vec2-large-en-de", "main", "speech_to_text_2",
        None, 1.33, "MIT", ("s2tt",), "English read aloud to German",
    ),
)  # fmt: skip
