"""What /metrics tells, to whom, and that it agrees with what happened."""

import asyncio
import threading
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from seamless_stream.server.access import Access
from seamless_stream.settings import ServerSettings
from tests.engine.test_engine import TALK
from tests.fakes import FakeTranslator
from tests.server.serving import running
from tests.server.test_http import ask, get
from tests.server.test_native import FAST, PATIENCE_S, native, send, talk, until


def values(body: bytes) -> dict[str, float]:
    """name, or name{label value} -> value."""
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            name = sample.name.removeprefix("seamless_stream_")
            found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


def test_the_measures_are_those_of_what_happened() -> None:
    async def scenario() -> tuple[dict[str, float], dict[str, float]]:
        async with running() as server:
            async with native(server) as socket:
                await send(socket, FAST, TALK_PCM)
                await until(socket, "segment.started")
                _, _, during = await ask(server.port, get("/metrics"))
            async with native(server) as socket:
                realtime: dict[str, Any] = {"audio": {"output": {"language": "es"}}}
                await talk(socket, {"type": "session.update", "session": realtime})
            await ask(server.port, get("/nothing"))
            async with asyncio.timeout(PATIENCE_S):
                after = {"sessions": 1.0}
                while after["sessions"] or after["engine_sessions"] or not after.get(NORMAL):
                    _, headers, body = await ask(server.port, get("/metrics"))
                    after = values(body)
            assert headers["content-type"].startswith("text/plain; version=0.0.4")
            return values(during), after

    during, after = asyncio.run(scenario())
    assert during["sessions"] == during["engine_sessions"] == 1
    assert during["session_state_bytes_max"] == during["engine_state_bytes"] > 0
    assert after["engine_state_bytes"] == 0  # of nothing that is still open
    assert after["finals_total"] >= 3 and after["final_lag_seconds_count"] == 3  # only of the live session
    assert after["speech_seconds_total"] > 0 and after["step_seconds_count"] > 0
    assert after["audio_seconds_total"] == pytest.approx(2 * len(TALK) / 16_000, abs=0.01)
    assert after[NORMAL] >= 1 and after["refused_total{not_found}"] == 1
    assert after["loop_lag_seconds_count"] > 0 and after["process_open_fds"] > 0


NORMAL = "connections_closed_total{1000}"
TALK_PCM = (TALK * 32_767).astype("<i2").tobytes()


class SlowTranslator(FakeTranslator):
    """Its first step lasts until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.is_working = threading.Event(), threading.Event()

    def listen(self, *arguments: Any) -> Any:
        self.is_working.set()
        assert self.gate.wait(20)
        return super().listen(*arguments)


def test_a_long_step_of_the_model_does_not_hold_the_measures_up() -> None:
    model = SlowTranslator()

    async def scenario() -> int:
        async with running(model=model) as server, native(server) as socket:
            try:
                await send(socket, FAST, TALK_PCM)
                while not model.is_working.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                async with asyncio.timeout(5):
                    status, _, _ = await ask(server.port, get("/metrics"))
                return status
            finally:
                model.gate.set()

    assert asyncio.run(scenario()) == 200


def test_only_its_readers_get_them() -> None:
    async def scenario(rule: str) -> list[int]:
        requests = (get("/metrics"), get("/metrics", more="X-Forwarded-For: 203.0.113.9\r\n"))
        requests += (get("/metrics", more="Authorization: Bearer right\r\n"),)
        async with running(keys=("right",), metrics_readers=rule) as server:
            return [(await ask(server.port, request))[0] for request in requests]

    assert asyncio.run(scenario("local")) == [200, 403, 200]
    assert asyncio.run(scenario("key")) == [403, 403, 200]
    assert asyncio.run(scenario("all")) == [200, 200, 200]
    access = Access(ServerSettings(), ())
    addresses = ("127.0.0.1", "::1", "", "203.0.113.9")
    found = [access.may_read("local", peer, is_forwarded=False, grant=None) for peer in addresses]
    assert found == [True, True, True, False]
