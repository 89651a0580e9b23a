"""When to use a canvas: `auto` tries one where much is computed, and keeps it while it pays.

Only MACs decide, no clock, so that the same frames always give the same results.
"""

from __future__ import annotations

from typing import Literal

from skipvid.skip.config import SkipConfig
from skipvid.skip.dense_stretch import saved
from skipvid.tasks.canvas import Seen
from skipvid.tasks.look_ahead import LAG
from skipvid.tasks.similarity import STANDSTILL

WORTH = 0.12
"""The mean share of the MACs from which on a canvas can gain something: a still camera over a calm scene is never looked at."""
CALM = 0.1
"""The mean share below which no look is expected; and that of one picture below which it does not matter whether it is registered: while
the camera is covered, or sends black pictures."""
MEMORY = 16
"""Frames that the mean share reaches back."""
LOOKS, MOVING = 6, 2
"""Frames that are only looked at, at most, and how many of them must have moved (by more than CLOSE, skipvid.tasks.motion: an encoder moves
those of a fixed camera by less) for a trial to begin: a slow zoom takes a few to show."""
TRIAL, HOPELESS = 8, 4
"""Frames of a trial, its keyframe included; and those after which one is broken off that gains nothing."""
ENTER, LEAVE = 0.8, 0.9
"""A trial must lower the mean share to the first number; a canvas that is used is given up above the second."""
MOST_TIME = 1.15
"""Of a gated frame, in times of a dense one: of the bundled detector in bf16, 1.17 at a share of 0.85 of the MACs (structuralize)."""
PAYS, STAYS = 0.87, 0.97
"""A trial must lower the mean time to the first share: what is gained must pay for it, and for the anchors to come, and two threads are
no longer twice as fast as one. A canvas is given up above the second."""
SOON = 1
"""Frames after the first one, whose keyframe says nothing, until a stream is looked at."""
FIRST_WAIT, LONGEST_WAIT = 8, 512
"""Frames until it is looked at again."""
LONGER, SOONER = 8, 2
"""The factors of that wait after a trial that gained nothing; and where looking, which costs less, found no motion that is the camera's, or
a canvas paid in its trial and not for long after it, as where somebody walks through a bare room."""
PROVEN = 40
"""Frames, the trial included, after which a canvas has shown that it pays: then the next wait is a short one."""
BUSIER = 1.4
"""It is looked at at once where the mean share has grown by this factor over the highest one at which nothing was gained."""
MOST_LOST = 0.25
"""The mean share of pictures that cannot be registered above which a canvas is given up: it shows what was there before, and gains little.
With 20 of 38 lost the bundled detector agreed with itself by 0.92 of F1 on structuralize, 0.98 without a canvas."""
IDLE = 100
"""Frames without motion after which the canvas is given up, as it changes nothing."""
DENSE_ABOVE = SkipConfig().dense_above
"""Of networks for which nobody has measured it."""

State = Literal["waiting", "looking", "trying", "used"]


def frame_time(share: float, dense_above: float) -> float:
    """Of a frame that executes a share of the MACs, in times of a dense one, about. dense_above: the share at which a gated frame takes as
    long as a dense one. The bundled detector (0.55) in bf16: 0.35 at a share of 0.14 (PETS), 0.62 at 0.28 (TownCentre), 0.5, 0.72 and 0.85
    at 0.17, 0.35 and 0.45 (structuralize); in f32 gated frames take less."""
    return 1.0 if share >= 1 else min(MOST_TIME, 1 - saved(share, dense_above))


