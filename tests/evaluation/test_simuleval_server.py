"""What SimulEval's remote evaluator does, done by hand: reset, pieces of source, what is new, until finished."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seamless_stream.audio.files import read
from seamless_stream.engine.engine import Engine
from seamless_stream.evaluation.corpus import read_corpus
from seamless_stream.evaluation.simuleval_server import make_server
from tests.evaluation.conftest import SETTINGS


@pytest.fixture
def address(engine: Engine) -> Iterator[str]:
    with make_server(engine, SETTINGS, 0) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.01)
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask(address: str, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address + path, data, method=method)) as answer:
        return json.loads(answer.read())


def test_a_recording_word_by_word(address: str, talks: Path) -> None:
    recording = read_corpus(talks)[0]
    samples = read(recording.path)
    assert "info" in ask(address, "GET", "/")
    for _ in range(2):  # the second time after a reset
        ask(address, "POST", "/reset")
        said: list[str] = []
        for start in range(0, len(samples), 5120):
            piece = samples[start : start + 5120].tolist()
            is_last = start + 5120 >= len(samples)
            ask(address, "PUT", "/input", {"content": piece, "sample_rate": 16_000, "finished": is_last})
            answer = ask(address, "GET", "/output")
            assert answer["finished"] == is_last
            assert answer["is_empty"] == (not answer["content"])
            if not answer["is_empty"]:
                assert answer["data_type"] == "text"
                said.append(answer["content"])
        assert len(said) > 2
        assert " ".join(said) == " ".join(reference.text for reference in recording.references)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("PUT", "/input", {"content": [0.1]}, 400),
        ("PUT", "/input", {"content": [0.1], "sample_rate": 1}, 500),
    ],
)
def test_wrong_requests(address: str, method: str, path: str, body: Any, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(address, method, path, body)
    assert error.value.code == status
    error.value.close()
