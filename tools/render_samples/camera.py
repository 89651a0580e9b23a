"""A pinhole camera in a world measured in metres: x to the right, y away from the viewer, z up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Camera:
    """position: (3,) metres. yaw: radians, 0 looks along +y, positive turns right. pitch: radians, positive looks down.

    focal: pixels. width, height: pixels; pixel (i, j) has its centre at (j + 0.5, i + 0.5).
    """

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    focal: float
    width: int
    height: int

    @cached_property
    def rotation(self) -> Array:
        """(3, 3): rows are the camera's right, down and forward axes in the world."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        forward = np.array([sy * cp, cy * cp, -sp])
        right = np.array([cy, -sy, 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    @cached_property
    def matrix(self) -> Array:
        """(3, 4): homogeneous world point -> (x·depth, y·depth, depth)."""
        intrinsic = np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1]])
        extrinsic = np.hstack([self.rotation, -(self.rotation @ np.array(self.position))[:, None]])
        return np.asarray(intrinsic @ extrinsic)

    def project(self, points: Array) -> Array:
        """(..., 3) world -> (..., 3): x and y in pixels, depth in metres along the optical axis (at least 0.05)."""
        homogeneous = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        depth = np.maximum(homogeneous[..., 2:], 0.05)
        return np.concatenate([homogeneous[..., :2] / depth, depth], axis=-1)

    def rays(self) -> Array:
        """(height, width, 3) float32 directions, scaled so that position + depth · ray is the point at that depth."""
        x = (np.arange(self.width) + 0.5 - self.width / 2) / self.focal
        y = (np.arange(self.height) + 0.5 - self.height / 2) / self.focal
        right, down, forward = self.rotation
        return (forward + x[None, :, None] * right + y[:, None, None] * down).astype(np.float32)

    def ground_homography(self) -> Array:
        """(3, 3): homogeneous (x, y, 1) on the ground z = 0 -> homogeneous pixels."""
        return np.asarray(self.matrix[:, [0, 1, 3]])

    def ground_point(self, x: float, y: float) -> Array:
        """(2,): the ground point that pixel coordinates (x, y) see; meaningless above the horizon."""
        point = np.linalg.solve(self.ground_homography(), np.array([x, y, 1.0]))
        return np.asarray(point[:2] / point[2])

    def scaled(self, factor: float) -> Camera:
        """The same view with factor times as many pixels a side."""
        return replace(self, focal=self.focal * factor, width=round(self.width * factor), height=round(self.height * factor))
