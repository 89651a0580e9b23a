"""A folder of images as a video, or a single image as a video of one frame."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.core.results import Frame, SourceInfo
from skipvid.video.sources.base import Source
from skipvid.video.sources.options import ReadOptions, Selection

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class ImageSource(Source):
    """Images of one size in the order given, frame i at i / fps seconds.

    An image that cannot be decoded is passed over and named in `problem`, as a damaged frame of a video would be; its place in time
    stays empty. EXIF orientation is applied. Raises SourceError where no image can be decoded, or one has another size than those before.
    """

    def __init__(self, paths: Sequence[Path], name: str, options: ReadOptions, path: Path | None = None) -> None:
        self._paths = paths
        self._name = name
        self._options = options
        self._closed = False
        self._bad: list[str] = []
        first = next((image for p in paths if (image := _read(p)) is not None), None)
        if first is None:
            raise SourceError(f"{name} holds no image that can be decoded", "give JPEG, PNG, BMP, TIFF or WebP images")
        height, width = first.shape[:2]
        self.info = SourceInfo(
            name=name,
            width=width,
            height=height,
            fps=options.fps,
            frames=len(paths),
            duration=len(paths) / options.fps,
            path=path,
            codec=paths[0].suffix.lower().lstrip("."),
        )

    def __iter__(self) -> Iterator[Frame]:
        selection = Selection(self._options)
        size = (self.info.height, self.info.width)
        delivered = 0
        for index, path in enumerate(self._paths):
            seconds = index / self._options.fps
            if self._closed or selection.finished(seconds):
                break
            if not selection.take(seconds):
                continue
            started = time.perf_counter()
            image = _read(path)
            if image is None:
                self._bad.append(path.name)
                self.problem = _name_bad(self._bad)
                continue
            if image.shape[:2] != size:
                found, wanted = (f"{s[1]}×{s[0]}" for s in (image.shape, size))
                raise SourceError(f"{path} is {found}, the images before it {wanted}", "a folder must hold images of one size")
            yield Frame(image, index, seconds, self._name, 1000 * (time.perf_counter() - started))
            delivered += 1
        if not delivered and not self._closed:
            raise SourceError(
                f"{self._name} has no readable image from {self._options.start:g} s on (it lasts {self.info.duration:.2f} s)",
                "give an earlier --start",
            )

    def close(self) -> None:
        self._closed = True


def _read(path: Path) -> NDArray[np.uint8] | None:
    """The image as (H, W, 3) uint8 BGR, or None where it cannot be read or decoded."""
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _name_bad(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} image{'s' if len(names) > 1 else ''} could not be decoded: {shown}"
