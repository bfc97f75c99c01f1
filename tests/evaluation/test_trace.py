"""The page that explains waits: every token with its place, its rules and its commit, and nothing from outside."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seamless_stream.audio.files import write_wav
from seamless_stream.cli import evaluate, main
from seamless_stream.engine.engine import VADS
from seamless_stream.engine.translator import Translator
from seamless_stream.evaluation.log import read_log
from seamless_stream.evaluation.trace import STATUSES, frame_s, status_of
from tests.evaluation.conftest import write_talks
from tests.fakes import FakeTranslator, LevelVad

DECIDED: dict[str, Any] = {
    "from_s": 1.0,
    "until_s": 3.0,
    "pieces": ["▁a", "▁b", "▁c", "d", "▁e", "▁e"],
    "frames": [0, 3, 9, 8],
    "num_frames": 10,
    "num_before": 1,
    "num_committed": 2,
    "num_believed": 3,
    "num_guarded": 5,
    "rule": "attention",
    "place": 3,
}


WORDS = ["--to", "es", "--set", "session.policy.first_decode_ms=320", "--quiet"]


def use_fakes(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(VADS, "silero", LevelVad)
    translator = Translator(FakeTranslator(), "fake, tones")
    patch.setattr(evaluate, "load_translator", lambda settings, tasks, notes: translator)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fakes(monkeypatch)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two policies, to be read only."""
    folder = tmp_path_factory.mktemp("trace")
    with pytest.MonkeyPatch.context() as patch:
        use_fakes(patch)
        words = ["evaluate", "--data", str(write_talks(folder)), *WORDS, "--policy", "alignatt", "hold-n"]
        path = folder / "trace.html"
        assert main([*words, "--output", str(folder / "out"), "--trace", str(path)]) == 0
    return path


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL
    )
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_page_tells_of_every_token_what_held_it_until_it_was_committed(page: Path) -> None:
    data = data_of(page)
    assert [track["name"] for track in data["tracks"]] == [
        f"{policy} · {talk}" for policy in ("alignatt", "hold-n") for talk in ("one", "two")
    ]
    assert [len(recording["peaks"]) > 100 for recording in data["recordings"]] == [True, True]
    seen: dict[str, set[str]] = {"alignatt": set(), "hold-n": set()}
    for track in data["tracks"]:
        policy, talk = track["name"].split(" · ")
        log = read_log(page.parent / "out" / policy / "log.jsonl")
        finals = {
            event["segment"]: event["token_ids"]
            for event in next(track for track in log.tracks if track.name == talk).of_type("Final")
        }
        assert len(track["segments"]) == len(track["lines"]) == len(finals)
        for line in track["lines"]:
            done = [token for token in line["tokens"] if token["committed"] is not None]
            assert len(done) == len(finals[line["segment"]])
            for token in done:
                seen[policy] |= {status for _, status, *_ in token["steps"]}
                assert token["steps"][-1][:2] in ([token["committed"], "policy"], [token["committed"], "end"])
                assert (token["looked"] is None) == (policy == "hold-n")
                if token["looked"]:
                    assert token["looked"][1] <= line["steps"][token["committed"]][0] + 0.001
    assert set(STATUSES) == set(data["statuses"])
    assert {"policy", "attention"} <= seen["alignatt"] <= set(STATUSES)
    assert {"hold-n", "policy", "end"} == seen["hold-n"]


def test_page_needs_nothing_from_outside(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"https?:|<link|<img|src=|@import|fetch\(", text)
    assert "/*DATA*/" not in text


def test_status_of_a_token() -> None:
    def statuses(is_last: bool = False, **changes: Any) -> list[str]:
        return [status_of(place, DECIDED | changes, is_last=is_last) for place in range(1, 6)]

    assert statuses() == ["policy", "word", "attention", "behind", "guard"]
    assert statuses(rule="hold-n", place=3) == ["policy", "word", "hold-n", "hold-n", "guard"]
    assert statuses(is_last=True) == ["policy", "left", "left", "left", "guard"]
    end = {"rule": "end", "num_committed": 6, "num_believed": 6, "num_guarded": 6, "place": 6}
    assert statuses(is_last=True, **end) == ["end"] * 5


def test_place_of_a_token() -> None:
    assert frame_s(0, DECIDED) == (1.0, 1.2)
    assert frame_s(2, DECIDED) == (2.8, 3.0)
    assert frame_s(4, DECIDED) is None


def test_logs_without_explanations_give_no_page(
    fakes: None, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "evaluate",
        "--data",
        str(talks),
        *WORDS,
        "--policy",
        "hold-n",
        "--output",
        str(talks.parent / "out"),
    ]
    assert main(words) == 0
    assert main([*words, "--rescore", "--trace", str(talks.parent / "trace.html")]) == 4
    assert "it was made without `--trace`" in capsys.readouterr().err


def test_recordings_without_speech_are_not_on_the_page(
    fakes: None, talks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, silence = talks.parent / "trace.html", talks.parent / "silence.wav"
    write_wav(silence, np.zeros(32_000, np.float32))
    mute = {"wav": silence.name, "offset": 0.0, "duration": 2.0, "reference": "nada"}
    rows = [*yaml.safe_load(talks.read_text()), mute]
    talks.write_text(yaml.safe_dump(rows))
    words = ["evaluate", "--data", str(talks), "--to", "es", "--policy", "hold-n", "--trace", str(page)]
    assert main([*words, "--output", str(talks.parent / "mixed")]) == 0
    assert [track["name"] for track in data_of(page)["tracks"]] == ["hold-n · one", "hold-n · two"]

    talks.write_text(yaml.safe_dump([mute]))
    out = talks.parent / "mute"
    assert main([*words, "--output", str(out)]) == 4
    assert "or nobody speaks in its recordings" in capsys.readouterr().err
    assert (out / "results.json").is_file()
