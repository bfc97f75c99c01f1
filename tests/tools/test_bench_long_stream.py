"""The endless talk is bounded and jittered, and the verdict can be both."""

from dataclasses import replace

import numpy as np

from tools.bench_long_stream import Minute, line, talk, verdict
from tools.bench_sessions import CHUNK_S, CHUNK_SAMPLES, Track

MINUTE = Minute(1, 0.4, 9, 500e6, 1e6, 0, 8.0)


def test_the_talk_has_its_length_in_whole_chunks_of_speech_and_gaps() -> None:
    track = Track(np.ones(20 * 16_000, np.float32), "spa")
    chunks = list(talk(track, 1))
    assert len(chunks) == round(60 / CHUNK_S) and {len(chunk) for chunk in chunks} == {CHUNK_SAMPLES}
    silent = np.mean(np.concatenate(chunks) < 0.5)
    assert 0.02 < silent < 0.5
    assert any((a != b).any() for a, b in zip(chunks, talk(track, 1, seed=1), strict=True))


def test_the_last_minute_must_be_as_the_second() -> None:
    second = replace(MINUTE, number=2)
    same = replace(MINUTE, number=60, final_p50_s=0.49, rss_bytes=500.9e6)
    assert verdict([MINUTE, second, same])[0]
    for worse in (
        replace(same, final_p50_s=0.51),
        replace(same, rss_bytes=501.1e6),
        replace(same, final_p50_s=None),
    ):
        assert not verdict([MINUTE, second, worse])[0]
    assert "+0.90 MB" in verdict([MINUTE, second, same])[1]
    assert line(same).count("|") == 8
