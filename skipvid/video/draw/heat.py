"""The gate heatmap: where the network computed, over time, in a perceptually uniform colour map with a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import FrameResult
from skipvid.video.draw.canvas import Image
from skipvid.video.draw.legend import PICTURE_SHARE, caption_strip, colours_of, inset_legend, legend_strip

Mode = Literal["frame", "mean"]

_FIGURE_WIDTH = 640
"""A still is enlarged to at least this many pixels, so that its title and legend have room."""


class HeatmapRenderer:
    """Draws each result as a heatmap over its own frame.

    mode "frame" shows the activity of the frame itself, "mean" an exponentially weighted mean that reaches about `span` frames back.
    """

    def __init__(self, mode: Mode = "mean", span: int = 25) -> None:
        if span < 1:
            raise ValueError(f"span must be at least 1 frame, got {span}")
        self._mode = mode
        self._step = 1.0 if mode == "frame" else 2.0 / (span + 1.0)
        self._sum = np.zeros((1, 1), np.float64)
        self._weight = 0.0

    def render(self, result: FrameResult) -> Image:
        """Take in one result and return its picture, (H, W, 3) uint8 BGR, of the frame's size."""
        activity = activity_of(result)
        before = _regrid(self._sum, activity.shape)
        self._sum = before + self._step * (activity - before)
        # the sum starts from zero: without this the first frames would look as if nearly nothing had been computed
        self._weight += self._step * (1.0 - self._weight)
        image = blend_heat(result.frame.image, (self._sum / self._weight).astype(np.float32))
        inset_legend(image, "MACs spent in this frame" if self._mode == "frame" else "MACs spent, mean of the last frames")
        return image


class TimeAverage:
    """The mean activity of a whole run, and a still of it over the mean of its frames, in which passers-by fade away.

    Keeps one mean picture, whatever the length of the video.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._activity = np.zeros((1, 1), np.float64)
        self._picture: NDArray[np.float32] | None = None
        self._pictures = 0

    @property
    def activity(self) -> NDArray[np.float32]:
        """(h, w) float32: the mean fraction of MACs spent for each cell; zeros before the first frame."""
        return (self._activity / max(1, self.frames)).astype(np.float32)

    def add(self, result: FrameResult) -> None:
        """Take in one frame. After a change of the frame's size the picture starts anew, the activity goes on."""
        activity = activity_of(result)
        self._activity = _regrid(self._activity, activity.shape) + activity
        self.frames += 1
        image = result.frame.image
        if self._picture is None or self._picture.shape != image.shape:
            self._picture, self._pictures = np.zeros(image.shape, np.float32), 0
        self._pictures += 1
        cv2.accumulateWeighted(image, self._picture, 1.0 / self._pictures)

    def render(self, title: str, facts: Sequence[str] = ()) -> Image:
        """The still, (H', W', 3) uint8 BGR: title and facts above, the map, the legend below. Raises ValueError before the first frame."""
        if self._picture is None:
            raise ValueError("there is no frame yet to draw the time average of")
        factor = math.ceil(_FIGURE_WIDTH / self._picture.shape[1])
        picture = cv2.resize(self._picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        heat = blend_heat(np.rint(picture).astype(np.uint8), self.activity)
        caption = f"MACs spent, mean of {self.frames} frame{'s' if self.frames != 1 else ''}"
        return np.vstack([caption_strip(heat, title, facts), heat, legend_strip(heat, caption)])


def activity_of(result: FrameResult) -> NDArray[np.float32]:
    """The activity (h, w) float32 in [0, 1] of a result; a single cell of 1 where the network ran without gates and computed everything."""
    if result.activity is None:
        return np.ones((1, 1), np.float32)
    return np.clip(np.nan_to_num(result.activity), 0.0, 1.0).astype(np.float32)


def blend_heat(image: Image, activity: NDArray[np.float32]) -> Image:
    """Colours of an activity grid (h, w) over the grey picture (H, W, 3); returns (H, W, 3) uint8 BGR."""
    height, width = image.shape[:2]
    rows, columns = activity.shape
    # interpolating values on a finer grid and colours from there costs half of colouring every pixel, and looks the same
    fine = cv2.resize(activity, (min(width, 8 * columns), min(height, 8 * rows)), interpolation=cv2.INTER_LINEAR)
    colours = cv2.resize(colours_of(np.asarray(fine, np.float32)), (width, height), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.addWeighted(grey, PICTURE_SHARE, colours, 1.0, 0.0), np.uint8)


def _regrid(grid: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    return grid if grid.shape == shape else np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float64)
