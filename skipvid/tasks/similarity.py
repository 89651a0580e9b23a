"""A motion of the camera between two pictures: what is in one lies in the other shifted, turned and scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Similarity:
    """(x, y) -> (a x - b y + dx, b x + a y + dy), in pixels; whole numbers are the edges of pixels."""

    a: float = 1.0
    b: float = 0.0
    dx: float = 0.0
    dy: float = 0.0

    @classmethod
    def of_centres(cls, a: float, b: float, dx: float, dy: float) -> Similarity:
        """From the same map of coordinates in which whole numbers are the centres of pixels."""
        return cls(a, b, dx + 0.5 - 0.5 * (a - b), dy + 0.5 - 0.5 * (a + b))

    @property
    def scale(self) -> float:
        """The factor on lengths."""
        return float(np.hypot(self.a, self.b))

    @property
    def shifts(self) -> bool:
        """Whether it neither turns nor scales."""
        return self.a == 1 and self.b == 0

    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), as OpenCV takes it: for coordinates in which whole numbers are the centres of pixels."""
        dx = self.dx - 0.5 + 0.5 * (self.a - self.b)
        dy = self.dy - 0.5 + 0.5 * (self.a + self.b)
        return np.array([[self.a, -self.b, dx], [self.b, self.a, dy]], np.float64)

    def inverse(self) -> Similarity:
        """The way back."""
        square = self.a**2 + self.b**2
        a, b = self.a / square, -self.b / square
        return Similarity(a, b, -(a * self.dx - b * self.dy), -(b * self.dx + a * self.dy))

    def points(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(…, 2) x, y -> (…, 2)."""
        x, y = points[..., 0].astype(np.float64), points[..., 1].astype(np.float64)
        moved = np.empty(points.shape, np.float64)
        moved[..., 0] = self.a * x - self.b * y + self.dx
        moved[..., 1] = self.b * x + self.a * y + self.dy
        return moved

    def boxes(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """(K, 4) xyxy -> (K, 4): centres go where points go, sides are scaled and stay upright, so that `inverse` leads back exactly."""
        centres = self.points((boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2)
        half = (boxes[:, 2:].astype(np.float64) - boxes[:, :2]) * (self.scale / 2)
        return np.concatenate([centres - half, centres + half], 1)

    def scaled(self, x: float, y: float) -> Similarity:
        """The same motion of a picture that is x times as wide and y times as high. The two must be alike where it turns or scales."""
        return Similarity(self.a, self.b, self.dx * x, self.dy * y)

    def apart(self, other: Similarity, size: tuple[int, int]) -> float:
        """How far apart two motions take that corner of a picture of (height, width) for which it is most, pixels."""
        a, b, dx, dy = self.a - other.a, self.b - other.b, self.dx - other.dx, self.dy - other.dy
        return max(math.hypot(a * x - b * y + dx, b * x + a * y + dy) for x in (0, size[1]) for y in (0, size[0]))


STANDSTILL = Similarity()
