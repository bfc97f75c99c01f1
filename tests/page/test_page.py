"""The page in a real browser: a fake microphone speaks a shipped sentence, captions appear and speech is heard."""

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.page.browser import SHARED_TITLE, Browser, Tab
from tests.page.conftest import Host

# Listens to whatever is sent to a loudspeaker, and keeps what is saved and what the server is told of the playback.
EARS = """
const connect = AudioNode.prototype.connect;
const ears = [];
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    const ear = this.context.createAnalyser();
    connect.call(this, ear);
    ears.push(ear);
  }
  return connect.call(this, to, ...rest);
};
window.loudest = 0;
setInterval(() => {
  for (const ear of ears) {
    const heard = new Float32Array(ear.fftSize);
    ear.getFloatTimeDomainData(heard);
    window.loudest = Math.max(window.loudest, Math.hypot(...heard) / Math.sqrt(heard.length));
  }
}, 50);
window.played = [];
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  const message = typeof data === "string" ? JSON.parse(data) : {};
  if (message.type === "output_audio.played") window.played.push(message.up_to_sample);
  send.call(this, data);
};
window.saved = [];
const make = URL.createObjectURL;
URL.createObjectURL = (blob) => (blob instanceof File || blob.text().then((text) => saved.push(text)), make(blob));
"""
AUDIBLE = 0.01  # RMS; the translation is spoken at about 0.1
TARGETS = "[...document.querySelectorAll('#captions .target')].map(e => e.textContent).join('')"
FINISHED = "document.getElementById('announcer').textContent"
# The browser waits with one of its answers until it is told to give it; `on` is what still runs.
HELD = """
window.answers = [];
window.contexts = [];
window.AudioContext = class extends AudioContext {
  constructor(...rest) {
    super(...rest);
    contexts.push(this);
  }
};
const tracks = [];
const getUserMedia = navigator.mediaDevices.getUserMedia;
navigator.mediaDevices.getUserMedia = async function (...rest) {
  const stream = await getUserMedia.apply(this, rest);
  tracks.push(...stream.getTracks());
  return stream;
};
window.given = 0;
window.hold = (object, name) => {
  const real = object[name];
  object[name] = async function (...rest) {
    await new Promise((resolve) => answers.push(resolve));
    const answer = await real.apply(this, rest);
    given += 1;
    return answer;
  };
};
window.on = () => [
  ...tracks.filter((track) => track.readyState !== "ended").map((track) => track.kind),
  ...contexts.filter((context) => context.state !== "closed").map((context) => context.state),
];
"""
CONTRAST = """
(() => {
  const channels = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  const light = (color) => channels(color).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    const color = getComputedStyle(e).backgroundColor;
    return /^rgba.*, 0\\)$/.test(color) && e.parentElement ? ground(e.parentElement) : color;
  };
  const found = {};
  for (const name of ["h1", "#status-text", "#welcome p:last-child", "legend", ".hint", ".field span", "#start",
      ".segmented span", ".gauge .label", "#times", ".target .stable", ".target .unstable", ".segment time"]) {
    for (const e of document.querySelectorAll(name)) {
      const [one, other] = [light(getComputedStyle(e).color), light(ground(e))].sort((a, b) => b - a);
      found[name] = Math.min(found[name] ?? 99, (one + 0.05) / (other + 0.05));
    }
  }
  return found;
})()
"""


def visit(tab: Tab, url: str) -> None:
    """Opens the page and waits until it knows what the server can do."""
    tab.resize(1280, 800)
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=EARS)
    tab.open(url)
    tab.wait("document.getElementById('to')?.options.length")


def pick(tab: Tab, **values: str) -> None:
    for name, value in values.items():
        tab.evaluate(f"document.getElementById({name!r}).value = {value!r}")
    tab.evaluate("document.getElementById('choices').dispatchEvent(new Event('input'))")


def assert_clean(tab: Tab, url: str) -> None:
    """Nothing was refused by the policy, nothing was thrown, no other host was asked."""
    assert tab.complaints == []
    own = (url, url.replace("http", "ws"), "blob:")
    assert tab.requests and not [request for request in tab.requests if not request.startswith(own)]


@dataclass
class Spoken:
    """A page after a session with the microphone, and what was seen meanwhile."""

    tab: Tab
    focused: list[str]
    pending: str


