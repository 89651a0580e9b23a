"""Headless Chromium, driven through its debugging pipe: open a page, look at it, click, type, take pictures. Needs no other package.

python tools/chromium_pipe.py URL OUTPUT.png [--width 1300] [--height 900] [--dark] [--wait 4]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


def find_chromium(name: str | None = None) -> str | None:
    """The program, or None where none is installed."""
    return next(
        (found for each in ([name] if name else ["chromium", "chromium-browser", "google-chrome"]) if (found := shutil.which(each))), None
    )


class Chromium:
    """One page of a browser that was started for it. program: from find_chromium. patience: seconds that an answer may take."""

    def __init__(self, program: str, width: int = 1300, height: int = 900, dark: bool = False, patience: float = 60.0) -> None:
        self._patience = patience
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        its_input, self._to = os.pipe()
        self._from, its_output = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4; copies above those cannot be in their way.
        spare = [os.dup(its_input), os.dup(its_output)]
        place = f'exec {program} "$@" 3<&{spare[0]} 4>&{spare[1]}'
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={self._folder.name}", "--no-first-run", "--disable-dev-shm-usage", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", place, "chromium", *words], pass_fds=spare, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for descriptor in (its_input, its_output, *spare):
            os.close(descriptor)
        self._number, self._rest, self._session = 0, b"", ""
        page = next(each for each in self._call("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.resize(width, height)
        if dark:
            self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._folder.cleanup()

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """The window, in CSS pixels. mobile: as a phone shows it."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if mobile else 1, mobile=mobile)

    def open(self, address: str) -> None:
        """Go there, and wait until the page is loaded."""
        self._call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for. Raises RuntimeError for what it throws."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "an error in the page"))
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true; returns its value. Raises TimeoutError."""
        end = time.monotonic() + self._patience
        while time.monotonic() < end:
            if value := self.evaluate(script):
                return value
            time.sleep(0.1)
        raise TimeoutError(f"never true: {script}")

    def click(self, x: float, y: float) -> None:
        """Press the mouse's button at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key, by its name in JavaScript."""
        codes = {
            "Enter": 13,
            " ": 32,
            "Escape": 27,
            "Tab": 9,
            "Backspace": 8,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self._call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], modifiers=8 * shift, **more)

    def picture(self, path: Path, whole: bool = False) -> None:
        """Save what is seen as PNG; whole: the page from top to bottom."""
        data = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **({"sessionId": self._session} if self._session else {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _read(self) -> Any:
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], self._patience)[0]:
                raise TimeoutError("Chromium does not answer")
            part = os.read(self._from, 1 << 16)
            if not part:
                raise RuntimeError("Chromium has ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("output", type=Path)
    parser.add_argument("--width", type=int, default=1300)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--wait", type=float, default=4.0, metavar="S")
    arguments = parser.parse_args()
    program = find_chromium()
    if program is None:
        print("no Chromium is installed", file=sys.stderr)
        return 1
    with Chromium(program, arguments.width, arguments.height, arguments.dark) as browser:
        if arguments.phone:
            browser.resize(arguments.width, arguments.height, mobile=True)
        browser.open(arguments.url)
        time.sleep(arguments.wait)
        browser.picture(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
