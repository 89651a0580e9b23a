"""A z-buffered triangle rasteriser in numpy: every candidate pixel of every triangle is tested in one vectorised pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Fragments:
    """The nearest surface of one mesh at each of P pixels.

    pixel: (P,) int, row · width + column. face: (P,) int. corner: (P, 3) perspective-correct barycentric weights. inverse_depth: (P,).
    """

    pixel: Array
    face: Array
    corner: Array
    inverse_depth: Array

    def interpolate(self, faces: Array, values: Array) -> Array:
        """(V, K) values of the vertices -> (P, K) values of the fragments."""
        index = faces[self.face]
        result = values[index[:, 0]] * self.corner[:, :1]
        result += values[index[:, 1]] * self.corner[:, 1:2]
        result += values[index[:, 2]] * self.corner[:, 2:]
        return result


def _span(corners: Array, size: int) -> tuple[Array, Array]:
    """First and last pixel centre within each triangle's extent along one axis, clipped to the frame."""
    low = np.minimum(np.minimum(corners[:, 0], corners[:, 1]), corners[:, 2])
    high = np.maximum(np.maximum(corners[:, 0], corners[:, 1]), corners[:, 2])
    first = np.clip(np.ceil(low - np.float32(0.5)), 0, size).astype(np.int32)
    return first, np.clip(np.floor(high - np.float32(0.5)), -1, size - 1).astype(np.int32)


def rasterise(screen: Array, faces: Array, width: int, height: int, cull: bool = True) -> Fragments:
    """screen: (V, 3) x, y in pixels and depth. cull drops faces seen from behind (clockwise in an image whose y runs down)."""
    x, y = screen[:, 0].astype(np.float32), screen[:, 1].astype(np.float32)
    inverse = (1 / screen[:, 2]).astype(np.float32)
    fx, fy = x[faces], y[faces]
    area = (fx[:, 1] - fx[:, 0]) * (fy[:, 2] - fy[:, 0]) - (fx[:, 2] - fx[:, 0]) * (fy[:, 1] - fy[:, 0])
    left, right = _span(fx, width)
    top, bottom = _span(fy, height)
    facing = area < -1e-6 if cull else np.abs(area) > 1e-6
    keep = np.flatnonzero(facing & (right >= left) & (bottom >= top))
    if not len(keep):
        return Fragments(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    fx, fy, area = fx[keep], fy[keep], area[keep]
    left, top = left[keep], top[keep]
    columns = right[keep] - left + 1
    counts = columns * (bottom[keep] - top + 1)

    # Barycentric weights are affine in the pixel: weight_k = origin_k + column · step_x_k + row · step_y_k from the box's corner.
    step_x = np.stack([fy[:, 1] - fy[:, 2], fy[:, 2] - fy[:, 0]]) / area
    step_y = np.stack([fx[:, 2] - fx[:, 1], fx[:, 0] - fx[:, 2]]) / area
    half = np.float32(0.5)
    origin = step_x * (left.astype(np.float32) + half - fx[:, 2]) + step_y * (top.astype(np.float32) + half - fy[:, 2])

    triangle = np.repeat(np.arange(len(keep), dtype=np.int32), counts)
    offset = np.arange(len(triangle), dtype=np.int32) - np.repeat((np.cumsum(counts) - counts).astype(np.int32), counts)
    row = offset // columns[triangle]
    column = offset - row * columns[triangle]
    x_offset, y_offset = column.astype(np.float32), row.astype(np.float32)
    first = origin[0][triangle] + x_offset * step_x[0][triangle] + y_offset * step_y[0][triangle]
    second = origin[1][triangle] + x_offset * step_x[1][triangle] + y_offset * step_y[1][triangle]
    hit = np.flatnonzero((first >= 0) & (second >= 0) & (first + second <= 1))
    triangle, first, second = triangle[hit], first[hit], second[hit]
    pixel = (top[triangle] + row[hit]).astype(np.int64) * width + left[triangle] + column[hit]
    corner = np.stack([first, second, 1 - first - second], -1) * inverse[faces[keep[triangle]]]
    depth_key = corner.sum(-1)

    nearest = np.zeros(width * height, np.float32)
    np.maximum.at(nearest, pixel, depth_key)
    winner = np.flatnonzero(depth_key == nearest[pixel])
    corner, depth_key = corner[winner], depth_key[winner]
    return Fragments(pixel[winner], keep[triangle[winner]], corner / depth_key[:, None], depth_key)
