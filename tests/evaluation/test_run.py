"""A run writes what happened and when; everything else follows from its log."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from seamless_stream.engine.engine import Engine
from seamless_stream.errors import SettingsError
from seamless_stream.evaluation.corpus import Recording, Reference, read_corpus
from seamless_stream.evaluation.log import (
    Log,
    LogWriter,
    Moment,
    Track,
    displays,
    emissions,
    pieces,
    read_log,
)
from seamless_stream.evaluation.results import finish, load_results, points, table
from seamless_stream.evaluation.run import run
from seamless_stream.evaluation.score import Scores, score
from seamless_stream.events import Final
from tests.evaluation.conftest import SETTINGS

HEADER = {
    "clock": "simulated",
    "language": "spa",
    "label": "hold-n",
    "note": "hold_n=1",
    "model": "fake, tones",
}


def play(
    engine: Engine, talks: Path, chunk_ms: int = 100, *, is_paced: bool = False, speaks: bool = False
) -> Log:
    folder = talks.parent / f"run{chunk_ms}"
    folder.mkdir()
    speech_folder = folder / "speech" if speaks else None
    if speech_folder:
        speech_folder.mkdir()
    settings = replace(SETTINGS, task="s2st" if speaks else "s2tt")
    header = HEADER | {"clock": "wall" if is_paced else "simulated"}
    with LogWriter(folder / "log.jsonl", header) as log:
        run(
            engine,
            settings,
            read_corpus(talks),
            log,
            chunk_ms,
            is_paced=is_paced,
            speech_folder=speech_folder,
        )
    return read_log(folder / "log.jsonl")


def test_words_are_emitted_while_the_speaker_speaks(engine: Engine, talks: Path) -> None:
    one = emissions(play(engine, talks).tracks[0], "word")
    words = [word for reference in read_corpus(talks)[0].references for word in reference.text.split()]
    assert one.units == words
    first = read_corpus(talks)[0].references[0]
    assert one.delays_ms == sorted(one.delays_ms)
    assert one.delays_ms[0] < 1000 * first.end_s < one.delays_ms[-1]
    for delay, elapsed in zip(one.delays_ms, one.elapsed_ms, strict=True):
        assert elapsed > delay


def test_text_does_not_depend_on_the_chunks(engine: Engine, talks: Path) -> None:
    first = play(engine, talks, 100)
    again = play(engine, talks, 101)
    assert [emissions(track, "word").units for track in first.tracks] == [
        emissions(track, "word").units for track in again.tracks
    ]


def test_computing_waits_for_its_source_and_for_what_was_begun(engine: Engine, talks: Path) -> None:
    for track in play(engine, talks).tracks:
        free_s = 0.0
        for chunk in track.chunks:
            free_s = max(free_s, chunk["heard_s"]) + chunk["compute_s"]
            assert chunk["elapsed_s"] == pytest.approx(free_s, abs=1e-4)
        assert track.chunks[-1]["heard_s"] == pytest.approx(track.audio_s)


def test_committed_text_is_never_taken_back(engine: Engine, talks: Path) -> None:
    track = play(engine, talks).tracks[0]
    shown = [units for _, units in displays(track, "word", with_pending=False)]
    assert len(shown) > 2
    assert all(after[: len(before)] == before for before, after in zip(shown, shown[1:], strict=False))


def test_paced_run_keeps_to_the_clock(engine: Engine, talks: Path) -> None:
    log = play(engine, talks, is_paced=True)
    for track in log.tracks:
        text = emissions(track, "word")
        assert text.units
        assert all(e >= d - 1 for d, e in zip(text.delays_ms, text.elapsed_ms, strict=True))
        assert all(event["wall_s"] >= event["heard_s"] - 0.001 for event in track.events)
    assert log.tracks[0].events[-1]["wall_s"] > 3


def test_speech_is_logged_and_kept(engine: Engine, talks: Path) -> None:
    log = play(engine, talks, speaks=True)
    said = pieces(log.tracks[0])
    assert said.durations_ms and min(said.durations_ms) > 0
    result = finish(talks.parent / "run100", read_corpus(talks))
    assert set(result.scores["speech"]) == {"cu", "ca"}
    assert result.scores["speech"]["cu"]["start_offset"] > 0
    line = json.loads(
        (talks.parent / "run100" / "simuleval_speech" / "instances.log").read_text().splitlines()[0]
    )
    assert line["durations"] == said.durations_ms
    assert Path(line["prediction"]).is_file()


def test_scores_tables_and_points_follow_from_the_log(engine: Engine, talks: Path) -> None:
    play(engine, talks)
    folder = talks.parent / "run100"
    result = finish(folder, read_corpus(talks))
    assert result.is_long
    assert result.scores["quality"]["bleu"] > 50
    assert result.scores["erasure"]["committed"] == 0
    assert result.latency_s("yaal", "cu") < result.latency_s("yaal", "ca")  # type: ignore[operator]
    assert [result] == load_results(folder) == load_results(talks.parent)
    columns, rows = table([result])
    assert columns[0] == "run" and "LongYAAL cu" in columns and len(rows[0]) == len(columns)
    found = points([result], "yaal", "bleu")
    assert [(point.clock, point.note) for point in found] == [("cu", "hold_n=1"), ("ca", "hold_n=1")]


def test_log_that_was_cut_short_is_refused(engine: Engine, talks: Path) -> None:
    play(engine, talks)
    path = talks.parent / "run100" / "log.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(SettingsError, match="no end"):
        read_log(path)


def test_a_log_of_other_recordings_is_not_scored(engine: Engine, talks: Path) -> None:
    log, (one, two) = play(engine, talks), read_corpus(talks)
    for listed in ([two, one], [one], [one, two, two]):
        with pytest.raises(SettingsError, match=f"must be of the {len(listed)} recordings of the list"):
            score(log, listed, "spa")


def test_a_folder_without_scores_is_refused(engine: Engine, talks: Path) -> None:
    play(engine, talks)
    with pytest.raises(SettingsError, match=r"must hold a scores\.json .* but holds none"):
        load_results(talks.parent)
    (talks.parent / "run100" / "scores.json").write_text('{"name": "x"}')
    with pytest.raises(SettingsError, match="holds scores that cannot be read"):
        load_results(talks.parent)


def scored(language: str, reference: str, *events: dict[str, object]) -> Scores:
    """Of one short recording of 3 s."""
    times = {"heard_s": 2.5, "elapsed_s": 2.6, "wall_s": 1.0}
    facts = [{"language": language, **times, **event} for event in events]
    track = Track("clip", Path("clip.wav"), 3.0, [{"compute_s": 0.1, "cpu_s": 0.1}], facts)
    recording = Recording("clip", Path("clip.wav"), (Reference(reference),))
    return score(Log({"clock": "simulated", "language": language}, [track]), [recording], language)


@pytest.mark.parametrize(
    ("language", "text"),
    [("cmn", "我 在 New York 用 Machine Learning 。"), ("tha", "ฉันชอบกินข้าว แต่ไม่ชอบปลา New York")],
)
def test_a_perfect_translation_is_perfect_where_words_have_no_spaces(language: str, text: str) -> None:
    found = scored(language, text, {"type": "Final", "segment": 0, "text": text})
    assert found.quality["bleu"] == pytest.approx(100) and found.quality["error_rate"] == 0
    assert found.latency["cu"]["laal"] is not None


def test_a_failed_segment_counts_with_what_it_had_committed() -> None:
    found = scored(
        "spa",
        "uno dos tres",
        {"type": "Partial", "segment": 0, "committed": "uno", "pending": " doce"},
        {"type": "Failed", "segment": 0, "message": "broken"},
        {"type": "Final", "segment": 1, "text": " dos  tres "},
    )
    assert (found.quality["error_rate"], found.num_failed) == (0, 1)


@pytest.mark.parametrize("language", ["spa", "cmn"])
def test_an_empty_reference_has_figures(language: str) -> None:
    found = scored(language, "", {"type": "Final", "segment": 0, "text": "好"})
    assert found.latency["cu"]["al"] == 2500


def test_a_log_keeps_texts_with_unusual_ends_of_lines(tmp_path: Path) -> None:
    text = "one\u2028two\u0085three\x0cfour"
    with LogWriter(tmp_path / "log.jsonl", HEADER) as log:
        log.begin("clip", Path("clip.wav"))
        log.event(Final(0, "spa", text, 0.0, 1.0), Moment(1.0, 1.0, 1.0))
        log.end(1.0)
    [track] = read_log(tmp_path / "log.jsonl").tracks
    assert track.events[0]["text"] == text
