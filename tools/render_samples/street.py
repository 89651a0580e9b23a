"""The street: a road with cars, buses, trucks and cyclists between houses; parked cars, trees in the wind, people on the pavements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import motion, skeleton
from .camera import Camera
from .light import daylight
from .noise import Noise, smoothstep
from .paints import Asphalt, Paving, Plain
from .person import Person
from .plaza import facade, lamp
from .routes import Route, walking
from .scene import Actor, Scene
from .scenery import Block, Scenery
from .skeleton import Pose
from .trees import Tree
from .vehicle import Vehicle
from .wardrobe import draw_appearance

Array = NDArray[Any]


@dataclass(frozen=True)
class _Road:
    """The road runs along x between y = near and y = far; a parking strip of `parking` metres lies inside the far kerb.

    crossing: x of the middle of a zebra crossing, or None.
    """

    near: float
    far: float
    parking: float
    asphalt: Asphalt
    paving: Paving
    crossing: float | None
    covers: tuple[tuple[float, float], ...]

    @property
    def centre(self) -> float:
        return (self.near + self.far - self.parking) / 2

    def __call__(self, u: Array, v: Array, px: Array) -> tuple[Array, Array]:
        colour, mirror = self.paving(u, v, px)
        road = (v > self.near) & (v < self.far)
        colour[road], mirror[road] = self.asphalt(u[road], v[road], px[road])
        paint = np.zeros(len(u), np.float32)

        def stripe(centre: float, half: float, dash: float = 0.0) -> None:
            line = 1 - smoothstep(half, half + px, np.abs(v - centre))
            if dash:
                line *= np.mod(u, dash) < dash * 0.45
            np.maximum(paint, line * np.minimum(1, 2 * half / px + 0.2), out=paint)

        stripe(self.centre, 0.06, 6.0)
        if self.parking:
            stripe(self.far - self.parking, 0.05, 1.2)
        if self.crossing is not None:
            bars = (np.abs(u - self.crossing) < 1.7) & (np.mod(v - self.near, 1.0) < 0.5) & road
            paint = np.where(np.abs(u - self.crossing) < 2.4, bars.astype(np.float32), paint)
        worn = np.clip(0.85 - 0.25 * self.asphalt.noise(u / 1.1, v / 1.1), 0.2, 1) * road
        colour = colour * (1 - (paint * worn)[:, None]) + (paint * worn)[:, None] * np.array([0.50, 0.50, 0.48])
        for edge, inward in ((self.near, 1.0), (self.far, -1.0)):
            offset = (v - edge) * -inward
            kerb = (1 - smoothstep(0.08, 0.08 + px, np.abs(offset - 0.08)))[:, None]
            colour = colour * (1 - kerb) + kerb * np.array([0.27, 0.265, 0.255])
            gutter = (1 - smoothstep(0.0, 0.22, np.abs(offset + 0.06)))[:, None] * 0.45
            colour = colour * (1 - gutter)
        for x, y in self.covers:
            radius = np.hypot(u - x, v - y)
            iron = (1 - smoothstep(0.33, 0.33 + px, radius))[:, None]
            colour = colour * (1 - iron) + iron * 0.045
        return colour.astype(np.float32), mirror


def _houses(rng: np.random.Generator, noise: Noise, front: float) -> list[Block]:
    """A row of houses along the far pavement, and one behind the camera that only shades."""
    roof = Plain(np.array([0.16, 0.13, 0.12]), noise)
    blocks = []
    x = -75.0
    while x < 75:
        half = rng.uniform(4.5, 10)
        back = front + rng.uniform(-0.4, 0.8)
        blocks.append(Block((x + half, back + 6), (half, 6.0), 0, rng.uniform(8, 19), 0.0, facade(rng, noise, rng.random() < 0.7), roof))
        x += 2 * half + (rng.uniform(3, 9) if rng.random() < 0.15 else 0.0)
    plain = Plain(np.array([0.3, 0.3, 0.3]), noise)
    blocks.append(Block((rng.uniform(-20, 20), -7.5), (rng.uniform(10, 30), 6.0), 0, rng.uniform(6, 12), 0.0, plain, plain))
    return blocks


def _lane(
    rng: np.random.Generator, y: float, direction: float, seconds: float, view: tuple[float, float], mix: list[tuple[str, float]]
) -> list[tuple[str, Callable[[float], tuple[Array, float, float]]]]:
    """Vehicles of one lane and their motions. They follow one another with the same speed, so that none runs into the next."""
    speed = rng.uniform(4.5, 9.5)
    low, high = view
    start, end = (low - 30, high + 30) if direction > 0 else (high + 30, low - 30)
    stops = [(abs(end - start) * rng.uniform(0.45, 0.8) + speed * 2, rng.uniform(1.5, 3.5))] if rng.random() < 0.3 else []
    lead = Route(np.array([[start, y], [end, y]]), speed, stops, abs(end - start) * rng.uniform(0.3, 0.95), seconds + 1, 2.2)
    kinds, shares = [kind for kind, _ in mix], np.array([share for _, share in mix])
    vehicles = []
    gap = 0.0
    while gap < speed * seconds + abs(end - start):
        kind = str(rng.choice(kinds, p=shares / shares.sum()))
        drift = rng.uniform(-0.25, 0.25)

        def move(time: float, behind: float = gap, aside: float = drift) -> tuple[Array, float, float]:
            _, _, _, travelled = lead.at(time)
            x = start + direction * (travelled - behind)
            return np.array([x, y + aside]), -np.pi / 2 * direction, travelled - behind

        vehicles.append((kind, move))
        length = {"bus": 11.2, "truck": 8.2}.get(kind, 5.0)
        gap += length + rng.uniform(4, 16) + (6 if kind in ("bus", "truck") else 0)
    return vehicles


def _rider(
    rng: np.random.Generator, scale: float, kind: str, move: Callable[[float], tuple[Array, float, float]]
) -> Callable[[float], Pose]:
    rest = skeleton.rest_joints()
    phase = rng.uniform(0, 6)

    def pose(time: float) -> Pose:
        position, heading, travelled = move(time)
        return motion.ride(rest, scale, np.array([*position, 0.0]), heading, phase + travelled / 0.9, kind == "motorcycle")

    return pose


def _walkers(
    rng: np.random.Generator, count: int, strips: list[tuple[float, float]], view: tuple[float, float], seconds: float
) -> list[Route]:
    """Paths along the pavements (low y, high y); nobody walks through anybody."""
    times = np.arange(0, seconds, 0.4)
    routes: list[Route] = []
    taken: list[Array] = []
    for _ in range(count * 12):
        if len(routes) == count:
            break
        low, high = strips[int(rng.integers(len(strips)))]
        direction = rng.choice([-1.0, 1.0])
        lane = rng.uniform(low, high)
        centre = rng.uniform(*view)
        speed = float(np.clip(rng.normal(1.3, 0.2), 0.8, 1.8))
        x = centre + direction * np.linspace(-16, 16, 6)
        points = np.column_stack([x, np.clip(lane + rng.normal(0, 0.3, 6), low, high)])
        begin = float(np.clip(16 - speed * rng.uniform(0, seconds), 0, 30))
        stops = [(begin + speed * rng.uniform(0.2, 0.8) * seconds, rng.uniform(2, 6))] if rng.random() < 0.3 else []
        route = Route(points, speed, stops, begin, seconds + 1)
        where = route.positions(times)
        if any((np.hypot(*(where - other).T) < 0.65).any() for other in taken):
            continue
        routes.append(route)
        taken.append(where)
    return routes


def build(seed: int, width: int, height: int, seconds: float) -> Scene:
    rng = np.random.default_rng([seed, 3])
    noise = Noise(rng)
    light = daylight(rng)
    near = rng.uniform(7.5, 10.5)
    parking = 2.1 if rng.random() < 0.75 else 0.0
    far = near + rng.uniform(6.4, 7.4) + parking
    front = far + rng.uniform(3.0, 5.0)
    centre = (near + far - parking) / 2
    grey = rng.uniform(0.07, 0.12) * np.array([1.0, 0.99, 0.97])
    lanes = ((near + centre) / 2, (centre + far - parking) / 2)
    asphalt = Asphalt(grey, noise, tuple(lane + side for lane in lanes for side in (-0.78, 0.78)))
    paving = Paving(rng.uniform(0.2, 0.3) * np.array([1.0, 0.97, 0.92]), rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.6), 0.0, 0.0, noise)
    above = rng.uniform(3.6, 6.5)
    yaw = rng.uniform(-0.75, 0.75)
    field = np.radians(rng.uniform(48, 66))
    camera = Camera((0.0, 0.0, above), yaw, np.arctan2(above - 0.6, rng.uniform(15, 20)), width / 2 / np.tan(field / 2), width, height)
    at_road = [float(camera.position[0] + centre * np.tan(yaw + side * field / 2)) for side in (-1, 1)]
    view = (float(np.clip(at_road[0], -45, 45)), float(np.clip(at_road[1], -45, 45)))
    crossing = rng.uniform(*view) if rng.random() < 0.4 else None
    covers = tuple((rng.uniform(*view), rng.uniform(near + 1, far - 2.5)) for _ in range(3))
    ground = _Road(near, far, parking, asphalt, paving, crossing, covers)
    blocks = _houses(rng, noise, front)
    trees = []
    for x in np.arange(view[0] - 10, view[1] + 10, rng.uniform(7, 12)):
        if rng.random() < 0.75:
            trees.append(Tree(rng, x + rng.uniform(-1, 1), far + 0.8, rng.uniform(4.8, 7.5), rng.uniform(0.6, 1.5), light))
        elif rng.random() < 0.5:
            blocks += lamp(noise, x, far + 0.7)
    if rng.random() < 0.5:
        x = rng.choice([view[0] + 1.0, view[1] - 1.0]) * 0.6
        trees.append(Tree(rng, x, near - 0.9, rng.uniform(5.5, 7.5), rng.uniform(0.7, 1.5), light))
    scenery = Scenery(ground, blocks, light, noise, [tree.crown for tree in trees])

    actors: list[Actor] = []
    mix = [
        ("hatchback", 3.0),
        ("saloon", 2.4),
        ("suv", 2.2),
        ("estate", 1.6),
        ("van", 1.3),
        ("truck", 1.2),
        ("bus", 1.3),
        ("bicycle", 0.9),
        ("motorcycle", 0.9),
    ]
    keep_right = 1.0 if rng.random() < 0.75 else -1.0
    for y, direction in zip(lanes, (keep_right, -keep_right), strict=True):
        for kind, move in _lane(rng, y, direction, seconds, view, mix):
            actors.append(Vehicle(len(actors) + 1, kind, rng, move, scenery.sunlight, noise))
            if kind in ("bicycle", "motorcycle"):
                look = draw_appearance(
                    rng, sporty=rng.random() < 0.4, detail=0.8, helmet=rng.random() < (1.0 if kind == "motorcycle" else 0.5), trousers=True
                )
                actors.append(Person(len(actors) + 1, look, _rider(rng, look.scale, kind, move), scenery.sunlight, noise))
    strips = [(max(near - 3.2, 4.5), near - 0.7), (far + 1.5, front - 0.7)]
    for route in _walkers(rng, int(rng.integers(3, 8)), strips, view, seconds):
        look = draw_appearance(rng, detail=0.8)
        habit = str(rng.choice(["look", "hips"] if look.build.bag == "tote" else ["look", "phone", "talk", "hips"]))
        actors.append(Person(len(actors) + 1, look, walking(route, look.scale, habit, rng.uniform(-1, 1, 4)), scenery.sunlight, noise))
    fixed: list[Actor] = []
    x = view[0] - 12
    while parking and x < view[1] + 12:
        if rng.random() < 0.6 and (crossing is None or abs(x - crossing) > 6):
            kind = str(rng.choice(["hatchback", "saloon", "suv", "estate", "van"], p=[.3, .25, .2, .15, .1]))  # fmt: skip
            place, heading = np.array([x, far - 1.1 + rng.uniform(-0.1, 0.1)]), np.pi / 2 * keep_right + rng.normal(0, 0.02)
            still = (place, heading, 0.0)
            fixed.append(Vehicle(len(actors) + len(fixed) + 1, kind, rng, lambda _, still=still: still, scenery.sunlight, noise))
        x += rng.uniform(5.4, 6.6)
    return Scene(camera, scenery, actors, trees, seed, indoors=False, fixed=fixed)
