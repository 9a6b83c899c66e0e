"""The system's Chromium and Firefox, headless, driven over a websocket in their own protocols.

Chromium speaks the DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/),
Firefox WebDriver BiDi (https://w3c.github.io/webdriver-bidi/). No driver is downloaded.
"""

import abc
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

# Time that a browser may take for anything, in seconds.
_PATIENCE = 60
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox, no GPU, and no network traffic of its own.
_CHROMIUM_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_FIREFOX = ("firefox-esr", "firefox")

# The keys that tests press: DevTools' code, number and text, and WebDriver's character.
_KEYS: dict[str, tuple[str, int, str, str]] = {
    "ArrowLeft": ("ArrowLeft", 37, "", "\ue012"),
    "ArrowUp": ("ArrowUp", 38, "", "\ue013"),
    "ArrowRight": ("ArrowRight", 39, "", "\ue014"),
    "ArrowDown": ("ArrowDown", 40, "", "\ue015"),
    "Delete": ("Delete", 46, "", "\ue017"),
    "Enter": ("Enter", 13, "\r", "\ue006"),
    "Escape": ("Escape", 27, "", "\ue00c"),
    "Tab": ("Tab", 9, "", "\ue004"),
    " ": ("Space", 32, " ", " "),
}


class MissingBrowserError(Exception):
    """A browser is not installed; the message says how to install it."""


class Tab(abc.ABC):
    """A page in a browser.

    Attributes:
      complaints: what the page and the browser have written to the console.
      requests: the addresses that it has asked for.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def _send(self, method: str, more: dict[str, Any] | None = None, **params: Any) -> Any:
        """Sends a command and waits for its result; on the way it handles events."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params, **(more or {})}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=_PATIENCE))
            if "id" not in answer:
                self._handle(answer["method"], answer["params"])
            elif answer["id"] == self._sent:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def evaluate(self, code: str, argument: Any = None) -> Any:
        """Evaluates an expression; where that is a function, its result for `argument`.

        What goes in and comes out is JSON; a promise is awaited.
        """
        return json.loads(
            self._call(
                f"async (json) => {{ let value = ({code});"
                "if (typeof value === 'function') value = value(JSON.parse(json));"
                "return JSON.stringify(await value) ?? 'null'; }",
                json.dumps(argument),
            )
        )

    def text(self, name: str) -> str:
        """The text of the element with this id."""
        return str(self.evaluate("(name) => document.getElementById(name).innerText", name))

    def move(self, x: float, y: float, steps: int = 1) -> None:
        """Moves the mouse in a straight line, in CSS pixels of the window."""
        start_x, start_y = self._mouse
        self._mouse = (x, y)
        parts = [(step + 1) / steps for step in range(steps)]
        self._move([(start_x + p * (x - start_x), start_y + p * (y - start_y)) for p in parts])

    _mouse = (0.0, 0.0)

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        self.button(down=True)
        self.button(down=False)

    def press(self, *keys: str) -> None:
        """Presses keys one after the other."""
        for key in keys:
            self.key(key, down=True)
            self.key(key, down=False)

    @abc.abstractmethod
    def _handle(self, method: str, params: dict[str, Any]) -> None:
        """Handles an event."""

    @abc.abstractmethod
    def _call(self, function: str, argument: str) -> str:
        """Calls a JavaScript function of a string that promises a string."""

    @abc.abstractmethod
    def _move(self, places: Sequence[tuple[float, float]]) -> None:
        """Moves the mouse from place to place."""

    @abc.abstractmethod
    def open(self, address: str) -> None:
        """Opens an address and waits until it has loaded."""

    @abc.abstractmethod
    def resize(self, width: int, height: int, ratio: float = 1) -> None:
        """Sets the size of the window in CSS pixels, and the pixels of the screen in one."""

    @abc.abstractmethod
    def button(self, down: bool, right: bool = False) -> None:
        """Presses or releases a button of the mouse."""

    @abc.abstractmethod
    def key(self, name: str, down: bool) -> None:
        """Presses or releases a key."""

    @abc.abstractmethod
    def choose(self, name: str, path: Path) -> None:
        """Chooses a file in the input element with this id."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the tab. Another one knows nothing of it."""


