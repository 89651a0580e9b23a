"""Heat maps to keypoints: the peak, refined below a pixel, and its height as the score. Pure functions on arrays."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

STRIDE = 4
"""A heat map has a quarter of the input's size; its pixel i lies at pixel 4 i of the input, counted from pixel centres, as in training."""

SIGMA_PER_PIXEL = 2 / 64
"""Spread of the peaks that pose networks are trained to draw, per pixel of the heat map's height: 2 pixels in 64, 3 in 96."""


def decode_heatmaps(heatmaps: NDArray[np.float32], refine: str = "dark") -> NDArray[np.float32]:
    """heatmaps: (J, h, w) float32 -> (J, 3) float32: x and y in heat map pixels, whole numbers being pixel centres, and the score.

    refine: "dark" (Zhang et al., "Distribution-Aware Coordinate Representation", CVPR 2020, section 3.1), "quarter" (a quarter of a
    pixel towards the higher neighbour, as HRNet's authors do) or "none". score: the height of the peak, in [0, 1].
    """
    joints, height, width = heatmaps.shape
    flat = heatmaps.reshape(joints, -1)
    best = flat.argmax(1)
    scores = np.clip(flat[np.arange(joints), best], 0, 1)
    peaks = np.stack([best % width, best // width], 1)
    if refine == "dark":
        offsets = _dark_offsets(heatmaps, peaks)
    elif refine == "quarter":
        offsets = _quarter_offsets(heatmaps, peaks)
    else:
        offsets = np.zeros((joints, 2))
    return np.column_stack([peaks + offsets, scores]).astype(np.float32)


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
