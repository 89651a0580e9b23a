"""Areas of the picture: what does not matter is held still in the network's input, so that nothing that happens there is computed.

Written as a polygon "x,y x,y x,y", in pixels of the upright frame, or in shares of it where no number is above 1; as a JSON file, a list of
such polygons ([[x, y], ...]); or as a PNG mask, white = area, which is scaled to the frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError
from skipvid.core.results import Detections
from skipvid.tasks.crops import CropWindow

Points = tuple[tuple[float, float], ...]
FORM = "write it as 'x,y x,y x,y', in pixels or in shares of the picture, or name a JSON or PNG file"


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """Some polygons, or a mask. polygons: points in pixels, or in shares of the frame where none is above 1. picture: (h, w) bool."""

    polygons: tuple[Points, ...] = ()
    picture: NDArray[np.bool_] | None = None

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width) bool over the frame, True in the area. A pixel belongs to it where its centre does, or an edge passes."""
        if self.picture is not None:
            scaled = cv2.resize(self.picture.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            return np.asarray(scaled > 0, np.bool_)
        drawn = np.zeros((height, width), np.uint8)
        for polygon in self.polygons:
            cv2.fillPoly(drawn, [np.round(to_pixels(polygon, height, width) - 0.5).astype(np.int32)], 1)
        return np.asarray(drawn > 0, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """What is looked at: all of the picture, or only some areas of it; without those to be ignored."""

    ignore: tuple[Area, ...] = ()
    only: tuple[Area, ...] = ()

    def left_out(self, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width) bool over the frame. Raises UsageError where nothing is left to look at."""
        out = np.full((height, width), bool(self.only))
        for area in self.only:
            out &= ~self._mask(area, height, width)
        for area in self.ignore:
            out |= self._mask(area, height, width)
        if out.all():
            raise UsageError(f"--ignore and --only leave nothing of a picture of {width}x{height}", "check their points")
        return out

    @staticmethod
    def _mask(area: Area, height: int, width: int) -> NDArray[np.bool_]:
        mask = area.mask(height, width)
        if not mask.any():
            raise UsageError(f"an area holds nothing of a picture of {width}x{height}", "check its points")
        return mask


def read_area(text: str) -> Area:
    """An area from what a user wrote; see the module. Raises UsageError."""
    suffix = Path(text).suffix.lower()
    if suffix == ".json":
        return Area(_polygons(_json(text), text))
    if suffix == ".png":
        data = np.frombuffer(_bytes(text), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
        if picture is None:
            raise UsageError(f"the area {text} is no PNG picture", FORM)
        return Area(picture=np.asarray(picture >= 128, np.bool_))
    points = read_points(text)
    if len(points) < 3:
        raise UsageError(f"the area '{text}' has {len(points)} points, a polygon has 3 or more", FORM)
    _check_extent([points], text)
    return Area((points,))


def read_points(text: str, form: str = FORM) -> Points:
    """Points from "x,y x,y"; a ; between them is as good as a space. form: how to write them. Raises UsageError."""
    try:
        points = [tuple(float(number) for number in part.split(",")) for part in text.replace(";", " ").split()]
    except ValueError:
        raise UsageError(f"'{text}' is no list of points", form) from None
    return _checked(points, text, form)


def to_pixels(points: Points, height: int, width: int) -> NDArray[np.float64]:
    """(N, 2) x, y in pixels of a frame of this size."""
    placed = np.array(points, np.float64)
    return placed * (width, height) if placed.max() <= 1 else placed


def centres_in(boxes: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(K, 4) xyxy -> (K,) whether the centre of each box lies in a mask over the frame."""
    height, width = mask.shape
    columns = np.clip((boxes[:, 0] + boxes[:, 2]) / 2, 0, width - 1).astype(np.int64)
    rows = np.clip((boxes[:, 1] + boxes[:, 3]) / 2, 0, height - 1).astype(np.int64)
    result: NDArray[np.bool_] = mask[rows, columns]
    return result


def looked_at(found: Detections, left_out: NDArray[np.bool_] | None) -> Detections:
    """Without those whose centre lies in what is left out, (H, W) bool over the frame; None: nothing is."""
    if left_out is None or not len(found):
        return found
    kept = np.flatnonzero(~centres_in(found.boxes, left_out))
    ids = None if found.ids is None else found.ids[kept]
    keypoints = None if found.keypoints is None else found.keypoints[kept]
    labels = tuple(found.labels[row] for row in kept)
    return Detections(found.boxes[kept], found.scores[kept], found.category_ids[kept], labels, ids, keypoints)


def _polygons(content: Any, text: str) -> tuple[Points, ...]:
    if not isinstance(content, list) or not content:
        raise UsageError(f"the area {text} holds no list of polygons", "write [[[x, y], [x, y], [x, y]], ...]")
    if isinstance(content[0], list) and content[0] and not isinstance(content[0][0], list):
        content = [content]  # a single polygon
    polygons = tuple(_checked(polygon, text) for polygon in content)
    if any(len(polygon) < 3 for polygon in polygons):
        raise UsageError(f"the area {text} holds a polygon with fewer than 3 points", "write [[[x, y], [x, y], [x, y]], ...]")
    _check_extent(polygons, text)
    return polygons


def on_a_line(points: Points) -> bool:
    """Whether a polygon has no inside."""
    return bool(np.linalg.matrix_rank(np.array(points, np.float64) - points[0]) < 2)


def _check_extent(polygons: Sequence[Points], text: str) -> None:
    if any(on_a_line(polygon) for polygon in polygons):
        raise UsageError(f"the points of the area '{text}' lie on a line, so that there is nothing in it", "give the corners of a polygon")


def _checked(points: Any, text: str, form: str = FORM) -> Points:
    numbers = isinstance(points, list) and all(isinstance(p, list | tuple) and len(p) == 2 for p in points)
    numbers = numbers and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for p in points for v in p)
    if not numbers or not points:
        raise UsageError(f"'{text}' is no list of points", form)
    if any(value < 0 for point in points for value in point):
        raise UsageError(f"'{text}' has a point outside of the picture", "count from its top left corner")
    return tuple((float(x), float(y)) for x, y in points)


def _json(text: str) -> Any:
    try:
        return json.loads(_bytes(text))
    except ValueError as error:
        raise UsageError(f"the area {text} is no JSON: {error}", FORM) from None


def _bytes(text: str) -> bytes:
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise UsageError(f"the area {text} cannot be read: {error.strerror}", FORM) from None


def share_note(left_out: NDArray[np.bool_]) -> str:
    """How much of the picture is left out, in words."""
    return f"areas left out: {left_out.mean():.1%} of the picture"


class HeldWindows:
    """Holds what is left out constant in what is seen through windows of the frame.

    left_out: (H, W) bool over the frame. fill: (3,) the colour that stands there, BGR. As in HeldOut, a pixel is held where it, or a
    neighbour, covers any of what is left out; so are two pixels of the frame around it, as far as a video's colours reach.
    """

    def __init__(self, left_out: NDArray[np.bool_], fill: Sequence[int]) -> None:
        self.left_out = left_out
        self._wide = cv2.dilate(left_out.astype(np.float32), np.ones((5, 5), np.uint8))
        self._fill = np.array(fill, np.uint8)
        self._held: dict[CropWindow, NDArray[np.bool_]] = {}  # of windows that stay where they are for many frames

    def hold(self, pixels: NDArray[np.uint8], window: CropWindow) -> NDArray[np.uint8]:
        """pixels: (h, w, 3) uint8 BGR, cut by the window -> the same, or a copy with the fill where something is held."""
        held = self._held.get(window)
        if held is None:
            covered = (np.asarray(window.cut(self._wide)) > 0).astype(np.uint8)
            held = np.asarray(cv2.dilate(covered, np.ones((3, 3), np.uint8)) > 0, np.bool_)
            while len(self._held) >= MOST_WINDOWS:
                self._held.pop(next(iter(self._held)))
            self._held[window] = held
        return np.where(held[..., None], self._fill, pixels) if held.any() else pixels


MOST_WINDOWS = 64
"""Windows whose areas are remembered."""

MOVED = 12
"""Levels of 255 in one colour by which a pixel differs from the last frame to count as changed, in the report."""

SAMPLED = 4
"""Rows and columns from one pixel that is looked at for that to the next: all of them would take longer than the gates do."""


REFRESHED = 250
"""Frames after which an area is looked at anew. What stands in it must be what the network would see there, as its windows reach over the
border: with one colour in its place the trees beside a highway cost 1.1 points of AP50, with their first picture 0.3, and so 0.1."""


class HeldOut:
    """Holds what is left out still in the pictures that the network is given, and measures how much would have changed there.

    left_out: (H, W) bool over the frame. size: (height, width) of the pictures.
    A pixel of the network's picture is held where it, or a neighbour, covers any of what is left out: then no change there can reach what
    is not held, through whatever filter pictures are scaled with. It keeps the value that it had in the first picture, and in every
    REFRESHED-th one after it.
    """

    def __init__(self, left_out: NDArray[np.bool_], size: tuple[int, int]) -> None:
        self.left_out = left_out
        how = cv2.INTER_AREA if size[0] < left_out.shape[0] else cv2.INTER_LINEAR
        covered = np.asarray(cv2.resize(left_out.astype(np.float32), size[::-1], interpolation=how)) > 0
        self._held = np.asarray(cv2.dilate(covered.astype(np.uint8), np.ones((3, 3), np.uint8)), np.uint8)
        self._sampled_held = self._held[::SAMPLED, ::SAMPLED] > 0
        self._kept: NDArray[np.uint8] | None = None
        self._frames = 0  # since it was kept
        self._last: NDArray[np.uint8] | None = None
        self._changed = self._changed_held = 0

    def begin_anew(self) -> None:
        """The next picture has nothing in common with those before, or lies elsewhere."""
        self._kept = None

    def hold(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """pixels: (h, w, 3) uint8 BGR, the picture at its top left -> the same, or a copy with what was kept where something is held."""
        height, width = self._held.shape
        samples = pixels[:height:SAMPLED, :width:SAMPLED].copy()
        if self._last is not None:
            moved = cv2.absdiff(samples, self._last).max(2) > MOVED
            self._changed += int(moved.sum())
            self._changed_held += int((moved & self._sampled_held).sum())
        self._last = samples
        if self._kept is None or self._frames == REFRESHED:
            self._kept, self._frames = pixels[:height, :width].copy(), 1
            return pixels
        self._frames += 1
        held = pixels.copy()
        cv2.copyTo(self._kept, self._held, held[:height, :width])
        return held

    @property
    def covers(self) -> NDArray[np.bool_]:
        """(height, width) bool over the pictures, True where something is held."""
        return self._held > 0

    def covers_of(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """The same over the same picture in another size."""
        if size == self._held.shape:
            return self.covers
        return np.asarray(cv2.resize(self._held.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)) > 0

    @property
    def note(self) -> str:
        """What was left out, in words."""
        line = share_note(self.left_out)
        return line + (f", {self._changed_held / self._changed:.0%} of the pixels that changed" if self._changed else "")
