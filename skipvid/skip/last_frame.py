"""A stream's last frame: what it cost, layer by layer, and where in the picture the work was done."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.skip.account import frame_cost
from skipvid.skip.backend import FrameRun
from skipvid.skip.cost_model import CostModel

Grid = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class WholeFrame:
    """What is the same for all frames in which a network of these costs computes everything. activity: by stride, as far as asked for."""

    costs: CostModel
    cost: FrameCost
    activity: dict[int, Grid] = field(default_factory=dict)

    @classmethod
    def of(cls, costs: CostModel, run: FrameRun) -> WholeFrame:
        return cls(costs, frame_cost(costs, run))


@dataclass(frozen=True, slots=True, eq=False)
class LastFrame:
    """costs: of the network that ran. size: of its first input, behind the channels. whole: what frames share in which everything was
    computed; None where it was not."""

    costs: CostModel
    run: FrameRun
    size: tuple[int, ...]
    whole: WholeFrame | None

    def cost(self) -> FrameCost:
        """What it cost, layer by layer; also when frames have followed."""
        return frame_cost(self.costs, self.run) if self.whole is None else self.whole.cost

    def computed(self) -> dict[str, NDArray[np.bool_]]:
        """By layer name, which output pixels were computed: (h, w) bool."""
        found: dict[str, NDArray[np.bool_]] = {}
        for number, name in self.costs.pixel_rows.items():
            mask = self.run.computed[number]
            found[name] = found[name] | mask if name in found else mask  # an adaptive layer runs one of several
        return found

    def activity(self, stride: int) -> Callable[[], Grid]:
        """What makes the grid of Session.activity, in any thread, also when frames have followed."""
        if self.whole is None:
            return self._grid(stride)
        if stride not in self.whole.activity:
            self.whole.activity[stride] = self._grid(stride)()
        return self.whole.activity[stride].copy

    def _grid(self, stride: int) -> Callable[[], Grid]:
        height, width = (math.ceil(extent / stride) for extent in self.size)
        # By size of the layers' results, while the masks are those of this frame.
        works = [self.run.computed.weighted(layers, shares) for layers, shares in self.costs.layers_by_size.values()]

        def put_together() -> Grid:
            grid = np.zeros((height, width), np.float32)
            for work in works:
                how = cv2.INTER_AREA if work.shape[0] >= height else cv2.INTER_NEAREST
                grid += cv2.resize(work, (width, height), interpolation=how)
            return np.clip(grid, 0, 1, out=grid)

        return put_together
