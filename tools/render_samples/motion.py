"""How people move: a walk from gait-laboratory joint angles, standing about, riding, and exercises solved by inverse kinematics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .skeleton import Pose

Array = NDArray[Any]

# Joint angles in degrees against the fraction of the gait cycle (0: this foot's heel strikes), after the usual normal-gait curves
# (Perry & Burnfield, Gait Analysis: Normal and Pathological Function).
_HIP = ((0, 30), (.08, 28), (.2, 17), (.35, 2), (.5, -10), (.6, -3), (.7, 15), (.8, 28), (.88, 33), (.95, 31))  # fmt: skip
_KNEE = (
    (0, 4), (.06, 11), (.13, 18), (.25, 11), (.38, 4), (.46, 6), (.54, 20), (.62, 42), (.71, 61), (.8, 47), (.9, 17), (.96, 4),
)  # fmt: skip
_ANKLE = ((0, 0), (.07, -6), (.2, 3), (.42, 10), (.5, 4), (.6, -18), (.68, -10), (.78, -1), (.9, 1))  # fmt: skip
_SAMPLES = 128


def _curve(points: tuple[tuple[float, float], ...]) -> Array:
    """Radians at _SAMPLES phases: the table's points joined periodically, harmonics above the eighth taken out."""
    phase, angle = np.array(points).T
    dense = np.interp(np.arange(_SAMPLES) / _SAMPLES, phase, angle, period=1.0)
    spectrum = np.fft.rfft(dense)
    spectrum[9:] = 0
    return np.radians(np.fft.irfft(spectrum, _SAMPLES))


_GAIT = np.stack([_curve(points) for points in (_HIP, _KNEE, _ANKLE)])
STRIDE = 1.25
"""Metres that two steps of the curves above cover at stature 1.75; walking slower shortens every angle with it."""


def _gait(phase: float) -> Array:
    position = (phase % 1.0) * _SAMPLES
    first = int(position) % _SAMPLES
    share = position - int(position)
    return np.asarray(_GAIT[:, first] * (1 - share) + _GAIT[:, (first + 1) % _SAMPLES] * share)


_SOLE = np.array([[0, -0.06, -0.075], [0, 0.13, -0.075], [0, 0.20, -0.060]])


def plant(pose: Pose, rest: Array, scale: float) -> None:
    """Raise or lower the body so that its lowest sole touches the ground."""
    world, position = skeleton.forward(rest, pose, scale)
    lowest = min(
        float((position[bone] + (_SOLE * scale) @ world[bone].T)[:, 2].min())
        for bone in (skeleton.INDEX["left_foot"], skeleton.INDEX["right_foot"])
    )
    pose.lift -= lowest - float(pose.root[2])


def walk(rest: Array, scale: float, root: Array, heading: float, phase: float, vigour: float, style: Array) -> Pose:
    """One moment of a walk.

    phase: strides since the start. vigour: 0 stands still, 1 strides out. style: (4,) in about [-1, 1], personal habits.
    """
    pose = Pose.standing(root, heading)
    for side, offset in (("right", 0.0), ("left", 0.5)):
        hip, knee, ankle = _gait(phase + offset) * vigour
        pose.turn(f"{side}_thigh", (0, np.degrees(hip)), (1, 1.5 if side == "left" else -1.5))
        pose.turn(f"{side}_shin", (0, -np.degrees(knee) - 2))
        pose.turn(f"{side}_foot", (0, np.degrees(ankle) + 1), (2, 6 if side == "left" else -6))
    swing = np.cos(2 * np.pi * (phase + 0.02))
    roll = np.sin(2 * np.pi * (phase - 0.12))
    pose.turn("pelvis", (2, 4.5 * swing * vigour), (1, 3.0 * roll * vigour), (0, -2.0 - 2 * vigour))
    pose.turn("spine", (2, -3.5 * swing * vigour), (1, -1.8 * roll * vigour))
    pose.turn("chest", (2, -5.0 * swing * vigour), (1, -1.5 * roll * vigour), (0, 2 + 2.5 * style[0]))
    pose.turn("head", (2, 4.5 * swing * vigour + 6 * style[1]), (0, -4 + 4 * style[0]))
    arms = (20 + 6 * style[2]) * vigour
    for side, sign in (("right", -1.0), ("left", 1.0)):
        forward = sign * arms * np.cos(2 * np.pi * (phase - 0.03))
        pose.turn(f"{side}_arm", (0, forward + 3), (1, sign * (7 + 2 * style[3])))
        pose.turn(f"{side}_forearm", (0, 14 + 8 * vigour + 0.5 * max(forward, -8)))
        pose.turn(f"{side}_hand", (2, sign * 20))
    plant(pose, rest, scale)
    pose.root = pose.root + _sway(heading, 0.018 * roll * vigour * scale)
    return pose


