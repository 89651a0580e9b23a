"""Between BGR, libav's frames and planes."""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from skipvid.core.planes import Matrix, Planes
from skipvid.core.results import Frame

COLORSPACES: dict[Matrix, Colorspace] = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_EXACT = int(Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND)


def planes_of_frame(frame: Frame, reformatter: VideoReformatter) -> Planes:
    """The picture of a frame; it must not be written to."""
    if isinstance(frame.picture, np.ndarray):
        return planes_of_bgr(frame.picture, "bt709", reformatter)
    return frame.picture.planes()


def planes_of_bgr(image: NDArray[np.uint8], matrix: Matrix, reformatter: VideoReformatter) -> Planes:
    """image: (H, W, 3) uint8."""
    height, width = image.shape[:2]
    if width % 2 or height % 2:
        image = np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
    frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), "bgr24")
    converted = reformatter.reformat(
        frame, format="yuv420p", dst_colorspace=COLORSPACES[matrix], dst_color_range=ColorRange.MPEG, threads=1
    )
    return Planes(*views(converted), matrix, height, width)


def bgr_of_planes(planes: Planes, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    frame = reformatter.reformat(
        frame_of_planes(planes), format="bgr24", src_colorspace=COLORSPACES[planes.matrix], interpolation=_EXACT, threads=1
    )
    return np.ascontiguousarray(frame.to_ndarray()[: planes.height, : planes.width])


def canvas_for(picture: Planes) -> Planes:
    """Planes for the same picture's size, with any values, in memory that an encoder takes as it is."""
    height, width = picture.luma.shape
    frame = av.VideoFrame(width, height, "yuv420p")
    return Planes(*views(frame), picture.matrix, picture.height, picture.width, frame)


def frame_of_planes(planes: Planes) -> av.VideoFrame:
    """As libav has it, in even sizes: what the planes lie in, or else a copy."""
    if isinstance(planes.memory, av.VideoFrame):
        return planes.memory
    height, width = planes.luma.shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for view, plane in zip(views(frame), planes.all(), strict=True):
        view[:] = plane
    return frame


def views(frame: av.VideoFrame) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """The memory of a frame's three planes of bytes."""
    first, second, third = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width] for plane in frame.planes
    )
    return first, second, third
