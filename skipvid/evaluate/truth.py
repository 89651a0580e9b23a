"""Ground truth of a clip, frame by frame, whatever file it came from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import SourceError
from skipvid.core.results import Frame


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """What is to be found in one frame.

    boxes: (K, 4) float32, xyxy, pixels of the upright frame. category_ids: (K,) int64, COCO's numbers. crowd: (K,) bool, True = a region in
    which detections of its category count neither as found nor as false; category 0 = of every category.
    keypoints: (K, J, 3) float32, x, y in pixels and a flag (0 = not labelled, 1 = labelled but hidden, 2 = visible), or None.
    areas: (K,) float32, pixels squared, that OKS is relative to; None = those of the boxes. size: (width, height) of the frame in pixels,
    where the file tells.
    Raises ValueError where shapes do not fit together.
    """

    boxes: NDArray[np.float32]
    category_ids: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    keypoints: NDArray[np.float32] | None = None
    areas: NDArray[np.float32] | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        count = len(self.boxes)
        shapes = {"boxes": (count, 4), "category_ids": (count,), "crowd": (count,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")
        if self.keypoints is not None and (self.keypoints.ndim != 3 or self.keypoints.shape[::2] != (count, 3)):
            raise ValueError(f"keypoints must be ({count}, J, 3), got {self.keypoints.shape}")
        if self.areas is not None and self.areas.shape != (count,):
            raise ValueError(f"areas must be ({count},), got {self.areas.shape}")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def of(cls, rows: list[tuple[float, float, float, float, int, bool]]) -> FrameTruth:
        """From (x1, y1, x2, y2, category, crowd) of each object; those without an area, which nothing could find, are left out.

        Raises ValueError for a coordinate that is no finite number.
        """
        if not all(math.isfinite(value) for row in rows for value in row[:4]):
            raise ValueError("a box has a coordinate that is no finite number")
        rows = [row for row in rows if row[2] > row[0] and row[3] > row[1]]
        boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
        return cls(boxes, np.array([row[4] for row in rows], np.int64), np.array([row[5] for row in rows], np.bool_))

    @property
    def object_areas(self) -> NDArray[np.float32]:
        """(K,) float32, pixels squared."""
        if self.areas is not None:
            return self.areas
        sides = np.maximum(self.boxes[:, 2:] - self.boxes[:, :2], 0)
        return np.asarray(sides.prod(axis=1), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledClip:
    """A source and its truth.

    name: of the clip, for tables. source: what `open_source` takes. frames: truth by 0-based frame number; a frame that is not there has no
    label and is not measured. by_file: the same by the file of a picture, for folders: numbers would shift where one cannot be read.
    first_picture: for folders whose files are numbered as the frames are: the number in the name of frame 0's, so that a picture that is
    missing moves no other. keypoint_names: of the joints, in order. group: clips of one group are drawn together by the bootstrap, e.g. a
    camera.
    """

    name: str
    source: str
    frames: Mapping[int, FrameTruth] = field(default_factory=dict)
    by_file: Mapping[str, FrameTruth] = field(default_factory=dict)
    first_picture: int | None = None
    keypoint_names: tuple[str, ...] = ()
    group: str = ""

    @property
    def labelled(self) -> int:
        """How many frames have a label."""
        return len(self.by_file or self.frames)

    def of(self, frame: Frame) -> FrameTruth | None:
        """The truth of a frame, None where it has none. A picture's file may be given with more or fewer folders than in the truth.

        Raises SourceError for the truth of a frame of another size.
        """
        truth = self._of(frame)
        if truth is not None and truth.size not in (None, (frame.width, frame.height)):
            raise SourceError(
                f"{self.name}: the truth is about pictures of {' x '.join(map(str, truth.size or ()))} pixels, frame {frame.index} has "
                f"{frame.width} x {frame.height}",
                "give the truth of this clip",
            )
        return truth

    def _of(self, frame: Frame) -> FrameTruth | None:
        if not self.by_file:
            number = picture_number(frame.file) if self.first_picture is not None else None
            return self.frames.get(frame.index if number is None or self.first_picture is None else number - self.first_picture)
        if frame.file in self.by_file:
            return self.by_file[frame.file]
        name = PurePosixPath(frame.file).name
        fitting = [file for file in self.by_file if PurePosixPath(file).name == name and _same_end(file, frame.file)]
        return self.by_file[fitting[0]] if len(fitting) == 1 else None


def picture_number(file: str) -> int | None:
    """The number at the end of a picture's name (img00017.jpg: 17), None where there is none."""
    found = re.search(r"(\d+)$", PurePosixPath(file).stem)
    return int(found[1]) if found else None


def _same_end(one: str, other: str) -> bool:
    """Whether the shorter of two paths is the end of the longer."""
    parts = sorted((PurePosixPath(one).parts, PurePosixPath(other).parts), key=len)
    return parts[1][-len(parts[0]) :] == parts[0]
