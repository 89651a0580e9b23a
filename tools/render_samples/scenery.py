"""Fixed scenery: the ground, upright blocks (houses, benches, walls) and fixed meshes, ray cast once into a Backdrop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .canvas import Backdrop
from .light import Light
from .noise import Noise, smoothstep
from .paints import Paint

Array = NDArray[Any]


@dataclass(frozen=True)
class Block:
    """A box with vertical sides. centre, half: (2,) metres on the ground; bottom, top: heights; yaw: radians anticlockwise.

    casts: it keeps the sun off other things. floor: shadows of moving things fall on it (a mat, a step).
    """

    centre: tuple[float, float]
    half: tuple[float, float]
    bottom: float
    top: float
    yaw: float
    side: Paint
    roof: Paint
    casts: bool = True
    floor: bool = False

    def local(self, points: Array, direction: bool = False) -> Array:
        """World (..., 3) in the block's own axes, its centre on the ground at the origin."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y = points[..., 0] - (0 if direction else self.centre[0]), points[..., 1] - (0 if direction else self.centre[1])
        return np.stack([c * x + s * y, c * y - s * x, points[..., 2]], -1)

    def corners(self) -> Array:
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        flat = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * self.half
        x, y = flat[:, 0] * c - flat[:, 1] * s + self.centre[0], flat[:, 0] * s + flat[:, 1] * c + self.centre[1]
        return np.array([[x[k], y[k], z] for z in (self.bottom, self.top) for k in range(4)])

    def distance(self, points: Array) -> Array:
        """(P,) metres on the ground from (P, 3) points to the block's outline, 0 inside it."""
        offset = np.maximum(np.abs(self.local(points)[:, :2]) - self.half, 0)
        return np.asarray(np.hypot(offset[:, 0], offset[:, 1]))

    def hit(self, origin: Array, direction: Array) -> tuple[Array, Array, Array]:
        """Entry and exit distances (P,) along rays, and the axis (P,) of the face that each enters by.

        origin and direction: (P, 3) or (3,), one of them for each ray.
        """
        o, d = self.local(origin), self.local(direction, direction=True)
        bounds = ((-self.half[0], self.half[0]), (-self.half[1], self.half[1]), (self.bottom, self.top))
        with np.errstate(divide="ignore", invalid="ignore"):
            slabs = [((low - o[..., k]) / d[..., k], (high - o[..., k]) / d[..., k]) for k, (low, high) in enumerate(bounds)]
        entry = [np.minimum(first, second) for first, second in slabs]
        leave = [np.maximum(first, second) for first, second in slabs]
        near = np.maximum(np.maximum(entry[0], entry[1]), entry[2])
        far = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
        axis = np.where(near == entry[2], 2, np.where(near == entry[1], 1, 0)).astype(np.int8)
        return near, far, axis

    def may_shade(self, low: Array, high: Array, sun: Array) -> bool:
        """False where the block cannot stand between the sun and anything in the box from low (3,) to high (3,)."""
        flat = float(np.hypot(sun[0], sun[1]))
        ray = sun[:2] / flat
        offset = np.array(self.centre) - (low[:2] + high[:2]) / 2
        reach = float(np.hypot(*self.half) + np.hypot(*(high - low)[:2]) / 2)
        ahead, aside = float(offset @ ray), float(abs(offset[0] * ray[1] - offset[1] * ray[0]))
        return aside < reach and ahead > -reach and self.top > low[2] + max(ahead - reach, 0.0) * sun[2] / flat


@dataclass(frozen=True)
class Crown:
    """A tree crown as a soft ellipsoid that thins the sunlight: density is the fraction it takes through its middle."""

    centre: Array
    radii: Array
    density: float = 0.85

    def shade(self, points: Array, sun: Array) -> Array:
        offset, ray = (points - self.centre) / self.radii, sun / self.radii
        along = np.maximum(-(offset @ ray) / (ray @ ray), 0)
        nearest = np.linalg.norm(offset + along[:, None] * ray, axis=1)
        return np.asarray(1 - self.density * (1 - smoothstep(0.6, 1.1, nearest)))


