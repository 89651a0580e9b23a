"""What the gates let through, layer by layer: in the foreground (inside the boxes of what was found) and in the background."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from skipvid.video.draw.canvas import Image
from skipvid.video.draw.legend import caption_strip
from skipvid.video.draw.text import AMBER, DARK, LIGHT, fit, printable, put_text
from skipvid.video.draw.tint import tint_activity

MOST_PICTURES = 35
_TILE = 256
_COLUMNS = 5
_TEXT = 12


@dataclass(frozen=True, slots=True)
class GateShare:
    """Mean share of a layer's outputs that were computed, keyframes left out; NaN where there was no such place."""

    layer: str
    foreground: float
    background: float


class GateMaps:
    """Takes in a run frame by frame; keeps sums, and the masks of the last frame in which something was found."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}  # by layer: computed and all, in the foreground and in the background
        self._image: Image | None = None
        self._boxes = np.zeros((0, 4), np.float32)
        self._masks: dict[str, NDArray[np.bool_]] = {}

    def add(self, image: Image, boxes: NDArray[np.float32], computed: Mapping[str, NDArray[np.bool_]]) -> None:
        """boxes: (K, 4) xyxy, pixels of the image. computed: by layer the outputs that were computed, (h, w) bool over the image."""
        inside: dict[tuple[int, ...], NDArray[np.bool_]] = {}
        for layer, mask in computed.items():
            if mask.size == 1:
                continue  # a vector has no place
            if mask.shape not in inside:
                inside[mask.shape] = covered(boxes, image.shape[:2], mask.shape)
            front = inside[mask.shape]
            counts = [(mask & front).sum(), front.sum(), (mask & ~front).sum(), (~front).sum()]
            self._sums[layer] = self._sums.get(layer, np.zeros(4)) + counts
        if len(boxes) or self._image is None:
            self._image, self._boxes = image.copy(), boxes.copy()
            self._masks = {layer: mask for layer, mask in computed.items() if mask.size > 1}

    @property
    def shares(self) -> list[GateShare]:
        """One row for each layer, in the network's order."""
        return [
            GateShare(layer, *(float(part / whole) if whole else math.nan for part, whole in (sums[:2], sums[2:])))
            for layer, sums in self._sums.items()
        ]

    def render(self, title: str) -> Image:
        """A sheet of up to MOST_PICTURES layers, evenly chosen: (H, W, 3) uint8 BGR. Raises ValueError where nothing was taken in."""
        if self._image is None:
            raise ValueError("there is no frame yet to draw gate maps of")
        height, width = self._image.shape[:2]
        scale = _TILE / width
        picture = np.asarray(cv2.resize(self._image, (_TILE, max(1, round(height * scale))), interpolation=cv2.INTER_AREA), np.uint8)
        shares = {share.layer: share for share in self.shares}
        names = list(self._masks)
        step = max(1.0, len(names) / MOST_PICTURES)
        chosen = [names[int(index * step)] for index in range(min(len(names), MOST_PICTURES))]
        tiles = [self._tile(picture, scale, name, shares[name]) for name in chosen]
        blank = np.full_like(tiles[0], DARK[0])
        tiles += [blank] * (-len(tiles) % _COLUMNS)
        sheet = np.vstack([np.hstack(tiles[row : row + _COLUMNS]) for row in range(0, len(tiles), _COLUMNS)])
        facts = [f"{len(chosen)} of {len(names)} layers", "amber: computed in this frame", "inside boxes / elsewhere, mean of the run"]
        return np.vstack([caption_strip(sheet, title, facts), sheet])

    def _tile(self, picture: Image, scale: float, layer: str, share: GateShare) -> Image:
        tile = tint_activity(picture, self._masks[layer].astype(np.float32))
        for x1, y1, x2, y2 in np.rint(self._boxes * scale).astype(int):
            cv2.rectangle(tile, (int(x1), int(y1)), (int(x2), int(y2)), LIGHT, 1)
        caption = np.full((2 * _TEXT + 14, tile.shape[1], 3), DARK[0], np.uint8)
        numbers = f"{_percent(share.foreground)} / {_percent(share.background)}"
        name, size = fit(printable(layer[-40:]), _TEXT, tile.shape[1] - 8)
        put_text(caption, name, 4, _TEXT + 3, size, LIGHT)
        put_text(caption, numbers, 4, 2 * _TEXT + 8, _TEXT, AMBER)
        return np.vstack([caption, tile])


def covered(boxes: NDArray[np.float32], size: tuple[int, ...], grid: tuple[int, ...]) -> NDArray[np.bool_]:
    """Cells of a grid (h, w) over a picture of `size` (H, W) that a box touches."""
    result = np.zeros(grid, np.bool_)
    factors = np.array([grid[1] / size[1], grid[0] / size[0]] * 2)
    for x1, y1, x2, y2 in boxes * factors:
        result[max(0, math.floor(y1)) : math.ceil(y2), max(0, math.floor(x1)) : math.ceil(x2)] = True
    return result


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"