def _sway(heading: float, amount: float) -> Array:
    return np.array([np.cos(heading), np.sin(heading), 0.0]) * amount


def idle(rest: Array, scale: float, pose: Pose, time: float, share: float, habit: str, style: Array) -> None:
    """Add the small motions of someone who stands: share 0 leaves the pose as it is, 1 is fully at rest.

    habit: "look", "phone", "talk" or "hips".
    """
    slow = np.sin(time * 0.7 + style[0] * 6)
    pose.turn("spine", (1, 2.5 * slow * share))
    pose.turn("head", (2, share * (25 * np.sin(time * 0.45 + style[1] * 5) if habit in ("look", "hips") else 8 * slow)))
    if habit == "phone":
        pose.turn("right_arm", (0, 32 * share), (1, 8 * share))
        pose.turn("right_forearm", (2, 35 * share), (0, 88 * share))
        pose.turn("head", (0, -24 * share))
    elif habit == "talk":
        beat = np.sin(time * 3.1 + style[2] * 5) * np.sin(time * 1.3)
        pose.turn("right_arm", (0, share * (22 + 10 * beat)))
        pose.turn("right_forearm", (0, share * (55 + 25 * beat)))
    elif habit == "hips":
        for side, sign in (("left", 1.0), ("right", -1.0)):
            pose.turn(f"{side}_arm", (0, -20 * share), (1, sign * 32 * share))
            pose.turn(f"{side}_forearm", (2, -sign * 80 * share), (0, 72 * share))
    plant(pose, rest, scale)


def ride(rest: Array, scale: float, root: Array, heading: float, crank: float, motorcycle: bool) -> Pose:
    """A rider in the saddle.

    crank: radians of the pedals (they rest on a motorcycle). root: (3,) on the ground under the vehicle's middle.
    """
    pose = Pose.standing(root, heading)
    saddle, behind, lean = (0.86, -0.33, 14.0) if motorcycle else (0.96, -0.24, 28.0)
    pose.lift = saddle + 0.06 - rest[0, 2] * scale
    ahead, right = np.array([-np.sin(heading), np.cos(heading), 0.0]), np.array([np.cos(heading), np.sin(heading), 0.0])
    pose.root = pose.root + ahead * behind
    pose.turn("pelvis", (0, -lean * 0.5))
    pose.turn("spine", (0, -lean * 0.5))
    pose.turn("neck", (0, lean * 0.3))
    pose.turn("head", (0, lean * 0.5))
    for side, sign in (("left", -1.0), ("right", 1.0)):
        if motorcycle:
            foot = root + ahead * 0.02 + right * sign * 0.19 + [0, 0, 0.38]
        else:
            angle = crank + (np.pi if side == "left" else 0.0)
            foot = root + ahead * (-0.14 + 0.17 * np.cos(angle)) + right * sign * 0.12 + [0, 0, 0.36 - 0.17 * np.sin(angle)]
        skeleton.place_leg(pose, rest, scale, side, foot, ahead + right * sign * 0.15, -0.1)
        grip = root + ahead * (0.30 if motorcycle else 0.26) + right * sign * (0.33 if motorcycle else 0.26) + [0, 0, 1.09]
        place_arm(pose, rest, scale, side, grip, right * sign * 0.8 - np.array([0, 0, 1.0]) - ahead * 0.3)
    return pose


def place_arm(pose: Pose, rest: Array, scale: float, side: str, wrist: Array, pole: Array) -> None:
    """Bend one arm so that its wrist reaches a world point, the elbow towards `pole`."""
    world, position = skeleton.forward(rest, pose, scale)
    arm, forearm, chest = (skeleton.INDEX[name] for name in (f"{side}_arm", f"{side}_forearm", "chest"))
    upper, lower = skeleton.reach(position[arm], wrist, skeleton.UPPER_ARM * scale, skeleton.FOREARM * scale, pole)
    ahead = np.cross(upper, np.cross(lower, upper))
    if np.linalg.norm(ahead) < 1e-3:
        ahead = world[chest][:, 1]
    arm_world, forearm_world = skeleton.frame_along(upper, ahead), skeleton.frame_along(lower, ahead)
    pose.rotations[arm] = world[chest].T @ arm_world
    pose.rotations[forearm] = arm_world.T @ forearm_world
