"""Exercises on the spot: squats, lunges, jumping jacks, arm raises, high knees, side bends; inverse kinematics hold the feet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .skeleton import ANKLE_HEIGHT, Pose

Array = NDArray[Any]
_SIDES = (("left", -1.0), ("right", 1.0))


class _Body:
    """A pose under construction: the trunk is bent and the arms are set first, `stand` then reaches the feet to the floor."""

    def __init__(self, rest: Array, scale: float, root: Array, heading: float) -> None:
        self.rest, self.scale, self.heading = rest, scale, heading
        self.ahead = np.array([-np.sin(heading), np.cos(heading), 0.0])
        self.right = np.array([np.cos(heading), np.sin(heading), 0.0])
        self.root = root
        self.pose = Pose.standing(root, heading)

    def trunk(self, lean: float, side: float = 0.0, twist: float = 0.0) -> None:
        """lean: degrees forward, shared by pelvis, spine and chest; side: to the right; twist: to the left."""
        for bone, share in (("pelvis", 0.4), ("spine", 0.35), ("chest", 0.25)):
            self.pose.turn(bone, (0, -lean * share))
        for bone, share in (("spine", 0.55), ("chest", 0.45)):
            self.pose.turn(bone, (1, side * share), (2, twist * share))
        self.pose.turn("head", (0, lean * 0.55))

    def arm(self, side: str, raised: float, forward: float, elbow: float, inward: float = 0.0) -> None:
        """raised: degrees sideways; forward: degrees ahead; elbow: flexion; inward: the forearm's turn towards the middle."""
        sign = 1.0 if side == "left" else -1.0
        self.pose.turn(f"{side}_arm", (0, forward), (1, sign * raised))
        self.pose.turn(f"{side}_forearm", (2, -sign * inward), (0, elbow))

    def stand(self, drop: float, shift: tuple[float, float], feet: Sequence[tuple[float, float, float, float]]) -> Pose:
        """drop: metres that the hips sink. shift: hips to the right and ahead.

        feet: (right, ahead, up, pitch) of left and right ankle at stature 1.75.
        """
        s = self.scale
        self.pose.lift = -drop * s
        self.pose.root = self.root + self.right * shift[0] * s + self.ahead * shift[1] * s
        for (side, sign), (aside, before, up, pitch) in zip(_SIDES, feet, strict=True):
            ankle = self.root + self.right * aside * s + self.ahead * before * s + np.array([0, 0, (ANKLE_HEIGHT + up) * s])
            skeleton.place_leg(self.pose, self.rest, s, side, ankle, self.ahead + self.right * sign * 0.22, pitch)
        return self.pose


_WIDE = 0.115


def _squat(body: _Body, depth: float, beat: int) -> Pose:
    body.trunk(38 * depth)
    for side, _ in _SIDES:
        body.arm(side, 7, 6 + 76 * depth, 12)
    return body.stand(0.40 * depth, (0.0, -0.13 * depth), [(-0.17, 0, 0, 0), (0.17, 0, 0, 0)])


def _lunge(body: _Body, depth: float, beat: int) -> Pose:
    lead = beat % 2
    body.trunk(6 * depth)
    for side, _ in _SIDES:
        body.arm(side, 34 * depth + 8, -14 * depth, 12 + 62 * depth, 75 * depth)
    arc = 0.32 * depth * (1 - depth)
    feet = [(-_WIDE, 0.0, 0.0, 0.0), (_WIDE, 0.0, 0.0, 0.0)]
    side = -_WIDE if lead == 0 else _WIDE
    feet[lead] = (side, 0.62 * depth, arc, 0.0)
    feet[1 - lead] = (-side, -0.16 * depth, 0.105 * depth, -0.75 * depth)
    return body.stand(0.34 * depth, (0.0, 0.22 * depth), feet)


