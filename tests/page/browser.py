"""Headless Chromium over its DevTools protocol: opens pages with a fake microphone, evaluates, clicks, takes pictures.

Knows the websockets library and nothing of the project. Every exception and violation of the page is kept in
`complaints`, every request in `requests`.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

PACKAGES: Final = "chromium (Debian), chromium-browser or google-chrome"
PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STARTED_S: Final = 60
PATIENCE_S: Final = 90  # seconds are enough, where nothing else runs
SHARED_TITLE: Final = "a tab to be shared"  # what the visitor picks where a page asks for a tab
FOREVER: Final[dict[str, Any]] = {"max_size": None, "ping_interval": None}
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    f"--auto-select-tab-capture-source-by-title={SHARED_TITLE}",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


def program() -> str | None:
    """Where Chromium is; None: nowhere."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Tab:
    """One page; calls wait for their answer, events are kept."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and parameters["entry"]["source"] in ("security", "javascript"):
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Audits.issueAdded":
            issue = parameters["issue"]
            if issue["code"] == "ContentSecurityPolicyIssue":
                self.complaints.append(json.dumps(issue))
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(parameters["url"])

    def evaluate(self, expression: str, *, as_user: bool = False) -> Any:
        """The value of an expression, awaited; raises what it throws."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=as_user,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait(self, expression: str, within_s: float = PATIENCE_S) -> Any:
        """The first value of an expression that is true."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.1)
        status = self.evaluate("document.body.innerText")
        raise AssertionError(f"not within {within_s} s: {expression}\n{status}\n{self.complaints}")

    def press(self, key: str, code: int, text: str = "") -> None:
        """One key, down and up."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more
            )

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of an element."""
        box = self.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'nearest'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})(document.querySelector({selector!r}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def resize(self, width: int, height: int, *, scale: float = 1, dark: bool = False) -> None:
        """The size of the window, and which scheme the visitor likes."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        liked = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in liked.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def choose_file(self, selector: str, path: Path) -> None:
        """As if it was picked in the dialog."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def picture(self, path: Path) -> None:
        """What is seen, as PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def open(self, url: str) -> None:
        """Go there; the page may still be loading."""
        self.call("Page.navigate", url=url)


class Browser:
    """A running Chromium."""

    def __init__(self, port: int) -> None:
        self._port = port

    @contextmanager
    def tab(self, url: str = "about:blank", *, grants: bool = True) -> Iterator[Tab]:
        """A page of its own, with nothing stored; `grants`: the visitor allows the microphone."""
        with connect(self._version()["webSocketDebuggerUrl"], **FOREVER) as socket:
            whole = Tab(socket)
            context = whole.call("Target.createBrowserContext")["browserContextId"]
            setting = "granted" if grants else "denied"
            permission = {"name": "microphone"}
            whole.call(
                "Browser.setPermission", permission=permission, setting=setting, browserContextId=context
            )
            target = whole.call("Target.createTarget", url="about:blank", browserContextId=context)[
                "targetId"
            ]
            address = f"ws://127.0.0.1:{self._port}/devtools/page/{target}"
            with connect(address, **FOREVER) as page:
                tab = Tab(page)
                for domain in ("Page", "Runtime", "Log", "Network", "Audits", "DOM"):
                    tab.call(f"{domain}.enable")
                tab.open(url)
                yield tab
            whole.call("Target.disposeBrowserContext", browserContextId=context)

    def _version(self) -> dict[str, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/json/version", timeout=20) as answer:
            return dict(json.load(answer))


@contextmanager
def browsing(microphone: str) -> Iterator[Browser]:
    """Chromium while the block runs; `microphone` is what its fake microphone plays, again and again."""
    path = program()
    assert path is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}", f"--user-data-dir={folder}"]
        with subprocess.Popen(
            [path, *flags, "about:blank"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as process:
            try:
                yield Browser(_port(Path(folder) / "DevToolsActivePort"))
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _port(file: Path) -> int:
    until_s = time.monotonic() + STARTED_S
    while time.monotonic() < until_s:
        if file.exists() and (text := file.read_text()):
            return int(text.split()[0])
        time.sleep(0.1)
    raise RuntimeError("Chromium did not start.")
