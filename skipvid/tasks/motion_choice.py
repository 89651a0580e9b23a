"""When to use a canvas: `auto` tries one where much is computed, and keeps it while it pays.

Only MACs decide, no clock, so that the same frames always give the same results.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skipvid.core.motions import WARP
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import HeldOut
from skipvid.tasks.canvas import Canvas, Seen
from skipvid.tasks.motion import STANDSTILL

WORTH = 0.12
"""The mean share of the MACs from which on a canvas can gain something: a still camera over a calm scene is never looked at."""
MEMORY = 16
"""Frames that the mean share reaches back."""
LOOKS, MOVING = 2, 2
"""Frames that are only looked at, and how many of them must have moved for a trial to begin."""
TRIAL, HOPELESS = 8, 4
"""Frames of a trial, its keyframe included; and those after which one is broken off that gains nothing."""
ENTER, LEAVE = 0.8, 0.9
"""A trial must lower the mean share to the first number; a canvas that is used is given up above the second."""
FIXED, PER_SHARE, REGISTERING = 0.2, 1.5, 0.1
"""A frame's time from its share of the MACs, and what registering it adds, in times of a dense frame: of the bundled detector in bf16, 0.42
at a share of 0.17 (PETS), 0.66 at 0.33 (TownCentre); in f32 gated frames take less."""
PAYS = 0.9
"""A trial must lower the mean time to this share: what is gained must pay for it, and for the anchors to come."""
SOON = 1
"""Frames after the first one, whose keyframe says nothing, until a stream is looked at."""
FIRST_WAIT, LONGEST_WAIT = 8, 512
"""Frames until it is looked at again."""
LONGER = 4
"""The factor of that wait after a trial that gained nothing, or where looking found no motion that is the camera's."""
PROVEN = 40
"""Frames, the trial included, after which a canvas has shown that it pays: then the next wait is a short one."""
BUSIER = 1.5
"""It is looked at at once where the mean share has grown by this factor since nothing was gained."""
IDLE = 100
"""Frames without motion after which the canvas is given up, as it changes nothing."""


def motion_in_use(motion: str, config: SkipConfig) -> str:
    """What a stream with these gates does where the camera moves: "auto" promises the dense network's results at threshold 0."""
    without = config.gate == "none" or (motion == "auto" and config.threshold == 0)
    return "none" if without else motion


def make_canvas(motion: str, size: tuple[int, int], held: HeldOut | None, enlarged: bool = False) -> Canvas | None:
    """What registers pictures of (height, width); None where that is not wanted. motion: of skipvid.core.motions.

    held: what is left out of the pictures: no motion is looked for there. enlarged: whether the network's picture is larger. In both cases
    a canvas does not follow pans: what is left out lies where it lies, and whole cells of the network are none of the picture.
    """
    if motion in ("none", WARP):
        return None
    watched = None if held is None else ~held.covers_of(size)
    if motion == "auto":
        return AutoCanvas(size, watched)
    return Canvas(size, watched, follows=motion == "shift" and held is None and not enlarged)


State = Literal["waiting", "looking", "trying", "used"]


class AutoCanvas(Canvas):
    """A canvas that is used while it pays. It does what MotionChoice said when it was last made to `forget`."""

    def __init__(self, size: tuple[int, int], watched: NDArray[np.bool_] | None = None) -> None:
        super().__init__(size, watched)
        self._choice = MotionChoice()
        self._state: State = self._choice.state

    @property
    def registers(self) -> bool:
        """Whether pictures are registered at present."""
        return self._state in ("trying", "used")

    @property
    def looks(self) -> bool:
        """As of a canvas."""
        return self._state != "waiting"

    def forget(self) -> None:
        """As of a canvas."""
        super().forget()
        self._state = self._choice.state

    def choose(self, share: float, seen: Seen) -> bool:
        """As of a canvas."""
        return self._choice.spent(share, seen)

    def register(self, pixels: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> NDArray[np.uint8]:
        """As of a canvas."""
        if self.registers:
            return super().register(pixels, boxes)
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
        self._has_moved = motion is not None and motion is not STANDSTILL


class MotionChoice:
    """Decides what a canvas does with the pictures of a stream.

    state: waiting: pictures are passed on as they are, and not looked at. looking: neither are they changed, but the motion is estimated.
    trying, used: they are registered. A trial is won where the mean share of the MACs falls to ENTER times what it was before, and by so
    much that it pays for the time of registering; its first keyframe counts as one of MEMORY frames, as it comes once in many.
    """

    def __init__(self) -> None:
        self.state: State = "waiting"
        self._age = 0  # pictures in this state
        self._mean = self._time = 0.0  # share of the MACs, and time, of the last pictures in this state
        self._wait = SOON
        self._begun = False  # after the stream's first picture
        self._before = self._time_before = 1.0  # the same without a canvas
        self._moved = self._idle = 0

    def spent(self, share: float, seen: Seen) -> bool:
        """Take in what the last picture took, and decide about the next one. Returns whether that is the first of another state."""
        if not self._begun:
            self._begun = True
            return False
        before = self.state
        self._age += 1
        counted = self._age - (self.state == "trying")
        if counted:
            self._mean += (share - self._mean) / min(counted, MEMORY)
            self._time += (min(1.0, FIXED + PER_SHARE * share) - self._time) / min(counted, MEMORY)
        if self.state == "waiting":
            due = self._age >= self._wait or (self._age >= FIRST_WAIT and self._mean > BUSIER * self._before)
            if due and self._mean >= WORTH:
                self._before, self._time_before, self._wait = self._mean, self._time, max(self._wait, FIRST_WAIT)
                self._begin("looking")
        elif self.state == "looking":
            self._moved += seen.moved
            if self._age > LOOKS:
                if self._moved >= MOVING:
                    self._begin("trying")
                else:
                    self._give_up(LONGER * self._wait)
        else:
            self._judge(seen)
        return self.state != before and self.state != "used"

    def _judge(self, seen: Seen) -> None:
        """Whether the canvas is used further."""
        self._idle = self._idle + 1 if seen.motion is STANDSTILL and not seen.lost else 0
        if self.state == "trying":
            if self._age == TRIAL:
                self._mean += (1 - self._mean) / MEMORY
                self._time += (1 - self._time) / MEMORY
            if self._age >= TRIAL and self._gains(ENTER, PAYS):
                self.state = "used"
            elif self._age >= TRIAL or (self._age >= HOPELESS and not self._gains(LEAVE)):
                self._give_up(LONGER * self._wait)
        elif not self._gains(LEAVE):
            self._give_up(FIRST_WAIT if self._age >= PROVEN else LONGER * self._wait)
        elif self._idle >= IDLE:
            self._give_up(FIRST_WAIT)

    def _gains(self, most: float, longest: float = 1.0) -> bool:
        """Whether the canvas pays. most, longest: the shares of what was computed without it, and of its time, that may be left."""
        return self._mean <= most * self._before and self._time + REGISTERING <= longest * self._time_before

    def _begin(self, state: State) -> None:
        self.state, self._age, self._moved, self._idle = state, 0, 0, 0
        self._mean = self._time = 0.0

    def _give_up(self, wait: int) -> None:
        self._wait = min(wait, LONGEST_WAIT)
        self._begin("waiting")
