"""Cameras of this machine: the newest frame wins, whatever the analysis does not keep up with is dropped and counted.

A thread of its own empties the device, so that frames do not grow old in the driver's queue. Times are those of the wall clock at which
frames arrived, counted from the first one that is delivered: a recording lasts as long as what it shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.core.results import Frame, SourceInfo
from skipvid.video.sources.base import Source
from skipvid.video.sources.options import ReadOptions, Selection

STALL = 2.0
"""Seconds without a frame that are reported as a stall. ReadOptions.timeout seconds end the stream."""


class Device(Protocol):
    """What delivers pictures at its own pace. fps: what it promises, 0 where unknown. codec: of what comes over the cable."""

    fps: float
    codec: str

    def read(self) -> NDArray[np.uint8] | None:
        """Wait for the next picture, (H, W, 3) uint8 BGR. None: it is gone for good."""

    def release(self) -> None:
        """Give it back. Called once, by the thread that reads."""


class Camera:
    """A camera through OpenCV. number: 0 is the first one. Raises SourceError where there is none."""

    def __init__(self, number: int) -> None:
        # OpenCV writes its own lines to stderr for every number that is no camera.
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._capture = cv2.VideoCapture(number)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            raise SourceError(f"there is no camera {number}", "plug one in, give another number (--webcam 1), or check its permissions")
        # Before anything else: uncompressed pictures do not fit through USB 2 at full rate, and later changes may undo it.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.fps = max(float(self._capture.get(cv2.CAP_PROP_FPS)), 0.0)
        self.codec = _fourcc_text(int(self._capture.get(cv2.CAP_PROP_FOURCC)))

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture."""
        there, image = self._capture.read()
        return np.asarray(image, np.uint8) if there and image is not None else None

    def release(self) -> None:
        """Give the camera back."""
        self._capture.release()


class LiveSource(Source):
    """Frames of a device, newest first served.

    name: for messages and results. Opening waits for the first frame. Raises SourceError where none comes within options.timeout seconds.
    A device that stalls is waited for and reported; one that stays silent for the timeout, or disappears, ends the stream with `problem`.
    """

    def __init__(self, device: Device, name: str, options: ReadOptions | None = None, stall: float = STALL) -> None:
        self._device = device
        self._name = name
        self._options = options or ReadOptions()
        self._stall = stall
        self._changed = threading.Condition()
        self._newest: tuple[NDArray[np.uint8], int, float] | None = None  # picture, number, time of arrival
        self._arrived = 0
        self._gone = self._closing = self._iterated = self._delivering = False
        self._error: Exception | None = None
        threading.Thread(target=self._empty_device, name="skipvid-camera", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._gone, self._options.timeout)
            if self._newest is None:
                self._closing = True
                raise self._refusal()
            height, width = self._newest[0].shape[:2]
        self.info = SourceInfo(name, width, height, device.fps, live=True, codec=device.codec)

    def __iter__(self) -> Iterator[Frame]:
        if self._iterated:
            raise RuntimeError(f"{self._name} can be iterated only once")
        self._iterated = True
        selection = Selection(self._options)
        stalls, stalled, silent = 0, 0.0, False
        first: int | None = None
        origin = 0.0
        while not self._closing:
            begin = time.monotonic()
            taken = self._take()
            waited = time.monotonic() - begin
            if taken is None:
                silent = not self._gone and not self._closing
                break
            if waited >= self._stall:
                stalls, stalled = stalls + 1, stalled + waited
            image, number, arrival = taken
            if first is None:
                first, origin = number, arrival
            seconds = arrival - origin
            if selection.take(seconds):
                yield Frame(image, number - first, seconds, self._name, waited * 1e3)
            if selection.finished(seconds):
                break
        self._report(stalls, stalled, silent)
        self.close()

    def close(self) -> None:
        """Let the reading thread give the device back."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _empty_device(self) -> None:
        try:
            while not self._closing:
                image = self._device.read()
                arrival = time.monotonic()
                if image is None:
                    break
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest = (image, self._arrived, arrival)
                    self._arrived += 1
                    self._changed.notify_all()
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._gone = True
                self._changed.notify_all()
            self._device.release()

    def _take(self) -> tuple[NDArray[np.uint8], int, float] | None:
        """The newest picture that was not delivered; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._gone or self._closing, self._options.timeout)
            taken, self._newest = self._newest, None
            if not self._delivering:
                # What came before the first frame was asked for, while networks were loaded, is not missed.
                self._delivering, self.dropped = True, 0
            return None if self._closing else taken

    def _report(self, stalls: int, stalled: float, silent: bool) -> None:
        lines = []
        if stalls:
            lines.append(f"stalled {stalls} time{'s' if stalls > 1 else ''}, {stalled:.1f} s in all")
        if silent:
            lines.append(f"delivered nothing for {self._options.timeout:g} s after {self._arrived} frames")
        elif self._gone and not self._closing:
            lines.append(f"disappeared after {self._arrived} frames" + (f" ({self._error})" if self._error else ""))
        self.problem = "; ".join(lines) or None

    def _refusal(self) -> SourceError:
        why = f": {self._error}" if self._error else ""
        if self._gone:
            return SourceError(f"{self._name} delivers no picture{why}", "close other programs that use it, or give another number")
        return SourceError(f"{self._name} delivered nothing for {self._options.timeout:g} s", "check the cable, or give another number")


def open_webcam(number: int, options: ReadOptions | None = None) -> LiveSource:
    """The camera of that number as a source named "webcam N". Raises SourceError where there is none or it delivers nothing."""
    return LiveSource(Camera(number), f"webcam {number}", options)


def _fourcc_text(code: int) -> str:
    text = code.to_bytes(4, "little", signed=False).decode("ascii", "replace") if 0 < code < 1 << 32 else ""
    return text.strip("\0 ").lower() if text.isprintable() else ""
