"""What was computed in a frame, laid over its picture: reused parts turn grey and dark, computed ones amber."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.planes import BLACK, NEUTRAL, Planes
from skipvid.video.draw.canvas import Canvas, Image, grid_lines
from skipvid.video.draw.text import AMBER, Scale

# shares of the frame's own colours, of its grey and of the tint in a pixel that was reused, and in one that was computed
_REUSED = (0.12, 0.50, 0.0)
_COMPUTED = (0.84, 0.0, 0.16)
_FULL = np.array([255.0])
_TINT = np.array([30.0, 160.0, 255.0])


def tint_activity(image: Image, activity: NDArray[np.float32]) -> Image:
    """A tinted copy of the picture, (H, W, 3) uint8 BGR.

    activity: (h, w) float32 in [0, 1], a grid that covers the picture; NaN counts as 0. The tint grows with it, cell by cell, and a line
    surrounds the cells where at least half of the MACs were spent.
    """
    activity = np.clip(np.nan_to_num(activity), 0.0, 1.0)
    height, width = image.shape[:2]
    rows = activity.shape[0]
    # the root lifts faint activity to where the eye sees it
    weight = np.power(activity, 0.6)[..., None]
    shares = (reused + (computed - reused) * weight for reused, computed in zip(_REUSED, _COMPUTED, strict=True))
    own, grey, tint = (_stretch(share * level, width) for share, level in zip(shares, (_FULL, _FULL, _TINT), strict=True))
    canvas = np.empty(image.shape, np.uint8)
    edges = [round(row * height / rows) for row in range(rows + 1)]
    # row by row of the grid, because the temporaries of a whole 1080p picture fall out of the cache and take twice the time
    for row, (top, bottom) in enumerate(zip(edges, edges[1:], strict=False)):
        if top == bottom:
            continue
        strip, out = image[top:bottom], canvas[top:bottom]
        own_row, grey_row, tint_row = (np.repeat(plane[row : row + 1], bottom - top, axis=0) for plane in (own, grey, tint))
        cv2.multiply(strip, cv2.cvtColor(own_row, cv2.COLOR_GRAY2BGR), out, scale=1 / 255)
        luma = cv2.multiply(cv2.cvtColor(strip, cv2.COLOR_BGR2GRAY), grey_row, scale=1 / 255)
        cv2.add(out, cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR), out)
        cv2.add(out, tint_row, out)
    _outline(canvas, activity >= 0.5)
    return canvas


def tint_planes(picture: Planes, activity: NDArray[np.float32]) -> Planes:
    """The same of planes: luma keeps the shares of the picture's own colours and of its grey, chroma only the former."""
    activity = np.clip(np.nan_to_num(activity), 0.0, 1.0)
    weight = np.power(activity, 0.6)
    own, grey, tint = (reused + (computed - reused) * weight for reused, computed in zip(_REUSED, _COMPUTED, strict=True))
    canvas = picture.empty()
    levels = picture.levels((30, 160, 255))
    for plane, out, level, zero, kept in zip(
        picture.all(), canvas.all(), levels, (BLACK, NEUTRAL, NEUTRAL), (own + grey, own, own), strict=True
    ):
        scale = out.shape[0] / picture.luma.shape[0]
        _scale_cells(plane, out, kept, zero * (1 - kept) + tint * (level - zero), (picture.height * scale, picture.width * scale))
    _outline(canvas, activity >= 0.5)
    return canvas


def _scale_cells(
    plane: NDArray[np.uint8], out: NDArray[np.uint8], gain: NDArray[np.floating], offset: NDArray[np.floating], size: tuple[float, float]
) -> None:
    """out = plane · gain + offset, cell by cell of a grid that covers `size`, (height, width), of the plane."""
    rows, width = gain.shape[0], plane.shape[1]
    gains, offsets = _stretch(255 * gain[..., None], width), _stretch(offset[..., None], width)
    edges = [round(row * size[0] / rows) for row in range(rows)] + [plane.shape[0]]
    for row, (top, bottom) in enumerate(zip(edges, edges[1:], strict=False)):
        if top == bottom:
            continue
        gain_row, offset_row = (np.repeat(levels[row : row + 1], bottom - top, axis=0) for levels in (gains, offsets))
        cv2.multiply(plane[top:bottom], gain_row, out[top:bottom], scale=1 / 255)
        cv2.add(out[top:bottom], offset_row, out[top:bottom])


def _stretch(plane: NDArray[np.floating], width: int) -> NDArray[np.uint8]:
    """(h, w, 1 or 3) in [0, 255] -> (h, width) or (h, width, 3) uint8, columns repeated."""
    levels = np.rint(plane).astype(np.uint8)
    return np.asarray(cv2.resize(levels, (width, plane.shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)


def _outline(image: Canvas, mask: NDArray[np.bool_]) -> None:
    """Draw the borders between the True and False cells of a mask (h, w) that covers the image, in place."""
    rows, columns = mask.shape
    step = np.array([image.shape[1] / columns, image.shape[0] / rows])
    stroke = max(1, Scale.of(image).line // 2)
    for flip, flags in ((False, mask), (True, mask.T)):
        changed = np.pad(flags[1:] != flags[:-1], ((0, 0), (1, 1))).astype(np.int8)
        border, start = np.nonzero(np.diff(changed, axis=1) == 1)
        _, end = np.nonzero(np.diff(changed, axis=1) == -1)
        along, across = np.stack([start, end], axis=1), np.repeat(border[:, None] + 1, 2, axis=1)
        points = np.stack([across, along] if flip else [along, across], axis=2)
        grid_lines(image, np.rint(points * step).astype(np.int32), AMBER, stroke)
