"""A person in a scene: a body that moves, casts a shadow, is drawn and knows its ground truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .body import BAG, HAND, HEAD, build_body, skin
from .canvas import Canvas, SunMap, contact
from .mesh import vertex_normals
from .noise import Noise
from .raster import Fragments
from .skeleton import Pose
from .truth import Annotation
from .wardrobe import Appearance, paint

Array = NDArray[Any]


class Drawn:
    """What is kept of one drawn object to say where it was and how much of it was seen."""

    def __init__(self, canvas: Canvas, fragments: Fragments, screen: Array, counted: Array | None = None) -> None:
        """counted: (P,) bool, fragments that belong into the box; what is carried in the hand does not (as in COCO)."""
        self.count = len(fragments.pixel)
        self.box = np.zeros(4)
        self.inside = 0.0
        pixel = fragments.pixel if counted is None else fragments.pixel[counted]
        if not len(pixel):
            self.count = 0
            return
        rows, columns = pixel // canvas.width, pixel % canvas.width
        self.box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
        low, high = screen[:, :2].min(0), screen[:, :2].max(0)
        whole = max(float(np.prod(high - low)), 1.0)
        self.inside = min(float(np.prod(np.minimum(high, [canvas.width, canvas.height]) - np.maximum(low, 0))) / whole, 1.0)

    def annotation(self, track: int, category: int, seen: int, supersampling: float, keypoints: Array | None = None) -> Annotation | None:
        """None where nothing of the object is in the frame. seen: canvas pixels of it that stayed visible."""
        if self.count < 8 * supersampling**2:
            return None
        visibility = self.inside * min(seen / self.count, 1.0)
        return Annotation(track, category, (self.box / supersampling).astype(np.float32), visibility, keypoints)


class Person:
    """motion: time in seconds -> Pose. sunlight: (P, 3) points -> (P,) sunlight that the scenery lets through."""

    category = 1

    def __init__(self, track: int, look: Appearance, motion: Callable[[float], Pose], sunlight: Callable[[Array], Array], noise: Noise) -> None:
        self.track, self.look, self._motion, self._sunlight, self._noise = track, look, motion, sunlight, noise
        self._mesh = build_body(look.build)
        self._rest = skeleton.rest_joints()
        self._bind = skeleton.forward(self._rest, skeleton.bind_pose())
        self._attributes = np.column_stack([self._mesh.vertices, self._mesh.along])
        self._drawn: Drawn | None = None

    def update(self, time: float) -> None:
        self._posed = skeleton.forward(self._rest, self._motion(time), self.look.scale)
        self._vertices = skin(self._mesh, self._rest, self._bind, self._posed, self.look.scale)
        self._sun_map: SunMap | None = None

    def cast(self, canvas: Canvas) -> None:
        self._sun_map = SunMap(self._vertices, self._mesh.faces, canvas.light)
        root = self._posed[1][0]
        lit = float(self._sunlight(np.array([[root[0], root[1], 0.05]]))[0])
        if lit > 0.05:
            self._sun_map.cast(canvas, lit)
        for name in ("left_foot", "right_foot"):
            bone = skeleton.INDEX[name]
            x, y, z = self._posed[1][bone]
            ahead = self._posed[0][bone][:, 1]
            strength = 0.62 * float(np.clip(1.25 - (z - 0.075) / 0.22, 0, 1))
            contact(canvas, x + 0.05 * ahead[0], y + 0.05 * ahead[1], 0.12, 0.24, float(np.arctan2(-ahead[0], ahead[1])), strength)
        contact(canvas, float(root[0]), float(root[1]), 0.5, 0.5, 0.0, 0.22)

    def draw(self, canvas: Canvas) -> None:
        mesh = self._mesh
        fragments, screen = canvas.rasterise(self._vertices, mesh.faces)
        part = mesh.part[fragments.face]
        self._drawn = Drawn(canvas, fragments, screen, part != BAG if self.look.build.bag in ("tote", "shoulder") else None)
        if not len(part):
            return
        normals = vertex_normals(self._vertices, mesh.faces)
        lit = self._sunlight(self._vertices)
        values = fragments.interpolate(mesh.faces, np.column_stack([normals, self._attributes, self._vertices, lit]))
        normal, place, along, point, sun = values[:, :3], values[:, 3:6], values[:, 6], values[:, 7:10], values[:, 10]
        # Folds of cloth: bend the normals by smooth noise; skin and hair only a little.
        folds = np.where((part == HEAD) | (part == HAND) | (part == BAG), 0.03, 0.24).astype(np.float32)
        u, v = place[:, 0] * 1.0 + place[:, 1] * 0.7, place[:, 2] * 0.5 - place[:, 0] * 0.25
        for k, shift in enumerate((0.0, 0.37, 0.71)):
            normal[:, k] += folds * self._noise.near(u + shift + self.track * 0.13, v + shift)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        albedo = paint(self.look, part, place, along, self._noise)
        light = canvas.light
        if self._sun_map is not None and light.sun.max() > 0.02:
            sun = sun * self._sun_map.lit(point + 0.015 * normal)
        inner = np.clip(1 - np.abs(place[:, 0]) / 0.10, 0, 1) * (place[:, 2] < 0.86)
        crease = 1 + 0.4 * folds * self._noise.near(u * 1.3 + 0.2, v * 1.3)
        shade = crease * (1 - 0.45 * inner) * (0.72 + 0.28 * np.clip(point[:, 2] / 0.6, 0, 1))
        wrap = (normal @ light.to_sun.astype(np.float32) + 0.12) / 1.12
        colour = albedo * (light.ambient(normal) * shade[:, None] + (np.maximum(wrap, 0) * sun)[:, None] * light.sun)
        view = canvas.view(fragments)
        rim = (1 + (view * normal).sum(1)).clip(0, 1) ** 4
        colour += (0.05 * rim * shade)[:, None] * light.sky
        canvas.write(fragments, colour.astype(np.float32), self.track)

    def annotation(self, canvas: Canvas, seen: int, supersampling: float) -> Annotation | None:
        """seen: canvas pixels that this person owns once everything is drawn."""
        if self._drawn is None:
            return None
        points = skeleton.keypoints(*self._posed, self.look.scale)
        screen = canvas.camera.project(points)
        column, row = screen[:, 0].astype(int), screen[:, 1].astype(int)
        inside = (screen[:, 0] >= 0) & (screen[:, 0] < canvas.width) & (screen[:, 1] >= 0) & (screen[:, 1] < canvas.height)
        result = np.zeros((17, 3), np.float32)
        result[inside, :2] = screen[inside, :2] / supersampling
        depth = 1 / np.maximum(canvas.inverse_depth[row[inside], column[inside]], 1e-6)
        covered = screen[inside, 2] - depth > skeleton.KEYPOINT_RADIUS[inside] * 1.25 * self.look.scale
        result[inside, 2] = np.where(covered, 1, 2)
        return self._drawn.annotation(self.track, self.category, seen, supersampling, result)
