"""Trunk, legs with shoes, and arms with hands of a body mesh, in the bind pose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .figure import ARM, HAND, LEG, SHOE, TRUNK, TRUNK_FEMALE, TRUNK_MALE, Build, blend, ramp
from .mesh import MeshBuilder, loft, per_vertex, superellipse, tube
from .skeleton import INDEX

Array = NDArray[Any]

_LEG_RADIUS = np.array(
    [
        [0.0, 0.066],
        [0.05, 0.086],
        [0.13, 0.097],
        [0.3, 0.082],
        [0.44, 0.064],
        [0.5, 0.059],
        [0.56, 0.056],
        [0.68, 0.060],
        [0.8, 0.050],
        [0.93, 0.038],
        [1.0, 0.038],
    ]
)
_ARM_RADIUS = np.array(
    [
        [-0.07, 0.020],
        [-0.04, 0.034],
        [0.0, 0.046],
        [0.06, 0.055],
        [0.15, 0.053],
        [0.35, 0.047],
        [0.5, 0.042],
        [0.56, 0.041],
        [0.66, 0.042],
        [0.85, 0.032],
        [0.96, 0.027],
        [1.0, 0.018],
    ]
)
_SPINE = ((0.93, "pelvis"), (1.08, "spine"), (1.26, "chest"), (1.44, "chest"), (1.50, "neck"), (1.57, "head"))


def _spine_weights(height: Array) -> Array:
    levels = np.array([level for level, _ in _SPINE])
    weights = np.zeros((len(height), len(skeleton.BONES)), np.float32)
    for k, (_, bone) in enumerate(_SPINE):
        weights[:, INDEX[bone]] += np.interp(height, levels, np.eye(len(levels))[k])
    return weights


def add_trunk(builder: MeshBuilder, build: Build) -> None:
    table = TRUNK_FEMALE if build.female else TRUNK_MALE
    sides = int(26 * build.detail)
    height = np.unique(np.concatenate([table[:, 0], np.linspace(0.84, 1.42, int(16 * build.detail))]))
    half_x, half_y, ahead = (np.interp(height, table[:, 0], table[:, k]) for k in (1, 2, 3))
    neck = ramp(height, 1.40, 1.49)
    girth = build.girth * (1 - neck) + neck * (0.5 + 0.5 * build.girth)
    belly = 1 + max(build.girth - 1.05, 0) * 1.2 * np.exp(-(((height - 1.08) / 0.12) ** 2))
    cloth = build.loose * (1 - neck)
    drape = 1 + 0.03 * np.exp(-(((height - 0.99) / 0.05) ** 2)) * (build.loose > 0.008)
    centres = np.stack([0 * height, ahead, height], -1)
    rings = tube(centres, (half_x * girth + cloth) * drape, (half_y * girth * belly + cloth) * drape,
                 np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(sides, 2.2))  # fmt: skip
    if build.female:
        bust = np.exp(-(((np.abs(rings[..., 0]) - 0.070) / 0.045) ** 2) - ((rings[..., 2] - 1.275) / 0.05) ** 2) * (rings[..., 1] > 0)
        rings[..., 1] += 0.030 * bust * build.girth
    # The seat: two soft bulges behind the hips.
    seat = np.exp(-(((np.abs(rings[..., 0]) - 0.075) / 0.06) ** 2) - ((rings[..., 2] - 0.90) / 0.06) ** 2) * (rings[..., 1] < 0)
    rings[..., 1] -= 0.022 * seat * build.girth
    vertices, faces = loft(rings)
    weights = _spine_weights(vertices[:, 2])
    low = ramp(0.92 - vertices[:, 2], 0.0, 0.12) * 0.5
    for side, share in (("left", low * (vertices[:, 0] < 0)), ("right", low * (vertices[:, 0] > 0))):
        weights *= (1 - share)[:, None]
        weights[:, INDEX[f"{side}_thigh"]] += share
    builder.add(vertices, faces, TRUNK, weights, vertices[:, 2])


def _limb_levels(hem: float, count: int, first: float) -> Array:
    """Levels along a limb, two of them right at the hem so that the cloth ends in an edge."""
    levels = np.linspace(first, 1.0, count)
    if 0 < hem < 1:
        levels = np.sort(np.concatenate([levels[np.abs(levels - hem) > 0.015], [hem - 0.004, hem + 0.004]]))
    return levels


def add_leg(builder: MeshBuilder, build: Build, side: str, joints: Array) -> None:
    hip, knee, ankle = (joints[INDEX[f"{side}_{name}"]] for name in ("thigh", "shin", "foot"))
    along = _limb_levels(build.leg, int(20 * build.detail), 0.0)
    sides = int(16 * build.detail)
    split = skeleton.THIGH / (skeleton.THIGH + skeleton.SHIN)
    centres = np.where((along < split)[:, None], hip + (knee - hip) * (along / split)[:, None],
                       knee + (ankle - knee) * ((along - split) / (1 - split))[:, None])  # fmt: skip
    radius = np.interp(along, _LEG_RADIUS[:, 0], _LEG_RADIUS[:, 1]) * (0.35 + 0.65 * build.girth)
    covered = along <= build.leg
    flare = build.loose * (0.5 + 2.2 * ramp(along, 0.35, 1.0))
    radius = radius + np.where(covered, flare, 0)
    if build.leg >= 0.95:
        radius = np.maximum(radius, 0.052 + build.loose)
    hem = build.skirt or build.coat
    if hem:
        hidden = along < (skeleton.HIP_HEIGHT - hem) / (skeleton.THIGH + skeleton.SHIN) - 0.06
        radius = np.where(hidden, radius * 0.72, radius)
    calf = -0.016 * np.exp(-(((along - 0.68) / 0.12) ** 2)) * ~(covered & (build.loose > 0.012))
    outward = -0.004 if side == "left" else 0.004
    centres = centres + np.stack([outward * (1 - along), calf + 0.012 * (1 - along), 0 * along], -1)
    rings = tube(centres, radius, radius * 1.06, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(sides, 2.1))
    rings = rings[::-1]
    vertices, faces = loft(rings)
    s = per_vertex(along[::-1], sides)
    top, bend = ramp(s, -0.03, 0.17), ramp(s, split - 0.07, split + 0.07)
    weights = blend(len(s), {"pelvis": 1 - top, f"{side}_thigh": top * (1 - bend), f"{side}_shin": bend})
    builder.add(vertices, faces, LEG, weights, s)

    # The shoe: cross-sections from heel to toe, flat below.
    length = np.array([-0.062, -0.058, -0.04, 0.0, 0.05, 0.10, 0.15, 0.185, 0.205, 0.212])
    half = np.array([0.018, 0.030, 0.036, 0.037, 0.040, 0.046, 0.047, 0.040, 0.024, 0.010])
    roof = np.array([0.030, 0.070, 0.098, 0.105, 0.090, 0.068, 0.054, 0.048, 0.040, 0.030])
    outline = superellipse(12, 2.8)
    x = half[:, None] * outline[:, 0] + ankle[0] + (0.008 if side == "right" else -0.008)
    z = np.maximum(roof[:, None] * (0.45 + 0.55 * outline[:, 1]), 0.0)
    y = np.broadcast_to((length + ankle[1])[:, None], x.shape)
    vertices, faces = loft(np.stack([x, y, z], -1)[::-1])
    builder.add(vertices, faces, SHOE, INDEX[f"{side}_foot"])


def add_arm(builder: MeshBuilder, build: Build, side: str, joints: Array) -> None:
    """joints: of the bind pose, so the arm points down and outwards."""
    shoulder, elbow, wrist = (joints[INDEX[f"{side}_{name}"]] for name in ("arm", "forearm", "hand"))
    down = (elbow - shoulder) / np.linalg.norm(elbow - shoulder)
    across = np.cross(np.array([0, 1.0, 0]), down)
    along = _limb_levels(build.sleeve, int(18 * build.detail), -0.07)
    sides = int(13 * build.detail)
    length = skeleton.UPPER_ARM + skeleton.FOREARM
    split = skeleton.UPPER_ARM / length
    radius = np.interp(along, _ARM_RADIUS[:, 0], _ARM_RADIUS[:, 1]) * (0.4 + 0.6 * build.girth) * (0.86 if build.female else 1.0)
    cuff = np.where(along <= build.sleeve, build.loose * (0.5 + 0.8 * (build.sleeve < 0.5) + 0.4 * along), 0)
    centres = shoulder + along[:, None] * length * down
    rings = tube(centres, radius + cuff, radius + cuff, across, np.array([0, 1.0, 0]), superellipse(sides))
    vertices, faces = loft(rings[::-1])
    s = per_vertex(along[::-1], sides)
    root, bend = ramp(s, -0.07, 0.14), ramp(s, split - 0.06, split + 0.06)
    weights = blend(len(s), {"chest": 1 - root, f"{side}_arm": root * (1 - bend), f"{side}_forearm": bend * root})
    builder.add(vertices, faces, ARM, weights, s)

    # A relaxed hand: palm, curled fingers, thumb.
    reach = np.array([-0.035, 0.0, 0.03, 0.06, 0.085, 0.11, 0.14, 0.165, 0.175])
    wide = np.array([0.030, 0.030, 0.034, 0.040, 0.041, 0.038, 0.034, 0.026, 0.012]) * (0.88 if build.female else 1)
    thick = np.array([0.028, 0.025, 0.018, 0.016, 0.015, 0.013, 0.012, 0.010, 0.006])
    curl = np.array([0, 0, 0, 0, 0.002, 0.008, 0.020, 0.034, 0.040])
    inward = -across if side == "right" else across
    inward = inward * np.sign(inward @ np.array([-np.sign(shoulder[0]), 0, 0]))
    centres = wrist + reach[:, None] * down + curl[:, None] * inward
    rings = tube(centres, thick, wide, across, np.array([0, 1.0, 0]), superellipse(10, 2.6))
    vertices, faces = loft(rings[::-1])
    builder.add(vertices, faces, HAND, INDEX[f"{side}_hand"])
    reach, thick = np.array([0.015, 0.04, 0.07, 0.09]), np.array([0.012, 0.013, 0.011, 0.006])
    centres = wrist + reach[:, None] * down + np.array([0.020, 0.040, 0.052, 0.056])[:, None] * np.array([0, 1.0, 0]) + 0.010 * inward
    vertices, faces = loft(tube(centres, thick, thick, across, np.array([0, 1.0, 0]), superellipse(7))[::-1])
    builder.add(vertices, faces, HAND, INDEX[f"{side}_hand"])
