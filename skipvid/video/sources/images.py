"""A folder of images as a video, or one image file as a video of its pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from skipvid.core.errors import SourceError
from skipvid.core.results import Frame, SourceInfo
from skipvid.core.text import printable
from skipvid.video.sources.base import Source
from skipvid.video.sources.options import ReadOptions, Selection
from skipvid.video.sources.pictures import Image, first_picture, may_hold_several, pictures_of


class ImageSource(Source):
    """Image files in the order given, a picture every 1 / fps seconds; an animation alone goes by its own clock.

    Every frame names the file it came from (Frame.file), relative to `path` where that is a folder, with "#3" for the fourth picture of a
    file. A file that cannot be decoded is passed over and named in `problem`, as a damaged frame of a video would be; its place in time
    stays empty. Pictures may differ in size. Raises SourceError where no file can be decoded.
    """

    def __init__(self, paths: Sequence[Path], name: str, options: ReadOptions, path: Path | None = None) -> None:
        self._paths = paths
        self._name = name
        self._options = options
        self._folder = path if path is not None and path.is_dir() else None
        self._closed = False
        self._bad: list[str] = []
        first = next((image for p in paths if (image := first_picture(p)) is not None), None)
        if first is None:
            raise SourceError(f"{name} holds no image that can be decoded", "give JPEG, PNG, BMP, TIFF or WebP images")
        height, width = first.shape[:2]
        one = len(paths) == 1
        shown = [seconds for _, seconds in pictures_of(paths[0])] if one and may_hold_several(paths[0]) else []
        frames = len(shown) or len(paths)
        animated = bool(shown) and None not in shown
        duration = sum(seconds or 0 for seconds in shown) if animated else frames / options.fps
        self.info = SourceInfo(
            name=name,
            width=width,
            height=height,
            fps=frames / duration if animated and duration else options.fps,
            frames=frames,
            duration=duration,
            path=path,
            codec=paths[0].suffix.lower().lstrip("."),
            images=True,
        )

    def __iter__(self) -> Iterator[Frame]:
        selection = Selection(self._options)
        index, seconds, delivered = 0, 0.0, 0
        for path in self._paths:
            several = may_hold_several(path)
            if not several and not selection.take(seconds):  # need not be decoded
                if selection.finished(seconds):
                    break
                index += 1
                seconds = index / self._options.fps
                continue
            for image, shown, name, decode_ms in self._pictures(path):
                if several and (self._closed or selection.finished(seconds)):
                    break
                if image is not None and (not several or selection.take(seconds)):
                    yield Frame(image, index, seconds, self._name, decode_ms, name)
                    delivered += 1
                index += 1
                seconds = index / self._options.fps if shown is None else seconds + shown
            if self._closed or selection.finished(seconds):
                break
        if not delivered and not self._closed:
            raise SourceError(
                f"{self._name} has no readable image from {self._options.start:g} s on (it lasts {self.info.duration:.2f} s)",
                "give an earlier --start",
            )

    def close(self) -> None:
        self._closed = True

    def _pictures(self, path: Path) -> Iterator[tuple[Image | None, float | None, str, float]]:
        """(picture, seconds shown or None, its name, milliseconds of decoding); (None, …) once for a file that cannot be decoded."""
        label = self._label(path)
        started = time.perf_counter()
        pictures = pictures_of(path)
        held = next(pictures, None)
        if held is None:
            self._bad.append(label)
            self.problem = _name_bad(self._bad)
            yield None, None, label, 0.0
            return
        number = 0
        while held is not None:
            image, shown = held
            held = next(pictures, None)
            name = f"{label}#{number}" if number or held is not None else label
            yield image, shown if len(self._paths) == 1 else None, name, 1000 * (time.perf_counter() - started)
            number += 1
            started = time.perf_counter()

    def _label(self, path: Path) -> str:
        return printable(path.name if self._folder is None else path.relative_to(self._folder).as_posix())


def _name_bad(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} image{'s' if len(names) > 1 else ''} could not be decoded: {shown}"
