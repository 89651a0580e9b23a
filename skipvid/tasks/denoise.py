"""The noise of a camera, taken out of the network's picture: a recursive filter over time that lets go wherever something moves.

Noise opens gates all over the picture, in every frame, though nothing happens. Each pixel is a running mean of what it was, as long as no
channel differs from that mean by more than LIMIT deviations of the noise; where one does, the pixel is taken as it is. How much noise there
is, is measured in the stream itself: how far pictures that follow each other differ at the median pixel, which stands still in a scene that
does not move as a whole. One that moves changes along its slopes, and nearly by the same shift everywhere; noise does not know of slopes.
A camera without noise is left alone.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.fitting import medians

RATE = 0.2
"""Weight of the newest picture in the mean. Noise of deviation s is left as s · sqrt(RATE / (2 − RATE)), a third."""
LIMIT = 4.5
"""In medians of the difference of two pictures: three deviations of it, where it is Gaussian."""
LEAST, MOST = 8.0, 24.0
"""Grey levels that the limit stays between: medians are whole numbers, and what differs by more than MOST is no noise."""
ON, OFF = 0.75, 0.4
"""Grey levels at the median from which on a stream is filtered, and below which it no longer is."""
STEADY = 8
"""A picture in which a tenth of all values differ by so many medians moves as a whole, and says nothing of noise."""
SLID = 0.1
"""The share of the change that one shift of the picture explains above which it moves, and says nothing of noise. Noise: under 0.005,
highway's fixed camera up to 0.07; eleven shaken clips 0.14 to 0.54 at the median."""
FEW = 100
"""Places below which a shift explains noise by chance: it has two numbers."""
STEP = 8
"""Every so many rows and columns are looked at to measure."""
MEMORY = 0.2
"""Weight of the newest picture in the measured level."""


class Denoiser:
    """Filters the pictures of one stream. Call it with one after the other.

    level: grey levels by which pictures that follow each other differ at the median, as far as seen.
    """

    def __init__(self) -> None:
        self.level = 0.0
        self._filters = False
        self._before: NDArray[np.uint8] | None = None
        self._slopes: NDArray[np.float32] | None = None  # of the last picture
        self._mean: NDArray[np.float32] | None = None
        self._given: NDArray[np.uint8] | None = None
        self._last: deque[float] = deque([0.0, 0.0], maxlen=3)  # their median counts: a cut or a flash is no noise
        self._filtered = self._pictures = 0

    def forget(self) -> None:
        """The next picture has nothing in common with those before; the camera's noise is still what it was."""
        self._before = self._slopes = self._mean = self._given = None

    @property
    def note(self) -> str | None:
        """How much was filtered, in words; None for a camera without noise."""
        if not self._filtered:
            return None
        return f"the camera is noisy: noise was taken out of {self._filtered} of {self._pictures} frames"

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 -> the same without noise; `pixels` itself where there is none. Not to be written to."""
        self._pictures += 1
        self._measure(pixels)
        if not self._filters:
            self._mean = None
            return pixels
        self._filtered += 1
        if self._mean is None or self._given is None:
            self._mean, self._given = pixels.astype(np.float32), pixels.copy()
            return self._given
        limit = float(np.clip(LIMIT * self.level, LEAST, MOST))
        still = cv2.inRange(cv2.absdiff(pixels, self._given), (0.0,) * 3, (limit,) * 3)
        cv2.accumulateWeighted(pixels, self._mean, RATE, mask=still)
        cv2.accumulateWeighted(pixels, self._mean, 1.0, mask=cv2.bitwise_not(still))
        self._given = np.asarray(cv2.convertScaleAbs(self._mean), np.uint8)
        return self._given

    def _measure(self, pixels: NDArray[np.uint8]) -> None:
        sample = np.ascontiguousarray(pixels[::STEP, ::STEP])
        before, self._before = self._before, sample
        slopes, self._slopes = self._slopes, _slopes(pixels)
        if before is None or before.shape != sample.shape:
            return
        counts = np.bincount(cv2.absdiff(sample, before).ravel(), minlength=256)
        if counts[0] == sample.size:  # the same picture again, as where a camera gives fewer frames than its stream has
            return
        median, high = np.searchsorted(np.cumsum(counts), (0.5 * sample.size, 0.9 * sample.size))
        slid = slopes is not None and median > 0 and _explained(slopes, self._slopes) > SLID
        found = float(median) if high <= STEADY * max(median, 1) and not slid else 0.0
        self._last.append(found)
        self.level += MEMORY * (sorted(self._last)[len(self._last) // 2] - self.level)
        self._filters = self.level >= (OFF if self._filters else ON)


def _slopes(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(3, n): at each place that is looked at the green value, and how it rises to the right and downwards, grey levels per pixel. The
    slopes are those between the neighbours, whose noise is another than the place's own."""
    height, width = (max(0, side - 2) // STEP * STEP for side in pixels.shape[:2])
    green = pixels[..., 1]

    def places(down: int, right: int) -> NDArray[np.float32]:
        return green[down : height + down : STEP, right : width + right : STEP].ravel().astype(np.float32)

    return np.stack([places(1, 1), (places(1, 2) - places(1, 0)) / 2, (places(2, 1) - places(0, 1)) / 2])


def _explained(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """The share of the change between two pictures, squared, that one shift explains, to first order; large changes, of what moves by
    itself, left out."""
    if now.shape[1] < FEW:
        return 0.0
    change = now[0] - before[0]
    size = np.abs(change)
    kept = size <= STEADY * max(float(medians(size)), 1.0)
    x, y = (now[1:, kept] + before[1:, kept]) / 2
    change = change[kept]
    xx, xy, yy, xc, yc, whole = (
        float(np.multiply(one, other, dtype=np.float64).sum())
        for one, other in ((x, x), (x, y), (y, y), (x, change), (y, change), (change, change))
    )
    spread = xx * yy - xy * xy
    if whole == 0 or spread <= 0:  # nothing changed, or slopes of one direction, along which any shift explains as much
        return 0.0
    return (xc * xc * yy - 2 * xc * yc * xy + yc * yc * xx) / (spread * whole)
