"""Heat maps to keypoints: the peak, refined below a pixel, and its height as the score."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.models.spec import KeypointHead

STRIDE = 4
"""A heat map has a quarter of the input's size; its pixel i lies at pixel 4 i of the input, counted from pixel centres, as in training."""

SIGMA_PER_PIXEL = 2 / 64
"""Spread of the peaks that pose networks are trained to draw, per pixel of the heat map's height: 2 pixels in 64, 3 in 96."""

COCO_TOLERANCES: NDArray[np.float64] = (
    np.array([0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]) / 10
)
"""How far annotators differ in placing each of the 17 joints, relative to the root of the person's area (COCO's evaluation code)."""

SMOOTHING = 0.5
"""Spread of the smoothing that precedes the search for a peak, per unit of a joint's tolerance and pixel of the heat map's height.

For a person who fills the window, OKS itself falls off with a spread of 0.8. On COCO persons a small network that is often in doubt is
best read with 0.6 (+0.022 OKS), PP-TinyPose with 0.4 (+0.000), and with 0.5 neither is far from its best.
"""


class HeatmapHead(KeypointHead):
    """Reads heat maps (1, J, h, w), one for each joint."""

    def __init__(self, joints: tuple[str, ...]) -> None:
        self._tolerances = COCO_TOLERANCES if joints == COCO_KEYPOINTS else None  # of other joints nobody knows them

    def keypoints(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        keypoints = decode_heatmaps(maps[0][0], tolerances=self._tolerances)
        keypoints[:, :2] *= STRIDE
        return keypoints


def decode_heatmaps(
    heatmaps: NDArray[np.float32], refine: str = "dark", tolerances: Sequence[float] | NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """heatmaps: (J, h, w) float32 -> (J, 3) float32: x and y in heat map pixels, whole numbers being pixel centres, and the score.

    tolerances: (J,) of the joints. With them the point is not the highest pixel but the one whose surroundings hold the most: where heights
    are chances, the point with the highest expected OKS (Purkrabek and Matas, "ProbPose", CVPR 2025).
    refine: "dark" (Zhang et al., "Distribution-Aware Coordinate Representation", CVPR 2020, section 3.1), "quarter" (a quarter of a
    pixel towards the higher neighbour, as HRNet's authors do) or "none". score: the height of the peak, in [0, 1].
    """
    joints, height, width = heatmaps.shape
    scores = np.clip(heatmaps.reshape(joints, -1).max(1), 0, 1)
    if tolerances is not None:
        heatmaps = _smoothed(heatmaps, tolerances)
    best = heatmaps.reshape(joints, -1).argmax(1)
    peaks = np.stack([best % width, best // width], 1)
    if refine == "dark":
        offsets = _dark_offsets(heatmaps, peaks)
    elif refine == "quarter":
        offsets = _quarter_offsets(heatmaps, peaks)
    else:
        offsets = np.zeros((joints, 2))
    return np.column_stack([peaks + offsets, scores]).astype(np.float32)


def _smoothed(heatmaps: NDArray[np.float32], tolerances: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
    spreads = SMOOTHING * heatmaps.shape[1] * np.asarray(tolerances)
    return np.stack([cv2.GaussianBlur(np.maximum(heat, 0), (0, 0), spread) for heat, spread in zip(heatmaps, spreads, strict=True)])


def _inside(peaks: NDArray[np.int64], shape: tuple[int, int], margin: int) -> NDArray[np.bool_]:
    """Peaks with `margin` pixels on every side. peaks: (J, 2) x, y."""
    x, y = peaks.T
    inside: NDArray[np.bool_] = (x >= margin) & (x < shape[1] - margin) & (y >= margin) & (y < shape[0] - margin)
    return inside


def _quarter_offsets(heatmaps: NDArray[np.float32], peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    offsets = np.zeros((len(heatmaps), 2))
    for joint in np.flatnonzero(_inside(peaks, heatmaps.shape[1:], 1)):
        x, y = peaks[joint]
        heat = heatmaps[joint]
        offsets[joint] = 0.25 * np.sign([heat[y, x + 1] - heat[y, x - 1], heat[y + 1, x] - heat[y - 1, x]])
    return offsets


def _dark_offsets(heatmaps: NDArray[np.float32], peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logarithm of a Gaussian is a parabola: one Newton step from the highest pixel reaches its top."""
    sigma = SIGMA_PER_PIXEL * heatmaps.shape[1]
    offsets = np.zeros((len(heatmaps), 2))
    for joint in np.flatnonzero(_inside(peaks, heatmaps.shape[1:], 2)):
        x, y = peaks[joint]
        # Smoothing makes derivatives of a ragged peak meaningful; its reach need only cover the 5 x 5 pixels that are read.
        reach = int(np.ceil(4 * sigma)) + 2
        top, left = max(y - reach, 0), max(x - reach, 0)
        around = np.ascontiguousarray(heatmaps[joint, top : y + reach + 1, left : x + reach + 1])
        smooth = cv2.GaussianBlur(around, (0, 0), sigma)
        log = np.log(np.maximum(smooth[y - top - 2 : y - top + 3, x - left - 2 : x - left + 3].astype(np.float64), 1e-10))
        gradient = np.array([log[2, 3] - log[2, 1], log[3, 2] - log[1, 2]]) / 2
        xx = (log[2, 4] - 2 * log[2, 2] + log[2, 0]) / 4
        yy = (log[4, 2] - 2 * log[2, 2] + log[0, 2]) / 4
        xy = (log[3, 3] - log[1, 3] - log[3, 1] + log[1, 1]) / 4
        determinant = xx * yy - xy * xy
        if xx < 0 and determinant > 1e-12:
            step = -np.array([yy * gradient[0] - xy * gradient[1], xx * gradient[1] - xy * gradient[0]]) / determinant
            # The top of a peak is less than a pixel from its highest pixel; a longer step means that the shape is no peak.
            offsets[joint] = step if np.abs(step).max() <= 1 else 0.0
    return offsets
