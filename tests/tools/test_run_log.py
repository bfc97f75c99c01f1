"""What a training run leaves behind for people."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from tools.phrasebook.run_log import FIELDS, plot, write_row

ROW = dict.fromkeys(FIELDS, "") | {"seconds": 1, "speech": 3.0, "ctc": 2.0, "text": 1.0, "clips": 9}


def test_curves_are_drawn_before_and_after_the_first_check(tmp_path: Path) -> None:
    write_row(tmp_path, ROW | {"step": 10})
    colours = []
    for checks in ({}, {"seen_asr": 0.1, "seen_s2tt": 0.0, "unseen_asr": 0.2, "unseen_s2tt": 0.1}):
        write_row(tmp_path, ROW | {"step": 20} | checks)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plot(tmp_path)
        colours.append(len(np.unique(imread(tmp_path / "curves.png").reshape(-1, 4), axis=0)))
    assert colours[1] > colours[0]  # the checks have colours of their own


def test_nothing_is_drawn_of_a_run_without_a_log(tmp_path: Path) -> None:
    plot(tmp_path)
    assert not (tmp_path / "curves.png").exists()
