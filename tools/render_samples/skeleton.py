"""The human skeleton: bones, forward kinematics, two-bone inverse kinematics, and the 17 COCO keypoints.

Body axes: x to the person's right, y ahead, z up. With every rotation the identity the body stands upright with its arms hanging down.
Segment lengths follow the usual anthropometric fractions of stature (Winter, Biomechanics and Motor Control of Human Movement, ch. 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BONES = (
    "pelvis", "spine", "chest", "neck", "head",
    "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot",
    "left_arm", "left_forearm", "left_hand", "right_arm", "right_forearm", "right_hand",
)  # fmt: skip
INDEX = {name: number for number, name in enumerate(BONES)}
PARENT = (-1, 0, 1, 2, 3, 0, 5, 6, 0, 8, 9, 2, 11, 12, 2, 14, 15)
STATURE = 1.75
"""Metres; every rest position below belongs to a person of this height and is scaled to others."""
HIP_HEIGHT, KNEE_HEIGHT, ANKLE_HEIGHT = 0.925, 0.50, 0.075
THIGH, SHIN = HIP_HEIGHT - KNEE_HEIGHT, KNEE_HEIGHT - ANKLE_HEIGHT
UPPER_ARM, FOREARM = 0.295, 0.255
BIND_ABDUCTION = np.radians(40)
"""The body mesh is modelled with its arms held this far from the trunk, half-way between hanging and raised: it bends best both ways."""


def rest_joints(hip_half: float = 0.088, shoulder_half: float = 0.178) -> Array:
    """(17, 3) joint positions of the hanging-arms rest pose."""
    joints = np.zeros((len(BONES), 3))
    joints[:5] = [[0, 0, HIP_HEIGHT], [0, -0.01, 1.06], [0, -0.015, 1.22], [0, -0.02, 1.475], [0, -0.005, 1.56]]
    for sign, leg, arm in ((-1, 5, 11), (1, 8, 14)):
        joints[leg : leg + 3] = [
            [sign * hip_half, 0, HIP_HEIGHT],
            [sign * hip_half, 0.005, KNEE_HEIGHT],
            [sign * hip_half, -0.015, ANKLE_HEIGHT],
        ]
        shoulder = np.array([sign * shoulder_half, -0.02, 1.385])
        joints[arm : arm + 3] = shoulder, shoulder - [0, 0, UPPER_ARM], shoulder - [0, 0, UPPER_ARM + FOREARM]
    return joints


def rotation(axis: int, angle: float) -> Array:
    """(3, 3) rotation by angle (radians) about axis 0, 1 or 2."""
    c, s = np.cos(angle), np.sin(angle)
    result = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    result[i, i], result[i, j], result[j, i], result[j, j] = c, -s, s, c
    return result


@dataclass
class Pose:
    """root: (3,) world position of the point on the ground that the body stands over. heading: radians, 0 faces +y, positive turns left.

    rotations: (17, 3, 3), each bone relative to its parent. lift: metres that the pelvis is raised above its standing height.
    """

    root: Array
    heading: float
    rotations: Array
    lift: float = 0.0

    @classmethod
    def standing(cls, root: Array, heading: float) -> Pose:
        return cls(np.asarray(root, float), heading, np.tile(np.eye(3), (len(BONES), 1, 1)))

    def turn(self, bone: str, *turns: tuple[int, float]) -> None:
        """Multiply rotations (axis, degrees) onto a bone, the first one outermost."""
        for axis, degrees in turns:
            self.rotations[INDEX[bone]] = self.rotations[INDEX[bone]] @ rotation(axis, np.radians(degrees))


def forward(rest: Array, pose: Pose, scale: float = 1.0) -> tuple[Array, Array]:
    """World rotations (17, 3, 3) and joint positions (17, 3)."""
    world = np.empty((len(BONES), 3, 3))
    position = np.empty((len(BONES), 3))
    world[0] = rotation(2, pose.heading) @ pose.rotations[0]
    position[0] = pose.root + [0, 0, rest[0, 2] * scale + pose.lift]
    for bone in range(1, len(BONES)):
        parent = PARENT[bone]
        world[bone] = world[parent] @ pose.rotations[bone]
        position[bone] = position[parent] + world[parent] @ ((rest[bone] - rest[parent]) * scale)
    return world, position


def bind_pose() -> Pose:
    pose = Pose.standing(np.zeros(3), 0.0)
    pose.rotations[INDEX["left_arm"]] = rotation(1, BIND_ABDUCTION)
    pose.rotations[INDEX["right_arm"]] = rotation(1, -BIND_ABDUCTION)
    return pose


def reach(start: Array, target: Array, upper: float, lower: float, pole: Array) -> tuple[Array, Array]:
    """Directions (3,) of the two segments of a limb from start to target that bends towards pole; stretched where out of reach."""
    line = target - start
    distance = float(np.clip(np.linalg.norm(line), 1e-6, (upper + lower) * 0.9995))
    line = line / np.linalg.norm(line)
    side = pole - line * (pole @ line)
    side = side / np.linalg.norm(side)
    cosine = np.clip((upper**2 + distance**2 - lower**2) / (2 * upper * distance), -1, 1)
    first = line * cosine + side * np.sqrt(1 - cosine**2)
    second = line * distance - first * upper
    return first, second / np.linalg.norm(second)


def frame_along(down: Array, ahead: Array) -> Array:
    """(3, 3) rotation that takes -z to `down` and y as near to `ahead` as that allows."""
    up = -down / np.linalg.norm(down)
    y = ahead - up * (ahead @ up)
    y = y / np.linalg.norm(y)
    return np.stack([np.cross(y, up), y, up], axis=1)


def place_leg(pose: Pose, rest: Array, scale: float, side: str, ankle: Array, pole: Array, foot_pitch: float = 0.0) -> None:
    """Bend one leg so that its ankle reaches a world point with the knee towards `pole`; the foot stays level (or pitched, radians)."""
    world, position = forward(rest, pose, scale)
    thigh, shin, foot = (INDEX[f"{side}_{name}"] for name in ("thigh", "shin", "foot"))
    lengths = np.linalg.norm(rest[shin] - rest[thigh]) * scale, np.linalg.norm(rest[foot] - rest[shin]) * scale
    upper, lower = reach(position[thigh], ankle, float(lengths[0]), float(lengths[1]), pole)
    # A bone does not hang exactly straight down at rest: turn from its own direction, not from -z.
    y = np.array([0, 1.0, 0])
    thigh_world = frame_along(upper, pole) @ frame_along(rest[shin] - rest[thigh], y).T
    shin_world = frame_along(lower, pole - lower * 0.2) @ frame_along(rest[foot] - rest[shin], y).T
    ahead = np.array([pole[0], pole[1], 0.0])
    foot_world = frame_along(np.array([0, 0, -1.0]), ahead) @ rotation(0, foot_pitch)
    pose.rotations[thigh] = world[0].T @ thigh_world
    pose.rotations[shin] = thigh_world.T @ shin_world
    pose.rotations[foot] = shin_world.T @ foot_world


KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_FACE = np.array([[0, 0.113, 0.062], [-0.033, 0.088, 0.092], [0.033, 0.088, 0.092], [-0.078, 0.005, 0.075], [0.078, 0.005, 0.075]])
_LIMB_BONES = [INDEX[name] for name in (
    "left_arm", "right_arm", "left_forearm", "right_forearm", "left_hand", "right_hand",
    "left_thigh", "right_thigh", "left_shin", "right_shin", "left_foot", "right_foot",
)]  # fmt: skip
KEYPOINT_RADIUS = np.array([0.03] * 5 + [0.09, 0.09, 0.07, 0.07, 0.06, 0.06, 0.15, 0.15, 0.10, 0.10, 0.08, 0.08])
"""How deep below the skin each keypoint lies (metres, clothes included): what covers it by more than that hides it."""


def keypoints(world: Array, position: Array, scale: float) -> Array:
    """(17, 3) world positions of the COCO keypoints."""
    head = INDEX["head"]
    face = position[head] + (_FACE * scale) @ world[head].T
    return np.concatenate([face, position[_LIMB_BONES]])
