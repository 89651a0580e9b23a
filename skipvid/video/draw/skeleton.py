"""Human skeletons: COCO's 17 joints, left and right told apart by colour."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.video.draw.text import DARK, Colour, Image

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


def draw_skeleton(image: Image, keypoints: NDArray[np.float32], min_score: float = 0.3, size: float | None = None) -> None:
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
    points = np.round(np.clip(np.nan_to_num(keypoints[:, :2]), -reach, reach) * (1 << _SHIFT)).astype(np.int64).tolist()
    limbs = [limb for limb in _LIMBS if len(keypoints) == JOINTS and shown[limb[0]] and shown[limb[1]]]
    # the dark under-stroke keeps limbs visible on clothes of their own colour
    for start, end, _ in limbs:
        cv2.line(image, points[start], points[end], DARK, stroke + max(2, stroke // 2), cv2.LINE_AA, _SHIFT)
    for start, end, colour in limbs:
        cv2.line(image, points[start], points[end], colour, stroke, cv2.LINE_AA, _SHIFT)
    radius = round((0.6 * stroke + 1.0) * (1 << _SHIFT))
    for joint in np.flatnonzero(shown).tolist():
        colour = _JOINT_COLOURS[joint] if len(keypoints) == JOINTS else MIDDLE
        cv2.circle(image, points[joint], radius + (1 << _SHIFT), DARK, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, points[joint], radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