@pytest.fixture(scope="module")
def spoken(browser: Browser, daemon: str) -> Iterator[Spoken]:
    """Tab to Start, Enter; the sentence is heard; Enter again."""
    with browser.tab() as tab:
        visit(tab, daemon)
        pick(tab, to="spa")
        focused: list[str] = []
        while "start" not in focused:
            assert len(focused) < 40
            tab.press("Tab", 9)
            focused.append(tab.evaluate("document.activeElement.id || document.activeElement.name"))
        tab.press("Enter", 13, "\r")
        tab.wait(TARGETS)
        pending = tab.evaluate(TARGETS)
        tab.wait(FINISHED)
        tab.wait(f"loudest > {AUDIBLE}")
        tab.evaluate("document.getElementById('start').focus()")
        tab.press("Enter", 13, "\r")
        tab.wait("document.getElementById('status').dataset.state === 'idle'")
        yield Spoken(tab, focused, pending)
        assert_clean(tab, daemon)


def test_captions_appear_and_speech_is_heard(spoken: Spoken) -> None:
    tab = spoken.tab
    text = tab.evaluate(TARGETS)
    assert len(text) > 8 and spoken.pending
    assert tab.evaluate("document.querySelector('#captions .target').lang") == "es"
    assert tab.evaluate("document.querySelectorAll('#captions .unstable')[1].textContent") == ""
    assert tab.evaluate("loudest") > AUDIBLE
    assert tab.evaluate("document.getElementById('lag-text').textContent").endswith(" s")


def test_the_server_is_told_what_was_played(spoken: Spoken) -> None:
    played = spoken.tab.evaluate("played")
    assert len(played) > 1 and played == sorted(set(played))
    assert played[-1] > 0.4 * spoken.tab.evaluate("new AudioContext().sampleRate")


def test_the_keyboard_reaches_everything_in_order(spoken: Spoken) -> None:
    order = ["device", "from", "swap", "to", "voice", "volume", "original", "duck", "gate", "start"]
    assert [name for name in spoken.focused if name in order] == order
    assert "kind" in spoken.focused  # where sound comes from


def test_the_transcript_is_saved_as_subtitles(spoken: Spoken) -> None:
    tab = spoken.tab
    tab.click("#show-save")
    tab.click("[data-form=srt]")
    [text] = tab.wait("saved.length && saved")
    first, times, *lines = text.splitlines()
    assert first == "1" and " --> " in times and times.startswith("00:00:0")
    assert " ".join(lines).split("  ")[0].strip() in tab.evaluate(FINISHED)


def test_the_projector_shows_nothing_but_captions(spoken: Spoken) -> None:
    tab = spoken.tab
    before_px = tab.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('#captions .target')).fontSize)"
    )
    tab.click("#show-projector")
    sizes = tab.wait(
        "document.body.classList.contains('projector') && ['li:last-child .target', '.bar', '.dock', '#setup']"
        ".map(name => document.querySelector(name).getBoundingClientRect().height)"
    )
    large_px = tab.evaluate(
        "parseFloat(getComputedStyle(document.querySelector('#captions .target')).fontSize)"
    )
    assert sizes[0] > 0 and sizes[1:] == [0, 0, 0] and large_px > 1.5 * before_px
    tab.press("Escape", 27)
    tab.wait("!document.body.classList.contains('projector')")
    assert tab.evaluate("document.activeElement.id") == "show-projector"


def test_text_can_be_read_in_both_schemes(spoken: Spoken) -> None:
    backgrounds = {}
    for dark in (False, True):
        spoken.tab.resize(1280, 800, dark=dark)
        spoken.tab.evaluate("document.querySelector('#captions .unstable').textContent")
        found: dict[str, float] = spoken.tab.evaluate(CONTRAST)
        assert len(found) == 13 and not {name: ratio for name, ratio in found.items() if ratio < 4.5}
        colour = spoken.tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        backgrounds[dark] = sum(map(int, re.findall(r"\d+", colour)[:3]))
    assert backgrounds[True] < 200 < 600 < backgrounds[False]  # of 765


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_cut_at_a_phones_width(spoken: Spoken, width: int) -> None:
    tab = spoken.tab
    tab.resize(width, 700)
    for selector in ("html", "#choices", "#dock", ".bar", "#captions"):
        wide = f"(e => e.scrollWidth - e.clientWidth)(document.querySelector({selector!r}))"
        assert tab.evaluate(wide) <= 1, selector
    right = "document.getElementById('start').getBoundingClientRect().right"
    assert 0 < tab.evaluate(right) <= width
    tab.resize(1280, 800)


