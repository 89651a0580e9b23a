"""A person in a scene: a body that moves, casts a shadow, is drawn and knows its ground truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .body import build_body, skin
from .canvas import Canvas, SunMap, contact
from .figure import ARM, BAG, HAND, HEAD, LEG, TRUNK
from .light import Light
from .mesh import vertex_normals
from .noise import Noise
from .raster import Fragments
from .skeleton import Pose
from .truth import Annotation
from .wardrobe import Appearance, paint

Array = NDArray[Any]


_ABOVE = Light(np.array([0.06, -0.03, 0.998]), np.ones(3), np.ones(3), np.ones(3), 0.0)
"""A light from above: what it does not reach, the sky reaches less (under the chin, the arms, a coat)."""


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

    def __init__(
        self, track: int, look: Appearance, motion: Callable[[float], Pose], sunlight: Callable[[Array], Array], noise: Noise
    ) -> None:
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

    def _away(self, canvas: Canvas, metres: float) -> bool:
        """Whether the body is out of the picture by more than `metres` (and with it all that it shades)."""
        x, y, depth = canvas.camera.project(self._posed[1][0])
        margin = (1.4 + metres) * canvas.camera.focal / depth
        beside = min(x, canvas.width - x) < -margin or min(y, canvas.height - y) < -margin
        return bool(depth < 0.6 or beside)

    def cast(self, canvas: Canvas) -> None:
        if self._away(canvas, 4.0):
            return
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
        self._drawn = None
        if self._away(canvas, 0.0):
            return
        fragments, screen = canvas.rasterise(self._vertices, mesh.faces)
        part = mesh.part[fragments.face]
        self._drawn = Drawn(canvas, fragments, screen, part != BAG if self.look.build.bag in ("tote", "shoulder") else None)
        if not len(part):
            return
        normals = vertex_normals(self._vertices, mesh.faces)
        lit = self._sunlight(self._vertices)
        values = fragments.interpolate(mesh.faces, np.column_stack([normals, self._attributes, self._vertices, lit]))
        normal, place, along, point, sun = values[:, :3], values[:, 3:6], values[:, 6], values[:, 7:10], values[:, 10]
        normal += self._folds(part, place, along)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        overhead = SunMap(self._vertices, mesh.faces, _ABOVE, 0.035)
        albedo = paint(self.look, part, place, along, self._noise)
        light = canvas.light
        if self._sun_map is not None and light.sun.max() > 0.02:
            sun = sun * self._sun_map.lit(point + 0.015 * normal)
        inner = np.clip(1 - np.abs(place[:, 0]) / 0.10, 0, 1) * (place[:, 2] < 0.86)
        least = np.where(part == HEAD, 0.84, 0.58).astype(np.float32)
        shade = (1 - 0.35 * inner) * (least + (1 - least) * overhead.lit(point + 0.02 * normal, 0.03))
        shade *= 0.72 + 0.28 * np.clip(point[:, 2] / 0.6, 0, 1)
        wrap = (normal @ light.to_sun.astype(np.float32) + 0.12) / 1.12
        colour = albedo * (light.ambient(normal) * shade[:, None] + (np.maximum(wrap, 0) * sun)[:, None] * light.sun)
        view = canvas.view(fragments)
        rim = (1 + (view * normal).sum(1)).clip(0, 1) ** 4
        colour += (0.05 * rim * shade)[:, None] * light.sky
        canvas.write(fragments, colour.astype(np.float32), self.track)

    def _folds(self, part: Array, place: Array, along: Array) -> Array:
        """(P, 3) bends of the normals that make cloth of a smooth body: soft ones all over, sharper ones where limbs bend."""
        x, y, z = place.T
        depth = np.where((part == HEAD) | (part == HAND) | (part == BAG), 0.03, 0.20).astype(np.float32)
        bent = np.zeros(len(part), np.float32)
        for limb, joints in ((LEG, (0.06, 0.50, 0.93)), (ARM, (0.05, 0.53, 0.9))):
            here = part == limb
            bent[here] = sum(np.exp(-(((along[here] - joint) / 0.085) ** 2)) for joint in joints)
        waist = part == TRUNK
        bent[waist] = np.exp(-(((z[waist] - 1.02) / 0.07) ** 2)) + 0.5 * np.exp(-(((z[waist] - 1.33) / 0.05) ** 2))
        covered = np.where(part == ARM, along <= self.look.build.sleeve, np.where(part == LEG, along <= self.look.build.leg, True))
        depth = np.where(covered, depth, 0.03)
        u, v = x + y * 0.7, z * 0.5 - x * 0.25
        across_u, across_v = (x + y * 0.8) * 0.55 + self.track * 0.37, z * 1.9 + x * 0.5
        bends = np.empty(place.shape, np.float32)
        for k, shift in enumerate((0.0, 0.37, 0.71)):
            soft = self._noise.near(u + shift + self.track * 0.13, v + shift)
            sharp = self._noise.near(across_u + shift * 0.3, across_v + shift)
            bends[:, k] = depth * (soft + (1.4 if k == 2 else 0.5) * bent * sharp)
        return bends

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
