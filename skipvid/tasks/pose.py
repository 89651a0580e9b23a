"""Pose estimation: what stands before and behind the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.models import PoseSpec
from skipvid.presets.preset import Preset
from skipvid.skip.picture import Picture
from skipvid.tasks.areas import Areas, HeldWindows
from skipvid.tasks.crops import CropWindow, InParts
from skipvid.tasks.letterbox import Letterbox, Preprocessor
from skipvid.tasks.picture_task import mean_colour
from skipvid.tasks.registered_windows import points_between
from skipvid.tasks.similarity import STANDSTILL, Similarity

SURE = 0.3
"""Score from which a keypoint counts as seen."""

FEWEST = 3
"""Seen keypoints that it takes to say where a person is."""


class PoseTask:
    """Prepares windows of frames for a pose network and reads its output. spec: of the preset's network.

    areas: what is looked at; None: everything.
    """

    def __init__(self, preset: Preset, spec: PoseSpec, areas: Areas | None = None) -> None:
        self._areas, self._fill = areas, mean_colour(preset)
        self._held: HeldWindows | None = None
        self._preprocess = Preprocessor(preset.channels, preset.mean, preset.std)
        self._head = spec.head(preset.keypoints)

    def prepare(self, picture: NDArray[np.uint8] | InParts, window: CropWindow) -> Picture:
        """picture: a frame's, (H, W, 3) uint8 BGR where it is an array -> the network's input, of shape (1, 3, h, w)."""
        pixels = window.cut(picture)
        return self._as_input(pixels if self._held is None else self._held.hold(pixels, window), window)

    def prepare_whole(self, picture: NDArray[np.uint8] | InParts, window: CropWindow) -> Picture:
        """As `prepare`, with nothing left out."""
        return self._as_input(window.cut(picture), window)

    def _as_input(self, pixels: NDArray[np.uint8], window: CropWindow) -> Picture:
        size = window.input_size
        return self._preprocess(pixels, Letterbox(size, size, size))

    def frame_size(self, size: tuple[int, int]) -> None:
        """Frames of (height, width) are to come. Raises UsageError where nothing of them is left to look at."""
        self._held = None if self._areas is None else HeldWindows(self._areas.left_out(*size), self._fill)

    @property
    def left_out(self) -> NDArray[np.bool_] | None:
        """(H, W) bool over frames of that size; None: nothing."""
        return None if self._held is None else self._held.left_out

    def decode(self, maps: Sequence[NDArray[np.float32]], window: CropWindow, motion: Similarity = STANDSTILL) -> NDArray[np.float32]:
        """maps: all that the network returns -> (J, 3) float32: x, y in pixels of the frame, whole numbers being centres, and score.

        motion: from where the window lies to the frame.
        """
        keypoints = self._head.keypoints(maps)
        keypoints[:, :2] = points_between(window.to_frame(keypoints[:, :2]), motion)
        return keypoints


def extent(keypoints: NDArray[np.float32], frame_size: tuple[int, int], margin: float = 0.1) -> NDArray[np.float32] | None:
    """The box around the keypoints that are seen, (4,) float32 xyxy, widened by `margin` of its longer side and clipped to the frame.

    keypoints: (J, 3). frame_size: (height, width). None where too few are seen.
    """
    seen = keypoints[keypoints[:, 2] >= SURE, :2]
    if len(seen) < FEWEST:
        return None
    low, high = seen.min(0), seen.max(0)
    grow = margin * float((high - low).max())
    height, width = frame_size
    box: NDArray[np.float32] = np.clip(np.concatenate([low - grow, high + grow]), 0, [width, height] * 2).astype(np.float32)
    return box


def movement(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far a person went between two frames: the median shift of the keypoints seen in both, (2,) float32; zero for too few.

    before, after: (J, 3).
    """
    seen = (before[:, 2] >= SURE) & (after[:, 2] >= SURE)
    if seen.sum() < FEWEST:
        return np.zeros(2, np.float32)
    shift: NDArray[np.float32] = np.median(after[seen, :2] - before[seen, :2], axis=0).astype(np.float32)
    return shift
