"""The plaza: a paved square seen from an elevated fixed camera; people walk across it, meet and stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .light import daylight
from .noise import Noise, smoothstep
from .paints import Facade, Grass, Paving, Plain
from .person import Person
from .routes import Route, walking
from .scene import Scene
from .scenery import Block, Scenery
from .trees import Tree
from .wardrobe import draw_appearance

Array = NDArray[Any]


@dataclass(frozen=True)
class _Square:
    """Paving with lawns (x, y, half x, half y) framed by kerbs, and round iron covers (x, y)."""

    paving: Paving
    grass: Grass
    lawns: tuple[tuple[float, float, float, float], ...]
    covers: tuple[tuple[float, float], ...]

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        colour, mirror = self.paving(u, v, px)
        for x, y, half_x, half_y in self.lawns:
            edge = np.maximum(np.abs(u - x) - half_x, np.abs(v - y) - half_y)
            inside = edge < 0
            colour[inside] = self.grass(u[inside], v[inside], px[inside])[0]
            kerb = (1 - smoothstep(0.06, 0.06 + px, np.abs(edge - 0.05)))[:, None]
            colour = colour * (1 - kerb) + kerb * np.array([0.30, 0.29, 0.27], np.float32)
        for x, y in self.covers:
            radius = np.hypot(u - x, v - y)
            iron = (1 - smoothstep(0.36, 0.36 + px, radius))[:, None]
            pattern = 0.05 * (1 + 0.4 * np.sign(np.sin(u * 60) * np.sin(v * 60)) * np.clip(0.03 / px, 0, 1))[:, None]
            colour = colour * (1 - iron) + iron * pattern
        return colour.astype(np.float32), mirror


def facade(rng: np.random.Generator, noise: Noise, shops: bool) -> Facade:
    walls = np.array([
        [.48, .42, .33], [.40, .36, .32], [.30, .12, .075], [.52, .50, .46], [.42, .30, .20], [.36, .38, .40], [.24, .10, .07],
    ])  # fmt: skip
    kind = str(rng.choice(["brick", "plaster", "panel"], p=[0.4, 0.4, 0.2]))
    wall = walls[2 if kind == "brick" and rng.random() < 0.6 else rng.integers(len(walls))] * rng.uniform(0.8, 1.15)
    bay = rng.uniform(2.2, 3.4)
    frame = np.array([0.55, 0.54, 0.52]) if rng.random() < 0.65 else np.array([0.06, 0.055, 0.05])
    return Facade(
        wall,
        frame,
        kind,
        rng.uniform(2.9, 3.5),
        bay,
        (bay * rng.uniform(0.38, 0.6), rng.uniform(1.3, 1.8)),
        shops,
        int(rng.integers(10000)),
        noise,
    )


def bench(rng: np.random.Generator, noise: Noise, x: float, y: float, yaw: float) -> list[Block]:
    wood = Plain(np.array([0.20, 0.105, 0.05]) * rng.uniform(0.6, 1.4), noise, planks=0.11)
    iron = Plain(np.array([0.035, 0.037, 0.04]), noise)
    c, s = np.cos(yaw), np.sin(yaw)

    def part(dx: float, dy: float, half: tuple[float, float], bottom: float, top: float, paint: Plain) -> Block:
        return Block((x + c * dx - s * dy, y + s * dx + c * dy), half, bottom, top, yaw, paint, paint)

    legs = [part(dx, 0, (0.03, 0.22), 0, 0.40, iron) for dx in (-0.7, 0.7)]
    return [*legs, part(0, 0, (0.9, 0.22), 0.40, 0.45, wood), part(0, 0.23, (0.9, 0.02), 0.52, 0.85, wood)]


def lamp(noise: Noise, x: float, y: float) -> list[Block]:
    iron, glass = Plain(np.array([0.03, 0.035, 0.035]), noise), Plain(np.array([0.5, 0.5, 0.48]), noise)
    return [
        Block((x, y), (0.13, 0.13), 0, 0.4, 0.4, iron, iron),
        Block((x, y), (0.055, 0.055), 0.4, 4.0, 0.4, iron, iron),
        Block((x, y), (0.17, 0.17), 4.0, 4.45, 0.4, glass, iron),
        Block((x, y), (0.22, 0.22), 4.45, 4.52, 0.4, iron, iron),
    ]


def _stage(rng: np.random.Generator, noise: Noise) -> tuple[list[Block], list[tuple[float, float, float]], _Square]:
    """Blocks, obstacles to walk round (x, y, radius) and the ground."""
    roof = Plain(np.array([0.20, 0.19, 0.18]), noise)
    blocks: list[Block] = []
    x, depth = -34.0, rng.uniform(23, 30)
    while x < 34:
        half = rng.uniform(4.5, 9)
        setback = depth + rng.uniform(-0.6, 1.5)
        blocks.append(
            Block((x + half, setback + 5), (half, 5.0), 0, rng.uniform(9, 17), 0.0, facade(rng, noise, rng.random() < 0.75), roof)
        )
        x += 2 * half + (rng.uniform(2.5, 6) if rng.random() < 0.25 else 0.0)
    side = float(rng.choice([-1, 1]))
    if rng.random() < 0.7:
        blocks.append(
            Block((side * rng.uniform(16, 20), 12), (3.0, 12.0), 0, rng.uniform(7, 14), rng.normal(0, 0.04), facade(rng, noise, True), roof)
        )
    obstacles: list[tuple[float, float, float]] = []
    lawns = []
    for _ in range(int(rng.integers(1, 3))):
        lx, ly = rng.uniform(4, 10) * rng.choice([-1, 1]), rng.uniform(13, 20)
        lawns.append((lx, ly, rng.uniform(1.8, 3.2), rng.uniform(1.2, 2.4)))
    obstacles += [(lx, ly, max(hx, hy) + 0.2) for lx, ly, hx, hy in lawns]

    def room(low: float, high: float, radius: float) -> tuple[float, float] | None:
        for _ in range(20):
            x, y = rng.uniform(-9.5, 9.5), rng.uniform(low, high)
            if all(np.hypot(x - ox, y - oy) > radius + taken for ox, oy, taken in obstacles):
                return x, y
        return None

    for _ in range(int(rng.integers(2, 5))):
        place = room(10, depth - 3, 1.3)
        if place is None:
            break
        bx, by = place
        blocks += bench(rng, noise, bx, by, rng.choice([0.0, np.pi / 2, np.pi]) + rng.normal(0, 0.05))
        obstacles.append((bx, by, 1.25))
    for _ in range(int(rng.integers(1, 4))):
        place = room(9, depth - 2, 0.5)
        if place is None:
            break
        lx, ly = place
        blocks += lamp(noise, lx, ly)
        obstacles.append((lx, ly, 0.5))
    stone = Plain(np.array([0.30, 0.28, 0.25]) * rng.uniform(0.7, 1.3), noise, planks=0.0)
    for _ in range(int(rng.integers(1, 4))):
        half = rng.uniform(0.5, 1.1)
        place = room(11, depth - 3, half * 1.5)
        if place is None:
            break
        px, py = place
        blocks.append(Block((px, py), (half, half), 0, 0.55, rng.uniform(0, 1.5), stone, Grass(noise, 0.05)))
        obstacles.append((px, py, half * 1.5 + 0.35))
    base = np.array([[.30, .28, .25], [.25, .24, .23], [.33, .27, .22], [.22, .22, .23]])[rng.integers(4)]  # fmt: skip
    paving = Paving(
        base * rng.uniform(0.8, 1.15),
        rng.uniform(0.4, 0.9),
        rng.uniform(0.3, 0.5),
        rng.choice([0.0, np.pi / 4, 0.1]),
        rng.choice([0.0, 3.0, 4.5]),
        noise,
    )
    covers = tuple((rng.uniform(-6, 6), rng.uniform(8, 18)) for _ in range(2))
    return blocks, obstacles, _Square(paving, Grass(noise, rng.uniform(0.1, 0.6)), tuple(lawns), covers)


def _routes(
    rng: np.random.Generator, count: int, obstacles: list[tuple[float, float, float]], camera: Camera, seconds: float
) -> list[Route]:
    """Paths that miss the obstacles and each other (the pair that stops to talk apart)."""
    times = np.arange(0, seconds, 0.4)
    centre_y = float(camera.ground_point(camera.width / 2, camera.height * 0.60)[1])
    near, far = (float(camera.ground_point(camera.width / 2, camera.height * y)[1]) for y in (0.97, 0.40))
    far = min(far, 22.0)
    routes: list[Route] = []
    taken: list[Array] = []
    tries = 0
    while len(routes) < count and tries < 400:
        tries += 1
        heading = rng.uniform(0, 2 * np.pi)
        middle = np.array([rng.uniform(-5, 5), np.clip(rng.normal(centre_y, 3.5), near + 1, far)])
        ahead = np.array([np.sin(heading), 0.75 * np.cos(heading)])
        length = rng.uniform(7, 13)
        bend = rng.normal(0, 1.4, 2)
        points = np.array(
            [
                middle - ahead * (length + 6),
                middle - ahead * length * 0.5 + bend,
                middle,
                middle + ahead * length * 0.5 - bend,
                middle + ahead * (length + 8),
            ]
        )
        speed = float(np.clip(rng.normal(1.3, 0.2), 0.8, 1.8))
        total = float(np.hypot(*np.diff(points, axis=0).T).sum())
        begin = np.clip(total / 2 - speed * rng.uniform(0.1, 1.0) * seconds, 0, total)
        stops = [(begin + speed * rng.uniform(0.2, 0.7) * seconds, rng.uniform(2, 6))] if rng.random() < 0.3 else []
        route = Route(points, speed, stops, begin, seconds + 1)
        where = route.positions(times)
        if any((np.hypot(where[:, 0] - x, where[:, 1] - y) < radius).any() for x, y, radius in obstacles):
            continue
        if any((np.hypot(*(where - other).T) < 0.62).any() for other in taken):
            continue
        routes.append(route)
        taken.append(where)
        if len(routes) < count and rng.random() < 0.22:
            aside = np.array([-ahead[1], ahead[0]]) / np.hypot(*ahead) * rng.uniform(0.66, 0.8)
            routes.append(Route(points + aside, speed, stops, begin, seconds + 1))
            taken.append(where + aside)
    return routes


def build(seed: int, width: int, height: int, seconds: float) -> Scene:
    rng = np.random.default_rng([seed, 1])
    noise = Noise(rng)
    light = daylight(rng)
    blocks, obstacles, ground = _stage(rng, noise)
    above = rng.uniform(3.2, 6.5)
    field = np.radians(rng.uniform(46, 64))
    camera = Camera(
        (rng.uniform(-2, 2), 0.0, above),
        rng.normal(0, 0.10),
        np.arctan2(above - 0.8, rng.uniform(12, 15)),
        width / 2 / np.tan(field / 2),
        width,
        height,
    )
    trees = []
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(3.5, 12) * rng.choice([-1, 1]), rng.uniform(13, 22)
        if all(np.hypot(x - tree.base[0], y - tree.base[1]) > 3.0 for tree in trees):
            trees.append(Tree(rng, x, y, rng.uniform(5, 8.5), rng.uniform(0.4, 1.1), light))
            obstacles.append((x, y, 0.7))
    scenery = Scenery(ground, blocks, light, noise, [tree.crown for tree in trees])
    routes = _routes(rng, int(rng.integers(5, 10)), obstacles, camera, seconds)
    people = []
    for track, route in enumerate(routes, start=1):
        look = draw_appearance(rng, detail=0.8)
        habit = str(rng.choice(["look", "hips"] if look.build.bag == "tote" else ["look", "phone", "talk", "hips"]))
        move = walking(route, look.scale, habit, rng.uniform(-1, 1, 4))
        people.append(Person(track, look, move, scenery.sunlight, noise))
    return Scene(camera, scenery, people, trees, seed, indoors=False)
