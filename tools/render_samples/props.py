"""Fixed things that are meshes: balls, dumb-bells, pots. They shade and hide, but have no annotation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, SunMap, contact
from .mesh import MeshBuilder, ellipsoid, loft, superellipse, tube, vertex_normals
from .truth import Annotation

Array = NDArray[Any]


class Prop:
    """A mesh in one colour with some gloss, standing at (x, y) with a contact shadow of `radius` metres."""

    track = 0

    def __init__(self, vertices: Array, faces: Array, colour: Array, gloss: float, place: tuple[float, float], radius: float) -> None:
        self._vertices, self._faces, self._colour, self._gloss = vertices.astype(np.float32), faces, colour, gloss
        self._place, self._radius = place, radius

    def update(self, time: float) -> None:
        """Nothing of it moves."""

    def cast(self, canvas: Canvas) -> None:
        SunMap(self._vertices, self._faces, canvas.light).cast(canvas)
        contact(canvas, *self._place, self._radius * 1.5, self._radius * 1.5, 0.0, 0.6)

    def draw(self, canvas: Canvas) -> None:
        fragments, _ = canvas.rasterise(self._vertices, self._faces)
        normal = fragments.interpolate(self._faces, vertex_normals(self._vertices, self._faces))
        light, view = canvas.light, canvas.view(fragments)
        reflected = view - 2 * (view * normal).sum(1, keepdims=True) * normal
        shine = np.clip(reflected @ light.to_sun.astype(np.float32), 0, 1) ** 40
        colour = (
            self._colour * (light.ambient(normal) * 0.85 + light.direct(normal)[:, None] * light.sun)
            + self._gloss * shine[:, None] * light.sun
        )
        canvas.write(fragments, colour.astype(np.float32), self.track)

    def annotation(self, canvas: Canvas, seen: int, supersampling: float) -> Annotation | None:
        return None


def ball(x: float, y: float, radius: float, colour: Array) -> Prop:
    return Prop(*ellipsoid(np.array([x, y, radius]), np.full(3, radius), 40, 28), colour, 0.25, (x, y), radius)


def pot(x: float, y: float, radius: float, height: float, colour: Array) -> Prop:
    levels = np.array([0, 0.02, 0.5, 0.96, 1.0, 0.9]) * height
    size = radius * np.array([0.66, 0.7, 0.85, 1.0, 1.0, 0.9])
    centres = np.column_stack([np.full(6, x), np.full(6, y), levels])
    rings = tube(centres, size, size, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(24))
    return Prop(*loft(rings), colour, 0.1, (x, y), radius)


def dumbbell(x: float, y: float, yaw: float, colour: Array) -> Prop:
    builder = MeshBuilder()
    along, across = np.array([np.cos(yaw), np.sin(yaw), 0]), np.array([-np.sin(yaw), np.cos(yaw), 0])
    stations = np.array([-0.15, -0.15, -0.055, -0.055, 0.055, 0.055, 0.15, 0.15])
    size = np.array([0.03, 0.06, 0.06, 0.016, 0.016, 0.06, 0.06, 0.03])
    centres = np.array([x, y, 0.06]) + stations[:, None] * along
    builder.add(*loft(tube(centres, size, size, across, np.array([0, 0, 1.0]), superellipse(12))), 0)
    mesh = builder.mesh()
    return Prop(mesh.vertices, mesh.faces, colour, 0.15, (x, y), 0.12)