def test_everything_that_can_be_operated_has_a_name(spoken: Spoken) -> None:
    nodes: list[dict[str, Any]] = spoken.tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "slider", "checkbox", "radio", "meter", "textbox", "region", "heading"}
    named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]]
    found = [(role, name) for role, name in named if role in roles]
    assert {"button", "combobox", "slider", "checkbox", "radio", "meter"} <= {role for role, _ in found}
    assert not [role for role, name in found if not name.strip()]
    live = "['#status', '#notice', '#announcer'].map(n => (e => e.role || e.ariaLive)(document.querySelector(n)))"
    assert spoken.tab.evaluate(live) == ["status", "alert", "polite"]


def test_a_file_becomes_captions(browser: Browser, daemon: str, sentence: Path) -> None:
    with browser.tab() as tab:
        visit(tab, daemon)
        pick(tab, to="spa")
        tab.click("[name=kind][value=file]")
        tab.choose_file("#file", sentence)
        tab.click("#fast")
        tab.click("#start")
        tab.wait(FINISHED)
        tab.wait("document.getElementById('status').dataset.state === 'idle'")
        assert tab.evaluate("loudest") == 0  # captions only
        assert_clean(tab, daemon)


def test_a_file_is_heard_while_it_is_translated(browser: Browser, host: Host, sentence: Path) -> None:
    with host() as hosted, browser.tab() as tab:
        visit(tab, hosted.url)
        tab.click("[name=kind][value=file]")
        tab.choose_file("#file", sentence)
        tab.click("#start")
        tab.wait(f"loudest > {AUDIBLE} && !document.getElementById('pause').hidden")
        tab.click("#pause")
        tab.wait("document.getElementById('pause').textContent === 'Play'")
        tab.click("#start")
        tab.wait("document.getElementById('status').dataset.state === 'idle'")
        assert_clean(tab, hosted.url)


def test_the_sound_of_another_tab_becomes_captions(browser: Browser, daemon: str, sentence: Path) -> None:
    sound = base64.b64encode(sentence.read_bytes()).decode()
    with browser.tab() as shared, browser.tab() as tab:
        shared.evaluate(
            f"document.title = {SHARED_TITLE!r};"
            f" window.player = new Audio('data:audio/wav;base64,{sound}'); player.loop = true; player.play()"
        )
        visit(tab, daemon)
        pick(tab, to="spa")
        tab.evaluate("document.querySelector('[name=kind][value=tab]').click()")
        tab.click("#start")
        tab.wait(FINISHED)
        tab.evaluate("document.getElementById('start').click()")
        tab.wait("document.getElementById('status').dataset.state === 'idle'")
        assert len(tab.evaluate(TARGETS)) > 8
        assert_clean(tab, daemon)


def test_a_refused_microphone_is_told(browser: Browser, host: Host) -> None:
    with host() as hosted, browser.tab(grants=False) as tab:
        visit(tab, hosted.url)
        tab.click("#start")
        tab.wait("document.getElementById('notice-text').textContent.includes('use the microphone')")
        assert tab.evaluate("document.getElementById('start').textContent") == "Start"
        assert_clean(tab, hosted.url)


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        ("microphone", "navigator.mediaDevices, 'getUserMedia'"),
        ("microphone", "AudioWorklet.prototype, 'addModule'"),
        ("file", "BaseAudioContext.prototype, 'decodeAudioData'"),
    ],
)
def test_stop_before_the_sound_is_there_leaves_nothing_on(
    browser: Browser, host: Host, sentence: Path, kind: str, held: str
) -> None:
    """As while the browser asks whether the microphone may be used, and the visitor says yes afterwards."""
    with host() as hosted, browser.tab() as tab:
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=HELD)
        visit(tab, hosted.url)
        if kind == "file":
            tab.click("[name=kind][value=file]")
            tab.choose_file("#file", sentence)
            tab.click("#fast")
        tab.evaluate(f"hold({held})")
        num_sessions = sum(request.startswith("ws") for request in tab.requests)
        tab.click("#start")
        num_held = tab.wait("answers.length")
        tab.click("#start")
        tab.wait("document.getElementById('status').dataset.state === 'idle'")
        tab.evaluate("answers.forEach((answer) => answer())")
        tab.wait(f"given >= {num_held}")
        time.sleep(1.0)  # whatever went on would have begun
        assert tab.evaluate("on()") == []
        assert sum(request.startswith("ws") for request in tab.requests) == num_sessions
        assert tab.evaluate("document.getElementById('status').dataset.state") == "idle"
        assert tab.evaluate("document.getElementById('notice').hidden")
        assert_clean(tab, hosted.url)


