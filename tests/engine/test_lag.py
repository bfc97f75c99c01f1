"""The playhead on the source clock, and the ladder with its hysteresis."""

import pytest

from seamless_stream.engine.lag import HYSTERESIS_S, LagControl, Pace, Playhead
from seamless_stream.errors import SettingsError
from seamless_stream.settings import SpeechSettings


def test_playhead_plays_one_piece_after_the_other() -> None:
    playhead = Playhead()
    assert playhead.add(2.0, 1.5) == 2.0
    assert playhead.add(3.0, 1.0) == 3.5  # waits for the first
    assert playhead.backlog_s(3.0) == pytest.approx(1.5)
    assert playhead.backlog_s(9.0) == 0
    assert playhead.add(9.0, 1.0) == 9.0  # after a hole


def test_ladder_goes_up_and_hurries_ever_more() -> None:
    settings = SpeechSettings(target_backlog_s=1.0, max_backlog_s=6.0)
    control = LagControl(settings)
    paces = [control.pace(b) for b in (0.0, 1.0, 1.1, 2.1, 3.3, 4.6, 6.1)]
    assert [p.duration_factor for p in paces] == [1.0, 1.0, 0.92, 0.85, 0.78, 0.78, 1.0]
    assert [p.trims_pauses for p in paces] == [False, False, False, True, True, True, False]
    assert [p.tempo for p in paces] == [1, 1, 1, 1, 1.125, 1.25, 1]
    assert [p.skips for p in paces] == [False] * 6 + [True]


def test_a_step_is_taken_back_only_well_below_its_threshold() -> None:
    control = LagControl(SpeechSettings(target_backlog_s=1.0, max_backlog_s=6.0))
    assert control.pace(1.2).duration_factor == 0.92
    assert control.pace(1.0 - HYSTERESIS_S + 0.05).duration_factor == 0.92
    assert control.pace(1.0 - HYSTERESIS_S - 0.05) == Pace()
    assert control.pace(1.0 - HYSTERESIS_S + 0.05) == Pace()  # and not taken again on the way up
    assert control.pace(7.0).skips
    assert control.pace(5.8).skips
    assert control.pace(0.0) == Pace()


def test_without_a_target_speech_is_hurried_only_while_some_waits() -> None:
    control = LagControl(SpeechSettings(target_backlog_s=0.0))
    assert control.pace(0.5) != Pace()
    assert control.pace(0.0) == Pace()


def test_a_speech_that_is_a_fifth_too_long_stays_near() -> None:
    """Clauses of 2 s of source whose translation takes 2.4 s: the backlog settles instead of growing."""
    control, playhead = LagControl(SpeechSettings()), Playhead()
    backlogs = []
    for clause in range(1, 200):
        now_s = 2.0 * clause
        pace = control.pace(playhead.backlog_s(now_s))
        assert not pace.skips
        playhead.add(now_s, 2.4 * pace.duration_factor / pace.tempo)
        backlogs.append(playhead.backlog_s(now_s))
    assert max(backlogs[100:]) < 6.0
    assert max(backlogs[100:]) <= max(backlogs[:100]) + 1e-6


@pytest.mark.parametrize(
    "values",
    [
        {"target_backlog_s": -1},
        {"max_backlog_s": 1.5},
        {"piece_units": 0},
        {"crossfade_ms": 4},
        {"max_tempo": 1.3},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"`{next(iter(values))}` must be"):
        SpeechSettings(**values)  # type: ignore[arg-type]
