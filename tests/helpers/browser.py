"""Headless Chromium, driven by its DevTools protocol; tests skip where there is none."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """Headless Chromium, by its DevTools protocol."""

    def __init__(self, connection) -> None:
        self.connection = connection
        self.ids = itertools.count(1)
        self.urls: list[str] = []
        self.problems: list[str] = []

    def _note(self, message: dict) -> None:
        method, values = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.urls.append(values["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(values["exceptionDetails"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.problems.append(json.dumps(values["entry"]))

    def do(self, method: str, **values):
        number = next(self.ids)
        self.connection.send(json.dumps({"id": number, "method": method, "params": values}))
        while True:
            message = json.loads(self.connection.recv())
            self._note(message)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def value(self, script: str):
        answer = self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 120):
        end = time.monotonic() + seconds
        while not (value := self.value(script)):
            assert time.monotonic() < end, f"waited for {script}; {self.problems}"
            time.sleep(0.3)
        return value

    def upload(self, selector: str, path: Path) -> None:
        root = self.do("DOM.getDocument")["root"]["nodeId"]
        node = self.do("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.do("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def mouse(self, kind: str, x: float, y: float) -> None:
        self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, name: str) -> None:
        self.do("Input.dispatchKeyEvent", type="keyDown", key=name, code=name)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot")["data"]))


@contextmanager
def browse(folder: Path):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    websocket = pytest.importorskip("websocket", reason="websocket-client is not installed")
    process = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--disable-background-networking", f"--user-data-dir={folder}", "--no-first-run",
         "--window-size=1280,1000", "--remote-debugging-port=0", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port_file, end = folder / "DevToolsActivePort", time.monotonic() + 120
        while not port_file.exists() or not port_file.read_text().strip():
            assert process.poll() is None and time.monotonic() < end, "Chromium did not start"
            time.sleep(0.2)
        port = port_file.read_text().split()[0]
        tabs, url = [], f"http://127.0.0.1:{port}/json/list"
        while not tabs:  # the port answers before the page is there
            assert time.monotonic() < end, "Chromium opened no page"
            time.sleep(0.1)
            found = httpx.get(url, timeout=120, trust_env=False).json()
            tabs = [tab for tab in found if tab["type"] == "page"]
        [tab] = tabs
        connection = websocket.create_connection(
            tab["webSocketDebuggerUrl"], suppress_origin=True, timeout=120
        )
        yield Browser(connection)
        connection.close()
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # what it showed is judged all the same
            process.kill()
            process.wait()
