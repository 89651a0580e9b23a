"""Head and hair, skirts and coats, bags of a body mesh, in the bind pose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .figure import BAG, HAIR, HEAD, SKIRT, STRAP, TRUNK_FEMALE, TRUNK_MALE, Build, blend, ramp
from .mesh import MeshBuilder, box, ellipsoid, loft, superellipse, tube
from .skeleton import INDEX

Array = NDArray[Any]


def add_hanging(builder: MeshBuilder, build: Build, hem: float, part: int) -> None:
    """A skirt, dress or coat below the waist: its cloth follows the pelvis above and the thighs below."""
    levels = np.linspace(hem, 1.03, int(14 * build.detail))
    sides = int(30 * build.detail)
    flare = (1.03 - levels) * (0.16 if part == SKIRT else 0.07)
    table = TRUNK_FEMALE if build.female else TRUNK_MALE
    half_x = np.maximum(np.interp(levels, table[:, 0], table[:, 1]), 0.165 * (levels < 0.9)) * build.girth
    half_y = np.maximum(np.interp(levels, table[:, 0], table[:, 2]), 0.122 * (levels < 0.9)) * build.girth
    centres = np.stack([0 * levels, np.full_like(levels, -0.008), levels], -1)
    rings = tube(centres, half_x + build.loose + 0.008 + flare, half_y + build.loose + 0.008 + flare,
                 np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(sides, 2.2))  # fmt: skip
    angle = np.arange(sides) / sides * 2 * np.pi
    folds = 1 + (0.05 * np.sin(7 * angle) + 0.03 * np.sin(11 * angle + 1))[None] * ramp(1.0 - levels, 0.0, 0.3)[:, None]
    rings[..., :2] *= folds[..., None]
    vertices, faces = loft(rings)
    low = ramp(1.0 - vertices[:, 2], 0.05, 0.45) * 0.9
    right = ramp(vertices[:, 0], -0.12, 0.12)
    weights = blend(len(vertices), {"pelvis": 1 - low, "left_thigh": low * (1 - right), "right_thigh": low * right})
    builder.add(vertices, faces, part, weights, vertices[:, 2])


def add_head(builder: MeshBuilder, build: Build) -> None:
    sides, levels = int(26 * build.detail), int(20 * build.detail)
    centre = np.array([0, 0.012, 1.643])
    head = INDEX["head"]

    def shaped(direction: Array) -> Array:
        x, y, z = np.moveaxis(direction, -1, 0)
        jaw = ramp(-z, 0.05, 0.9)
        radius = np.stack([x * 0.077 * (1 - 0.30 * jaw), y * 0.097, z * 0.116], -1)
        radius[..., 1] += 0.006 * jaw * (y > 0) - 0.014 * jaw * np.maximum(-y, 0)
        nose = np.exp(-((x / 0.16) ** 2) - ((z + 0.13) / 0.17) ** 2) * (y > 0)
        sockets = np.exp(-(((np.abs(x) - 0.40) / 0.17) ** 2) - ((z - 0.10) / 0.11) ** 2) * (y > 0)
        radius[..., 1] += 0.021 * nose - 0.008 * sockets
        return radius

    polar = np.linspace(-np.pi / 2, np.pi / 2, levels + 2)[1:-1]
    outline = superellipse(sides)
    direction = np.empty((levels, sides, 3))
    direction[..., :2], direction[..., 2] = np.cos(polar)[:, None, None] * outline, np.sin(polar)[:, None]
    surface = shaped(direction)
    vertices, faces = loft(surface + centre)
    builder.add(vertices, faces, HEAD, head)
    for sign in (-1, 1):
        vertices, faces = ellipsoid(centre + [sign * 0.076, -0.006, -0.008], np.array([0.012, 0.020, 0.032]), 8, 5)
        builder.add(vertices, faces, HEAD, head)
    if build.hair == "bald":
        return
    x, y, z = np.moveaxis(direction, -1, 0)
    low_back = {"short": -0.45, "cap": -0.35, "tail": -0.4, "helmet": -0.2}.get(build.hair, -0.9)
    hairline = np.where(y > 0.25, 0.50, np.where(y > -0.1, 0.50 - (0.25 - y) * 1.4, low_back))
    thickness = {"short": 0.013, "cap": 0.010, "tail": 0.010, "bob": 0.022, "long": 0.018, "helmet": 0.032}[build.hair]
    grown = ramp(z - hairline, -0.08, 0.08)
    shell = surface * (1 + ((thickness + 0.010) * grown - 0.010)[..., None] / np.linalg.norm(surface, axis=-1, keepdims=True))
    vertices, faces = loft(shell + centre)
    builder.add(vertices, faces, HAIR, head)
    if build.hair == "cap":
        vertices, faces = box(np.array([-0.06, 0.08, 1.695]), np.array([0.06, 0.165, 1.707]), 0.004)
        builder.add(vertices, faces, HAIR, head)
    if build.hair in ("bob", "long", "tail"):
        bottom = {"bob": 1.50, "long": 1.33, "tail": 1.42}[build.hair]
        height = np.linspace(bottom, 1.68, 9)
        t = (height - bottom) / (1.68 - bottom)
        width = 0.030 + 0 * t if build.hair == "tail" else 0.050 + 0.036 * np.sqrt(t)
        depth = 0.026 + 0 * t if build.hair == "tail" else 0.028 + 0.042 * t
        behind = -0.098 + 0 * t if build.hair == "tail" else -0.075 + 0.045 * t
        rings = tube(
            np.stack([0 * t, behind, height], -1), width, depth, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(14, 2.4)
        )
        vertices, faces = loft(rings)
        neck = ramp(vertices[:, 2], 1.38, 1.56)
        builder.add(vertices, faces, HAIR, blend(len(neck), {"head": neck, "chest": 1 - neck}))


def add_bag(builder: MeshBuilder, build: Build, joints: Array) -> None:
    if build.bag == "backpack":
        vertices, faces = box(np.array([-0.145, -0.29, 1.03]), np.array([0.145, -0.10, 1.43]), 0.05)
        builder.add(vertices, faces, BAG, INDEX["chest"])
        for sign in (-1, 1):
            path = np.array(
                [[0.10, -0.12, 1.40], [0.105, -0.04, 1.47], [0.11, 0.07, 1.42], [0.115, 0.125, 1.32], [0.13, 0.11, 1.20], [0.15, 0.0, 1.12]]
            )
            path = path * [sign, 1, 1]
            size = np.full(len(path), 0.020)
            vertices, faces = loft(tube(path, size, size * 0.9, np.array([1.0, 0, 0]), np.array([0, 0.6, 0.8]), superellipse(6)))
            builder.add(vertices, faces, STRAP, INDEX["chest"])
    elif build.bag == "shoulder":
        vertices, faces = box(np.array([0.17, -0.14, 0.80]), np.array([0.27, 0.13, 1.02]), 0.03)
        builder.add(vertices, faces, BAG, INDEX["pelvis"])
        path = np.array(
            [
                [0.20, 0.0, 1.0],
                [0.15, 0.10, 1.12],
                [0.04, 0.145, 1.28],
                [-0.07, 0.10, 1.41],
                [-0.11, -0.02, 1.46],
                [-0.08, -0.13, 1.36],
                [0.03, -0.135, 1.2],
                [0.19, -0.04, 1.0],
            ]
        )
        size = np.full(len(path), 0.016)
        vertices, faces = loft(tube(path, size, size, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(6)))
        builder.add(vertices, faces, STRAP, INDEX["spine"])
    elif build.bag == "tote":
        wrist = joints[INDEX["right_hand"]]
        centre = wrist + np.array([0, 0, -0.34])
        vertices, faces = box(centre - [0.05, 0.16, 0.20], centre + [0.05, 0.16, 0.16], 0.02)
        offset = skeleton.rotation(1, -skeleton.BIND_ABDUCTION)
        vertices = (vertices - wrist) @ offset.T + wrist
        builder.add(vertices, faces, BAG, INDEX["right_hand"])
