"""The page's modules on their own, in a real browser: the client over a bad network, QR codes, subtitles."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import zxingcpp
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from seamless_stream.audio.pcm import from_bytes, to_bytes
from seamless_stream.engine.engine import Engine
from seamless_stream.events import Final, Speech
from tests.engine.test_engine import TALK, listen
from tests.fakes import FakeTranslator
from tests.page.browser import Browser, Tab
from tests.page.conftest import Host
from tests.server.serving import on_a_thread

PROTOCOL = Subprotocol("seamless-stream.v1")

# Before the proxy cuts: it cuts whatever comes next.
LOAD = 'import("/page/client.js").then(() => true)'
TALKING = """
(async () => {
  const { TranslationClient } = await import("/page/client.js");
  const url = new URL("/v1/realtime/translations", location.href.replace("http", "ws"));
  const output = { language: "es", rate: 16000 };
  const client = new TranslationClient({ url, input: { rate: 16000, pacing: "fast" }, output });
  const found = { states: [], finals: [], audio: [], sessions: new Set(), flushed: 0 };
  client.addEventListener("state", ({ detail }) => found.states.push(detail.state));
  client.addEventListener("segment.final", ({ detail }) => {
    found.finals.push([detail.text, detail.start_ms + detail.offset_ms]);
    found.sessions.add(detail.session_number);
  });
  client.addEventListener("audio", ({ detail }) => found.audio.push(...detail.samples));
  await client.connect();
  const bytes = Uint8Array.from(atob(window.talk), (c) => c.charCodeAt(0));
  const samples = new Float32Array(bytes.buffer);
  for (let at = 0; at < samples.length; at += 3200) {
    client.send(samples.subarray(at, at + 3200));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const closed = await client.close();
  found.usage = closed.usage;
  const pcm = Int16Array.from(found.audio, (x) => Math.round(x * 32768));
  found.audio = btoa(String.fromCharCode(...new Uint8Array(pcm.buffer).subarray(0, 60000)));
  return { ...found, numSamples: pcm.length, sessions: [...found.sessions] };
})()
"""

# Everything is said while the connection is away; then the page asks for all of it to be translated.
AWAY = """
(async () => {
  const { TranslationClient } = await import("/page/client.js");
  const url = new URL("/v1/realtime/translations", location.href.replace("http", "ws"));
  const client = new TranslationClient({ url, input: { rate: 16000 }, output: { language: "es", mode: "text" } });
  const found = { states: [], finals: [], sizes: [] };
  client.addEventListener("state", ({ detail }) => found.states.push(detail.state));
  client.addEventListener("segment.final", ({ detail }) => found.finals.push(detail.text));
  const reached = (state) => new Promise((resolve) => {
    client.addEventListener("state", ({ detail }) => [state, "closed"].includes(detail.state) && resolve());
  });
  await client.connect();
  const lost = reached("reconnecting");
  for (let i = 0; i < 16 && client.state === "open"; i++) client.send(new Float32Array(160));
  await lost;
  const bytes = Uint8Array.from(atob(window.talk), (c) => c.charCodeAt(0));
  const samples = new Float32Array(bytes.buffer);
  for (let at = 0; at < samples.length; at += window.size) client.send(samples.subarray(at, at + window.size));
  await reached("open");
  if (client.state === "open") found.flushed = await client.flush();
  found.usage = (await client.close())?.usage;
  return { ...found, number: found.flushed?.session_number };
})()
"""
# As if nothing was heard of the server for longer than it is ever silent, over a connection that still delivers.
SILENT = """
(async () => {
  const { TranslationClient } = await import("/page/client.js");
  const url = new URL("/v1/realtime/translations", location.href.replace("http", "ws"));
  const client = new TranslationClient({ url, output: { language: "es", mode: "text" } });
  const found = [];
  for (const type of ["session.created", "session.resumed"]) client.addEventListener(type, () => found.push(type));
  await client.connect();
  const now = performance.now.bind(performance);
  const begun = new Promise((resolve) => {
    client.addEventListener("state", ({ detail }) => detail.state === "open" && resolve());
  });
  performance.now = () => now() + 20_000;
  await begun;
  client.abort();
  return found;
})()
"""

MUTE = """
(async () => {
  const { TranslationClient } = await import("/page/client.js");
  const client = new TranslationClient({ url: "URL", output: { language: "es" }, patienceMs: 500 });
  return client.connect().then(() => [], (error) => [error.code, error.message]);
})()
"""


def module(tab: Tab, url: str, expression: str) -> object:
    """The value of an expression on the page of a server."""
    tab.open(f"{url}page/icon.svg")  # of the same origin, and quiet
    tab.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
    return tab.evaluate(expression)


@pytest.mark.parametrize("num_cuts", [0, 3])
def test_the_client_loses_nothing_when_its_connection_breaks(
    browser: Browser, host: Host, num_cuts: int
) -> None:
    expected = listen(Engine(FakeTranslator()), [from_bytes(to_bytes(TALK))])
    with host() as hosted, browser.tab() as tab:
        module(tab, hosted.url, LOAD)
        tab.evaluate(f"window.talk = {base64.b64encode(TALK.astype('<f4').tobytes()).decode()!r}")
        hosted.plan.cuts_left = num_cuts
        found = tab.evaluate(TALKING)
    assert [final[0] for final in found["finals"]] == [e.text for e in expected if isinstance(e, Final)]
    assert found["numSamples"] == sum(len(e.samples) for e in expected if isinstance(e, Speech))
    assert found["sessions"] == [0]
    assert found["usage"]["audio_in_ms"] == len(TALK) // 16
    assert found["states"].count("reconnecting") >= (1 if num_cuts else 0)
    assert found["states"][:2] == ["connecting", "open"] and found["states"][-1] in ("closing", "closed")


def test_a_new_session_begins_with_what_the_old_one_did_not_take(browser: Browser, host: Host) -> None:
    """Where the server no longer knows the session: nothing said is lost, and times go on."""
    expected = listen(Engine(FakeTranslator()), [from_bytes(to_bytes(TALK))])
    with host(resume_grace_s=0.0) as hosted, browser.tab() as tab:
        module(tab, hosted.url, LOAD)
        tab.evaluate(f"window.talk = {base64.b64encode(TALK.astype('<f4').tobytes()).decode()!r}")
        cuts = iter([(40_000, 1 << 60, "cut")])
        hosted.plan.next = lambda: next(cuts, (1 << 60, 1 << 60, None))
        found = tab.evaluate(TALKING)
    assert found["sessions"][-1] == 1
    times = [final[1] for final in found["finals"]]
    assert times == sorted(times)
    last = [e for e in expected if isinstance(e, Final)][-1]
    assert abs(times[-1] - last.start_s * 1000) < 200


@pytest.mark.parametrize("size", [160, 16_000])
def test_what_was_said_while_away_comes_as_fast_as_a_new_session_takes_it(
    browser: Browser, host: Host, size: int
) -> None:
    """Neither more messages than are allowed, nor more audio than is held; what is asked for keeps its place."""
    expected = listen(Engine(FakeTranslator()), [from_bytes(to_bytes(TALK))])
    limits = {"max_messages_per_s": 100, "max_ahead_ms": 1_000}
    with host(resume_grace_s=0.0, **limits) as hosted, browser.tab() as tab:
        module(tab, hosted.url, LOAD)
        tab.evaluate(f"window.talk = {base64.b64encode(TALK.astype('<f4').tobytes()).decode()!r}")
        tab.evaluate(f"window.size = {size}")
        cuts = iter([(4_000, 1 << 60, "cut")])
        hosted.plan.next = lambda: next(cuts, (1 << 60, 1 << 60, None))
        found = tab.evaluate(AWAY)
    assert len(TALK) / 160 > 2 * limits["max_messages_per_s"] and len(TALK) / 16 > 2 * limits["max_ahead_ms"]
    assert found["states"][:4] == ["connecting", "open", "reconnecting", "open"], found
    assert found["finals"] == [e.text for e in expected if isinstance(e, Final)]
    assert found["flushed"]["processed_ms"] >= len(TALK) // 16
    assert found["usage"]["dropped_ms"] == 0


def test_a_session_whose_connection_is_given_up_goes_on(browser: Browser, host: Host) -> None:
    with host() as hosted, browser.tab() as tab:
        module(tab, hosted.url, LOAD)
        assert tab.evaluate(SILENT) == ["session.created", "session.resumed"]


@asynccontextmanager
async def mute() -> AsyncIterator[str]:
    """Where a server takes connections and says nothing."""
    async with serve(ServerConnection.wait_closed, "127.0.0.1", 0, subprotocols=[PROTOCOL]) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def test_a_server_that_accepts_and_says_nothing_is_given_up(browser: Browser, host: Host) -> None:
    with host() as hosted, on_a_thread(mute()) as url, browser.tab() as tab:
        found = module(tab, hosted.url, MUTE.replace("URL", url))
    assert found == ["no_answer", "The server does not answer."]


def test_qr_codes_are_read_by_another_program(browser: Browser, host: Host) -> None:
    lengths = (1, 14, 60, 106, 150, 230, 400, 660)  # of most sizes, with one and with many blocks
    texts = ["".join(chr(33 + (i * 7 + length) % 90) for i in range(length)) for length in lengths]
    with host() as hosted, browser.tab() as tab:
        encode = f'import("/page/qr.js").then(m => {json.dumps(texts)}.map(m.encode))'
        found: list[list[list[bool]]] = module(tab, hosted.url, encode)  # type: ignore[assignment]
    for text, rows in zip(texts, found, strict=True):
        dark = np.pad(np.array(rows, dtype=np.uint8), 4)
        picture = np.kron(255 * (1 - dark), np.ones((4, 4), np.uint8))
        assert [code.text for code in zxingcpp.read_barcodes(picture)] == [text]


def test_long_captions_become_cues_that_fit(browser: Browser, host: Host) -> None:
    text = "Una frase muy larga que no cabe de ninguna manera en dos líneas de subtítulos. " * 2
    caption = {"language": "spa", "role": None, "stable": text, "unstable": "", "isFinal": True}
    program = f"""
    import("/page/export.js").then(({{ cues, toSrt, toVtt, toText }}) => {{
      const captions = new Map([["spa", {json.dumps(caption)}]]);
      const list = cues([{{ startMs: 3599500, endMs: 3607500, captions }}], "target");
      return [toSrt(list), toVtt(list), toText(list), cues([{{ captions }}], "source").length];
    }})
    """
    with host() as hosted, browser.tab() as tab:
        srt, vtt, plain, num_sources = module(tab, hosted.url, program)  # type: ignore[misc]
    blocks = srt.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["1", "2"]
    assert blocks[0].splitlines()[1].startswith("00:59:59,500 --> 01:00:0")
    assert blocks[-1].splitlines()[1].endswith("--> 01:00:07,500")
    lines = [line for block in blocks for line in block.splitlines()[2:]]
    assert max(map(len, lines)) <= 42 and all(len(block.splitlines()) <= 4 for block in blocks)
    assert " ".join(lines).split() == text.split()
    assert vtt.startswith("WEBVTT\n\n00:59:59.500 --> ")
    assert plain == f"[59:59] {text.strip()}\n" and num_sources == 0
