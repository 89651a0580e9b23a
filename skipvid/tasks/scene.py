"""Scene cuts: where the picture has nothing in common with the one before, a keyframe costs no more than gating and measures anew."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.core.results import StoredPicture

THUMBNAIL = (32, 18)  # (width, height), pixels: motion inside a scene moves little at this size
_SAMPLES = (4 * THUMBNAIL[0], 4 * THUMBNAIL[1])
CUT_LEVELS = 24.0
"""Mean change of the thumbnail, in grey levels of 255, above which a frame begins a new scene. In the shared videos motion stays
below 21, a car that fills the picture included, and cuts lie between 29 and 81."""


class SceneCutDetector:
    """Compares each frame with the one before it."""

    def __init__(self) -> None:
        self._previous: NDArray[np.float32] | None = None
        self._weights: NDArray[np.float32] | None = None
        self._latest: NDArray[np.float32] | None = None  # of what was looked at ahead
        self._ahead: deque[_Look] = deque()

    def leave_out(self, area: NDArray[np.bool_] | None) -> None:
        """Look at what is not in an area only. area: (H, W) bool over the frame, somewhere False; None: look at all."""
        if area is None:
            self._weights = None
            return
        kept = cv2.resize((~area).astype(np.float32), THUMBNAIL, interpolation=cv2.INTER_AREA)
        self._weights = np.asarray(kept / kept.mean(), np.float32)

    def look_ahead(self, picture: NDArray[np.uint8] | StoredPicture) -> None:
        """Compare a picture now with the one before it, as `is_cut` will. From another thread than that, in the order of the frames.

        OpenCV and NumPy let other threads run Python meanwhile, who then keep waiting whoever should be computing the network.
        """
        look = _Look.at(picture, self._latest)
        self._latest = look.thumbnail
        self._ahead.append(look)

    def is_cut(self, picture: NDArray[np.uint8] | StoredPicture) -> bool:
        """picture: (H, W, 3) uint8 where it is an array. The first one is no cut."""
        look: _Look | None = None
        while self._ahead and (look is None or look.picture is not picture):
            look = self._ahead.popleft()
        previous = self._previous
        if look is None or look.picture is not picture or look.previous is not previous:
            look = _Look.at(picture, previous)
        self._previous = look.thumbnail
        if look.change is None:
            return False
        mean = look.mean if self._weights is None else float((look.change * self._weights[..., None]).mean())
        return mean > CUT_LEVELS


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A picture's thumbnail, the one before it, the change between them, and its mean, in grey levels of 255."""

    picture: NDArray[np.uint8] | StoredPicture
    thumbnail: NDArray[np.float32]
    previous: NDArray[np.float32] | None
    change: NDArray[np.float32] | None
    mean: float

    @classmethod
    def at(cls, picture: NDArray[np.uint8] | StoredPicture, previous: NDArray[np.float32] | None) -> _Look:
        # A coarse pick of rows and columns first: averaging every pixel of a large frame would take longer than it tells.
        if isinstance(picture, np.ndarray):
            step = max(1, min(picture.shape[0] // _SAMPLES[1], picture.shape[1] // _SAMPLES[0]))
            samples = picture[::step, ::step]
        else:
            samples = picture.sampled(min(picture.height, _SAMPLES[1]), min(picture.width, _SAMPLES[0]))
        thumbnail = cv2.resize(samples, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        change = None if previous is None else np.abs(thumbnail - previous)
        return cls(picture, thumbnail, previous, change, 0.0 if change is None else float(change.mean()))
