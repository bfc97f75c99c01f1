"""Files of the work folder: whole or not there, and logs without steps that are done again."""

from pathlib import Path

import numpy as np
import pytest

from tools.phrasebook.files import cut_log, fingerprint, new_folder, save_arrays
from tools.phrasebook.train_vocoder import read_units, write_units


def test_steps_that_are_lost_leave_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_bytes(b"step,loss\r\n10,2.5\r\n20,2.1\r\n30,1.9\r\n40,1.")  # killed while it wrote
    cut_log(log, 20)
    assert log.read_bytes() == b"step,loss\r\n10,2.5\r\n20,2.1\r\n"
    cut_log(tmp_path / "none.csv", 20)
    assert not (tmp_path / "none.csv").exists()


def test_a_failing_write_leaves_what_was_there(tmp_path: Path) -> None:
    class Broken:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            raise OSError("no more")

    path = tmp_path / "deep" / "a.npz"
    save_arrays(path, a=np.arange(3))
    before = fingerprint(path)
    with pytest.raises(OSError, match="no more"):
        save_arrays(path, a=Broken())
    assert fingerprint(path) == before and [p.name for p in path.parent.iterdir()] == ["a.npz"]


def test_units_of_another_inventory_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "eng.npz"
    write_units(path, [np.arange(3, dtype=np.int16)], "one")
    assert [u.tolist() for u in read_units(path, "one")] == [[0, 1, 2]]
    assert read_units(path, "two") == []
    write_units(path, [np.arange(3, dtype=np.int16)])  # as earlier versions did
    assert len(read_units(path, "two")) == 1


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with pytest.raises(OSError, match="torn"), new_folder(folder) as new:
        (new / "half").touch()
        raise OSError("torn")
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    (folder / "of an earlier call").touch()
    with new_folder(folder) as new:
        (new / "whole").touch()
        assert not (folder / "whole").exists()
    assert [path.name for path in folder.iterdir()] == ["whole"] and list(tmp_path.iterdir()) == [folder]
