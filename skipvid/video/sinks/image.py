"""A picture of the whole run, such as the time average of the heatmap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.files import write_bytes
from skipvid.core.results import FrameResult, RunSummary
from skipvid.video.sinks.base import Sink


class ImageSink(Sink):
    """Asks for one picture after the last frame and writes it as PNG. A run without frames leaves no file.

    picture: returns (H, W, 3) uint8, BGR.
    """

    def __init__(self, path: Path, picture: Callable[[], NDArray[np.uint8]]) -> None:
        self.path: Path = path
        self._picture = picture

    def write(self, result: FrameResult) -> None:
        """Nothing: who makes the picture sees the results too."""

    def finish(self, summary: RunSummary) -> None:
        if not summary.frames:
            return
        _, data = cv2.imencode(".png", self._picture())
        write_bytes(self.path, data.tobytes())

    def close(self) -> None:
        """Nothing is open."""
