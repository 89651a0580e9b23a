"""Stretches of dense frames: where nearly everything moves, gates cost more time than they save.

A stretch runs on a state that remembers nothing, whose maps share their memory: what the network takes without gates, to the bit. Its last
frame is a keyframe that a gated one can follow, which tells whether gates pay again. Stretches grow while they do not, or not for long
enough, and one ends before its time where the picture comes to rest. Only MACs and inputs decide, no clock, so that the same frames always
give the same results.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.picture import Input, Picture
from skipvid.skip.ratio_choice import sampled

SHORTEST, LONGEST, GROWTH = 2, 32, 4
"""Frames of the first stretch; of the longest, about a second; and the factor from one to the next."""
FAR, FIRST_FAR = 0.45, 8
"""How much of the way from where gates just pay to all of the MACs a frame went that is far from paying, and the frames of the first
stretch then."""
FIXED, KEYFRAME, WORTH = 0.2, 0.1, 0.1
"""In times of a dense frame: what a gated one takes besides its MACs, what is lost at the keyframe before it, and what gated frames must
save on average for a stretch to begin short again. Below that, keyframes, masks and their drawing eat it up."""
RESTS = 0.5
"""A frame rests that changes by less than this share of what the most changed one of the stretch did."""
LOOKS = 2
"""Frames in a row that must rest for a stretch to end: of recordings that were brought to a higher rate every other frame may."""
OF_MACS = 0.5
"""Share of the input that changed in a frame, for each share of the MACs that it took: a low estimate."""


class DenseStretch:
    """Of one stream. left: how many of the frames to come are dense, unless they end it; the last of them lets a gated one follow.

    threshold: of the network's gates.
    """

    def __init__(self, threshold: float) -> None:
        self.left = 0
        self._threshold = threshold
        self._length = self._resting = 0
        self._tried, self._saved = 0, 0.0  # gated frames since the last stretch, and what they saved, in times of a dense frame
        self._moving: float | None = None  # share of the input that changes while it goes on; None: the stretch is not to end early
        self._sampled: tuple[Input, NDArray[np.float32]] | None = None  # the inputs looked at last, and their samples

    def reset(self) -> None:
        """Begin anew, in no stretch."""
        self.left = self._length = self._resting = self._tried = 0
        self._moving = None

    def gated(self, share: float, above: float) -> None:
        """Take in the share of the MACs that a gated frame executed. A stretch begins where it is more than `above`."""
        if self._tried == 0:
            self._saved = -KEYFRAME
        self._tried += 1
        self._saved += saved(share, above)
        if self._saved >= WORTH * (self._tried + 1):
            self._length = 0
        if share <= above:
            self._resting, self._moving = 0, None
            return
        first = FIRST_FAR if share > above + FAR * (1 - above) else SHORTEST
        self.left = self._length = min(max(first, GROWTH * self._length), LONGEST)
        self._resting, self._tried, self._moving = 0, 0, OF_MACS * share

    def prolong(self, frames: int) -> None:
        """So many dense frames at least, whatever they show."""
        if frames > self.left:
            self.left, self._moving = frames, None

    def passed(self) -> None:
        """One dense frame was run."""
        self.left = max(0, self.left - 1)

    def repeated(self) -> None:
        """A frame was equal to the last one. It is none of the stretch's; of several in a row all are found to rest."""
        self._resting += 1
        if self._resting >= LOOKS:
            self.reset()

    def look(self, inputs: Sequence[Input], last: Sequence[Input]) -> None:
        """Let the next frame be the stretch's last one where it rests. inputs, last: its own, and those of the frame before."""
        if self._moving is None or self.left <= 1:
            return
        share = self._changed(inputs, last)
        if share is None:
            return
        self._resting = self._resting + 1 if share < RESTS * self._moving else 0
        self._moving = max(self._moving, share)
        if self._resting >= LOOKS:
            self.left = 1

    def _changed(self, inputs: Sequence[Input], last: Sequence[Input]) -> float | None:
        """As `changed_share`. What lasts is sampled once."""
        if not (len(inputs) == len(last) == 1 and isinstance(last[0], Picture) and last[0].lasts):
            return changed_share(inputs, last, self._threshold)
        before = self._sampled[1] if self._sampled is not None and self._sampled[0] is last[0] else sampled(last[0])
        self._sampled = inputs[0], sampled(inputs[0])
        return _share(self._sampled[1], before, self._threshold)


def saved(share: float, above: float) -> float:
    """What a gated frame saves that executes a share of the MACs, in times of a dense one, about. above: the share from which on it saves
    nothing; less than nothing is saved beyond."""
    return (1 - FIXED) * (1 - share / max(above, 1e-9))


def changed_share(inputs: Sequence[Input], last: Sequence[Input], threshold: float) -> float | None:
    """The share of the pixels of a network's only input whose mean |change| exceeds the threshold, in units of the mean magnitude.

    Of every 8th pixel of each 8th row. None where there are several inputs, or it is no map.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        return None
    (item,), (other,) = inputs, last
    if not isinstance(item, Picture) and item.is_complex():
        return None
    return _share(sampled(item), sampled(other), threshold)


def _share(values: NDArray[np.float32], before: NDArray[np.float32], threshold: float) -> float:
    with np.errstate(invalid="ignore", over="ignore"):  # inputs may hold infinities
        return float((np.abs(values - before).mean(0) > threshold * np.abs(values).mean()).mean())
