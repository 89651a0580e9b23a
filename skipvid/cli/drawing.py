"""Drawing the results of a run: the picture with its mask and the status line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skipvid.core.motions import WARP

if TYPE_CHECKING:
    from skipvid.core.planes import Planes
    from skipvid.core.results import FrameResult, RunHeader
    from skipvid.video.draw import Status
    from skipvid.video.draw.canvas import Image


class StatusLine:
    """What the picture's status line says: frames per second of the whole pipeline and MACs saved, both over the last second or so."""

    def __init__(self, header: RunHeader) -> None:
        self._header = header
        self._last: float | None = None
        self._seconds = 0.0
        self._saving: float | None = None

    def __call__(self, result: FrameResult) -> Status:
        """The status after this result."""
        from skipvid.video.draw import Status

        now = time.perf_counter()
        if self._last is not None:
            self._seconds += (now - self._last - self._seconds) / 12 if self._seconds else now - self._last
        self._last = now
        if result.cost is not None:
            # A keyframe saves nothing by design; it would only make the number jump.
            saving = result.cost.saving
            self._saving = saving if self._saving is None or result.keyframe else self._saving + (saving - self._saving) / 12
        threshold = self._header.threshold if self._header.gate not in ("none", WARP) else None
        return Status(1 / self._seconds if self._seconds else None, self._saving, self._header.preset, threshold)


class ResultDrawer:
    """Draws the results of one run for one of its outputs, frame by frame: the status line and the mask remember a little."""

    def __init__(self, header: RunHeader) -> None:
        from av.video.reformatter import VideoReformatter

        from skipvid.video.draw import RecentActivity

        self._status = StatusLine(header)
        self._recent = RecentActivity()
        self._reformatter = VideoReformatter()

    def __call__(self, result: FrameResult, mask: bool) -> Image:
        """(H, W, 3) uint8 BGR."""
        from skipvid.video.draw import draw_result

        return draw_result(self._recent(result), overlay="mask" if mask else "none", status=self._status(result))

    def planes(self, result: FrameResult, mask: bool) -> Planes:
        """The same for an encoder."""
        from skipvid.video.draw import draw_planes
        from skipvid.video.planes import planes_of_frame

        picture = planes_of_frame(result.frame, self._reformatter)
        return draw_planes(picture, self._recent(result), overlay="mask" if mask else "none", status=self._status(result))
