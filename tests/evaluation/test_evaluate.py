"""The command evaluate with a fake model: folders, table, plot, scores again, comparison, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from seamless_stream.audio.files import read
from seamless_stream.cli import evaluate, main
from seamless_stream.cli.evaluate import SWEEPS, _runs
from seamless_stream.cli.parser import parse
from seamless_stream.engine.translator import Translator
from seamless_stream.evaluation.plot import Point, plot
from seamless_stream.evaluation.quality import Recogniser
from seamless_stream.settings import PolicySettings, Settings
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


def test_segments_on_which_the_model_fails_are_counted_and_the_status(
    talks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loudest = float(np.abs(read(talks.parent / "two.wav")).max())  # of the other recording no sample is
    translator = Translator(FakeTranslator(poison=loudest), "fake, tones")
    monkeypatch.setattr(evaluate, "load_translator", lambda settings, tasks, notes: translator)
    out = talks.parent / "out"
    words = ["evaluate", "--data", str(talks), "--to", "es", "--policy", "segment", "--output", str(out)]
    assert main(words) == 7
    [result] = json.loads((out / "results.json").read_text())
    assert result["scores"]["num_failed"] == 1
    head, row = capsys.readouterr().out.splitlines()[:2]
    assert (head.split()[-1], row.split()[-1]) == ("failed", "1")


def heard_words(samples: np.ndarray) -> str:
    """What the fake model's voice says: two units of 20 ms a word, whose level is the word's number."""
    spoken = samples[4_000:-4_000]  # a quarter of a second was added around it
    levels = np.median(spoken.reshape(-1, 640), axis=1)
    return " ".join(f"w{round(1000 * level)}" for level in levels)


def test_speech_is_scored_by_a_recogniser(talks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_recogniser(name: str, language: str) -> Recogniser:
        opened.append((name, language))
        return heard_words

    monkeypatch.setattr(evaluate, "open_recogniser", open_recogniser)
    out = talks.parent / "out"
    words = ["evaluate", "--data", str(talks), "--to", "es", "--output", str(out), "--quiet"]
    words += ["--speech", "--recogniser", "ears"]
    assert main([*words, "--policy", "segment", "hold-n"]) == 0
    assert opened == [("ears", "spa")]  # once for both
    results = json.loads((out / "results.json").read_text())
    for result in results:
        said = result["scores"]["speech"]
        assert len(said["recognised"]) == 2 and all(said["recognised"])
        assert said["quality"]["bleu"] == pytest.approx(100) and said["quality"]["error_rate"] == 0
    assert main([*words, "--rescore"]) == 0
    again = json.loads((out / "results.json").read_text())
    assert sorted(again, key=str) == sorted(results, key=str)


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
        (["--data", "LIST", "--to", "es", "--limit", "0"], "`limit` must be at least 1, but is 0."),
        (["--data", "LIST", "--to", "es", "--limit", "-1"], "`limit` must be at least 1, but is -1."),
        (["--data", "LIST", "--to", "es", "--chunk-ms", "0"], "`chunk_ms` must be at least 1, but is 0."),
        (["--data", "LIST", "--to", "es", "--trace", "nodir/t.html"], "its directory does not exist"),
        (["--to", "es", "--simuleval-port", "99999"], "from 0 to 65535, but is 99999."),
        (["--data", "LIST", "--to", "es", "--sweep", "session.vad=[,x"], "must be a YAML value, but is [."),
        (["--data", "LIST", "--to", "es", "--sweep", "model.dtype=float32,bfloat16"], "share one model"),
        (["--data", "LIST", "--to", "es", "--sweep", "session.task=s2st,asr"], "share one model"),
        (["--data", "LIST", "--to", "es", "--sweep", "session.target_languages=es,fr"], "both give it"),
        (["--data", "LIST", "--to", "es", "--pace", "fast", "--sweep", "pace=fast"], "both give it"),
        (["--data", "LIST", "--to", "es", "--beams", "1", "--sweep", "session.decoding={}"], "both give it"),
    ],
)
def test_wrong_usage(
    words: list[str],
    part: str,
    talks: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(talks.parent)
    given = [str(talks) if word == "LIST" else word for word in words]
    assert main(["evaluate", *given, "--output", str(talks.parent / "out")]) == 4
    error = capsys.readouterr().err
    assert part in error and "fault" not in error


def test_plot_of_points(tmp_path: Path) -> None:
    curve = [Point("a", clock, str(n), n / 2, 20.0 + n) for clock in ("cu", "ca") for n in range(3)]
    plot(curve, tmp_path / "x.svg", "LAAL", "BLEU", "title")
    assert "<svg" in (tmp_path / "x.svg").read_text()


def test_every_run_of_a_sweep_has_the_value_on_its_label() -> None:
    def swept(sweep: str) -> list[tuple[str, Settings]]:
        words = ["evaluate", "--data", "x.tsv", "--sweep", sweep]
        return [(one.note, one.settings) for one in _runs(parse(words))]

    paces = swept("pace=fast, real-time")
    assert [(note, settings.pace) for note, settings in paces] == [
        ("pace=fast", "fast"),
        ("pace=real-time", "real-time"),
    ]
    seeds = swept("session.decoding.seed=null,7")
    assert [settings.session.decoding.seed for _, settings in seeds] == [None, 7]
    names = swept("session.policy.name=segment,wait-k")
    assert [settings.session.policy.name for _, settings in names] == ["segment", "wait-k"]


def test_a_file_of_settings_may_name_the_pace_and_else_it_is_fast(tmp_path: Path) -> None:
    def pace(*words: str) -> str:
        [one] = _runs(parse(["evaluate", "--data", "x.tsv", *words]))
        return one.settings.pace

    (tmp_path / "named.yaml").write_text("pace: real-time\n")
    (tmp_path / "other.yaml").write_text("session: {vad: webrtc}\n")
    named, other = ["--config", str(tmp_path / "named.yaml")], ["--config", str(tmp_path / "other.yaml")]
    assert [pace(), pace(*other), pace(*named)] == ["fast", "fast", "real-time"]
    assert pace(*named, "--pace", "fast") == pace(*named, "--set", "pace=fast") == "fast"


def test_a_table_shows_brackets_as_they_are(
    talks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "take [b] [red]"
    words = ["evaluate", "--data", str(talks), "--to", "es", "--policy", "segment", "--output", str(out)]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["evaluate", "--compare", str(out), "--output", str(tmp_path / "both")]) == 0
    assert "take [b] [red]: segment" in capsys.readouterr().out