def test_a_full_server_and_a_missing_key_are_told(browser: Browser, host: Host) -> None:
    with host(keys=("secret",), max_sessions=1) as hosted, browser.tab() as tab, browser.tab() as other:
        for page in (tab, other):
            page.resize(1280, 800)
            page.open(hosted.url)
            page.wait("document.getElementById('notice-text')?.textContent.includes('needs a key')")
            assert page.evaluate("document.activeElement.id") == "key"
            for letter in "secret":
                page.press(letter, ord(letter.upper()), letter)
            page.press("Tab", 9)
            page.wait("document.getElementById('to').options.length")
        tab.click("#start")
        tab.wait("document.getElementById('status').dataset.state === 'open'")
        other.click("#start")
        other.wait("document.getElementById('notice-text').textContent.includes('server is full')")
        # The refusals themselves are failed handshakes, which browsers write down; nothing else may be.
        assert not [text for text in tab.complaints + other.complaints if "WebSocket" not in text]


def test_who_has_the_link_reads_along(browser: Browser, host: Host) -> None:
    with host() as hosted, browser.tab() as tab, browser.tab() as other:
        visit(tab, hosted.url)
        tab.click("#start")
        tab.wait(TARGETS)
        tab.click("#show-share")
        other.open(tab.wait("document.getElementById('share-link').value"))
        assert tab.evaluate("document.querySelector('#share-code path').getAttribute('d').length") > 1000
        tab.press("Escape", 27)
        other.wait(TARGETS)
        tab.click("#start")
        other.wait("document.getElementById('status-text').textContent.includes('over')")
        assert other.evaluate(TARGETS) == tab.evaluate(TARGETS)
        assert_clean(other, hosted.url)


@pytest.mark.parametrize("ends", ["before", "meanwhile"])
def test_who_reads_along_is_told_that_the_session_is_over(browser: Browser, host: Host, ends: str) -> None:
    """Before a word was said: the page must not go on promising captions."""
    with host() as hosted, browser.tab() as tab, browser.tab() as other:
        visit(tab, hosted.url)
        tab.click("#start")
        tab.wait("!document.getElementById('show-share').disabled")
        tab.click("#show-share")
        link = tab.wait("document.getElementById('share-link').value")
        tab.press("Escape", 27)
        stop = "document.getElementById('start').click()"
        if ends == "before":
            tab.evaluate(stop)
            tab.wait("document.getElementById('status').dataset.state === 'idle'")
            other.open(link)
            other.wait("document.getElementById('notice-text')?.textContent.includes('the link is wrong')")
            assert other.evaluate("document.getElementById('status-text').textContent") == "Stopped"
        else:
            other.open(link)
            other.wait("document.getElementById('status')?.dataset.state === 'open'")
            tab.evaluate(stop)
            other.wait("document.getElementById('status-text').textContent === 'The session is over'")
        assert "No captions will come" in other.evaluate("document.getElementById('welcome').textContent")


def test_times_are_those_of_the_whole_visit(browser: Browser, host: Host) -> None:
    """A second Start goes on behind the first: the captions of both are kept, with rising times."""
    with host() as hosted, browser.tab() as tab:
        visit(tab, hosted.url)
        for count in (1, 2):
            tab.click("#start")
            tab.wait(f"document.querySelectorAll('#captions .segment').length >= {count}")
            time.sleep(0.3)
            tab.click("#start")
            tab.wait("document.getElementById('status').dataset.state === 'idle'")
        starts = tab.evaluate(
            "[...document.querySelectorAll('time')].map(e => parseFloat(e.dateTime.slice(2)))"
        )
        keys = tab.evaluate("[...document.querySelectorAll('.segment')].map(e => e.dataset.key)")
        assert starts == sorted(starts) and len(set(keys)) == len(keys)
        assert {key.split("/")[0] for key in keys} == {"0", "1"}, json.dumps(keys)
