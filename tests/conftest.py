"""What tests of several folders share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SeamlessM4T v2 checkpoint of random weights; its seed is one that says something in every language."""
    from tools.make_random_checkpoint import make_checkpoint  # needs transformers, which is slow to import

    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    make_checkpoint(path, "tiny", seed=5)
    return path
