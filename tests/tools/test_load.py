"""The load generator counts what a server does, and sees what one leaves out; the daemon it starts is real."""

import asyncio

import pytest

from seamless_stream.engine.engine import VADS
from tests.engine.test_engine import TALK
from tests.fakes import LevelVad
from tests.server.serving import running
from tools.load import Row, Talk, line, main, measure, spread

TALKS = [Talk.of(TALK, "es")]


@pytest.fixture
def level_vad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VADS, "silero", LevelVad)


def test_two_clients_finish_and_every_frame_has_its_ack(level_vad: None) -> None:
    async def scenario() -> Row:
        async with running() as server:
            return await measure(server.url, TALKS, 2, 4.0)

    row = asyncio.run(scenario())
    assert (row.clients, row.finished, row.refused, row.failures) == (2, 2, 0, [])
    assert (row.dropped_s, row.left_out) == (0.0, 0)
    assert row.finals >= 2 and 0 < row.final_ms[0] <= row.final_ms[3] < 10_000
    assert 0 <= row.ack_ms[0] <= row.ack_ms[3] < 10_000
    assert "| 2 of 2 |" in line(row)


def test_who_is_refused_has_not_finished(level_vad: None) -> None:
    async def scenario() -> Row:
        async with running(max_sessions=1) as server:
            return await measure(server.url, TALKS, 2, 2.0)

    row = asyncio.run(scenario())
    assert (row.finished, row.refused, row.failures) == (1, 1, [])


def test_the_figures_of_little() -> None:
    assert spread([]) == [] and spread([3.0]) == [3.0] * 4
    assert spread([float(i) for i in range(101)]) == [50.0, 95.0, 99.0, 100.0]


def test_it_starts_a_daemon_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clients", "1", "--seconds", "4"]) == 0
    assert "| 1 of 1 |" in capsys.readouterr().out
