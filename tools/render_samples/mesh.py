"""Triangle meshes: lofted tubes, boxes and ellipsoids, joined into one mesh that remembers which part each face belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Mesh:
    """vertices: (V, 3) float32 metres. faces: (F, 3) int32, anticlockwise seen from outside. part: (F,) uint8.

    along: (V,) float32, how far a vertex lies along its limb (0 at the root, 1 at the tip); paints hems and sleeves.
    weights: (V, B) float32, each vertex's share in B bones; B = 1 for rigid things.
    """

    vertices: Array
    faces: Array
    part: Array
    along: Array
    weights: Array


class MeshBuilder:
    """Collects pieces; `mesh()` joins them."""

    def __init__(self, bones: int = 1) -> None:
        self.bones = bones
        self._pieces: list[tuple[Array, Array, Array, Array, Array]] = []
        self._count = 0

    def add(self, vertices: Array, faces: Array, part: int, weights: Array | int = 0, along: Array | float = 0.0) -> None:
        """weights: (V, B), or the number of the one bone that carries the whole piece."""
        count = len(vertices)
        if isinstance(weights, int):
            bone, weights = weights, np.zeros((count, self.bones), np.float32)
            weights[:, bone] = 1
        self._pieces.append(
            (
                vertices.astype(np.float32),
                (faces + self._count).astype(np.int32),
                np.full(len(faces), part, np.uint8),
                np.broadcast_to(np.asarray(along, np.float32), (count,)),
                weights.astype(np.float32),
            )
        )
        self._count += count

    def mesh(self) -> Mesh:
        columns = list(zip(*self._pieces, strict=True))
        return Mesh(*(np.concatenate(column) for column in columns))


def loft(rings: Array, cap_start: bool = True, cap_end: bool = True) -> tuple[Array, Array]:
    """(L, N, 3) rings -> vertices, faces. Rings run anticlockwise seen from the last ring; caps close the ends with fans."""
    levels, sides, _ = rings.shape
    vertices = [rings.reshape(-1, 3)]
    i, j = np.meshgrid(np.arange(levels - 1), np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    c, d = a + sides, b + sides
    faces = [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
    around = np.arange(sides)
    following = (around + 1) % sides
    count = levels * sides
    for wanted, level, flip in ((cap_start, 0, True), (cap_end, levels - 1, False)):
        if not wanted:
            continue
        vertices.append(rings[level].mean(axis=0, keepdims=True))
        first, second = (following, around) if flip else (around, following)
        faces.append(np.stack([level * sides + first, level * sides + second, np.full(sides, count)], -1))
        count += 1
    return np.concatenate(vertices), np.concatenate(faces)


def per_vertex(levels: Array, sides: int) -> Array:
    """Spread one value (or row) a ring over the vertices that `loft` makes, its two cap vertices included."""
    return np.concatenate([np.repeat(levels, sides, axis=0), levels[:1], levels[-1:]])


def superellipse(sides: int, exponent: float = 2.0) -> Array:
    """(N, 2) unit outline, anticlockwise from +x; exponent 2 is an ellipse, 4 nearly a rounded rectangle."""
    angle = np.arange(sides) / sides * 2 * np.pi
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([np.sign(cosine) * np.abs(cosine) ** (2 / exponent), np.sign(sine) * np.abs(sine) ** (2 / exponent)], -1)


def tube(centres: Array, half_x: Array, half_y: Array, axis_x: Array, axis_y: Array, outline: Array) -> Array:
    """Rings (L, N, 3) round a path (L, 3): half widths (L,) along two axes (3,) of the cross-section."""
    x = (half_x[:, None] * outline[:, 0])[..., None] * axis_x
    y = (half_y[:, None] * outline[:, 1])[..., None] * axis_y
    return np.asarray(centres[:, None, :] + x + y)


def ellipsoid(centre: Array, radii: Array, sides: int = 12, levels: int = 8) -> tuple[Array, Array]:
    polar = np.linspace(-np.pi / 2, np.pi / 2, levels + 2)[1:-1]
    outline = superellipse(sides)
    rings = np.empty((levels, sides, 3))
    rings[..., :2] = np.cos(polar)[:, None, None] * outline
    rings[..., 2] = np.sin(polar)[:, None]
    vertices, faces = loft(rings * radii + centre)
    vertices[-2:] = centre + np.array([[0, 0, -1], [0, 0, 1]]) * radii
    return vertices, faces


def box(low: Array, high: Array, rounding: float = 0.0) -> tuple[Array, Array]:
    """An upright box; rounding (metres) bevels its vertical and horizontal edges."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    centre, half = (low + high) / 2, (high - low) / 2
    r = min(rounding, float(half.min()) * 0.9)
    if r <= 0:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half[:2]
        insets, heights = np.array([0.0, 0.0]), np.array([-half[2], half[2]])
        outlines = [corners, corners]
    else:
        x, y = half[:2]
        octagon = np.array([[-x + r, -y], [x - r, -y], [x, -y + r], [x, y - r], [x - r, y], [-x + r, y], [-x, y - r], [-x, -y + r]])
        insets, heights = np.array([r, 0.0, 0.0, r]), np.array([-half[2], -half[2] + r, half[2] - r, half[2]])
        outlines = [octagon] * 4
    rings = []
    for outline, inset, height in zip(outlines, insets, heights, strict=True):
        shrunk = outline * ((half[:2] - inset) / half[:2])
        rings.append(np.column_stack([shrunk, np.full(len(outline), height)]))
    return loft(np.array(rings) + centre)


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """(V, 3) unit normals, averaged over the faces at each vertex by their area."""
    corner = vertices[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    index = faces.ravel()
    total = np.stack([np.bincount(index, np.repeat(normal[:, k], 3), len(vertices)) for k in range(3)], -1)
    length = np.sqrt((total * total).sum(-1, keepdims=True))
    return np.asarray(total / np.maximum(length, 1e-12), np.float32)
