"""SimulEval's remote agent over HTTP: `simuleval --remote-eval` plays recordings to us and scores what comes back.

PUT /input takes a piece of source, GET /output gives what is new, POST /reset begins the next recording, GET / says who
we are (SimulEval 1.1.4, agents/service.py). One client at a time; every request is answered when the engine has nothing
left to do. Nothing of SimulEval is imported.
"""

import json
import logging
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np

from seamless_stream.audio.pcm import to_float32
from seamless_stream.audio.resample import Resampler
from seamless_stream.engine.engine import Engine
from seamless_stream.engine.metrics import Fact, json_line
from seamless_stream.errors import AudioError, SeamlessStreamError
from seamless_stream.evaluation.log import join, split
from seamless_stream.evaluation.quality import unit_of
from seamless_stream.events import Event, Failed, Final, Partial, Speech
from seamless_stream.settings import SessionSettings

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 256 << 20  # floats as text: some 10 minutes of source in one piece


class Agent:
    """One session at a time, driven by SimulEval's three calls."""

    def __init__(self, engine: Engine, settings: SessionSettings) -> None:
        self._engine = engine
        self._session = engine.open(settings)
        self._settings = self._session.settings
        self._unit = unit_of(self._settings.target_languages[0])
        self._speaks = self._settings.task == "s2st"
        self._begin()

    def _begin(self) -> None:
        self._resampler: Resampler | None = None
        self._texts: dict[int, str] = {}  # committed text of each segment
        self._num_sent = 0
        self._samples: list[np.ndarray] = []
        self._rate = 0
        self._is_finished = False

    def reset(self) -> None:
        """The next recording begins."""
        self._engine.close(self._session)
        self._session = self._engine.open(self._settings)
        self._begin()

    def push(self, segment: dict[str, Any]) -> None:
        """A piece of source: `content` floats at `sample_rate`, and whether it was the last one; raises AudioError."""
        if self._is_finished:
            return  # SimulEval goes on asking with empty pieces
        if not segment.get("is_empty") and segment.get("content"):
            rate = int(segment["sample_rate"])
            self._resampler = self._resampler or Resampler(rate)
            if self._resampler.rate_in != rate:
                raise AudioError(f"`sample_rate` must stay {self._resampler.rate_in}, but is {rate}.")
            samples = to_float32(np.asarray(segment["content"], np.float32))
            self._session.push(self._resampler.push(samples))
        if segment.get("finished"):
            self._is_finished = True
            if self._resampler is not None:
                self._session.push(self._resampler.flush())
            self._session.finish()
        while self._engine.step():
            pass
        for event in self._session.events():
            self._take(event)

    def pop(self) -> dict[str, Any]:
        """What is new since the last call, as a segment of text or of speech; an empty one where nothing is."""
        position_ms = round(self._session.position_s * 1000)
        segment = {
            "index": position_ms,
            "content": [],
            "finished": self._is_finished,
            "is_empty": False,
            "data_type": "speech" if self._speaks else "text",
            "tgt_lang": self._settings.target_languages[0],
            "config": {},
        }
        if self._speaks and self._samples:
            samples, self._samples = np.concatenate(self._samples), []
            return {**segment, "content": samples.tolist(), "sample_rate": self._rate}
        units = [unit for number in sorted(self._texts) for unit in split(self._texts[number], self._unit)]
        new, self._num_sent = units[self._num_sent :], max(self._num_sent, len(units))
        if new and not self._speaks:
            return {**segment, "content": join(new, self._unit)}
        return {**segment, "is_empty": True, "data_type": None}

    def _take(self, event: Event) -> None:
        if isinstance(event, Partial):
            self._texts[event.segment] = event.committed
        elif isinstance(event, Final):
            self._texts[event.segment] = event.text
        elif isinstance(event, Speech):
            self._samples.append(event.samples)
            self._rate = event.rate
        elif isinstance(event, Failed):
            log.warning("segment %d: %s", event.segment, event.message)


class Handler(BaseHTTPRequestHandler):
    """The four routes; `agent` is set by `make_server`."""

    agent: Agent

    def do_GET(self) -> None:
        """What is new, or who we are."""
        self._answer({"/output": self.agent.pop, "/": lambda: {"info": "seamless-stream"}})

    def do_POST(self) -> None:
        """The next recording."""
        self._answer({"/reset": self.agent.reset})

    def do_PUT(self) -> None:
        """A piece of source."""
        self._answer({"/input": lambda: self.agent.push(self._body())})

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            raise ValueError(f"a piece must have at most {MAX_BODY_BYTES} bytes")
        return json.loads(self.rfile.read(length))

    def _answer(self, routes: Mapping[str, Callable[[], Fact | None]]) -> None:
        work = routes.get(self.path)
        if work is None:
            return self.send_error(404)
        try:
            body = json_line(work() or {}).encode()
        except SeamlessStreamError as error:
            return self.send_error(500, str(error).splitlines()[0])
        except (ValueError, KeyError, TypeError) as error:
            return self.send_error(400, f"{type(error).__name__}: {error}")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: a request comes for every piece of source."""
        log.debug(format, *args)


def make_server(engine: Engine, settings: SessionSettings, port: int, host: str = "127.0.0.1") -> HTTPServer:
    """A server to `serve_forever`; port 0 takes a free one, `server_port` says which. Raises OSError."""
    agent = Agent(engine, settings)
    return HTTPServer((host, port), type("BoundHandler", (Handler,), {"agent": agent}))
