"""A window on the screen: q or Escape ends the run, space halts it, m takes the mask off the picture and puts it back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.core.results import FrameResult, RunSummary
from skipvid.video.sinks.base import Sink

RenderWith = Callable[[FrameResult, bool], NDArray[np.uint8]]
"""From a result, and whether to lay the mask over it, to a picture, (H, W, 3) uint8 BGR."""

_TRIAL = "import cv2; cv2.namedWindow('skipvid'); cv2.waitKey(1); cv2.destroyAllWindows()"
_TRIAL_SECONDS = 30.0
_HINT = "leave --show out and write a file with -o"
_ESCAPE = "\x1b"


class Gui(Protocol):
    """One window."""

    def show(self, image: NDArray[np.uint8]) -> None:
        """Put a picture, (H, W, 3) uint8 BGR, into it."""

    def key(self, milliseconds: int) -> str:
        """The key that was pressed, after waiting for it so long; "" for none."""

    def is_open(self) -> bool:
        """False once the user has closed it."""

    def close(self) -> None:
        """Take it off the screen. May be called twice."""


class CvWindow:
    """A window of OpenCV's. All calls must come from the same thread, on macOS the main one. title: also what identifies it."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown = False

    def show(self, image: NDArray[np.uint8]) -> None:
        if not self._shown:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            height, width = image.shape[:2]
            scale = min(1.0, 1600 / width, 900 / height)
            cv2.resizeWindow(self._title, round(width * scale), round(height * scale))
            self._shown = True
        cv2.imshow(self._title, image)

    def key(self, milliseconds: int) -> str:
        code = cv2.waitKey(max(1, milliseconds))
        return chr(code & 0xFF) if code >= 0 else ""

    def is_open(self) -> bool:
        return not self._shown or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        if self._shown:
            self._shown = False
            cv2.destroyWindow(self._title)


def check_display() -> None:
    """Raises UsageError where no window can be opened.

    OpenCV ends the whole process where it cannot reach a display, so another process tries it first.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError("--show needs a display, and there is none", _HINT)
    try:
        trial = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, timeout=_TRIAL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UsageError("--show needs a display, and it does not answer", _HINT) from None
    if trial.returncode:
        raise UsageError("--show needs a display, and this one, or this build of OpenCV, opens no window", _HINT)


class WindowSink(Sink):
    """Shows each frame as it is ready. Everything must be called from one thread.

    render: makes the picture. quit: called once when the user wants to end; the run then ends as if the source had. mask: at first.
    """

    def __init__(self, gui: Gui, render: RenderWith, quit: Callable[[], None], mask: bool = True) -> None:
        self._gui = gui
        self._render = render
        self._quit = quit
        self._mask = mask
        self._ended = False

    def write(self, result: FrameResult) -> None:
        """Show a result. While the user halts, this does not return."""
        if self._ended:
            return
        halted = False
        while True:
            self._gui.show(self._render(result, self._mask))
            key = self._gui.key(50 if halted else 1)
            if key in ("q", _ESCAPE) or not self._gui.is_open():
                self._ended = True
                self._gui.close()
                self._quit()
                return
            if key == "m":
                self._mask = not self._mask
            elif key == " ":
                halted = not halted
            if not halted and key != "m":
                return

    def finish(self, summary: RunSummary) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self._gui.close()
