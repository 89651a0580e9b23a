"""Vehicle meshes: cars, vans, buses and trucks lofted along their length from a side profile; bicycles and motorcycles of tubes.

Vehicle axes: x to the right, y ahead, z up; the origin lies on the ground under the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mesh import Mesh, MeshBuilder, box, ellipsoid, loft, superellipse, tube

Array = NDArray[Any]

SHELL, WHEEL, CARGO, CHASSIS, MIRROR, METAL, SEAT = range(7)
"""Part numbers of the faces."""


@dataclass(frozen=True)
class Form:
    """The shape of one kind of vehicle, metres.

    profile: (N, 2) y and height of the outline's top, from the rear to the front. belt: height of the lower edge of the side windows.
    windscreen, rear_window: y ranges of the sloped glass. glass: y range of the side windows. axles: y of the axles.
    """

    category: int
    length: float
    width: float
    profile: Array
    belt: float
    windscreen: tuple[float, float]
    rear_window: tuple[float, float]
    glass: tuple[float, float]
    axles: tuple[float, ...]
    wheel: float
    floor: float = 0.22
    tumblehome: float = 0.80

    @property
    def height(self) -> float:
        return float(self.profile[:, 1].max())


def _profile(*points: tuple[float, float]) -> Array:
    return np.array(points, float)


FORMS = {
    "hatchback": Form(3, 4.0, 1.74, _profile(
        (-2.0, .42), (-1.97, .72), (-1.92, .98), (-1.62, 1.36), (-1.35, 1.45), (-.4, 1.49),
        (.25, 1.44), (.98, 1.02), (1.2, .96), (1.75, .84), (1.93, .68), (2.0, .40),
    ), .93, (.28, 1.02), (-1.93, -1.52), (-1.62, .80), (-1.25, 1.25), .31),
    "saloon": Form(3, 4.6, 1.80, _profile(
        (-2.3, .45), (-2.27, .78), (-2.15, .98), (-1.6, 1.02), (-.95, 1.38), (-.5, 1.44),
        (.1, 1.42), (.95, 1.00), (1.2, .95), (2.0, .80), (2.22, .65), (2.3, .40),
    ), .92, (.12, 1.0), (-1.6, -.92), (-1.25, .78), (-1.4, 1.4), .32),
    "suv": Form(3, 4.5, 1.88, _profile(
        (-2.25, .5), (-2.22, .85), (-2.15, 1.1), (-1.85, 1.55), (-1.5, 1.66), (-.4, 1.70),
        (.3, 1.64), (1.0, 1.18), (1.25, 1.12), (2.0, 1.0), (2.2, .8), (2.25, .45),
    ), 1.06, (.32, 1.02), (-2.16, -1.80), (-1.85, .82), (-1.35, 1.35), .36, .26, .84),
    "estate": Form(3, 4.7, 1.82, _profile(
        (-2.35, .45), (-2.32, .75), (-2.25, 1.0), (-1.95, 1.38), (-1.6, 1.45), (-.5, 1.49),
        (.15, 1.45), (.95, 1.02), (1.2, .96), (2.05, .82), (2.27, .66), (2.35, .40),
    ), .93, (.18, 1.0), (-2.26, -1.90), (-1.95, .80), (-1.4, 1.42), .32),
    "van": Form(8, 5.4, 2.0, _profile(
        (-2.7, .5), (-2.69, 1.2), (-2.66, 2.15), (-2.5, 2.32), (0.9, 2.35), (1.35, 2.22),
        (1.95, 1.36), (2.15, 1.18), (2.55, 1.0), (2.66, .8), (2.7, .45),
    ), 1.25, (1.35, 2.0), (-9, -9), (1.0, 1.75), (-1.75, 1.75), .36, .25, .90),
    "bus": Form(6, 11.2, 2.52, _profile(
        (-5.6, .45), (-5.58, 1.2), (-5.55, 2.7), (-5.4, 3.02), (-4.8, 3.08),
        (5.0, 3.08), (5.35, 2.98), (5.5, 2.7), (5.56, 1.5), (5.6, .45),
    ), 1.15, (5.2, 5.6), (-5.6, -5.4), (-5.2, 5.1), (-3.0, 2.9), .49, .28, .97),
}  # fmt: skip


def _ring(form: Form, y: float, top: float) -> Array:
    """(22, 2) cross-section x, z at one station, anticlockwise seen from ahead looking back."""
    half = form.width / 2
    ends = 1 - 0.10 * np.clip((abs(y) - form.length / 2 + 0.45) / 0.45, 0, 1) ** 2
    half *= ends
    belt = min(form.belt, top - 0.05)
    roof_half = half * (form.tumblehome if top > form.belt + 0.15 else 0.93)
    low = form.floor
    right = [
        (0.0, low), (half * 0.86, low), (half * 0.96, low + 0.06), (half, low + (belt - low) * 0.35),
        (half * 1.0, low + (belt - low) * 0.6), (half * 0.975, belt - 0.02), (half * 0.965 * 0.9 + roof_half * 0.1, belt + 0.015),
        (half * 0.5 + roof_half * 0.5, (belt + top) / 2),
        (roof_half, top - 0.11 * min(1, (top - belt) / 0.25)),
        (roof_half * 0.93, top - 0.035 * min(1, (top - belt) / 0.2)), (roof_half * 0.62, top),
    ]  # fmt: skip
    left = [(-x, z) for x, z in right[1:]][::-1]
    return np.array([*right, (0.0, top + 0.012), *left])


def _wheels(builder: MeshBuilder, axles: tuple[float, ...], half: float, radius: float, thick: float) -> None:
    outline = superellipse(22)
    for y in axles:
        for side in (-1, 1):
            outer = side * half
            stations = np.array(
                [outer - side * thick, outer - side * thick, outer - side * 0.03, outer, outer - side * 0.01, outer - side * 0.05]
            )
            radii = np.array([0.2, radius * 0.98, radius, radius * 0.96, radius * 0.66, radius * 0.60])
            order = np.arange(6)
            rings = np.stack(
                [np.broadcast_to(stations[:, None], (6, 22)), y + radii[:, None] * outline[:, 0], radius + radii[:, None] * outline[:, 1]],
                -1,
            )
            vertices, faces = loft(rings[order])
            builder.add(vertices, faces if side > 0 else faces[:, ::-1], WHEEL)


def car_mesh(form: Form) -> Mesh:
    builder = MeshBuilder()
    stations = np.unique(np.concatenate([np.linspace(-form.length / 2, form.length / 2, 40), form.profile[:, 0]]))
    tops = np.interp(stations, form.profile[:, 0], form.profile[:, 1])
    smooth = np.convolve(np.pad(tops, 1, mode="edge"), [0.2, 0.6, 0.2], mode="valid")
    rings = np.empty((len(stations), 22, 3))
    for k, (y, top) in enumerate(zip(stations, smooth, strict=True)):
        ring = _ring(form, float(y), float(max(top, form.floor + 0.12)))
        rings[k] = np.column_stack([ring[:, 0], np.full(len(ring), y), ring[:, 1]])
    vertices, faces = loft(rings[::-1])
    builder.add(vertices, faces, SHELL)
    _wheels(builder, form.axles, form.width / 2 - 0.02, form.wheel, 0.21)
    cowl = form.windscreen[1]
    if form.category != 6:
        for side in (-1, 1):
            where = np.array([side * (form.width / 2 + 0.07), cowl - 0.32, form.belt + 0.10])
            vertices, faces = ellipsoid(where, np.array([0.12, 0.07, 0.085]), 10, 6)
            builder.add(vertices, faces, MIRROR)
    else:
        for side in (-1, 1):
            vertices, faces = box(np.array([side * 1.42 - 0.10, 5.35, 1.9]), np.array([side * 1.42 + 0.10, 5.5, 2.35]), 0.03)
            builder.add(vertices, faces, CHASSIS)
    return builder.mesh()


TRUCK = Form(8, 8.2, 2.4, _profile(
        (1.95, .6), (1.96, 2.2), (2.1, 2.62), (3.2, 2.66),
        (3.6, 2.5), (3.95, 1.75), (4.05, 1.2), (4.1, .5),
    ), 1.45, (3.55, 4.05), (-9, -9), (2.3, 3.7), (-2.6, 2.95), .48, .45, .94)  # fmt: skip


def truck_mesh() -> Mesh:
    form = TRUCK
    builder = MeshBuilder()
    stations = np.unique(np.concatenate([np.linspace(1.95, 4.1, 22), form.profile[:, 0]]))
    tops = np.interp(stations, form.profile[:, 0], form.profile[:, 1])
    rings = np.empty((len(stations), 22, 3))
    for k, (y, top) in enumerate(zip(stations, tops, strict=True)):
        ring = _ring(form, float(y), float(top))
        rings[k] = np.column_stack([ring[:, 0], np.full(len(ring), y), ring[:, 1]])
    builder.add(*loft(rings[::-1]), SHELL)
    builder.add(*box(np.array([-1.24, -4.1, 1.0]), np.array([1.24, 1.8, 3.35]), 0.05), CARGO)
    builder.add(*box(np.array([-0.45, -4.0, 0.55]), np.array([0.45, 2.5, 1.0])), CHASSIS)
    for side in (-1, 1):
        builder.add(*box(np.array([side * 1.15 - 0.05, -1.3, 0.5]), np.array([side * 1.15 + 0.05, 1.6, 0.95])), CHASSIS)
        builder.add(*box(np.array([side * 1.36 - 0.09, 3.75, 1.5]), np.array([side * 1.36 + 0.09, 3.87, 2.05]), 0.03), CHASSIS)
    _wheels(builder, (-2.9, -2.2, 2.95), 1.17, form.wheel, 0.28)
    return builder.mesh()


def _bar(builder: MeshBuilder, start: tuple[float, float, float], end: tuple[float, float, float], radius: float, part: int) -> None:
    a, b = np.array(start), np.array(end)
    line = a + np.linspace(0, 1, 3)[:, None] * (b - a)
    axis = (b - a) / np.linalg.norm(b - a)
    helper = np.array([1.0, 0, 0]) if abs(axis[0]) < 0.8 else np.array([0, 1.0, 0])
    first = np.cross(helper, axis)
    first /= np.linalg.norm(first)
    size = np.full(3, radius)
    builder.add(*loft(tube(line, size, size, first, np.cross(axis, first), superellipse(8))), part)


def _tyre(builder: MeshBuilder, y: float, radius: float, thick: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 29)
    ring = superellipse(8) * thick
    out = radius - thick + ring[:, 0]
    rings = np.stack([np.broadcast_to(ring[:, 1], (29, 8)), y + np.cos(angle)[:, None] * out, radius + np.sin(angle)[:, None] * out], -1)
    builder.add(*loft(rings, cap_start=False, cap_end=False), WHEEL)


BICYCLE_LENGTH, MOTORCYCLE_LENGTH = 1.75, 2.1


def bicycle_mesh() -> Mesh:
    builder = MeshBuilder()
    for y in (-0.53, 0.53):
        _tyre(builder, y, 0.34, 0.020)
        _bar(builder, (-0.05, y, 0.34), (0.05, y, 0.34), 0.022, METAL)
        for spoke in np.arange(9) * np.pi / 9:
            dy, dz = 0.31 * np.cos(spoke), 0.31 * np.sin(spoke)
            _bar(builder, (0, y - dy, 0.34 - dz), (0, y + dy, 0.34 + dz), 0.003, METAL)
    for start, end in (
        ((0, -0.10, 0.28), (0, -0.22, 0.86)), ((0, -0.10, 0.28), (0, 0.36, 0.76)), ((0, -0.20, 0.76), (0, 0.35, 0.82)),
        ((0, 0.34, 0.90), (0, 0.53, 0.34)), ((0.04, -0.10, 0.28), (0.04, -0.53, 0.34)), ((0.03, -0.20, 0.74), (0.03, -0.53, 0.34)),
    ):  # fmt: skip
        _bar(builder, start, end, 0.021, SHELL)
    _bar(builder, (0, 0.33, 0.88), (0, 0.31, 1.04), 0.016, METAL)
    _bar(builder, (-0.27, 0.26, 1.05), (0.27, 0.26, 1.05), 0.016, METAL)
    builder.add(*ellipsoid(np.array([0, -0.25, 0.92]), np.array([0.075, 0.14, 0.035]), 10, 5), SEAT)
    return builder.mesh()


def motorcycle_mesh() -> Mesh:
    builder = MeshBuilder()
    for y in (-0.66, 0.70):
        _tyre(builder, y, 0.31, 0.065)
        builder.add(*ellipsoid(np.array([0, y, 0.31]), np.array([0.03, 0.19, 0.19]), 14, 6), METAL)
    builder.add(*ellipsoid(np.array([0, 0.18, 0.86]), np.array([0.15, 0.30, 0.14]), 14, 9), SHELL)
    builder.add(*ellipsoid(np.array([0, 0.05, 0.48]), np.array([0.17, 0.30, 0.22]), 14, 9), METAL)
    builder.add(*ellipsoid(np.array([0, -0.35, 0.80]), np.array([0.14, 0.38, 0.075]), 12, 7), SEAT)
    builder.add(*ellipsoid(np.array([0, -0.68, 0.76]), np.array([0.10, 0.30, 0.10]), 12, 7), SHELL)
    builder.add(*ellipsoid(np.array([0, 0.60, 0.95]), np.array([0.13, 0.12, 0.13]), 12, 7), SHELL)
    builder.add(*ellipsoid(np.array([0, 0.68, 0.66]), np.array([0.08, 0.26, 0.05]), 12, 6), SHELL)
    for side in (-1, 1):
        _bar(builder, (0.09 * side, 0.46, 0.98), (0.09 * side, 0.71, 0.31), 0.03, METAL)
        _bar(builder, (0.09 * side, 0.0, 0.40), (0.10 * side, -0.66, 0.31), 0.03, METAL)
        _bar(builder, (0.06 * side, 0.44, 1.03), (0.36 * side, 0.30, 1.07), 0.018, METAL)
    _bar(builder, (0.16, -0.1, 0.30), (0.19, -0.85, 0.42), 0.05, METAL)
    return builder.mesh()
