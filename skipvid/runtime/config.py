"""How a network is gated: the settings of `convert`, checked where they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from skipvid.errors import UsageError

GATES = ("norm", "none")
BLOCKS = (1, 2, 4, 8, 16)
BACKENDS = ("reference",)


@dataclass(frozen=True, slots=True)
class SkipConfig:
    """How a network is gated.

    threshold: τ ≥ 0, in units of each map's mean |activation|; 0 computes whatever changed at all.
    gate: "norm", or "none" for dense. block: gates open in blocks of block x block pixels, one of 1, 2, 4, 8, 16.
    backend: "auto" or a name. reference: "accumulated": changes are measured against what was last published.
    refresh: a keyframe every so many frames, 0 = never. thresholds, scales: per-map values of a calibration.

    Raises UsageError for a value out of its range.
    """

    threshold: float = 0.03
    gate: str = "norm"
    block: int = 1
    backend: str = "auto"
    reference: str = "accumulated"
    refresh: int = 0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and self.threshold >= 0):
            raise UsageError(f"threshold is {self.threshold}", "it must be a number of 0 or more, e.g. 0.03")
        for kind, values in (("threshold", self.thresholds), ("scale", self.scales)):
            for map_name, number in values.items():
                if not (math.isfinite(number) and number >= 0):
                    raise UsageError(f"the {kind} of map {map_name} is {number}", "it must be a number of 0 or more")
        for name, value, allowed in (
            ("gate", self.gate, GATES),
            ("block", self.block, BLOCKS),
            ("backend", self.backend, ("auto", *BACKENDS)),
            ("reference", self.reference, ("accumulated",)),
        ):
            if value not in allowed:
                raise UsageError(f"{name} is {value!r}", f"it must be one of {', '.join(str(item) for item in allowed)}")
        if self.refresh < 0:
            raise UsageError(f"refresh is {self.refresh}", "it must be a number of frames, or 0 for never")