class MotionChoice:
    """Decides what a canvas does with the pictures of a stream.

    state: waiting: pictures are passed on as they are, and not looked at. looking: neither are they changed, but the motion is estimated.
    trying, used: they are registered. A trial is won where the mean share of the MACs falls to ENTER times what it was before, and by so
    much that it pays for the time of registering; its first keyframe counts as one of MEMORY frames, as it comes once in many.
    dense_above: the network's, as in SkipConfig.
    """

    def __init__(self, dense_above: float = DENSE_ABOVE) -> None:
        self.state: State = "waiting"
        self._dense_above = dense_above
        self._age = 0  # pictures in this state; those that are looked at are such without a canvas, as those that wait are
        self._mean = self._time = 0.0  # share of the MACs, and time, of the last of them
        self._wait = SOON
        self._begun = False  # after the stream's first picture
        self._before = self._time_before = 1.0  # the same without a canvas
        self._in_vain = 0.0  # the highest mean share at which nothing was gained
        self._looked = self._moved = self._idle = 0
        self._lost = 0.0  # the mean share of the last pictures on the canvas that could not be registered

    @property
    def rests(self) -> bool:
        """Whether it will wait for at least LAG more pictures, unless more is computed in them: then their boxes are not known at first."""
        calm = self._age > 0 and self._mean < CALM
        return self.state == "waiting" and (calm or self._wait - self._age > LAG)

    def spent(self, share: float, seen: Seen, registering: float = 0.0) -> bool:
        """Take in what the last picture took, and decide about the next one. Returns whether that is the first of another state.

        share: of the dense MACs. registering: what it took besides, in times of a dense frame.
        """
        if not self._begun:
            self._begun = True
            return False
        before = self.state
        self._age += 1
        counted = self._age - (self.state == "trying")
        if counted:
            self._mean += (share - self._mean) / min(counted, MEMORY)
            self._time += (frame_time(share, self._dense_above) + registering - self._time) / min(counted, MEMORY)
        if self.state == "waiting":
            due = self._age >= self._wait or (self._age >= FIRST_WAIT and self._mean > BUSIER * self._in_vain)
            if due and self._mean >= WORTH:
                self._wait = max(self._wait, FIRST_WAIT)
                self.state, self._looked, self._moved = "looking", 0, 0
        elif self.state == "looking":
            self._looked += 1
            self._moved += seen.moved
            if self._moved >= MOVING or self._looked > LOOKS:
                self._before, self._time_before = self._mean, min(1.0, self._time)
                if self._moved >= MOVING:
                    self._begin("trying")
                else:
                    self._fail(SOONER)
        else:
            self._judge(share, seen)
        return self.state != before and self.state != "used"

    def _judge(self, share: float, seen: Seen) -> None:
        """Whether the canvas is used further."""
        self._idle = self._idle + 1 if seen.motion is STANDSTILL and not seen.lost else 0
        self._lost += ((seen.lost > 0 and share >= CALM) - self._lost) / MEMORY
        if self.state == "trying":
            if self._age == TRIAL:
                self._mean += (1 - self._mean) / MEMORY
                self._time += (1 - self._time) / MEMORY
            if self._age >= TRIAL and self._gains(ENTER, PAYS):
                self.state, self._in_vain = "used", 0.0
            elif self._age >= TRIAL or (self._age >= HOPELESS and not self._gains(LEAVE, STAYS)):
                self._fail()
        elif not self._gains(LEAVE, STAYS):
            if self._age >= PROVEN:
                self._give_up(FIRST_WAIT)
            else:
                self._fail(SOONER)
        elif self._idle >= IDLE:
            self._give_up(FIRST_WAIT)

    def _gains(self, most: float, longest: float) -> bool:
        """Whether the canvas pays. most, longest: the shares of what was computed without it, and of its time, that may be left."""
        pays = self._mean <= most * self._before and self._time <= longest * self._time_before
        return pays and self._lost <= MOST_LOST

    def _fail(self, longer: int = LONGER) -> None:
        self._in_vain = max(self._in_vain, self._before)
        self._give_up(longer * self._wait)

    def _begin(self, state: State) -> None:
        self.state, self._age, self._idle = state, 0, 0
        self._mean = self._time = self._lost = 0.0

    def _give_up(self, wait: int) -> None:
        self._wait = min(wait, LONGEST_WAIT)
        self._begin("waiting")
