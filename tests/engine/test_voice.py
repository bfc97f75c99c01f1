"""The voice of a session: what waits for its continuation is played before a listener hears a torn end."""

import numpy as np
import pytest

from seamless_stream.engine.segment import Line, Segment
from seamless_stream.engine.speech import Window
from seamless_stream.engine.voice import Voice
from seamless_stream.events import Speech
from seamless_stream.models.base import Capabilities, Prompt, Units
from seamless_stream.settings import SessionSettings

UNITS = 30
UNIT_SAMPLES = 320
CAPABILITIES = Capabilities(
    family="fake",
    tasks=frozenset({"s2st"}),
    source_languages=("eng",),
    target_languages=("spa",),
    speech_languages=("spa",),
    num_speakers=1,
    sample_rate=16_000,
    streams_speech=True,
    vocoder_reach_units=5,
)


class Letters:
    """A tokenizer whose pieces are words."""

    def pieces(self, token_ids: list[int]) -> list[str]:
        return [f"▁{number}" for number in token_ids]

    def encode_source(self, text: str, language: str) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: list[int]) -> str:
        return " ".join(map(str, token_ids))


def half_a_sentence(*, is_live: bool) -> tuple[Voice, Segment, Line, np.ndarray]:
    """A voice that has played the first words of an open segment at second 1, and what it has played."""
    settings = SessionSettings(task="s2st", target_languages=("spa",), is_live=is_live)
    voice = Voice(1, settings, CAPABILITIES, Letters())
    line = Line("spa", Prompt((0,), 2, 1), committed=tuple(range(1, 7)))
    segment = Segment(0, 0, [line])
    speaking = voice.next([(segment, line)], 1.0, is_mute=False)
    assert speaking is not None
    units = Units(list(range(UNITS)), [5] * 6, [1] * UNITS)
    window = speaking.track.plan(speaking.pieces, units, is_final=False)
    assert isinstance(window, Window)
    samples = np.full(len(window.unit_ids) * UNIT_SAMPLES, 0.5, np.float32)
    voice.play(speaking, window, samples, 1.0)
    [played] = segment.events
    assert isinstance(played, Speech)
    segment.events.clear()
    return voice, segment, line, played.samples


def test_a_listener_who_has_heard_all_hears_the_rest_fade_and_no_torn_end() -> None:
    voice, segment, line, played = half_a_sentence(is_live=True)
    assert len(played) < UNITS * UNIT_SAMPLES
    assert voice.next([(segment, line)], 1.2, is_mute=False) is None
    assert segment.events == []  # there is enough to hear
    assert voice.next([(segment, line)], 1.0 + len(played) / 16_000, is_mute=False) is None
    [rest] = segment.events
    assert isinstance(rest, Speech)
    assert len(played) + len(rest.samples) == UNITS * UNIT_SAMPLES
    assert rest.samples[0] == pytest.approx(0.5) and abs(rest.samples[-1]) < 0.01
    segment.events.clear()
    assert voice.next([(segment, line)], 9.0, is_mute=False) is None
    assert segment.events == []


def test_a_later_segment_that_fails_does_not_make_this_one_begin_again() -> None:
    voice, segment, line, _ = half_a_sentence(is_live=False)
    voice.drop(Line("spa", Prompt((0,), 2, 1)))
    line.is_final = True
    speaking = voice.next([(segment, line)], 1.2, is_mute=False)
    assert speaking is None or speaking.ask.first > 0


def test_a_file_has_no_listener_who_waits() -> None:
    voice, segment, line, _ = half_a_sentence(is_live=False)
    assert voice.next([(segment, line)], 60.0, is_mute=False) is None
    assert segment.events == []
