"""The comparison of systems: lists of one recording, logs joined again, and a system that fails."""

import argparse
import json
from pathlib import Path

from seamless_stream.audio.files import write_wav
from seamless_stream.evaluation.corpus import read_corpus
from seamless_stream.evaluation.log import LogWriter, Moment, read_log
from seamless_stream.events import Final
from tests.fakes import speech
from tools.compare_peers import System, join, part, play, systems

ROWS = [
    {"wav": f"{name}.wav", "offset": offset, "duration": 0.5, "reference": f"{name} {offset}"}
    for name in ("one", "two")
    for offset in (0.1, 1.1)
]


def corpus(folder: Path) -> Path:
    for name in ("one", "two"):
        write_wav(folder / f"{name}.wav", speech(*(0.3,) * 12))
    path = folder / "talks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_parts_together_are_the_list(tmp_path: Path) -> None:
    recordings = read_corpus(corpus(tmp_path))
    parts = [read_corpus(part(recording, tmp_path)) for recording in recordings]
    assert [one for [one] in parts] == [
        type(recording)(recording.name, recording.path.resolve(), recording.references)
        for recording in recordings
    ]


def test_joined_log_holds_every_recording(tmp_path: Path) -> None:
    logs = []
    for name in ("one", "two"):
        logs.append(tmp_path / f"{name}.log")
        with LogWriter(logs[-1], {"label": "x", "data": name}) as log:
            log.begin(name, Path(f"{name}.wav"))
            log.event(Final(0, "spa", name, 0.0, 1.0), Moment(1.0, 1.5, 1.5))
            log.chunk(Moment(1.0, 1.5, 1.5), 0.5, 0.5)
            log.end(1.0)
    join(logs, {"data": "talks.yaml", "label": "y"}, tmp_path / "log.jsonl")
    joined = read_log(tmp_path / "log.jsonl")
    assert (joined.header["data"], joined.header["label"]) == ("talks.yaml", "y")
    assert [(track.name, track.cpu_s, track.events[0]["text"]) for track in joined.tracks] == [
        ("one", 0.5, "one"),
        ("two", 0.5, "two"),
    ]
    assert [track.events[0]["recording"] for track in joined.tracks] == [0, 1]


def test_system_that_fails_says_why_and_one_that_is_done_is_not_run_again(tmp_path: Path) -> None:
    code = "import sys; sys.exit('the peer is missing' if 'none' in sys.argv else 0)"
    failing = System("failing", ("-c", code, "none"))
    assert play(failing, tmp_path / "a.yaml", "spa", tmp_path / "failing") == "the peer is missing"
    assert play(System("fine", ("-c", code)), tmp_path / "a.yaml", "spa", tmp_path / "fine") == ""
    assert play(System("fine", ("-c", code, "none")), tmp_path / "a.yaml", "spa", tmp_path / "fine") == ""


def test_systems_are_left_out_where_their_libraries_are_not() -> None:
    def names(**choices: object) -> list[str]:
        options = {"model": "DIR", "peers": None, "systems": None} | choices
        return [system.name for system in systems(argparse.Namespace(**options))]

    assert not [name for name in names() if name.startswith("simulstream")]
    assert "simulstream-4" in names(peers="PEERS")
    assert names(peers="PEERS", systems=["agreement-1", "alignatt-4"]) == ["alignatt-4", "agreement-1"]