class ChromiumTab(Tab):
    """A tab of Chromium."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__(socket)
        self._pressed = "none"
        self._loaded = False
        self._profile = self._send("Target.createBrowserContext")["browserContextId"]
        target = self._send(
            "Target.createTarget", url="about:blank", browserContextId=self._profile
        )["targetId"]
        session = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> Any:
        """Sends a command of the DevTools Protocol to the page."""
        return self._send(method, self._session, **params)

    def _handle(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])

    def _call(self, function: str, argument: str) -> str:
        result = self.command(
            "Runtime.evaluate",
            expression=f"({function})({json.dumps(argument)})",
            awaitPromise=True,
        )
        assert "exceptionDetails" not in result, result
        return str(result["result"]["value"])

    def open(self, address: str) -> None:
        self._loaded = False
        self.command("Page.navigate", url=address)
        while not self._loaded:
            self._send("Target.getTargets")

    def resize(self, width: int, height: int, ratio: float = 1) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": ratio}
        self.command("Emulation.setDeviceMetricsOverride", **size, mobile=False)
        # A ratio that is only emulated reaches the page with the next picture of it.
        self.command("Page.captureScreenshot")

    def _move(self, places: Sequence[tuple[float, float]]) -> None:
        for x, y in places:
            self._mouse_event("mouseMoved", self._pressed, x, y)

    def _mouse_event(self, kind: str, button: str, x: float, y: float) -> None:
        buttons = {"none": 0, "left": 1, "right": 2}[self._pressed]
        event = {"type": kind, "button": button, "buttons": buttons, "x": x, "y": y}
        self.command("Input.dispatchMouseEvent", **event, clickCount=1)

    def button(self, down: bool, right: bool = False) -> None:
        button = "right" if right else "left"
        self._pressed = button if down else "none"
        self._mouse_event("mousePressed" if down else "mouseReleased", button, *self._mouse)

    def key(self, name: str, down: bool) -> None:
        code, number, text, _ = _KEYS[name]
        kind = ("keyDown" if text else "rawKeyDown") if down else "keyUp"
        event = {"type": kind, "key": name, "code": code, "windowsVirtualKeyCode": number}
        self.command("Input.dispatchKeyEvent", **event, text=text if down else "")

    def choose(self, name: str, path: Path) -> None:
        element = self.command(
            "Runtime.evaluate", expression=f"document.getElementById({name!r})"
        )["result"]["objectId"]
        self.command("DOM.setFileInputFiles", files=[str(path)], objectId=element)

    def close(self) -> None:
        self._send("Target.disposeBrowserContext", browserContextId=self._profile)


class FirefoxTab(Tab):
    """A tab of Firefox."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__(socket)
        self._profile = self._send("browser.createUserContext")["userContext"]
        tab = self._send("browsingContext.create", type="tab", userContext=self._profile)
        self._tab = tab["context"]
        events = ["log.entryAdded", "network.beforeRequestSent"]
        self._send("session.subscribe", events=events, userContexts=[self._profile])

    def _handle(self, method: str, params: dict[str, Any]) -> None:
        if method == "log.entryAdded":
            self.complaints.append(str(params["text"]))
        elif method == "network.beforeRequestSent":
            self.requests.append(params["request"]["url"])

    def _call(self, function: str, argument: str) -> str:
        result = self._send(
            "script.callFunction",
            functionDeclaration=function,
            arguments=[{"type": "string", "value": argument}],
            target={"context": self._tab},
            awaitPromise=True,
        )
        assert result["type"] == "success", result
        return str(result["result"]["value"])

    def open(self, address: str) -> None:
        self._send("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def resize(self, width: int, height: int, ratio: float = 1) -> None:
        size = {"width": width, "height": height}
        self._send(
            "browsingContext.setViewport",
            context=self._tab,
            viewport=size,
            devicePixelRatio=ratio,
        )

    def _perform(self, kind: str, *actions: dict[str, Any]) -> None:
        source = {"type": kind, "id": kind, "actions": actions}
        self._send("input.performActions", context=self._tab, actions=[source])

    def _move(self, places: Sequence[tuple[float, float]]) -> None:
        moves = ({"type": "pointerMove", "x": x, "y": y, "duration": 0} for x, y in places)
        self._perform("pointer", *moves)

    def button(self, down: bool, right: bool = False) -> None:
        kind = "pointerDown" if down else "pointerUp"
        self._perform("pointer", {"type": kind, "button": 2 if right else 0})

    def key(self, name: str, down: bool) -> None:
        self._perform("key", {"type": "keyDown" if down else "keyUp", "value": _KEYS[name][3]})

    def choose(self, name: str, path: Path) -> None:
        element = self._send(
            "script.evaluate",
            expression=f"document.getElementById({name!r})",
            target={"context": self._tab},
            awaitPromise=False,
        )["result"]
        found = {"sharedId": element["sharedId"]}
        self._send("input.setFiles", context=self._tab, element=found, files=[str(path)])

    def close(self) -> None:
        self._send("browser.removeUserContext", userContext=self._profile)


class Browser:
    """A browser that runs."""

    def __init__(self, tab: type[Tab], socket: ClientConnection) -> None:
        self._tab = tab
        self._socket = socket

    @contextlib.contextmanager
    def shown(
        self, address: str, size: tuple[int, int] = (1280, 800), ratio: float = 1
    ) -> Iterator[Tab]:
        """A page at an address. It may not complain, and may not request anything else."""
        tab = self._tab(self._socket)
        try:
            tab.resize(*size, ratio)
            tab.open(address)
            yield tab
            # Events come before the answer to what is asked after them.
            tab.evaluate("0")
        finally:
            tab.close()
        assert tab.complaints == []
        # (Firefox does not report that it reads a file.)
        assert [url for url in tab.requests if not url.startswith("data:")] in ([address], [])


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Starts a Chromium or Chrome.

    Raises:
      MissingBrowserError: there is none.
    """
    program = _program(_CHROMIUM, "chromium")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        _started(
            [program, *_CHROMIUM_FLAGS, f"--user-data-dir={profile}"], "DevTools"
        ) as address,
        connect(address, max_size=None) as socket,
    ):
        yield Browser(ChromiumTab, socket)


@contextlib.contextmanager
def firefox() -> Iterator[Browser]:
    """Starts a Firefox.

    Raises:
      MissingBrowserError: there is none.
    """
    program = _program(_FIREFOX, "firefox-esr")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        _started(
            [program, "--headless", "--no-remote", "--profile", profile], "WebDriver BiDi"
        ) as address,
        connect(f"{address}/session", max_size=None) as socket,
    ):
        message = {"id": 0, "method": "session.new", "params": {"capabilities": {}}}
        socket.send(json.dumps(message))
        assert json.loads(socket.recv(timeout=_PATIENCE))["type"] == "success"
        yield Browser(FirefoxTab, socket)


def _program(names: Sequence[str], package: str) -> str:
    """Finds a program; raises MissingBrowserError if there is none."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise MissingBrowserError(f"no {names[0]} here; apt-get install {package}")
    return found


@contextlib.contextmanager
def _started(command: Sequence[str], protocol: str) -> Iterator[str]:
    """Starts a browser, and ends it; gives the address at which it listens."""
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [*command, "--remote-debugging-port=0"], stdout=subprocess.DEVNULL, stderr=said
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _PATIENCE
            found = None
            while found is None:
                assert process.poll() is None, f"{command[0]} ended"
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.02)
                said.seek(0)
                found = re.search(rf"{protocol} listening on (ws://\S+)\n", said.read())
            yield found[1]
        finally:
            process.terminate()
