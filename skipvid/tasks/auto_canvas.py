"""A canvas that is used while it pays, and what registers the pictures of a stream: `make_canvas`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skipvid.core.motions import WARP
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import HeldOut
from skipvid.tasks.canvas import Canvas, Seen
from skipvid.tasks.displaced import Source
from skipvid.tasks.motion import CLOSE, LOWERS
from skipvid.tasks.motion_choice import DENSE_ABOVE, MotionChoice, State
from skipvid.tasks.similarity import STANDSTILL

SHIFTED, TURNED, LOST = 300, 550, 300
"""MACs that take as long as registering a pixel of a picture that is shifted; that turns or is scaled; that cannot be registered."""


def motion_in_use(motion: str, config: SkipConfig) -> str:
    """What a stream with these gates does where the camera moves: "auto" promises the dense network's results at threshold 0."""
    without = config.gate == "none" or (motion == "auto" and config.threshold == 0)
    return "none" if without else motion


def make_canvas(
    motion: str, size: tuple[int, int], held: HeldOut | None, enlarged: bool = False, dense_above: float = DENSE_ABOVE
) -> Canvas | None:
    """What registers pictures of (height, width); None where that is not wanted. motion: of skipvid.core.motions.

    held: what is left out of the pictures: no motion is looked for there. enlarged: whether the network's picture is larger. In both cases
    a canvas does not follow pans: what is left out lies where it lies, and whole cells of the network are none of the picture.
    dense_above: the network's, as in SkipConfig.
    """
    if motion in ("none", WARP):
        return None
    watched = None if held is None else ~held.covers_of(size)
    if motion == "auto":
        return AutoCanvas(size, watched, dense_above)
    return Canvas(size, watched, follows=motion == "shift" and held is None and not enlarged)


class AutoCanvas(Canvas):
    """A canvas that is used while it pays. It does what MotionChoice said when it was last made to `forget`."""

    def __init__(self, size: tuple[int, int], watched: NDArray[np.bool_] | None = None, dense_above: float = DENSE_ABOVE) -> None:
        super().__init__(size, watched)
        self._choice = MotionChoice(dense_above)
        self._state: State = self._choice.state

    @property
    def registers(self) -> bool:
        """Whether pictures are registered at present."""
        return self._state in ("trying", "used")

    @property
    def looks(self) -> bool:
        """As of a canvas."""
        return self._state != "waiting"

    @property
    def rests(self) -> bool:
        """As of a canvas."""
        return self._choice.rests

    def forget(self) -> None:
        """As of a canvas."""
        super().forget()
        self._state = self._choice.state

    def choose(self, share: float, dense_macs: int, seen: Seen) -> bool:
        """As of a canvas."""
        price = self._price(seen) if share else 0.0  # one that is sent again is not registered again
        return self._choice.spent(share, seen, price * self._size[0] * self._size[1] / max(1, dense_macs))

    def _price(self, seen: Seen) -> float:
        """Of one pixel of a picture that became this, in MACs."""
        if not self.registers or (seen.motion is STANDSTILL and not seen.lost):
            return 0.0
        return LOST if seen.lost else SHIFTED if seen.motion.shifts else TURNED

    def register(
        self, pixels: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None, source: Callable[[], Source | None] | None = None
    ) -> NDArray[np.uint8]:
        """As of a canvas."""
        if self.registers:
            return super().register(pixels, boxes, source)
        self.pass_by()
        if self._state == "looking":
            self._look(pixels, boxes)
        return pixels

    def _look(self, pixels: NDArray[np.uint8], boxes: NDArray[np.floating] | None) -> None:
        if self._seen is None:
            self._estimator.anchor(pixels)
            self._seen = pixels
            return
        motion = self._estimator.estimate(pixels, boxes)
        moved = motion is not None and motion.apart(STANDSTILL, self._size) > CLOSE
        self._has_moved = moved and self._estimator.lowered <= LOWERS  # by less, hardly anything would be gained
