"""The file of the evaluation: parts that are measured one by one make one, and never of two models."""

import json
from pathlib import Path

import numpy as np

from tools.phrasebook.evaluate import merged, missing, spoken
from tools.phrasebook.shards import ClipWriter


def row(name: str, value: int) -> dict[str, object]:
    return {"set": name, "clips": value}


def test_only_the_rows_of_the_part_are_replaced() -> None:
    first = merged([], [row("human", 1)], "human", "w")
    both = merged(first, [row("t2st", 2)], "speech", "w")
    whole = merged(both, [row("seen", 3), row("unseen", 4)], "text", "w")
    again = merged(whole, [row("t2st", 60)], "speech", "w")
    assert [(r["set"], r["clips"]) for r in again] == [("seen", 3), ("unseen", 4), ("human", 1), ("t2st", 60)]


def test_what_other_weights_did_goes() -> None:
    first = merged([row("seen", 9)], [row("human", 1)], "human", "old")  # the seen row says of no weights
    assert [r["set"] for r in first] == ["human"]
    assert [r["set"] for r in merged(first, [row("t2st", 2)], "speech", "new")] == ["t2st"]


def work_of(folder: Path) -> Path:
    (folder / "corpus").mkdir()
    rows = [{"key": str(i), "text": {"eng": str(i)}} for i in range(40)]
    (folder / "corpus" / "seen.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with ClipWriter(folder / "speech" / "seen" / "eng") as writer:
        for i in range(40):  # the slow voice comes last
            writer.append(str(i), "quick" if i < 30 else "slow", np.full(10, i, np.int16), str(i))
    return folder


def test_a_few_clips_are_of_all_voices_and_always_the_same(tmp_path: Path) -> None:
    work = work_of(tmp_path)
    few = [item.text["eng"] for item in spoken(work, "seen", "eng", 12)]
    assert few == [item.text["eng"] for item in spoken(work, "seen", "eng", 12)]
    assert len(set(few)) == 12 and {int(text) < 30 for text in few} == {True, False}
    assert all(
        round(item.samples[0] * 32768) == int(item.text["eng"]) for item in spoken(work, "seen", "eng", 99)
    )


def test_missing_sets_are_named_before_anything_is_measured(tmp_path: Path) -> None:
    problems = missing(work_of(tmp_path), ["text"], ["eng"])
    assert len(problems) == 1 and "unseen/eng" in problems[0]
