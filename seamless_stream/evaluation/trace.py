"""A page that explains every wait: where each token's attention looked, when it was committed, and what held it before.

Reads logs of sessions that explain themselves (`session.explains`) and the recordings' waveforms; writes one HTML file
that needs no network. Rules become sentences here, pictures in `trace.html`. Knows no engine.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import read
from seamless_stream.engine.metrics import Fact
from seamless_stream.errors import SettingsError, writing
from seamless_stream.evaluation.log import Log, Track

PAGE: Final = Path(__file__).with_name("trace.html")
PLACE: Final = "/*DATA*/"
PEAKS_PER_S: Final = 50

# What a decision did with a token, in the order of the legend: name, sentence.
STATUSES: Final[dict[str, tuple[str, str]]] = {
    "policy": ("committed by the policy", "The policy let it go."),
    "end": ("committed at the end", "The segment was over: nothing is held any more."),
    "attention": ("attention", "Its attention was highest in the newest frames, where a word may still go on."),
    "unsure": ("unsure", "The decoder was not sure of it, and more sound may tell."),
    "unknown": ("not yet looked", "The decoder had just said it; where it looks is known one step later."),
    "rewind": ("rewind guard", "Attention jumped back further than words are ever reordered; nothing was believed."),
    "agreement": ("no agreement", "The hypotheses compared had different tokens here."),
    "first": ("first hypothesis", "There was no earlier hypothesis to compare with."),
    "hold-n": ("last n held", "It was one of the last n tokens of the hypothesis."),
    "wait-k": ("wait-k", "The steps heard so far did not allow this many words."),
    "segment": ("waits for the end", "This policy commits at the end of a segment only."),
    "word": ("word may go on", "The policy believed it, but its word was not known to be whole."),
    "behind": ("behind a held token", "An earlier token was held; text is committed in order only."),
    "guard": ("guard", "A guard took it for something that nobody said."),
    "left": ("left to the next segment", "The segment was cut without a pause; the next one says it."),
}  # fmt: skip
# Rules that hold every token from their place on, not only the one there.
HOLDS_ALL: Final = frozenset({"first", "hold-n", "wait-k", "segment"})


@dataclass(frozen=True)
class Traced:
    """One run that a page shows."""

    name: str
    log: Log


def write_trace(path: Path, runs: Sequence[Traced]) -> None:
    """Write the page of all recordings with speech.

    Raises SettingsError where a log says nothing about decisions, or the page cannot be written.
    """
    recordings: dict[Path, dict[str, Any]] = {}
    tracks = []
    for run in runs:
        decided = [track for track in run.log.tracks if track.of_type("Decided")]
        if not decided:
            raise SettingsError(
                f"The log of `{run.name}` must have decisions, but has none: it was made without `--trace`,"
                " or nobody speaks in its recordings."
            )
        for track in decided:
            recordings.setdefault(track.path, _waveform(track.path))
            tracks.append(_described(run, track) | {"audio": list(recordings).index(track.path)})
    statuses = {key: {"name": name, "sentence": text} for key, (name, text) in STATUSES.items()}
    data = {"statuses": statuses, "recordings": list(recordings.values()), "tracks": tracks}
    # "</" would end the script that holds the data.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    with writing(path, SettingsError):
        path.write_text(PAGE.read_text(encoding="utf-8").replace(PLACE, text), encoding="utf-8")


def _waveform(path: Path) -> dict[str, Any]:
    """Largest absolute sample of every 20 ms, as bytes relative to the loudest."""
    samples = np.abs(read(path))
    length = SAMPLE_RATE // PEAKS_PER_S
    peaks = np.pad(samples, (0, -len(samples) % length)).reshape(-1, length).max(1)
    loudest = float(peaks.max(initial=0.0)) or 1.0
    coded = base64.b64encode((peaks / loudest * 255).astype(np.uint8).tobytes()).decode()
    return {"duration_s": round(len(samples) / SAMPLE_RATE, 3), "per_s": PEAKS_PER_S, "peaks": coded}


def _described(run: Traced, track: Track) -> dict[str, Any]:
    header = run.log.header
    facts = [header["model"].partition(":")[0], f"to {header['language']}", header.get("device", "")]
    decided = track.of_type("Decided")
    numbers = dict.fromkeys((fact["segment"], fact["language"]) for fact in decided)
    return {
        "name": f"{run.name} · {track.name}",
        "facts": " · ".join(filter(None, facts)),
        "segments": [
            {
                "number": fact["segment"],
                "start": fact["start_s"],
                "end": fact["end_s"],
                "reason": fact["reason"],
            }
            for fact in track.of_type("SegmentEnded")
        ],
        "lines": [
            _line([fact for fact in decided if (fact["segment"], fact["language"]) == key]) for key in numbers
        ],
    }


def _line(decided: Sequence[Fact]) -> dict[str, Any]:
    """Text of one segment in one language: its tokens, each with all that was decided about it."""
    last = decided[-1]
    return {
        "segment": last["segment"],
        "from": last["from_s"],
        "steps": [[fact["until_s"], fact["heard_s"], fact["elapsed_s"], fact["guard"]] for fact in decided],
        "tokens": [_token(place, piece, decided) for place, piece in enumerate(last["pieces"])],
    }


def _token(place: int, piece: str, decided: Sequence[Fact]) -> dict[str, Any]:
    """`steps`: of every decision that had a token here and before its commit, [number, status, piece if another].

    `looked` is its frame in the decision that committed it, or in the last one that knows it; `shift` of the token that
    the policy stumbled over, the same for `rewind`.
    """
    steps: list[list[Any]] = []
    looked: tuple[float, float] | None = None
    committed: int | None = None
    for number, fact in enumerate(decided):
        if place >= len(fact["pieces"]):
            continue
        is_last = number == len(decided) - 1
        status = status_of(place, fact, is_last=is_last)
        other = fact["pieces"][place]
        steps.append([number, status, *([other] if other != piece else [])])
        if other == piece:
            looked = frame_s(place, fact) or looked
        if status in ("policy", "end"):
            committed = number
            break
    return {"piece": piece, "looked": looked, "committed": committed, "steps": steps}


def status_of(place: int, fact: Fact, *, is_last: bool) -> str:
    """What a decision did with the token at a place, which it did not find committed: a key of `STATUSES`."""
    if place < fact["num_committed"]:
        return "end" if fact["rule"] == "end" else "policy"
    if place >= fact["num_guarded"]:
        return "guard"
    if is_last:
        return "left"
    if place < fact["num_believed"]:
        return "word"
    rule: str = fact["rule"]
    return rule if place == fact["place"] or rule in HOLDS_ALL else "behind"


def frame_s(place: int, fact: Fact) -> tuple[float, float] | None:
    """Begin and end of the frame that a token looked at, in seconds of source; None where it is not known."""
    if place >= len(fact["frames"]):
        return None
    length_s = (fact["until_s"] - fact["from_s"]) / max(1, fact["num_frames"])
    begin_s = fact["from_s"] + fact["frames"][place] * length_s
    return round(begin_s, 3), round(begin_s + length_s, 3)
