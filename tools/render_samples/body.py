"""A clothed human body as one skinned mesh: trunk, limbs, head, hair, shoes, skirt or coat, bag; modelled once, posed every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .mesh import Mesh, MeshBuilder, box, ellipsoid, loft, per_vertex, superellipse, tube
from .skeleton import INDEX

Array = NDArray[Any]

HEAD, HAIR, TRUNK, ARM, HAND, LEG, SHOE, SKIRT, BAG, STRAP = range(10)
"""Part numbers of the faces."""


@dataclass(frozen=True)
class Build:
    """What changes the shape. girth multiplies widths. sleeve: covered fraction of the arm (0.3 T-shirt, 1 long). leg: covered fraction of the leg.

    loose: metres between skin and cloth. skirt, coat: height of the hem in metres at stature 1.75, 0 where there is none.
    hair: "short", "bob", "long", "tail", "bald", "cap" or "helmet". bag: "", "backpack", "shoulder" or "tote".
    """

    female: bool = False
    girth: float = 1.0
    sleeve: float = 0.3
    leg: float = 1.0
    loose: float = 0.010
    skirt: float = 0.0
    coat: float = 0.0
    hair: str = "short"
    bag: str = ""
    detail: float = 1.0


# height, half width, half depth, centre ahead: metres at stature 1.75
_TRUNK_MALE = np.array([
    [0.80, .060, .060, -.005], [0.83, .125, .100, -.008], [0.88, .162, .120, -.012], [0.94, .168, .123, -.014], [1.00, .160, .112, -.006],
    [1.06, .150, .106, .000], [1.12, .151, .108, .004], [1.20, .160, .114, .006], [1.28, .172, .120, .004], [1.34, .182, .119, .000],
    [1.375, .196, .108, -.006], [1.405, .202, .092, -.012], [1.43, .184, .078, -.017], [1.455, .138, .070, -.021], [1.478, .088, .064, -.022],
    [1.50, .061, .060, -.020],
    [1.56, .053, .056, -.010], [1.60, .048, .052, .000],
])  # fmt: skip
_TRUNK_FEMALE = np.array([
    [0.80, .060, .060, -.005], [0.83, .128, .102, -.010], [0.88, .168, .124, -.016], [0.94, .170, .124, -.016], [1.00, .154, .108, -.006],
    [1.06, .134, .096, .000], [1.12, .130, .094, .004], [1.20, .142, .106, .012], [1.27, .152, .122, .018], [1.33, .162, .112, .008],
    [1.37, .180, .096, -.004], [1.40, .184, .082, -.012], [1.425, .166, .070, -.017], [1.45, .122, .062, -.021], [1.475, .072, .055, -.022],
    [1.50, .051, .051, -.020],
    [1.56, .047, .049, -.010], [1.60, .042, .045, .000],
])  # fmt: skip
_LEG_RADIUS = np.array([[0.0, .066], [0.05, .086], [0.13, .097], [0.3, .082], [0.44, .064], [0.5, .059], [0.56, .056], [0.68, .060], [0.8, .050], [0.93, .038], [1.0, .038]])
_ARM_RADIUS = np.array([[-0.07, .020], [-0.04, .034], [0.0, .046], [0.06, .055], [0.15, .053], [0.35, .047], [0.5, .042], [0.56, .041], [0.66, .042], [0.85, .032], [0.96, .027], [1.0, .018]])
_SPINE = ((0.93, "pelvis"), (1.08, "spine"), (1.26, "chest"), (1.44, "chest"), (1.50, "neck"), (1.57, "head"))


def _blend(rows: int, shares: dict[str, Array | float]) -> Array:
    weights = np.zeros((rows, len(skeleton.BONES)), np.float32)
    for bone, share in shares.items():
        weights[:, INDEX[bone]] += share
    return weights / weights.sum(1, keepdims=True)


def _ramp(value: Array, low: float, high: float) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _spine_weights(height: Array) -> Array:
    levels = np.array([level for level, _ in _SPINE])
    weights = np.zeros((len(height), len(skeleton.BONES)), np.float32)
    for k, (_, bone) in enumerate(_SPINE):
        weights[:, INDEX[bone]] += np.interp(height, levels, np.eye(len(levels))[k])
    return weights


def _trunk(builder: MeshBuilder, build: Build) -> None:
    table = _TRUNK_FEMALE if build.female else _TRUNK_MALE
    sides = int(26 * build.detail)
    height = np.unique(np.concatenate([table[:, 0], np.linspace(0.84, 1.42, int(16 * build.detail))]))
    half_x, half_y, ahead = (np.interp(height, table[:, 0], table[:, k]) for k in (1, 2, 3))
    neck = _ramp(height, 1.40, 1.49)
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
    low = _ramp(0.92 - vertices[:, 2], 0.0, 0.12) * 0.5
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


def _leg(builder: MeshBuilder, build: Build, side: str, joints: Array) -> None:
    hip, knee, ankle = (joints[INDEX[f"{side}_{name}"]] for name in ("thigh", "shin", "foot"))
    along = _limb_levels(build.leg, int(20 * build.detail), 0.0)
    sides = int(16 * build.detail)
    split = skeleton.THIGH / (skeleton.THIGH + skeleton.SHIN)
    centres = np.where((along < split)[:, None], hip + (knee - hip) * (along / split)[:, None],
                       knee + (ankle - knee) * ((along - split) / (1 - split))[:, None])  # fmt: skip
    radius = np.interp(along, _LEG_RADIUS[:, 0], _LEG_RADIUS[:, 1]) * (0.35 + 0.65 * build.girth)
    covered = along <= build.leg
    flare = build.loose * (0.5 + 2.2 * _ramp(along, 0.35, 1.0))
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
    top, bend = _ramp(s, -0.03, 0.17), _ramp(s, split - 0.07, split + 0.07)
    weights = _blend(len(s), {"pelvis": 1 - top, f"{side}_thigh": top * (1 - bend), f"{side}_shin": bend})
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


def _arm(builder: MeshBuilder, build: Build, side: str, joints: Array) -> None:
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
    root, bend = _ramp(s, -0.07, 0.14), _ramp(s, split - 0.06, split + 0.06)
    weights = _blend(len(s), {"chest": 1 - root, f"{side}_arm": root * (1 - bend), f"{side}_forearm": bend * root})
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


def _hanging(builder: MeshBuilder, build: Build, hem: float, part: int) -> None:
    """A skirt, dress or coat below the waist: its cloth follows the pelvis above and the thighs below."""
    levels = np.linspace(hem, 1.03, int(14 * build.detail))
    sides = int(30 * build.detail)
    flare = (1.03 - levels) * (0.16 if part == SKIRT else 0.07)
    table = _TRUNK_FEMALE if build.female else _TRUNK_MALE
    half_x = np.maximum(np.interp(levels, table[:, 0], table[:, 1]), 0.165 * (levels < 0.9)) * build.girth
    half_y = np.maximum(np.interp(levels, table[:, 0], table[:, 2]), 0.122 * (levels < 0.9)) * build.girth
    centres = np.stack([0 * levels, np.full_like(levels, -0.008), levels], -1)
    rings = tube(centres, half_x + build.loose + 0.008 + flare, half_y + build.loose + 0.008 + flare,
                 np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(sides, 2.2))  # fmt: skip
    angle = np.arange(sides) / sides * 2 * np.pi
    folds = 1 + (0.05 * np.sin(7 * angle) + 0.03 * np.sin(11 * angle + 1))[None] * _ramp(1.0 - levels, 0.0, 0.3)[:, None]
    rings[..., :2] *= folds[..., None]
    vertices, faces = loft(rings)
    low = _ramp(1.0 - vertices[:, 2], 0.05, 0.45) * 0.9
    right = _ramp(vertices[:, 0], -0.12, 0.12)
    weights = _blend(len(vertices), {"pelvis": 1 - low, "left_thigh": low * (1 - right), "right_thigh": low * right})
    builder.add(vertices, faces, part, weights, vertices[:, 2])


def _head(builder: MeshBuilder, build: Build) -> None:
    sides, levels = int(26 * build.detail), int(20 * build.detail)
    centre = np.array([0, 0.012, 1.643])
    head = INDEX["head"]

    def shaped(direction: Array) -> Array:
        x, y, z = np.moveaxis(direction, -1, 0)
        jaw = _ramp(-z, 0.05, 0.9)
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
    grown = _ramp(z - hairline, -0.08, 0.08)
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
        rings = tube(np.stack([0 * t, behind, height], -1), width, depth, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), superellipse(14, 2.4))
        vertices, faces = loft(rings)
        neck = _ramp(vertices[:, 2], 1.38, 1.56)
        builder.add(vertices, faces, HAIR, _blend(len(neck), {"head": neck, "chest": 1 - neck}))


def _bag(builder: MeshBuilder, build: Build, joints: Array) -> None:
    if build.bag == "backpack":
        vertices, faces = box(np.array([-0.145, -0.29, 1.03]), np.array([0.145, -0.10, 1.43]), 0.05)
        builder.add(vertices, faces, BAG, INDEX["chest"])
        for sign in (-1, 1):
            path = np.array([[0.10, -0.12, 1.40], [0.105, -0.04, 1.47], [0.11, 0.07, 1.42], [0.115, 0.125, 1.32], [0.13, 0.11, 1.20], [0.15, 0.0, 1.12]])
            path = path * [sign, 1, 1]
            size = np.full(len(path), 0.020)
            vertices, faces = loft(tube(path, size, size * 0.9, np.array([1.0, 0, 0]), np.array([0, 0.6, 0.8]), superellipse(6)))
            builder.add(vertices, faces, STRAP, INDEX["chest"])
    elif build.bag == "shoulder":
        vertices, faces = box(np.array([0.17, -0.14, 0.80]), np.array([0.27, 0.13, 1.02]), 0.03)
        builder.add(vertices, faces, BAG, INDEX["pelvis"])
        path = np.array([[0.20, 0.0, 1.0], [0.15, 0.10, 1.12], [0.04, 0.145, 1.28], [-0.07, 0.10, 1.41], [-0.11, -0.02, 1.46], [-0.08, -0.13, 1.36], [0.03, -0.135, 1.2], [0.19, -0.04, 1.0]])
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


def build_body(build: Build) -> Mesh:
    """The mesh in the bind pose of `skeleton.bind_pose`, at stature 1.75 m."""
    builder = MeshBuilder(len(skeleton.BONES))
    _, joints = skeleton.forward(skeleton.rest_joints(), skeleton.bind_pose())
    _trunk(builder, build)
    for side in ("left", "right"):
        _leg(builder, build, side, joints)
        _arm(builder, build, side, joints)
    _head(builder, build)
    if build.skirt:
        _hanging(builder, build, build.skirt, SKIRT)
    if build.coat:
        _hanging(builder, build, build.coat, TRUNK)
    _bag(builder, build, joints)
    return builder.mesh()


def skin(mesh: Mesh, rest: Array, bind: tuple[Array, Array], posed: tuple[Array, Array], scale: float) -> Array:
    """(V, 3) float32 vertices in the world: linear blend skinning from the bind pose to the pose, at the person's scale."""
    world = np.einsum("bij,bkj->bik", posed[0], bind[0]) * scale
    shift = posed[1] - np.einsum("bij,bj->bi", world, bind[1])
    transforms = np.concatenate([world, shift[:, :, None]], -1).reshape(len(rest), 12).astype(np.float32)
    blended = (mesh.weights @ transforms).reshape(-1, 3, 4)
    return np.asarray(np.einsum("vij,vj->vi", blended[:, :, :3], mesh.vertices) + blended[:, :, 3])
