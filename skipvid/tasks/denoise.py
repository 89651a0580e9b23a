"""The noise of a camera, taken out of the network's picture: a recursive filter over time that lets go wherever something moves.

Noise opens gates all over the picture, in every frame, though nothing happens. Each pixel is a running mean of what it was, as long as no
channel differs from that mean by more than LIMIT deviations of the noise; where one does, the pixel is taken as it is. How much noise there
is, is measured in the stream itself: how far pictures that follow each other differ at the median pixel, which stands still in a scene that
does not move as a whole. A camera without noise is left alone.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

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
        self._mean: NDArray[np.float32] | None = None
        self._given: NDArray[np.uint8] | None = None
        self._last: deque[float] = deque([0.0, 0.0], maxlen=3)  # their median counts: a cut or a flash is no noise
        self._filtered = self._pictures = 0

    def forget(self) -> None:
        """The next picture has nothing in common with those before; the camera's noise is still what it was."""
        self._before = self._mean = self._given = None

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
        if before is None or before.shape != sample.shape:
            return
        counts = np.bincount(cv2.absdiff(sample, before).ravel(), minlength=256)
        if counts[0] == sample.size:  # the same picture again, as where a camera gives fewer frames than its stream has
            return
        median, high = np.searchsorted(np.cumsum(counts), (0.5 * sample.size, 0.9 * sample.size))
        found = float(median) if high <= STEADY * max(median, 1) else 0.0
        self._last.append(found)
        self.level += MEMORY * (sorted(self._last)[len(self._last) // 2] - self.level)
        self._filters = self.level >= (OFF if self._filters else ON)
