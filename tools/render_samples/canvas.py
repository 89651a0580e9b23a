"""The frame while it is drawn: linear colour with a depth buffer and owners, at `supersampling` times the output's resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .light import Light
from .raster import Fragments, rasterise

Array = NDArray[Any]


@dataclass
class Backdrop:
    """What never moves, drawn once. ambient, direct: (H, W, 3) float32, light that came from the sky and from the sun.

    inverse_depth: (H, W). ground: (H, W) float32, 1 where the shadows of moving things fall. owner: (H, W) int16, 0 or the number of
    a fixed object that has an annotation (a parked car).
    """

    ambient: Array
    direct: Array
    inverse_depth: Array
    ground: Array
    owner: Array


class Canvas:
    """One frame being drawn over a backdrop."""

    def __init__(self, camera: Camera, light: Light, backdrop: Backdrop) -> None:
        self.camera, self.light, self.backdrop = camera, light, backdrop
        self.width, self.height = camera.width, camera.height
        self._whole = backdrop.ambient + backdrop.direct
        self.colour = np.empty_like(self._whole)
        self.inverse_depth = np.empty_like(backdrop.inverse_depth)
        self.owner = np.empty_like(backdrop.owner)
        self._sunlit = np.ones((self.height, self.width), np.float32)
        self._skylit = np.ones((self.height, self.width), np.float32)
        self._dirty: list[tuple[slice, slice]] = []

    def begin(self) -> None:
        self.colour[:] = self._whole
        self.inverse_depth[:] = self.backdrop.inverse_depth
        self.owner[:] = self.backdrop.owner
        for window in self._dirty:
            self._sunlit[window] = 1
            self._skylit[window] = 1
        self._dirty.clear()

    def freeze(self) -> None:
        """Make what has been drawn and the shadows cast since `begin` part of the backdrop."""
        drawn = self.inverse_depth != self.backdrop.inverse_depth
        self.backdrop.ambient *= self._skylit[..., None]
        self.backdrop.direct *= (self._sunlit * (0.4 + 0.6 * self._skylit))[..., None]
        # What was drawn has its final colour; no moving shadow changes it.
        self.backdrop.ambient[drawn] = self.colour[drawn]
        self.backdrop.direct[drawn] = 0
        self.backdrop.ground[drawn] = 0
        self.backdrop.inverse_depth[:] = self.inverse_depth
        self.backdrop.owner[:] = self.owner
        self._whole = self.backdrop.ambient + self.backdrop.direct
        self.begin()

    def cast(self, stencil: Array, to_stencil: Array, sky: bool = False) -> None:
        """Darken the ground. stencil: (h, w) float32 coverage in [0, 1]; to_stencil: (2, 3) ground x, y, 1 -> stencil pixels.

        sky: the stencil keeps away the sky's light (contact shadows) instead of the sun's.
        """
        height, width = stencil.shape
        full = np.vstack([to_stencil, [0, 0, 1]])
        transform = self.camera.ground_homography() @ np.linalg.inv(full)
        corners = transform @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1.0]])
        if corners[2].min() < 0.2:
            return
        x, y = corners[0] / corners[2], corners[1] / corners[2]
        left, right = max(int(x.min()) - 1, 0), min(int(x.max()) + 2, self.width)
        top, bottom = max(int(y.min()) - 1, 0), min(int(y.max()) + 2, self.height)
        if right <= left or bottom <= top:
            return
        window = (slice(top, bottom), slice(left, right))
        shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
        shade = cv2.warpPerspective(stencil, shift @ transform, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        target = self._skylit if sky else self._sunlit
        target[window] *= 1 - shade * self.backdrop.ground[window]
        self._dirty.append(window)

    def light_ground(self) -> None:
        """Put the shadows cast so far onto the picture."""
        for window in self._dirty:
            sky, sun = self._skylit[window][..., None], self._sunlit[window][..., None]
            self.colour[window] = self.backdrop.ambient[window] * sky + self.backdrop.direct[window] * sun * (0.4 + 0.6 * sky)

    def rasterise(self, vertices: Array, faces: Array, cull: bool = True) -> tuple[Fragments, Array]:
        """The fragments of a mesh before anything hides it, and its projected vertices (V, 3)."""
        screen = self.camera.project(vertices)
        if screen[:, 2].min() < 0.3:
            faces = np.where((screen[faces, 2].min(axis=1) > 0.3)[:, None], faces, 0)
        return rasterise(screen, faces, self.width, self.height, cull), screen

    def write(self, fragments: Fragments, colour: Array, owner: int) -> int:
        """Draw what passes the depth test; how many fragments did."""
        depth = self.inverse_depth.reshape(-1)
        visible = fragments.inverse_depth > depth[fragments.pixel] * 1.0005
        pixel = fragments.pixel[visible]
        depth[pixel] = fragments.inverse_depth[visible]
        self.colour.reshape(-1, 3)[pixel] = colour[visible]
        self.owner.reshape(-1)[pixel] = owner
        return len(pixel)

    def view(self, fragments: Fragments) -> Array:
        """(P, 3) unit directions from the camera to the fragments."""
        x = (fragments.pixel % self.width + 0.5 - self.width / 2) / self.camera.focal
        y = (fragments.pixel // self.width + 0.5 - self.height / 2) / self.camera.focal
        right, down, forward = self.camera.rotation
        ray = forward + x[:, None] * right + y[:, None] * down
        return (ray / np.linalg.norm(ray, axis=1, keepdims=True)).astype(np.float32)


class SunMap:
    """One object seen from the sun: what it shades of itself, and the stencil of its shadow on the ground."""

    def __init__(self, vertices: Array, faces: Array, light: Light, cell: float = 0.02) -> None:
        sun = light.to_sun
        across = np.cross(np.array([0, 0, 1.0]), sun)
        across /= np.linalg.norm(across)
        self._axes = np.stack([across, np.cross(sun, across), sun])
        self._light = light
        seen = vertices @ self._axes.T
        self._height = float(vertices[:, 2].max())
        margin = 6 + int(3 * light.softness * self._height / cell)
        self._low = seen[:, :2].min(0) - margin * cell
        size = np.ceil((seen[:, :2].max(0) + margin * cell - self._low) / cell).astype(int)
        self._cell, self._width, self._tall = cell, int(size[0]), int(size[1])
        self._far = float(seen[:, 2].max()) + 10
        screen = np.column_stack([(seen[:, :2] - self._low) / cell, self._far - seen[:, 2]])
        screen[:, 1] = self._tall - screen[:, 1]
        fragments = rasterise(screen, faces, self._width, self._tall)
        self._depth = np.full(self._tall * self._width, 1e3, np.float32)
        self._depth[fragments.pixel] = 1 / fragments.inverse_depth

    def lit(self, points: Array, bias: float = 0.035) -> Array:
        """(P,) sunlight in [0, 1] that reaches surface points (P, 3) past the object itself, a little blurred."""
        seen = (points @ self._axes.T.astype(np.float32)).astype(np.float32)
        x = (seen[:, 0] - self._low[0]) / self._cell
        y = self._tall - (seen[:, 1] - self._low[1]) / self._cell
        own = self._far - seen[:, 2] - bias
        total = np.zeros(len(points), np.float32)
        for dx, dy in ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)):
            column = np.clip((x + dx).astype(np.int32), 0, self._width - 1)
            row = np.clip((y + dy).astype(np.int32), 0, self._tall - 1)
            total += self._depth[row * self._width + column] > own
        return np.asarray(total / 4)

    def cast(self, canvas: Canvas, strength: float = 1.0, offset: tuple[float, float] = (0.0, 0.0)) -> None:
        """Throw the object's shadow on the ground, moved by `offset` metres."""
        if self._light.sun.max() < 0.02:
            return
        stencil = (self._depth < 1e2).astype(np.float32).reshape(self._tall, self._width) * strength
        blur = max(0.6, self._light.softness * self._height * 0.5 / self._cell)
        stencil = cv2.GaussianBlur(stencil, (0, 0), blur)
        to_stencil = np.empty((2, 3))
        to_stencil[0] = [self._axes[0, 0] / self._cell, self._axes[0, 1] / self._cell, -self._low[0] / self._cell]
        to_stencil[1] = [-self._axes[1, 0] / self._cell, -self._axes[1, 1] / self._cell, self._tall + self._low[1] / self._cell]
        to_stencil[:, 2] -= to_stencil[:, :2] @ np.array(offset)
        canvas.cast(stencil, to_stencil)


_x = np.linspace(-1, 1, 48)
_PAD = np.clip(1.25 - 1.25 * (np.abs(_x)[:, None] ** 2.5 + np.abs(_x)[None] ** 2.5), 0, 1).astype(np.float32)
_PAD = _PAD * _PAD * (3 - 2 * _PAD)


def contact(canvas: Canvas, x: float, y: float, half_x: float, half_y: float, heading: float, strength: float) -> None:
    """A soft rounded dark patch on the ground where something stands; half sizes in metres, fading to nothing at the edge."""
    size = len(_x)
    c, s = np.cos(heading), np.sin(heading)
    scale = size / 2
    turn = np.array([[c, s], [-s, c]]) / np.array([[half_x], [half_y]]) * scale
    shift = -turn @ np.array([x, y]) + scale
    canvas.cast(_PAD * np.float32(strength), np.column_stack([turn, shift]), sky=True)
