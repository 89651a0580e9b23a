"""A decoded frame, kept in the planes that the decoder wrote, and the pictures that are made of it.

Why not BGR at once: of a 1080p frame the network wants 544×306 pixels, and a JSON output wants none. Measured on such a clip, processor
time per frame: BGR and OpenCV's area averages 8.7 ms, libswscale's from the planes 1.0 ms.
"""

from __future__ import annotations

from threading import Lock

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from skipvid.core.planes import Matrix, Planes, StoredPlanes
from skipvid.video.planes import COLORSPACES, planes_of_bgr, views
from skipvid.video.sources.colour import is_converted, matrix_of, to_bgr
from skipvid.video.sources.orientation import Orientation

# Without FULL_CHR_H_INT two neighbours share one chroma sample of what is written; without ACCURATE_RND values are rounded down.
_EXACT = int(Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND)
_SHRINK = _EXACT | int(Interpolation.AREA)
_GROW = _EXACT | int(Interpolation.BILINEAR)
_PICK = _EXACT | int(Interpolation.POINT)


LARGE_PART = 6
"""A part of this share of the picture, or a larger one, is cut out of the whole: others may be wanted of the same picture."""
GROUP = 32
"""Pixels that libswscale converts at a time."""

_SUBSAMPLING = {
    "yuv420p": (2, 2),
    "yuvj420p": (2, 2),
    "yuv422p": (2, 1),
    "yuvj422p": (2, 1),
    "yuv444p": (1, 1),
    "yuvj444p": (1, 1),
}
"""Pixels per sample of chroma, across and down, of the formats that parts are cut out of."""

_KEPT_MATRICES: dict[int, Matrix] = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601"}
"""Of AVColorSpace; 2 is an untagged frame for which nothing else is assumed."""


class Converters:
    """The converters of one stream, one for each kind of picture: one that is kept for all frames is set up only once."""

    def __init__(self) -> None:
        self.bgr = Converter()
        self.scaled = Converter()
        self.sampled = Converter()
        self.part = Converter()
        self.planes = Converter()