@dataclass
class Scenery:
    """What stands still.

    ground: paints places (x, y). blocks: seen and shading. crowns: shade moving things only (trees draw their own shadows on the ground).
    """

    ground: Callable[[Array, Array, Array], tuple[Array, Array]]
    blocks: Sequence[Block]
    light: Light
    noise: Noise
    crowns: Sequence[Crown] = ()

    def sunlight(self, points: Array, crowns: bool = True) -> Array:
        """(P,) fraction of the sun that reaches points (P, 3) past blocks and crowns."""
        sun = self.light.to_sun
        lit = np.ones(len(points), np.float32)
        if not len(points):
            return lit
        points = points.astype(np.float32)
        low, high = points.min(0), points.max(0)
        for block in self.blocks:
            if not block.casts or not block.may_shade(low, high, sun):
                continue
            near, far, _ = block.hit(points, sun.astype(np.float32))
            lit[(far > np.maximum(near, 0.02)) & (far > 0.02)] = 0
        if crowns:
            for crown in self.crowns:
                lit *= crown.shade(points, sun)
        return lit

    def bake(self, camera: Camera) -> Backdrop:
        """Ray cast what never moves."""
        height, width = camera.height, camera.width
        rays = camera.rays()
        origin = np.array(camera.position, np.float32)
        with np.errstate(divide="ignore"):
            depth = np.where(rays[..., 2] < -1e-4, -origin[2] / rays[..., 2], np.inf).astype(np.float32)
        depth[depth > 400] = np.inf
        struck = np.where(np.isfinite(depth), 0, -1).astype(np.int16)
        axis = np.full((height, width), 2, np.int8)
        for number, block in enumerate(self.blocks, start=1):
            window = _window(camera, block.corners())
            if window is None:
                continue
            near, far, face = block.hit(origin, rays[window])
            seen = (far > near) & (near > 0.1) & (near < depth[window])
            depth[window][seen] = near[seen]
            struck[window][seen] = number
            axis[window][seen] = face[seen]
        ambient = np.zeros((height, width, 3), np.float32)
        direct = np.zeros((height, width, 3), np.float32)
        for number in range(-1, len(self.blocks) + 1):
            mask = struck == number
            if not mask.any():
                continue
            if number < 0:
                ambient[mask] = self._sky(rays[mask])
                continue
            points = origin + rays[mask] * depth[mask][:, None]
            surface = self.blocks[number - 1] if number else None
            ambient[mask], direct[mask] = self._shade(surface, points, rays[mask], depth[mask] / camera.focal, axis[mask])
        inverse = np.where(np.isfinite(depth), 1 / depth, 0).astype(np.float32)
        ground = np.isin(struck, [0, *(k for k, block in enumerate(self.blocks, start=1) if block.floor)])
        return Backdrop(ambient, direct, inverse, ground.astype(np.float32), np.zeros((height, width), np.int16))

    def _shade(self, block: Block | None, points: Array, rays: Array, size: Array, axis: Array) -> tuple[Array, Array]:
        view = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        normal = np.zeros_like(points)
        if block is None:
            normal[:, 2] = 1
            px = size / np.clip(-view[:, 2], 0.08, 1)
            albedo, mirror = self.ground(points[:, 0], points[:, 1], px)
            shade = np.ones(len(points), np.float32)
            for other in self.blocks:
                if other.bottom < 0.3:
                    tall = min(other.top - other.bottom, 6.0)
                    shade *= 1 - 0.5 * np.exp(-other.distance(points) / (0.10 + 0.22 * tall))
        else:
            local, away = block.local(points), block.local(view, direction=True)
            own = np.zeros_like(points)
            rows = np.arange(len(points))
            own[rows, axis] = -np.sign(away[rows, axis])
            c, s = np.cos(block.yaw), np.sin(block.yaw)
            normal = np.stack([c * own[:, 0] - s * own[:, 1], s * own[:, 0] + c * own[:, 1], own[:, 2]], -1)
            px = size / np.clip(np.abs((view * normal).sum(1)), 0.12, 1)
            albedo, mirror = np.empty_like(points), np.empty(len(points), np.float32)
            u = np.where(axis == 0, local[:, 1], local[:, 0]) + block.centre[0]
            flat = axis == 2
            albedo[~flat], mirror[~flat] = block.side(u[~flat], local[~flat, 2], px[~flat])
            albedo[flat], mirror[flat] = block.roof(local[flat, 0], local[flat, 1], px[flat])
            shade = np.where(flat, 1.0, 0.62 + 0.38 * smoothstep(-0.3, 1.2, points[:, 2])).astype(np.float32)
        lit = self.light.direct(normal) * self.sunlight(points + normal * 0.02, crowns=False)
        reflected = view - 2 * (view * normal).sum(1, keepdims=True) * normal
        grazing = (1 - np.abs((view * normal).sum(1))) ** 5
        mirror = np.clip(mirror + 0.5 * mirror * grazing, 0, 0.9)[:, None]
        sky = self.light.sky_seen(reflected)
        ambient = albedo * self.light.ambient(normal) * shade[:, None] + mirror * sky * shade[:, None]
        return ambient, albedo * self.light.sun.astype(np.float32) * lit[:, None]

    def _sky(self, rays: Array) -> Array:
        direction = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        up = np.maximum(direction[:, 2], 0.02)
        clouds = self.noise(direction[:, 0] / up / 9, direction[:, 1] / up / 9)
        cover = (smoothstep(0.1, 1.2, clouds + 0.4 * (self.light.softness > 0.05)) * smoothstep(0.02, 0.12, direction[:, 2]))[:, None]
        blue = self.light.sky * (1.25 - 0.55 * np.clip(direction[:, 2:], 0, 1) ** 0.5)
        return np.asarray((blue * (1 - 0.6 * cover) + cover * 0.6 * (self.light.sun + self.light.sky) * 0.55).astype(np.float32))


def _window(camera: Camera, corners: Array) -> tuple[slice, slice] | None:
    """The part of the frame that a convex body with these corners can cover; None where it lies outside."""
    depth = (corners - np.array(camera.position)) @ camera.rotation[2]
    if depth.max() <= 0.1:
        return None
    if depth.min() <= 0.1:
        return slice(0, camera.height), slice(0, camera.width)
    screen = camera.project(corners)
    left, right = max(int(screen[:, 0].min()) - 1, 0), min(int(screen[:, 0].max()) + 2, camera.width)
    top, bottom = max(int(screen[:, 1].min()) - 1, 0), min(int(screen[:, 1].max()) + 2, camera.height)
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None
