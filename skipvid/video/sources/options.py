"""Which frames of a source are wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from skipvid.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What to read of a source, and how patiently.

    start, end: seconds of presentation time; frames with start <= time < end are delivered (end None: to the last frame).
    max_frames: at most so many are delivered. stride: every stride-th of the frames from `start` on.
    fps: frames per second of a folder of images, which has no clock of its own.
    timeout: seconds without data before an address or a camera is given up, or connected anew.
    live: read at the source's own pace, newest frame first, or (False) every frame; None: by what the source is.
    reconnect: connect anew where a live source is lost. rtsp_transport: as libav calls them.
    Raises UsageError where a value cannot be meant.
    """

    start: float = 0.0
    end: float | None = None
    max_frames: int | None = None
    stride: int = 1
    fps: float = 25.0
    timeout: float = 10.0
    live: bool | None = None
    reconnect: bool = True
    rtsp_transport: str = "tcp"

    def __post_init__(self) -> None:
        _require(math.isfinite(self.start) and self.start >= 0, f"--start is {self.start}", "give seconds from 0 on")
        _require(
            self.end is None or (math.isfinite(self.end) and self.end > self.start),
            f"--end is {self.end} and --start is {self.start}",
            "give an end in seconds that comes after the start",
        )
        _require(self.max_frames is None or self.max_frames >= 1, f"--max-frames is {self.max_frames}", "give a number from 1 on")
        _require(self.stride >= 1, f"--stride is {self.stride}", "give a number from 1 on; 1 reads every frame")
        _require(
            math.isfinite(self.fps) and 1e-6 <= self.fps <= 100_000, f"--fps is {self.fps}", "give frames per second, 0.000001 to 100000"
        )
        _require(math.isfinite(self.timeout) and self.timeout > 0, f"--timeout is {self.timeout}", "give seconds above 0")


class Selection:
    """Applies ReadOptions to the frames of one pass, which must be offered in order."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._in_range = 0
        self._taken = 0

    def finished(self, time: float) -> bool:
        """True when neither the frame at `time` seconds nor any later one is wanted."""
        end, most = self._options.end, self._options.max_frames
        return (end is not None and time >= end) or (most is not None and self._taken >= most)

    def take(self, time: float) -> bool:
        """True when the frame at `time` seconds is wanted; counts it."""
        if self.finished(time) or time < self._options.start:
            return False
        wanted = self._in_range % self._options.stride == 0
        self._in_range += 1
        self._taken += wanted
        return wanted


def _require(condition: bool, message: str, hint: str) -> None:
    if not condition:
        raise UsageError(message, hint)