class Converter:
    """libswscale's contexts and their lock: they are used without Python's lock, and are not safe from two threads.

    toned: for the second step, of pictures in high dynamic range or a wide gamut.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.reformatter = VideoReformatter()
        self.toned = VideoReformatter()


class DecodedPicture:
    """One frame of a video, upright, in standard colours; see skipvid.core.results.StoredPicture.

    frame: as decoded. orientation: how it becomes upright. converters: shared by the frames of a stream.
    """

    def __init__(self, frame: av.VideoFrame, orientation: Orientation, converters: Converters) -> None:
        self._frame = frame
        self._orientation = orientation
        self._converters = converters
        # PyAV writes into a frame's tags, and restores them, while it converts it.
        self._lock = Lock()
        self._bgr: NDArray[np.uint8] | None = None
        self._scaled: NDArray[np.uint8] | None = None

    @property
    def height(self) -> int:
        return self._frame.width if self._orientation.transpose else self._frame.height

    @property
    def width(self) -> int:
        return self._frame.height if self._orientation.transpose else self._frame.width

    def bgr(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, BGR; made once."""
        with self._lock:
            if self._bgr is None:
                with self._converters.bgr.lock:
                    self._bgr = self._orientation.apply(to_bgr(self._frame, self._converters.bgr.reformatter))
            return self._bgr

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        """The pixels of `bgr` within these bounds, the same bytes; of a small part no others are made."""
        frame, orientation = self._frame, self._orientation
        small = LARGE_PART * (right - left) * (bottom - top) < self.height * self.width
        turned = orientation.transpose or orientation.flip_x or orientation.flip_y
        # Pictures of odd sizes are converted another way, and some decoders store rows from the bottom up.
        even = frame.height % 2 == frame.width % 2 == 0 and all(plane.line_size > 0 for plane in frame.planes)
        cut = small and even and not turned and frame.format.name in _SUBSAMPLING
        if self._bgr is not None or not cut or is_converted(frame):
            return self.bgr()[top:bottom, left:right]
        # What lies around is cut along: conversions look a sample beyond, and take pixels in groups.
        x, y = max(0, left - left % GROUP - GROUP), max(0, top - top % 2 - 2)
        stop = min(frame.width, right + -right % GROUP + GROUP), min(frame.height, bottom + bottom % 2 + 2)
        with self._lock, self._converters.part.lock:
            pixels = to_bgr(_cut(frame, x, y, *stop), self._converters.part.reformatter)
        return pixels[top - y : bottom - y, left - x : right - x]

    def scaled(self, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, BGR: area averages where it shrinks, linear interpolation where it grows. Made once for a size."""
        scaled = self._scaled
        if scaled is None or scaled.shape[:2] != (height, width):
            self._scaled = scaled = self._resized(height, width, _SHRINK if height < self.height else _GROW, self._converters.scaled)
        return scaled

    def sampled(self, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, BGR: single pixels on a grid."""
        return self._resized(height, width, _PICK, self._converters.sampled)

    def planes(self) -> Planes:
        """The picture as an encoder takes it, by the frame's own matrix where that is BT.601 or BT.709."""
        turned = self._orientation.transpose or self._orientation.flip_x or self._orientation.flip_y
        # Chroma of an odd picture that is turned would lie half a pixel beside its luma. Some decoders store rows from the bottom up.
        skewed = turned and (self.height % 2 or self.width % 2)
        if is_converted(self._frame) or skewed or any(plane.line_size < 0 for plane in self._frame.planes):
            whole = self.bgr()
            with self._converters.planes.lock:
                return planes_of_bgr(whole, "bt709", self._converters.planes.reformatter)
        with self._lock, self._converters.planes.lock:
            stored = _standard_planes(self._frame, self._converters.planes.reformatter)
        if not turned:
            return stored
        luma, blue, red = (self._orientation.apply(plane) for plane in stored.all())
        return Planes(luma, blue, red, stored.matrix, self.height, self.width)

    def own_planes(self) -> StoredPlanes | None:
        """What `scaled` is made of, where that is 4:2:0 in 8 bits and standard colours, and upright."""
        frame, orientation = self._frame, self._orientation
        kind = frame.format.name
        if kind not in ("yuv420p", "yuvj420p") or orientation.transpose or orientation.flip_x or orientation.flip_y:
            return None
        with self._lock:
            matrix, full_range = _kept_matrix(frame), kind == "yuvj420p" or frame.color_range == ColorRange.JPEG
            converted = is_converted(frame)
        if matrix is None or converted or any(plane.line_size < 0 for plane in frame.planes):
            return None
        return StoredPlanes(*views(frame), matrix, full_range)

    def _resized(self, height: int, width: int, how: int, converter: Converter) -> NDArray[np.uint8]:
        if self._orientation.transpose:
            height, width = width, height
        with self._lock, converter.lock:
            return self._orientation.apply(_resized_bgr(self._frame, height, width, how, converter))


def _cut(frame: av.VideoFrame, left: int, top: int, right: int, bottom: int) -> av.VideoFrame:
    """A part of a frame of one of _SUBSAMPLING, on whole samples of chroma."""
    part = av.VideoFrame(right - left, bottom - top, frame.format.name)
    part.color_range = frame.color_range
    part.colorspace = int(matrix_of(frame) or frame.colorspace)
    across, down = _SUBSAMPLING[frame.format.name]
    for number, (own, whole) in enumerate(zip(views(part), views(frame), strict=True)):
        x, y = (left // across, top // down) if number else (left, top)
        own[:] = whole[y : y + own.shape[0], x : x + own.shape[1]]
    return part


def _standard_planes(frame: av.VideoFrame, reformatter: VideoReformatter) -> Planes:
    """The planes themselves where they are 4:2:0 in 8 bits and limited range."""
    kept = _kept_matrix(frame)
    if frame.format.name != "yuv420p" or frame.color_range == ColorRange.JPEG or kept is None:
        target = COLORSPACES["bt709"] if kept is None or frame.format.is_rgb else None
        frame = reformatter.reformat(
            frame, format="yuv420p", dst_colorspace=target, dst_color_range=ColorRange.MPEG, interpolation=_GROW, threads=1
        )
        kept = kept if target is None else "bt709"
    luma, blue, red = views(frame)
    if frame.height % 2 or frame.width % 2:
        luma = np.asarray(cv2.copyMakeBorder(luma, 0, frame.height % 2, 0, frame.width % 2, cv2.BORDER_REPLICATE), np.uint8)
    return Planes(luma, blue, red, kept or "bt709", frame.height, frame.width)


def _kept_matrix(frame: av.VideoFrame) -> Matrix | None:
    return _KEPT_MATRICES.get(int(matrix_of(frame) or frame.colorspace))


def _resized_bgr(frame: av.VideoFrame, height: int, width: int, how: int, converter: Converter) -> NDArray[np.uint8]:
    if is_converted(frame):
        # Curves and gamuts are for the small picture: they are what costs.
        small = converter.reformatter.reformat(frame, width, height, "yuv444p16le", interpolation=how, threads=1)
        return to_bgr(small, converter.toned)
    # Into planes, because only for those the exact way is vectorised: 0.95 ms against 2.2 ms into packed pixels.
    rgb = converter.reformatter.reformat(frame, width, height, "gbrp", src_colorspace=matrix_of(frame), interpolation=how, threads=1)
    green, blue, red = (np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, :width] for plane in rgb.planes)
    return np.asarray(cv2.merge([blue, green, red]), np.uint8)
