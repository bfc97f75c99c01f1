"""The command evaluate with a fake model: folders, table, plot, scores again, comparison, and what is refused."""

import json
from pathlib import Path

import pytest

from seamless_stream.cli import evaluate, main
from seamless_stream.cli.evaluate import SWEEPS
from seamless_stream.engine.translator import Translator
from seamless_stream.evaluation.plot import Point, plot
from seamless_stream.settings import PolicySettings
from tests.fakes import FakeTranslator


@pytest.fixture(autouse=True)
def fake_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(FakeTranslator(), "fake, tones")
    monkeypatch.setattr(evaluate, "load_translator", lambda settings, tasks, notes: translator)


def test_sweep_rescore_and_compare(talks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = talks.parent / "out"
    words = ["evaluate", "--data", str(talks), "--to", "es", "--output", str(out)]
    assert main([*words, "--policy", "segment", "hold-n", "--sweep", "session.policy.hold_n=1,3"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert "LongYAAL cu" in table[0] and "LongYAAL ca" in table[0]
    assert [line.split()[0] for line in table[1:5]] == ["segment", "segment", "hold-n", "hold-n"]
    results = json.loads((out / "results.json").read_text())
    assert [result["note"] for result in results] == ["hold_n=1", "hold_n=3"] * 2
    assert results[0]["header"]["settings"]["policy"]["name"] == "segment"
    assert (out / "plot.png").read_bytes().startswith(b"\x89PNG") and (out / "plot.svg").is_file()
    folder = out / "hold-n-hold_n-1"
    names = {path.name for path in folder.iterdir()}
    assert {"log.jsonl", "instances.log", "config.yaml", "simulstream.jsonl", "segments.yaml"} <= names

    for path in out.glob("*/scores.json"):
        path.unlink()
    assert main([*words, "--rescore"]) == 0
    again = json.loads((out / "results.json").read_text())
    assert sorted(again, key=str) == sorted(results, key=str)

    other = talks.parent / "both"
    assert main(["evaluate", "--compare", str(out), "--output", str(other)]) == 0
    assert all(
        result["label"].startswith("out: ") for result in json.loads((other / "results.json").read_text())
    )


def test_default_sweeps_are_settings() -> None:
    for name, (key, values) in SWEEPS.items():
        for value in values:
            assert getattr(PolicySettings(**{"name": name, key: value}), key) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--to", "es"], "`--data`"),
        (["--data", "none.tsv", "--to", "es"], "cannot be read"),
        (["--data", "LIST", "--to", "es", "--sweep", "hold_n"], "KEY=VALUE"),
        (["--data", "LIST", "--to", "es", "--rescore"], "needs logs"),
        (["--data", "LIST"], "at least one language"),
    ],
)
def test_wrong_usage(words: list[str], part: str, talks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(talks) if word == "LIST" else word for word in words]
    assert main(["evaluate", *given, "--output", str(talks.parent / "out")]) == 4
    error = capsys.readouterr().err
    assert part in error and "fault" not in error


def test_plot_of_points(tmp_path: Path) -> None:
    curve = [Point("a", clock, str(n), n / 2, 20.0 + n) for clock in ("cu", "ca") for n in range(3)]
    plot(curve, tmp_path / "x.svg", "LAAL", "BLEU", "title")
    assert "<svg" in (tmp_path / "x.svg").read_text()
