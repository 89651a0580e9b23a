"""The gym: one person, large in the picture, exercises in a furnished room in front of a fixed camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .light import Light
from .noise import Noise, hash01, smoothstep
from .paints import Plain
from .person import Person
from .props import ball, dumbbell, pot
from .scene import Actor, Scene
from .scenery import Block, Scenery
from .trees import Tree
from .wardrobe import draw_appearance
from .workout import EXERCISES, workout

Array = NDArray[Any]


@dataclass(frozen=True)
class _Boards:
    """Floor boards along x (or tiles of rubber matting) with grain and scuffs."""

    colour: Array
    board: float
    noise: Noise

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        row = np.floor(v / self.board)
        x = u + 2.3 * hash01(row, 4)
        column = np.floor(x / 1.4)
        edge = np.minimum(np.mod(v, self.board), np.mod(x, 1.4))
        grain = self.noise(x / 5, v * 1.7 + hash01(row, column, 6) * 3)
        value = 1 + 0.09 * grain + 0.24 * (hash01(row, column, 8) - 0.5) + 0.03 * self.noise(u / 1.3, v / 1.3)
        value *= 1 - 0.5 * (1 - smoothstep(0.0025, 0.0025 + px, edge)) * np.minimum(1, 0.006 / px + 0.1)
        return (np.clip(value, 0.3, 1.7)[:, None] * self.colour).astype(np.float32), np.full(len(u), 0.05, np.float32)


@dataclass(frozen=True)
class _Wall:
    """A painted wall with a skirting board, darker towards its corners (`span`: their u).

    hung: rectangles (u, v, half u, half v, kind) on it, of kind "window", "picture" or "door".
    """

    colour: Array
    span: tuple[float, float]
    hung: tuple[tuple[float, float, float, float, str], ...]
    seed: int
    glow: float
    noise: Noise

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        value = 1 + 0.018 * self.noise(u / 3, v / 3) + 0.012 * self.noise.near(u, v)
        corner = np.minimum(u - self.span[0], self.span[1] - u)
        value *= 1 - 0.30 * np.exp(-corner / 0.45) - 0.22 * np.exp(-(2.8 - v) / 0.4) - 0.12 * np.exp(-v / 0.3)
        colour = (value[:, None] * self.colour).astype(np.float32)
        mirror = np.full(len(u), 0.005, np.float32)
        skirting = v < 0.09
        colour[skirting] = np.where(v[skirting] > 0.082, 0.25, 0.52)[:, None]
        for number, (x, y, half_x, half_y, kind) in enumerate(self.hung):
            dx, dy = np.abs(u - x), np.abs(v - y)
            inside = (dx < half_x) & (dy < half_y)
            shadow = (np.abs(u - x - 0.02) < half_x + 0.015) & (np.abs(v - y + 0.03) < half_y + 0.015) & ~inside
            colour[shadow] *= 0.78
            frame = inside & ((half_x - dx < 0.045) | (half_y - dy < 0.045))
            if kind == "window":
                bars = inside & ((dx < 0.025) | (np.abs(v - y - half_y * 0.2) < 0.02))
                outside = 0.6 + 0.5 * (v - y) / half_y + 0.25 * self.noise(u / 4, v / 4)
                colour[inside] = (np.clip(outside, 0.15, 1.5)[:, None] * np.array([0.85, 0.95, 1.05]) * self.glow)[inside]
                colour[inside & (v < y - half_y * 0.35 + 0.1 * self.noise(u / 2, v * 0))] *= np.array([0.35, 0.42, 0.28])
                colour[frame | bars] = 0.55
            elif kind == "door":
                panel = inside & (dx < half_x - 0.12) & (np.abs(np.mod(v - 0.15, 0.9) - 0.45) < 0.36)
                colour[inside] = 0.42
                colour[panel] = 0.38
                colour[frame] = 0.5
                colour[inside & (np.abs(u - x - half_x + 0.1) < 0.05) & (np.abs(v - 1.0) < 0.012)] = 0.1
            else:
                # A landscape: sky, two ridges, a field.
                hue = [hash01(self.seed + number, k) for k in range(9)]
                high = (v - y) / half_y
                sky = np.array([0.30, 0.36, 0.45]) + 0.25 * np.array([hue[0], hue[1], hue[2]])
                picture = sky * (0.8 + 0.25 * high[:, None])
                for ridge, level in ((0, 0.25), (1, -0.25)):
                    land = np.array([0.10, 0.12, 0.08]) + 0.22 * np.array([hue[3 + ridge], hue[5 + ridge], hue[6 + ridge] * 0.6])
                    below = high < level + 0.28 * self.noise(u / 1.4 + hue[7] + ridge * 0.3, v * 0)
                    picture[below] = land * (1.1 - 0.3 * ridge)
                colour[inside] = (picture * np.clip(1 + 0.12 * self.noise(u / 0.8, v / 0.8), 0.4, 1.6)[:, None])[inside]
                colour[frame] = 0.03
        return colour, mirror


def _muted(rng: np.random.Generator, low: float, high: float) -> Array:
    """A colour that is seldom loud."""
    colour = rng.uniform(low, high, 3)
    return np.asarray(colour + rng.uniform(0.35, 0.85) * (colour.mean() - colour))


def _room(rng: np.random.Generator, noise: Noise, back: float) -> list[Block]:
    walls = np.array([[.55, .54, .50], [.42, .46, .48], [.50, .44, .36], [.38, .43, .38], [.60, .60, .60], [.36, .35, .38]])  # fmt: skip
    colour = walls[rng.integers(len(walls))] * rng.uniform(0.8, 1.1)

    def hung(low: float, high: float) -> tuple[tuple[float, float, float, float, str], ...]:
        things: list[tuple[float, float, float, float, str]] = []
        x = low + rng.uniform(0.2, 0.8)
        while x < high - 0.8:
            kind = str(rng.choice(["window", "picture", "picture", "door", "gap"]))
            half = {"window": rng.uniform(0.45, 0.8), "picture": rng.uniform(0.2, 0.45), "door": 0.44}.get(kind, 0.3)
            if kind == "window":
                things.append((x + half, 1.55, half, rng.uniform(0.45, 0.65), kind))
            elif kind == "picture":
                things.append((x + half, rng.uniform(1.45, 1.7), half, rng.uniform(0.25, 0.45), kind))
            elif kind == "door":
                things.append((x + half, 1.02, half, 1.02, kind))
            x += 2 * half + rng.uniform(0.25, 0.9)
        return tuple(things)

    glow = rng.uniform(0.7, 1.5)
    ceiling = Plain(np.full(3, 0.6), noise)
    left, right = -rng.uniform(2.6, 4.0), rng.uniform(2.6, 4.0)
    seed = int(rng.integers(10000))
    blocks = [
        Block(
            ((left + right) / 2, back + 0.2),
            ((right - left) / 2 + 0.4, 0.2),
            0,
            2.8,
            0.0,
            _Wall(colour, (left, right), hung(left, right), seed, glow, noise),
            ceiling,
            False,
        )
    ]
    for x, number in ((left - 0.2, 1), (right + 0.2, 2)):
        side = _Wall(colour * 0.97, (-back / 2 + x, back / 2 + x), hung(-back / 2, back / 2), seed + number, glow, noise)
        # A side face's u runs along its own y axis, shifted by the block's x: keep the hung things centred on the wall.
        side = _Wall(side.colour, side.span, tuple((u + x, *rest) for u, *rest in side.hung), side.seed, glow, noise)  # type: ignore[misc]
        blocks.append(Block((x, back / 2), (0.2, back / 2 + 0.4), 0, 2.8, 0.0, side, ceiling, False))
    blocks.append(Block(((left + right) / 2, back / 2), (8.0, back), 2.8, 2.9, 0.0, ceiling, ceiling, False))
    wood = Plain(np.array([0.28, 0.18, 0.10]) * rng.uniform(0.4, 1.6), noise)
    if rng.random() < 0.7:
        x, depth = rng.uniform(left + 0.7, right - 0.7), 0.18
        for level in np.arange(0.3, rng.uniform(1.0, 1.9), 0.38):
            blocks.append(Block((x, back - depth), (0.5, depth), level, level + 0.03, 0.0, wood, wood))
            for book in np.arange(x - 0.45, x + 0.4, 0.05):
                if rng.random() < 0.7:
                    cover = Plain(_muted(rng, 0.03, 0.45), noise)
                    blocks.append(
                        Block((float(book), back - 0.14), (0.02, 0.1), level + 0.03, level + rng.uniform(0.2, 0.3), 0.0, cover, cover)
                    )
        for end in (-0.5, 0.5):
            blocks.append(Block((x + end, back - depth), (0.02, depth), 0, 1.9, 0.0, wood, wood))
    if rng.random() < 0.6:
        x = rng.choice([left + 0.9, right - 0.9])
        cloth = Plain(_muted(rng, 0.04, 0.3), noise)
        y = back - 0.55
        blocks += [
            Block((x, y), (0.75, 0.4), 0.1, 0.42, 0.0, cloth, cloth),
            Block((x, y + 0.32), (0.75, 0.12), 0.42, 0.8, 0.0, cloth, cloth),
            Block((x - 0.7, y), (0.1, 0.42), 0.1, 0.6, 0.0, cloth, cloth),
            Block((x + 0.7, y), (0.1, 0.42), 0.1, 0.6, 0.0, cloth, cloth),
        ]
    return blocks


def _lamp(rng: np.random.Generator) -> Light:
    """Light from a window or lamp beside the camera, and much from the walls."""
    elevation, azimuth = np.radians(rng.uniform(38, 62)), np.pi + rng.normal(0, 0.8)
    to_sun = np.array([np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation)])
    strength = rng.uniform(0.7, 1.7)
    tint = np.array([1.0, 0.95, 0.86]) if rng.random() < 0.5 else np.array([0.95, 0.98, 1.03])
    sky = rng.uniform(0.42, 0.7) * np.array([1.0, 0.98, 0.95])
    return Light(to_sun, strength * tint, sky, 0.35 * sky, rng.uniform(0.06, 0.16))


def build(seed: int, width: int, height: int, seconds: float, only: str | None = None) -> Scene:
    """only: one of EXERCISES, which is all that the person does; None: one after the other."""
    rng = np.random.default_rng([seed, 4])
    noise = Noise(rng)
    light = _lamp(rng)
    field = np.radians(rng.uniform(38, 52)) * min(1.0, 1.2 * height / width * 16 / 9)
    focal = height / 2 / np.tan(field / 2 * 0.72)
    look = draw_appearance(rng, sporty=True, detail=1.7)
    share = rng.uniform(0.62, 0.72)
    distance = focal * look.stature / (share * height)
    above = rng.uniform(0.9, 1.7)
    person_at = np.array([rng.normal(0, 0.15), distance, 0.0])
    camera = Camera((0.0, 0.0, above), rng.normal(0, 0.03), np.arctan2(above - 1.10 * look.scale, distance), focal, width, height)
    back = distance + rng.uniform(1.3, 2.6)
    blocks = _room(rng, noise, back)
    woods = np.array([[.30, .19, .11], [.36, .27, .18], [.16, .10, .065], [.22, .22, .23]])  # fmt: skip
    boards = _Boards(woods[rng.integers(4)], rng.uniform(0.09, 0.2), noise)
    if rng.random() < 0.8:
        mat = Plain(_muted(rng, 0.03, 0.3), noise)
        blocks.append(Block((float(person_at[0]), distance), (0.95, 0.42), 0, 0.008, rng.normal(0, 0.05), mat, mat, False, True))
    scenery = Scenery(boards, blocks, light, noise)
    names = rng.permutation(list(EXERCISES))
    plan = [(str(name), 4 if EXERCISES[str(name)][1] < 1.5 else 2) for name in names]
    if seconds <= 14 and "squat" not in [name for name, _ in plan[:3]]:
        plan.insert(0, ("squat", 2))
    if only is not None:
        plan = [(only, 2)]
    heading = np.pi + rng.uniform(-0.6, 0.6)
    move = workout(look.scale, person_at, heading, plan, rng.uniform(0.85, 1.15), rng.uniform(-1, 1, 4))
    person = Person(1, look, move, scenery.sunlight, noise)
    fixed: list[Actor] = []
    plants = []
    sides = rng.permutation([-1.0, 1.0])
    if rng.random() < 0.7:
        fixed.append(ball(sides[0] * rng.uniform(1.3, 1.8), back - rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.36), _muted(rng, 0.05, 0.4)))
    if rng.random() < 0.7:
        x, y = sides[1] * rng.uniform(1.2, 1.7), back - 0.45
        fixed.append(pot(x, y, 0.17, 0.32, _muted(rng, 0.08, 0.5)))
        soil = Plain(np.array([0.05, 0.035, 0.025]), noise)
        blocks.append(Block((x, y), (0.10, 0.10), 0.2, 0.29, 0.4, soil, soil))
        plants.append(Tree(rng, x, y, rng.uniform(1.1, 1.6), 0.06, light))
    for k in range(int(rng.integers(0, 4))):
        fixed.append(
            dumbbell(
                sides[0] * rng.uniform(0.85, 1.2),
                distance + rng.uniform(-0.2, 0.5) + 0.16 * k,
                rng.normal(0, 0.3),
                np.full(3, rng.uniform(0.02, 0.1)),
            )
        )
    return Scene(camera, scenery, [person], plants, seed, indoors=True, fixed=fixed)
