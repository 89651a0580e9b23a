"""Human skeletons: COCO's 17 joints, left and right told apart by colour."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.video.draw.canvas import Canvas, Colour, Patch, patch_of
from skipvid.video.draw.text import DARK

LEFT: Colour = (255, 176, 64)
RIGHT: Colour = (60, 130, 255)
MIDDLE: Colour = (120, 235, 150)

JOINTS = 17
_NOSE, _L_EYE, _R_EYE, _L_EAR, _R_EAR, _L_SHOULDER, _R_SHOULDER, _L_ELBOW, _R_ELBOW, _L_WRIST, _R_WRIST = range(11)
_L_HIP, _R_HIP, _L_KNEE, _R_KNEE, _L_ANKLE, _R_ANKLE = range(11, JOINTS)

_LIMBS: tuple[tuple[int, int, Colour], ...] = (
    (_NOSE, _L_EYE, LEFT),
    (_NOSE, _R_EYE, RIGHT),
    (_L_EYE, _L_EAR, LEFT),
    (_R_EYE, _R_EAR, RIGHT),
    (_L_SHOULDER, _R_SHOULDER, MIDDLE),
    (_L_HIP, _R_HIP, MIDDLE),
    (_L_SHOULDER, _L_HIP, LEFT),
    (_R_SHOULDER, _R_HIP, RIGHT),
    (_L_SHOULDER, _L_ELBOW, LEFT),
    (_L_ELBOW, _L_WRIST, LEFT),
    (_R_SHOULDER, _R_ELBOW, RIGHT),
    (_R_ELBOW, _R_WRIST, RIGHT),
    (_L_HIP, _L_KNEE, LEFT),
    (_L_KNEE, _L_ANKLE, LEFT),
    (_R_HIP, _R_KNEE, RIGHT),
    (_R_KNEE, _R_ANKLE, RIGHT),
)
_JOINT_COLOURS: tuple[Colour, ...] = (MIDDLE, *(LEFT if joint % 2 else RIGHT for joint in range(1, JOINTS)))
_SHIFT = 4


def draw_skeleton(image: Canvas, keypoints: NDArray[np.float32], min_score: float = 0.3, size: float | None = None) -> None:
    """Draw one person in place.

    keypoints: (J, 3) float32, x, y in pixels and score; joints under min_score or not finite are hidden, with their limbs. Limbs are drawn
    for COCO's 17 joints; any other J is drawn as points. size: the person's height in pixels, for the strokes; None: from the joints.
    """
    shown = np.isfinite(keypoints).all(axis=1) & (keypoints[:, 2] >= min_score)
    if not shown.any():
        return
    if size is None:
        size = float(np.hypot(*np.ptp(keypoints[shown, :2], axis=0)))
    stroke = max(1, min(round(math.sqrt(image.shape[0] * image.shape[1]) / 240), round(size / 55)))
    reach = 4.0 * max(image.shape[:2])
    joints = np.clip(np.nan_to_num(keypoints[:, :2]), -reach, reach)
    first, last = joints[shown].min(axis=0).astype(int) - 3 * stroke - 2, joints[shown].max(axis=0).astype(int) + 3 * stroke + 3
    with patch_of(image, (int(first[0]), int(first[1]), int(last[0]), int(last[1]))) as patch:
        _draw_joints(patch, joints - np.array([patch.left, patch.top]), shown, stroke)


def _draw_joints(patch: Patch, joints: NDArray[np.floating], shown: NDArray[np.bool_], stroke: int) -> None:
    image = patch.pixels
    if not image.size:
        return
    points = np.round(joints * (1 << _SHIFT)).astype(np.int64).tolist()
    limbs = [limb for limb in _LIMBS if len(joints) == JOINTS and shown[limb[0]] and shown[limb[1]]]
    dark = patch.colour(DARK)
    # the dark under-stroke keeps limbs visible on clothes of their own colour
    for start, end, _ in limbs:
        cv2.line(image, points[start], points[end], dark, stroke + max(2, stroke // 2), cv2.LINE_AA, _SHIFT)
    for start, end, colour in limbs:
        cv2.line(image, points[start], points[end], patch.colour(colour), stroke, cv2.LINE_AA, _SHIFT)
    radius = round((0.6 * stroke + 1.0) * (1 << _SHIFT))
    for joint in np.flatnonzero(shown).tolist():
        colour = _JOINT_COLOURS[joint] if len(joints) == JOINTS else MIDDLE
        cv2.circle(image, points[joint], radius + (1 << _SHIFT), dark, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, points[joint], radius, patch.colour(colour), cv2.FILLED, cv2.LINE_AA, _SHIFT)
