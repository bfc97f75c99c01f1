"""The servers of these tests hear with the level detector: the fake model speaks tones."""

import pytest

from seamless_stream.engine.engine import VADS
from tests.fakes import LevelVad


@pytest.fixture(autouse=True)
def level_vad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", LevelVad)
