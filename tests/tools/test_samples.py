"""Which held-out sentences the demo's recordings have."""

from pathlib import Path

import numpy as np

from tools.phrasebook.samples import choose
from tools.phrasebook.shards import ClipSet, ClipWriter

VOICES = ["a", "a", "a", "b", "a", "a", "c", "b"]


def test_each_voice_is_heard_and_the_commonest_most(tmp_path: Path) -> None:
    texts = {str(number): "Four words of it." for number in range(len(VOICES))} | {"1": "Too short."}
    with ClipWriter(tmp_path) as writer:
        for key, voice in enumerate(VOICES):
            writer.append(str(key), voice, np.zeros(160, np.int16), texts[str(key)])
    assert choose(ClipSet(tmp_path), texts) == [0, 2, 3, 4, 6]  # 3 and 6: the first of b and of c
