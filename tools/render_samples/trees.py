"""Trees whose leaves move in the wind: leaf cards drawn once into depth layers that are warped every frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .canvas import Canvas, SunMap
from .light import Light
from .mesh import MeshBuilder, loft, superellipse, tube, vertex_normals
from .noise import noise_tile
from .raster import rasterise
from .scenery import Crown

Array = NDArray[Any]
_LAYERS = 3


class Tree:
    """A broad-leaved tree. x, y, height: metres. wind: about 0.3 (calm) to 1.5 (gusty)."""

    def __init__(self, rng: np.random.Generator, x: float, y: float, height: float, wind: float, light: Light) -> None:
        self._rng_seed = int(rng.integers(2**31))
        self._light, self._wind = light, wind
        self.base = np.array([x, y, 0.0])
        spread = height * rng.uniform(0.24, 0.34)
        self.crown = Crown(np.array([x, y, height * 0.66]), np.array([spread, spread, height * 0.33]))
        self._hue = np.array([0.075, 0.15, 0.035]) * rng.uniform(0.7, 1.25) * (1 + rng.normal(0, 0.12, 3))
        self._bark = np.array([0.085, 0.07, 0.055]) * rng.uniform(0.7, 1.4)
        self._phase = rng.uniform(0, 2 * np.pi, 6)
        self._leaves(rng, height)
        self._trunk(rng, height)
        self._layers: list[tuple[int, int, Array, float]] = []
        self._shadow: SunMap | None = None
        self._time = 0.0

    def _leaves(self, rng: np.random.Generator, height: float) -> None:
        clumps = rng.normal(0, 1, (46, 3))
        clumps *= (rng.uniform(0.35, 1, 46) ** 0.5 / np.linalg.norm(clumps, axis=1))[:, None] * 0.86
        count = 6000
        chosen = rng.integers(len(clumps), size=count)
        offset = rng.normal(0, 1, (count, 3)) * 0.15
        unit = clumps[chosen] + offset
        unit[:, 2] = np.maximum(unit[:, 2], -0.85 + 0.25 * rng.random(count))
        centre = self.crown.centre + unit * self.crown.radii
        size = 0.023 * height * rng.uniform(0.5, 1.0, count)[:, None]
        outward = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        normal = outward * 0.7 + rng.normal(0, 0.6, (count, 3)) + [0, 0, 0.4]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        first = np.cross(normal, rng.normal(0, 1, (count, 3)))
        first *= size / np.linalg.norm(first, axis=1, keepdims=True)
        second = np.cross(normal, first) * 0.55
        corners = np.stack([centre - first, centre - second * 0.9, centre + first, centre + second], 1)
        self._leaf_vertices = corners.reshape(-1, 3)
        start = np.arange(count)[:, None] * 4
        self._leaf_faces = np.concatenate([start + [0, 1, 2], start + [0, 2, 3]])
        # Light inside the crown falls off with the way through the leaves towards the sun and towards the sky.
        sun = self._light.to_sun
        to_edge = -(unit @ sun) + np.sqrt(np.maximum((unit @ sun) ** 2 + 1.15 - (unit**2).sum(1), 0))
        sunlit = np.exp(-1.9 * np.maximum(to_edge - 0.12, 0)) * rng.uniform(0.75, 1.1, count)
        depth_in = np.clip(1.08 - np.linalg.norm(unit, axis=1), 0, 1)
        skylit = np.exp(-1.6 * depth_in) * (0.62 + 0.38 * np.clip(unit[:, 2] + 0.5, 0, 1))
        facing = np.abs(normal @ sun) * 0.7 + 0.3
        tint = self._hue * rng.uniform(0.75, 1.3, (count, 1)) * (1 + rng.normal(0, 0.05, (count, 3)))
        glow = np.array([1.25, 1.2, 0.6])
        through = ((normal @ sun) < 0)[:, None]
        direct = tint * np.where(through, glow, 1.0) * self._light.sun * (facing * sunlit)[:, None]
        self._leaf_colour = (direct + tint * self._light.ambient(normal) * skylit[:, None]).astype(np.float32)

    def _trunk(self, rng: np.random.Generator, height: float) -> None:
        builder = MeshBuilder()
        thick = 0.021 * height
        levels = np.linspace(0, 1, 9)
        bend = rng.normal(0, 0.02 * height, 2)
        path = self.base + np.column_stack([np.outer(levels**2, bend), levels * height * 0.62])
        radius = thick * (1.25 * np.exp(-levels * 9) + 1 - 0.55 * levels)
        ring = superellipse(10)
        x_axis, y_axis = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
        builder.add(*loft(tube(path, radius, radius, x_axis, y_axis, ring)), 0)
        for _ in range(7):
            start = path[int(rng.integers(5, 8))]
            out = rng.normal(0, 1, 3)
            out[2] = abs(out[2]) + 0.5
            end = self.crown.centre + out / np.linalg.norm(out) * self.crown.radii * 0.7
            line = start + np.linspace(0, 1, 5)[:, None] * (end - start)
            size = thick * np.linspace(0.5, 0.12, 5)
            builder.add(*loft(tube(line, size, size, x_axis, y_axis, superellipse(6))), 0)
        self._trunk_mesh = builder.mesh()

    def cast_trunk(self, canvas: Canvas) -> None:
        """The trunk's shadow, which stays where it is."""
        SunMap(self._trunk_mesh.vertices, self._trunk_mesh.faces, self._light).cast(canvas)

    def plant(self, canvas: Canvas) -> None:
        """Draw the trunk into the canvas (for the backdrop) and prepare the leaf layers for its camera."""
        mesh = self._trunk_mesh
        fragments, _ = canvas.rasterise(mesh.vertices, mesh.faces)
        values = fragments.interpolate(mesh.faces, np.column_stack([vertex_normals(mesh.vertices, mesh.faces), mesh.vertices]))
        normal, point = values[:, :3], values[:, 3:]
        bark = noise_tile(np.random.default_rng(self._rng_seed), 256, 8, 5)
        turn = np.arctan2(point[:, 1] - self.base[1], point[:, 0] - self.base[0])
        grain = bark[(point[:, 2] * 60).astype(int) & 255, (turn * 90).astype(int) & 255]
        lit = np.maximum(normal @ self._light.to_sun, 0) * self.crown.shade(point, self._light.to_sun)
        colour = self._bark * (1 + 0.22 * grain[:, None]) * (self._light.ambient(normal) * 0.8 + lit[:, None] * self._light.sun)
        canvas.write(fragments, colour.astype(np.float32), 0)
        self._prepare(canvas.camera)
        cell = 0.05
        self._shadow = SunMap(self._leaf_vertices, np.concatenate([self._leaf_faces, self._leaf_faces[:, ::-1]]), self._light, cell)

    def _prepare(self, camera: Camera) -> None:
        screen = camera.project(self._leaf_vertices)
        if screen[:, 2].min() < 0.5:
            return
        pad = 12
        low = np.floor(screen[:, :2].min(0)).astype(int) - pad
        high = np.ceil(screen[:, :2].max(0)).astype(int) + pad
        low = np.maximum(low, [-pad, -pad])
        high = np.minimum(high, [camera.width + pad, camera.height + pad])
        if (high - low).min() < 4:
            return
        shifted = screen - [low[0], low[1], 0]
        width, height = int(high[0] - low[0]), int(high[1] - low[1])
        leaf_depth = screen[self._leaf_faces].mean(1)[:, 2]
        edges = np.quantile(leaf_depth, np.linspace(0, 1, _LAYERS + 1))
        leaf = np.arange(len(self._leaf_faces)) % len(self._leaf_colour)
        for k in reversed(range(_LAYERS)):
            member = np.flatnonzero((leaf_depth >= edges[k]) & (leaf_depth <= edges[k + 1]))
            fragments = rasterise(shifted, self._leaf_faces[member], width, height, cull=False)
            layer = np.zeros((height * width, 4), np.float32)
            layer[fragments.pixel, :3] = self._leaf_colour[leaf[member[fragments.face]]]
            layer[fragments.pixel, 3] = 1
            # The nearest leaf of the layer hides what stands behind the crown's middle; a layer lies at one depth.
            self._layers.append((int(low[0]), int(low[1]), layer.reshape(height, width, 4), float(1 / np.mean(leaf_depth[member]))))

    def update(self, time: float) -> None:
        self._time = time

    def _sway(self, where: Array, strength: float, shift: float) -> Array:
        """Displacement (..., 2), in units of `strength`, of crown places (..., 2) in crown radii: slow gusts, quicker flutter of clumps."""
        t, p = self._time, self._phase
        gust = np.sin(0.9 * t + p[0]) + 0.5 * np.sin(2.1 * t + p[1])
        x, y = where[..., 0], where[..., 1]
        flutter = np.sin(5.3 * t + 4.1 * x + 2.7 * y + p[2] + shift) + 0.6 * np.sin(8.9 * t - 6.3 * x + 5.1 * y + p[3] + 2 * shift)
        across = np.sin(4.4 * t + 3.3 * y - 5.2 * x + p[4] + shift) + 0.6 * np.sin(7.7 * t + 7.1 * y + p[5])
        return np.stack([strength * (0.9 * gust + 0.55 * flutter), strength * 0.5 * across], -1).astype(np.float32)

    def cast(self, canvas: Canvas) -> None:
        if self._shadow is not None:
            sway = self._sway(np.zeros(2), 0.018 * self._wind, 0.0)
            self._shadow.cast(canvas, 0.92, offset=(float(sway[0]), float(sway[1])))

    def draw(self, canvas: Canvas) -> None:
        for number, (left, top, layer, inverse) in enumerate(self._layers):
            height, width = layer.shape[:2]
            metre = canvas.camera.focal * inverse
            coarse_y, coarse_x = np.mgrid[0 : height + 24 : 24, 0 : width + 24 : 24].astype(np.float32)
            radius = self.crown.radii[0] * metre
            place = np.stack([coarse_x / radius, coarse_y / radius], -1)
            sway = cv2.resize(
                self._sway(place, 0.016 * self._wind * metre, number * 1.7), None, fx=24, fy=24, interpolation=cv2.INTER_LINEAR
            )
            grid_x = np.arange(width, dtype=np.float32) + sway[:height, :width, 0]
            grid_y = np.arange(height, dtype=np.float32)[:, None] + sway[:height, :width, 1]
            moved = cv2.remap(layer, grid_x, grid_y, cv2.INTER_LINEAR)
            x1, y1 = max(left, 0), max(top, 0)
            x2, y2 = min(left + width, canvas.width), min(top + height, canvas.height)
            if x2 <= x1 or y2 <= y1:
                continue
            window = (slice(y1, y2), slice(x1, x2))
            moved = moved[y1 - top : y2 - top, x1 - left : x2 - left]
            front = canvas.inverse_depth[window] < inverse
            alpha = moved[..., 3:] * front[..., None]
            canvas.colour[window] *= 1 - alpha
            canvas.colour[window] += moved[..., :3] * front[..., None]
            solid = alpha[..., 0] > 0.5
            canvas.inverse_depth[window][solid] = inverse
            canvas.owner[window][solid] = 0
