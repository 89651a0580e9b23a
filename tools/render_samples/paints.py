"""Procedural surfaces of the fixed scenery. A paint takes places on a face in metres and gives linear RGB albedo and how much it mirrors.

Every pattern is softened by `px`, the metres that a pixel covers there, so that distant joints and bricks fade instead of flickering.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .noise import Noise, hash01, smoothstep

Array = NDArray[Any]
Paint = Callable[[Array, Array, Array], tuple[Array, Array]]
"""(u, v, px), each (P,) -> albedo (P, 3), mirror (P,)."""


def _line(distance: Array, half: float, px: Array) -> Array:
    """Coverage of a line: 1 within `half` metres of it; thinner than a pixel it fades in proportion."""
    return (1 - smoothstep(half, half + np.maximum(px, 0.003), distance)) * np.minimum(1, 2 * half / px + 0.15)


def _tint(value: Array, colour: Array) -> Array:
    return np.asarray(value[:, None] * colour).astype(np.float32)


@dataclass(frozen=True)
class Paving:
    """Stone slabs in a running bond with worn, stained and patched faces; bands of darker stone every `band` metres (0: none)."""

    colour: Array
    length: float
    width: float
    angle: float
    band: float
    noise: Noise

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        c, s = np.cos(self.angle), np.sin(self.angle)
        x, y = c * u + s * v, c * v - s * u
        row = np.floor(y / self.width)
        x = x + self.length * 0.5 * np.mod(row, 2)
        column = np.floor(x / self.length)
        dx = np.minimum(np.mod(x, self.length), self.length - np.mod(x, self.length))
        dy = np.minimum(np.mod(y, self.width), self.width - np.mod(y, self.width))
        fade = np.clip(self.width / (2 * px), 0, 1)
        value = 1 + 0.22 * (hash01(row, column, 7) - 0.5) * fade
        value *= 1 + 0.10 * self.noise(u / 11, v / 11) * 0.7 + 0.055 * self.noise(u / 1.7, v / 1.7) * np.clip(0.1 / px, 0, 1)
        value *= 1 - 0.42 * _line(np.minimum(dx, dy), 0.004, px)
        if self.band:
            in_band = np.mod(row, round(self.band / self.width)) == 0
            value *= np.where(in_band, 0.72, 1.0)
        cell = 0.31
        gum_x, gum_y = np.floor(u / cell), np.floor(v / cell)
        spot = hash01(gum_x, gum_y, 3) < 0.07
        offset = np.hypot(u / cell - gum_x - 0.25 - 0.5 * hash01(gum_x, gum_y, 4), v / cell - gum_y - 0.25 - 0.5 * hash01(gum_x, gum_y, 5))
        value *= 1 - 0.3 * spot * (1 - smoothstep(0.07, 0.07 + px / cell, offset))
        colour = self.colour * (1 + 0.05 * (hash01(row, column, 9)[:, None] - 0.5) * np.array([1, 0, -1.5]))
        return (np.clip(value, 0.2, 1.6)[:, None] * colour).astype(np.float32), np.full(len(u), 0.02, np.float32)


@dataclass(frozen=True)
class Asphalt:
    """Worn asphalt with coarse grain, tyre-darkened wheel paths (their y places), cracks and repair patches."""

    colour: Array
    noise: Noise
    wheel_paths: tuple[float, ...] = ()

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        grain = self.noise.near(u * 1.9, v * 1.9) * np.clip(0.03 / px, 0, 1)
        value = 1 + 0.10 * grain + 0.10 * self.noise(u / 13, v / 9) + 0.05 * self.noise(u / 2.1, v / 2.1)
        for path in self.wheel_paths:
            value *= 1 - 0.13 * np.exp(-(((v - path + 0.1 * self.noise(u / 40, v * 0)) / 0.33) ** 2))
        crack = np.abs(self.noise(u / 17 + 0.3, v / 17)) + 6 * np.maximum(0.2 - self.noise(u / 31, v / 31 + 0.5), 0)
        value *= 1 - 0.25 * (1 - smoothstep(0.01, 0.03 + px, crack))
        patch = (hash01(np.floor(u / 5.3), np.floor(v / 3.1), 2) < 0.06) & (np.mod(u, 5.3) < 2.6)
        value = np.where(patch, value * 0.78, value)
        return _tint(np.clip(value, 0.3, 1.7), self.colour), np.full(len(u), 0.015, np.float32)


@dataclass(frozen=True)
class Grass:
    noise: Noise
    dry: float = 0.3

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        blades = self.noise.near(u * 1.3, v * 1.3) * np.clip(0.06 / px, 0.15, 1)
        patches = self.noise(u / 9, v / 9)
        value = 1 + 0.28 * blades + 0.15 * patches
        mix = np.clip(self.dry + 0.2 * self.noise(u / 5 + 0.4, v / 5), 0, 1)[:, None]
        colour = (1 - mix) * np.array([0.055, 0.105, 0.028]) + mix * np.array([0.13, 0.13, 0.05])
        return (np.clip(value, 0.25, 2)[:, None] * colour).astype(np.float32), np.zeros(len(u), np.float32)


@dataclass(frozen=True)
class Plain:
    """One colour with a little dirt; `planks` metres apart dark gaps (0: none) make wood or panels of it."""

    colour: Array
    noise: Noise
    planks: float = 0.0

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        value = 1 + 0.07 * self.noise(u / 1.9, v / 1.9) + 0.05 * self.noise(u / 0.5, v / 4.0)
        if self.planks:
            edge = np.minimum(np.mod(v, self.planks), self.planks - np.mod(v, self.planks))
            value *= (1 + 0.2 * (hash01(np.floor(v / self.planks), 1) - 0.5)) * (1 - 0.6 * _line(edge, 0.006, px))
        return _tint(np.clip(value, 0.2, 1.8), self.colour), np.full(len(u), 0.02, np.float32)


@dataclass(frozen=True)
class Facade:
    """A house front: brick, plaster or panels; windows with frames, sills, blinds and curtains; shops below.

    u runs along the front, v up from the ground; floor and bay in metres; seed varies what each window shows.
    """

    wall: Array
    frame: Array
    kind: str
    floor: float
    bay: float
    window: tuple[float, float]
    shops: bool
    seed: int
    noise: Noise

    def _wall(self, u: Array, v: Array, px: Array) -> Array:
        value = 1 + 0.07 * self.noise(u / 14, v / 14) + 0.05 * self.noise(u / 2.3, v / 2.3)
        value *= 1 - 0.10 * np.clip(self.noise(u / 3, v / 30), 0, 2) * 0.6
        if self.kind == "brick":
            row = np.floor(v / 0.077)
            x = u + 0.125 * np.mod(row, 2)
            edge = np.minimum(np.minimum(np.mod(v, 0.077), 0.077 - np.mod(v, 0.077)), np.minimum(np.mod(x, 0.25), 0.25 - np.mod(x, 0.25)))
            fade = np.clip(0.05 / px, 0, 1)
            value *= 1 + fade * 0.45 * (hash01(row, np.floor(x / 0.25), self.seed) - 0.5)
            value *= 1 + fade * 0.35 * _line(edge, 0.005, px)
        elif self.kind == "panel":
            edge = np.minimum(np.mod(u, self.bay), np.mod(v, self.floor))
            value *= 1 - 0.35 * _line(edge, 0.012, px)
        else:
            value *= 1 + 0.03 * self.noise.near(u * 1.1, v * 1.1)
            value *= 1 - 0.18 * _line(np.abs(np.mod(v, self.floor) - 0.05), 0.05, px)
        value *= 0.86 + 0.14 * smoothstep(0.0, 0.9, v)
        return _tint(np.clip(value, 0.3, 1.6), self.wall)

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        albedo = self._wall(u, v, px)
        mirror = np.full(len(u), 0.01, np.float32)
        ground_floor = 4.0 if self.shops else 0.0
        height = v - ground_floor
        storey, column = np.floor(height / self.floor), np.floor(u / self.bay)
        wide, tall = self.window
        x, y = np.mod(u, self.bay) - self.bay / 2, np.mod(height, self.floor) - 0.95
        upper = (height > 0) | (not self.shops)
        self._panes(albedo, mirror, x, y, wide, tall, storey, column, px, upper)
        if self.shops:
            bay = self.bay * 2
            x, column = np.mod(u, bay) - bay / 2, np.floor(u / bay)
            shop = (v < 4.0) & (v > 0)
            tone = hash01(column, self.seed + 5)
            sign_colour = np.stack([0.06 + 0.45 * hash01(column, self.seed + k) ** 2 for k in (11, 12, 13)], -1)
            sign = shop & (v > 3.05) & (v < 3.75) & (np.abs(x) < bay / 2 - 0.2)
            albedo[sign] = sign_colour[sign]
            letters = (
                sign
                & (np.abs(v - 3.4) < 0.19)
                & (np.abs(x) < bay * 0.3)
                & (hash01(np.floor(u / 0.06), np.floor(v / 0.10), self.seed) > 0.45)
            )
            albedo[letters & (np.mod(u, 0.36) < 0.27)] = 0.6
            self._panes(albedo, mirror, x, v - 0.45, bay - 0.7, 2.45, np.full_like(storey, 90), column, px, shop)
            inside = shop & (v > 0.5) & (v < 2.8) & (np.abs(x) < bay / 2 - 0.5)
            goods = 0.05 + 0.25 * hash01(np.floor(u / 0.33), np.floor(v / 0.42), self.seed + 2) * (tone * 0.8 + 0.2)
            albedo[inside] = np.maximum(albedo[inside], (goods[:, None] * (0.5 + sign_colour))[inside] * 0.7)
        return albedo, mirror

    def _panes(
        self,
        albedo: Array,
        mirror: Array,
        x: Array,
        y: Array,
        wide: float,
        tall: float,
        storey: Array,
        column: Array,
        px: Array,
        where: Array,
    ) -> None:
        """Draw one window a cell, centred on x = 0 and standing on y = 0, with the shade of its reveal."""
        inside = where & (np.abs(x) < wide / 2) & (y > 0) & (y < tall)
        sill = where & (np.abs(x) < wide / 2 + 0.08) & (y > -0.10) & (y <= 0)
        albedo[sill] = self.frame * 0.9
        under = where & (np.abs(x) < wide / 2 + 0.08) & (y > -0.24) & (y <= -0.10)
        albedo[under] *= 0.72
        edge = np.minimum(np.minimum(wide / 2 - np.abs(x), y), tall - y)
        bars = np.minimum(np.abs(x), np.abs(y - tall * 0.62))
        frame = inside & ((edge < 0.075) | (bars < 0.03))
        pane = inside & ~frame
        lot = hash01(storey, column, self.seed)
        tone = 0.015 + 0.05 * hash01(storey, column, self.seed + 1)
        curtain = (lot > 0.45) & (np.abs(x) > wide / 2 * (0.45 + 0.5 * hash01(storey, column, self.seed + 2)))
        blind = (lot < 0.25) & (y > tall * (0.3 + 0.6 * hash01(storey, column, self.seed + 3)))
        glass = np.where(curtain, 0.20 + 0.06 * np.sin(x * 55), np.where(blind, 0.30, tone))
        albedo[pane] = (glass[:, None] * np.array([0.97, 1.0, 1.02]))[pane]
        mirror[pane] = np.where(curtain | blind, 0.16, 0.34)[pane]
        albedo[frame] = self.frame
        mirror[frame] = 0.03
        shade = inside & ((y > tall - 0.22) | (x < -wide / 2 + 0.12))
        albedo[shade] *= 0.55
