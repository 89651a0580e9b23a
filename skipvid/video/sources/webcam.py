"""Cameras of this machine, through OpenCV. What makes a source of them: skipvid.video.sources.live."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.video.sources.containers import ContainerFacts
from skipvid.video.sources.live import LiveSource, Shot
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.reconnect import lasting


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


class DeviceFeed:
    """A device as a Feed. It is silent for good where it delivers nothing for a time: no driver can be interrupted."""

    steadfast, endless = False, True
    hint = "check the cable, close other programs that use it, or give another number"
    notes: tuple[str, ...] = ()
    problem: str | None = None

    def __init__(self, device: Device) -> None:
        self._device = device
        self.fps, self.codec = device.fps, device.codec
        self.facts = ContainerFacts("camera", device.codec, "bgr24")

    def read(self) -> Shot | None:
        """The next picture."""
        image = self._device.read()
        return None if image is None else Shot(image)

    def stop(self) -> None:
        """Nothing ends the wait for a driver."""

    def release(self) -> None:
        """Give the device back."""
        self._device.release()


def open_webcam(number: int, options: ReadOptions | None = None) -> LiveSource:
    """The camera of that number as a source named "webcam N". Raises SourceError where there is none or it delivers nothing."""

    def connect() -> DeviceFeed:
        return DeviceFeed(Camera(number))

    return lasting(connect(), connect, f"webcam {number}", options or ReadOptions())


def _fourcc_text(code: int) -> str:
    text = code.to_bytes(4, "little", signed=False).decode("ascii", "replace") if 0 < code < 1 << 32 else ""
    return text.strip("\0 ").lower() if text.isprintable() else ""