def _jack(body: _Body, depth: float, beat: int) -> Pose:
    body.trunk(2)
    for side, _ in _SIDES:
        body.arm(side, 8 + 158 * depth, 4, 10 + 16 * depth)
    hop = 0.20 * depth * (1 - depth)
    wide = _WIDE + 0.24 * depth
    return body.stand(0.035 + 0.03 * depth - hop, (0.0, 0.0), [(-wide, 0, hop, 0), (wide, 0, hop, 0)])


def _raise(body: _Body, depth: float, beat: int) -> Pose:
    body.trunk(-3 * depth)
    for side, _ in _SIDES:
        body.arm(side, 8 + (84 * depth if beat % 2 == 0 else 8 * depth), 4 + (0 if beat % 2 == 0 else 160 * depth), 12 - 4 * depth)
    return body.stand(0.012, (0.0, 0.0), [(-_WIDE, 0, 0, 0), (_WIDE, 0, 0, 0)])


def _knees(body: _Body, depth: float, beat: int) -> Pose:
    up = beat % 2
    body.trunk(-2, 0, (8 if up else -8) * depth)
    for number, (side, _) in enumerate(_SIDES):
        swing = 38 * depth if number != up else -30 * depth
        body.arm(side, 9, swing, 25 + 60 * depth)
    feet = [(-0.10, 0.0, 0.0, 0.0), (0.10, 0.0, 0.0, 0.0)]
    feet[up] = (feet[up][0], 0.20 * depth, 0.46 * depth, -0.35 * depth)
    return body.stand(0.012, ((-0.05 if up else 0.05) * depth, 0.0), feet)


def _bend(body: _Body, depth: float, beat: int) -> Pose:
    to_right = beat % 2 == 0
    body.trunk(2, (32 if to_right else -32) * depth)
    high, low = ("left", "right") if to_right else ("right", "left")
    body.arm(high, 8 + 150 * depth, 4, 12 + 22 * depth)
    body.arm(low, 8 + 26 * depth, 4 - 22 * depth, 12 + 60 * depth, 78 * depth)
    return body.stand(0.02, ((-0.06 if to_right else 0.06) * depth, 0.0), [(-0.22, 0, 0, 0), (0.22, 0, 0, 0)])


EXERCISES: dict[str, tuple[Callable[[_Body, float, int], Pose], float]] = {
    "squat": (_squat, 2.2), "lunge": (_lunge, 2.0), "jack": (_jack, 1.1), "raise": (_raise, 1.9),
    "knees": (_knees, 0.95), "bend": (_bend, 2.4),
}  # fmt: skip
"""Name -> the pose at a depth in [0, 1] of repetition `beat`, and the usual seconds of one repetition."""


def workout(
    scale: float, root: Array, heading: float, plan: Sequence[tuple[str, int]], pace: float, style: Array
) -> Callable[[float], Pose]:
    """The motion of someone who does `plan` (exercise, repetitions) over and over. pace: 1 is the usual speed; style: (4,) in [-1, 1]."""
    rest = skeleton.rest_joints()
    lengths = np.array([EXERCISES[name][1] * count / pace for name, count in plan])
    ends = np.cumsum(lengths)

    def pose(time: float) -> Pose:
        now = (time + 0.37 * (style[0] + 1)) % float(ends[-1])
        part = int(np.searchsorted(ends, now, side="right"))
        name, count = plan[part]
        begun = (now - (ends[part] - lengths[part])) / lengths[part] * count
        beat = int(begun)
        share = begun - beat
        depth = (0.5 - 0.5 * np.cos(2 * np.pi * share)) ** (0.85 + 0.1 * style[1]) * (0.93 + 0.05 * style[2] + 0.02 * np.sin(beat * 2.1))
        sway = 0.006 * np.sin(time * 1.3 + style[3] * 3)
        body = _Body(rest, scale, root, heading + 0.02 * np.sin(time * 0.6))
        body.pose.turn("chest", (0, 1.2 * np.sin(time * 1.9)))
        body.pose.turn("head", (2, 5 * np.sin(time * 0.5 + style[3] * 4)), (1, sway * 200))
        return EXERCISES[name][0](body, float(depth), beat)

    return pose
