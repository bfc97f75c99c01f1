"""Twenty seconds of a soak against a server of this process, and the verdict both ways."""

import asyncio
import os
from dataclasses import replace

import pytest

from seamless_stream.engine.engine import VADS
from tests.engine.test_engine import TALK
from tests.fakes import LevelVad
from tests.server.serving import running
from tools.load import Client, Talk
from tools.soak import Minute, line, main, soak, verdict


def test_twenty_seconds_in_five_minutes_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", LevelVad)
    told: list[Minute] = []

    async def scenario() -> tuple[list[Minute], Client]:
        async with running(max_ahead_ms=60_000) as server:
            return await soak(server.url, os.getpid(), Talk.of(TALK, "es"), 5, 8.0, told.append, 4.0)

    minutes, client = asyncio.run(scenario())
    assert client.is_finished and client.dropped_ms == 0 and client.num_left_out == 0
    assert minutes == told and [minute.number for minute in minutes] == [1, 2, 3, 4, 5]
    assert sum(minute.num_finals for minute in minutes) > 4 and minutes[0].rss_mb > 20
    assert "memory" in line(minutes[0])


def test_the_last_minute_must_be_as_the_second_one_of_the_daemon() -> None:
    second = Minute(2, 500.0, 300.0, 9)
    same = Minute(60, 503.0, 380.0, 9)
    assert verdict([second, second, same])[0]
    for worse in (
        replace(same, rss_mb=505.0),
        replace(same, wait_ms=450.0),
        replace(same, wait_ms=None),
    ):
        assert not verdict([second, second, worse])[0]


def test_a_minute_is_not_compared_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--minutes", "2"])
    assert "must be above 2, but is 2" in capsys.readouterr().err
