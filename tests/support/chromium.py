"""A headless Chromium that is driven over its DevTools protocol. Pages run no script of ours."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from support.proxy import eventually
from websockets.sync.client import connect
from websockets.sync.connection import Connection

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars")
_SECONDS = 60


def chromium() -> str | None:
    """The path of an installed Chromium or Chrome, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """A tab without JavaScript."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.errors: list[str] = []
        self._is_loaded = False
        for domain in ("Page", "Network", "DOM", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(_SECONDS))
        method = message.get("method")
        if method == "Page.loadEventFired":
            self._is_loaded = True
        elif method == "Log.entryAdded":
            self.errors.append(message["params"]["entry"]["text"])
        return message

    def resize(self, width: int, height: int, *, is_dark: bool = False, scale: float = 1) -> None:
        """Set the size of the window, in CSS pixels, and light or dark colours."""
        is_phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=is_phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._is_loaded = False
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        self.wait()

    def wait(self) -> None:
        """Wait until the page is loaded."""
        while not self._is_loaded:
            self._receive()

    def size(self) -> tuple[int, int]:
        """The width and the height of the page's content."""
        content = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return content["width"], content["height"]

    def submit(self, selector: str, text: str) -> None:
        """Write a text in a field of a form, press Enter, and wait for the next page."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.focus", nodeId=node)
        self.call("Input.insertText", text=text)
        self._is_loaded = False
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key)
        self.wait()

    def html(self) -> str:
        """The page as it is now."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        shown: str = self.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        return shown

    def url(self) -> str:
        """The address of the page."""
        url: str = self.call("Page.getFrameTree")["frameTree"]["frame"]["url"]
        return url

    def screenshot(self, path: Path, height: int) -> None:
        """Save a picture of the upper part of the page."""
        width, _ = self.size()
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def running_chromium(folder: Path) -> Iterator[Tab]:
    """Run a browser with a new profile in this folder. Yields its tab."""
    binary = chromium()
    assert binary is not None
    options = [*OPTIONS, "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    if os.getuid() == 0:
        options.append("--no-sandbox")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, *options, "about:blank"], stdout=log, stderr=log)
    try:
        ports = folder / "DevToolsActivePort"
        assert eventually(lambda: ports.exists() and ports.read_text().count("\n") > 0, _SECONDS)
        port = ports.read_text().splitlines()[0]
        tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=_SECONDS).json()
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None) as connection:
            yield Tab(connection)
    finally:
        process.terminate()
        process.wait(_SECONDS)
