"""Kept results are taken up only by calls with the same weights, data and options."""

from pathlib import Path

import pytest

from tools.kept import claim


def test_the_same_call_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    claim(folder, {"weights": "a", "minutes": 2.0})
    (folder / "alignatt-2").mkdir()
    claim(folder, {"weights": "a", "minutes": 2.0})
    with pytest.raises(SystemExit, match="`weights` is b, but was a"):
        claim(folder, {"weights": "b", "minutes": 2.0})


def test_results_of_nobody_knows_what_are_refused(tmp_path: Path) -> None:
    (tmp_path / "alignatt-2").mkdir()
    with pytest.raises(SystemExit, match="nothing is known"):
        claim(tmp_path, {"weights": "a"})
