"""Whether the units that thresholds count in still fit: a scene that has grown dark, or one absurd value in a keyframe, leaves them behind.

A unit is measured at keyframes. Between them a map is looked at now and then; one whose mean magnitude has left half to twice its unit asks
for a keyframe, which measures all units anew and computes what a unit too large has held back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from skipvid.skip.gates.base import MapGate, OutputGate

FACTOR = 2.0
SAMPLED_PIXELS = 4096
"""Looked at first; the whole map only where these do not fit the unit."""


if TYPE_CHECKING:
    Measured = tuple[str, MapGate | OutputGate]
    """A gate whose unit keyframes measure, and the name of its map or layer."""

Gate = TypeVar("Gate")

FEWEST_SAMPLED = 512
LATTICES = ((13, 5), (5, 2))
"""Step and shift: of row y each `step`-th pixel from `shift` * y % `step` on. All phases of patterns in steps of 2, 4, … are met alike."""


def sampled(value: Tensor) -> Tensor:
    """The pixels of a map, (1, C, H, W), whose mean magnitude is its unit in half precision, (1, C, 1, N): all of a small map, or of larger
    ones those of a lattice, at least `FEWEST_SAMPLED`. What is no map stays as it is."""
    if value.ndim != 4:
        return value
    height, width = value.shape[2:]
    step, shift = next((lattice for lattice in LATTICES if height * width >= lattice[0] * FEWEST_SAMPLED), (1, 0))
    pixels = [y * width + x for y in range(height) for x in range(shift * y % step, width, step)]
    return value.flatten(2)[:, :, None, pixels]


def to_check(gates: Sequence[Gate], number: int) -> Gate:
    """The gate whose unit the check of that number looks at: every other time the first one, nearest to the network's input."""
    return gates[0] if number % 2 == 0 else gates[number // 2 % len(gates)]


def is_stale(measured: Callable[[Any], float], value: Any, unit: float) -> bool:
    """Whether a unit no longer fits.

    measured: the unit that a map of some rows of values would have. value: (1, C, H, W), or no map, a tensor or an array: of the gated map
    as its readers see it, or of the gated layer. unit: from the last keyframe.
    """
    if value.ndim != 4:
        return _left(measured(value), unit)
    rows = max(1, SAMPLED_PIXELS // max(1, value.shape[3]))
    step = max(1, value.shape[2] // rows)
    return _left(measured(value[:, :, ::step]), unit) and (step == 1 or _left(measured(value), unit))


def _left(magnitude: float, unit: float) -> bool:
    return not unit / FACTOR <= magnitude <= unit * FACTOR
