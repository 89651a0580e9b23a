"""The shape of a clothed body in numbers: parts, build, trunk profiles, and the blending of bones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import skeleton
from .skeleton import INDEX

Array = NDArray[Any]

HEAD, HAIR, TRUNK, ARM, HAND, LEG, SHOE, SKIRT, BAG, STRAP = range(10)
"""Part numbers of the faces."""


@dataclass(frozen=True)
class Build:
    """What changes the shape.

    girth: multiplies widths. sleeve: covered fraction of the arm (0.3 T-shirt, 1 long). leg: covered fraction of the leg.
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
TRUNK_MALE = np.array([
    [0.80, .060, .060, -.005], [0.83, .125, .100, -.008], [0.88, .162, .120, -.012], [0.94, .168, .123, -.014], [1.00, .160, .112, -.006],
    [1.06, .150, .106, .000], [1.12, .151, .108, .004], [1.20, .160, .114, .006], [1.28, .172, .120, .004], [1.34, .182, .119, .000],
    [1.375, .196, .108, -.006], [1.405, .202, .092, -.012], [1.43, .184, .078, -.017], [1.455, .138, .070, -.021],
    [1.478, .088, .064, -.022], [1.50, .061, .060, -.020],
    [1.56, .053, .056, -.010], [1.60, .048, .052, .000],
])  # fmt: skip
TRUNK_FEMALE = np.array([
    [0.80, .060, .060, -.005], [0.83, .128, .102, -.010], [0.88, .168, .124, -.016], [0.94, .170, .124, -.016], [1.00, .154, .108, -.006],
    [1.06, .134, .096, .000], [1.12, .130, .094, .004], [1.20, .142, .106, .012], [1.27, .152, .122, .018], [1.33, .162, .112, .008],
    [1.37, .180, .096, -.004], [1.40, .184, .082, -.012], [1.425, .166, .070, -.017], [1.45, .122, .062, -.021], [1.475, .072, .055, -.022],
    [1.50, .051, .051, -.020],
    [1.56, .047, .049, -.010], [1.60, .042, .045, .000],
])  # fmt: skip


def blend(rows: int, shares: dict[str, Array | float]) -> Array:
    weights = np.zeros((rows, len(skeleton.BONES)), np.float32)
    for bone, share in shares.items():
        weights[:, INDEX[bone]] += share
    return weights / weights.sum(1, keepdims=True)


def ramp(value: Array, low: float, high: float) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
