"""What tests of several folders share: one thread for torch, a small checkpoint, and the bundled one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from seamless_stream.models.base import SpeechTranslator

# Matrices this small are slower with more, and the same sums in another order are other numbers. Set before anybody
# imports torch, and for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SeamlessM4T v2 checkpoint of random weights; its seed is one that says something in every language."""
    from tools.make_random_checkpoint import make_checkpoint  # needs transformers, which is slow to import

    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    make_checkpoint(path, "tiny", seed=5)
    return path


@pytest.fixture(scope="session")
def phrasebook() -> "SpeechTranslator":
    """The bundled model, loaded once: a model never changes."""
    import seamless_stream

    return seamless_stream.load("phrasebook", device="cpu").model
