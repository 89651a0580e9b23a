"""Pictures scaled down and moved in one pass: of each of the network's pixels the mean of a box of pixels that lies aside by the motion.

Scaled first and moved then, a picture is interpolated twice, and blurred by how far it moves; here all places are blurred alike. By the
compiled extension where there is one, otherwise by numpy, to the same bits: weights are whole numbers, so that all sums are exact.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skipvid.core.planes import BLACK, NEUTRAL, SHARES, Matrix, StoredPlanes
from skipvid.core.results import StoredPicture

Image = NDArray[np.uint8]

PHASES = 64
"""Places between two of the network's pixels that are told apart."""
WEIGHT_BITS, KEPT_BITS, LEVEL_BITS, COLOUR_BITS, PRODUCT_BITS = 14, 6, 7, 13, 15
"""Of the sum of a box's weights; behind the point, of a value between averaging down and across, of a level of a plane, and of what makes
colours of levels; and those that are dropped of the product of these two."""
AT_LEFT = 0.25
"""Where chroma lies in video by H.264 and others, as a share of its own width before the middle of two pixels. PyAV does not tell."""
LEAST = 1.15
"""Pixels of the source for one of the network's from which on it is sampled."""
GROUP = 8
"""Weights come by so many, or half as many where that is enough: the last ones are 0."""


class Boxes(NamedTuple):
    """Of each place along one side, (n,) the first sample, and (n, taps) the weights of those from there on, of the sum 2 ** WEIGHT_BITS.

    Beyond the side's end, samples go on as there.
    """

    starts: NDArray[np.int32]
    weights: NDArray[np.int16]

    def part(self, first: int, count: int) -> Boxes:
        """Those of some places."""
        return Boxes(self.starts[first : first + count], self.weights[first : first + count])


@lru_cache(maxsize=512)
def boxes_of(large: int, small: int, phase: int, halved: bool = False, before: float = 0.0) -> Boxes:
    """Those of the network's pixels from n + phase / PHASES to one further, for all n for which they lie in the picture.

    large, small: pixels of the source and of the network along one side. halved: samples are of chroma, two pixels wide, and lie so much
    of a sample before the middle of their pixels. As in libswscale, a box is as wide as a sample at least.
    """
    samples, width = (-(-large // 2), large / small / 2) if halved else (large, large / small)
    grown = max(0.0, 1.0 - width) / 2
    edges = (np.arange(small + (phase == 0)) + phase / PHASES) * width + before
    first, last = edges[:-1] - grown, edges[1:] + grown
    starts = np.maximum(np.floor(first), 0)
    taps = int((np.minimum(np.ceil(last), samples) - starts).max(initial=1))
    taps = GROUP // 2 if taps <= GROUP // 2 else -(-taps // GROUP) * GROUP
    sums = ((starts - first)[:, None] + np.arange(taps + 1)) * ((1 << WEIGHT_BITS) / (last - first)[:, None])
    np.minimum(sums, 1 << WEIGHT_BITS, out=sums)
    sums[:, 0] = 0  # the first sample stands for what lies before it, and the last one for what lies beyond
    for place in np.flatnonzero(last > samples):
        sums[place, samples - int(starts[place]) :] = 1 << WEIGHT_BITS
    return Boxes(starts.astype(np.int32), np.diff(np.rint(sums, out=sums)).astype(np.int16))


@lru_cache
def colours_of(matrix: Matrix, full_range: bool = False) -> NDArray[np.int16]:
    """What makes colours of levels, times 2 ** COLOUR_BITS: of luma; of blue chroma in blue and in green; of red chroma in green and in
    red. And the level of luma that is black, times 2 ** LEVEL_BITS."""
    red, blue = SHARES[matrix]
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    from_blue, from_red = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma
    exact = np.array([luma, from_blue, -from_blue * blue / green, -from_red * red / green, from_red]) * (1 << COLOUR_BITS)
    return np.append(np.rint(exact), 0 if full_range else BLACK << LEVEL_BITS).astype(np.int16)


def average_pixels_by_numpy(pixels: Image, out: Image, down: Boxes, across: Boxes) -> None:
    """Write to out (h, w, 3) uint8 the means of boxes of pixels (H, W, 3).

    down, across: h and w boxes. Raises ValueError for what does not fit, and for weights of a box that add up to more than twice the sum,
    whatever their sign.
    """
    _check(pixels.shape[:2], out, down, across)
    np.copyto(out, np.clip(_means(pixels, down, across, WEIGHT_BITS + KEPT_BITS), 0, 255), casting="unsafe")


def average_planes_by_numpy(
    luma: Image,
    blue: Image,
    red: Image,
    out: Image,
    down: Boxes,
    across: Boxes,
    chroma_down: Boxes,
    chroma_across: Boxes,
    colours: NDArray[np.int16],
) -> None:
    """Write to out (h, w, 3) uint8, BGR, the colours of the means of boxes of planes (H, W). colours: of `colours_of`. The others, and what
    is raised: as of `average_pixels_by_numpy`."""
    _check(luma.shape, out, down, across)
    for chroma in (blue, red):
        _check(chroma.shape, out, chroma_down, chroma_across)
    boxes = (down, across), (chroma_down, chroma_across), (chroma_down, chroma_across)
    to_level = WEIGHT_BITS + KEPT_BITS - LEVEL_BITS
    of_luma, blue_blue, blue_green, red_green, red_red, black = colours.tolist()
    of_plane = zip((luma, blue, red), boxes, (black, NEUTRAL << LEVEL_BITS, NEUTRAL << LEVEL_BITS), strict=True)
    y, u, v = (_words(_means(plane[..., None], *way, to_level)[..., 0].astype(np.int32) - middle) for plane, way, middle in of_plane)
    whole = _product(y, of_luma)
    greens = _product(u, blue_green) + _product(v, red_green)
    values = np.stack([whole + _product(u, blue_blue), whole + greens, whole + _product(v, red_red)], 2)
    np.copyto(out, np.clip(_rounded(values, LEVEL_BITS + COLOUR_BITS - PRODUCT_BITS), 0, 255), casting="unsafe")


def _product(levels: NDArray[np.int16], factor: int) -> NDArray[np.integer]:
    return _rounded(levels.astype(np.int32) * factor, PRODUCT_BITS)


def _check(size: tuple[int, ...], out: Image, *boxes: Boxes) -> None:
    for (starts, weights), side, places in zip(boxes, size, out.shape, strict=False):
        taps = weights.shape[1]
        if len(starts) != places or len(weights) != places or not (taps == GROUP // 2 or (taps > 0 and taps % GROUP == 0)):
            raise ValueError("there is a box for each row and each column, of four weights or a multiple of eight")
        if places and (starts.min() < 0 or starts.max() >= side or np.abs(weights.astype(np.int64)).sum(1).max() > 2 << WEIGHT_BITS):
            raise ValueError("a box begins in the picture, and its weights are not too large")


def _rounded(values: NDArray[np.integer], bits: int) -> NDArray[np.integer]:
    return np.asarray((values + (1 << bits - 1)) >> bits)


def _means(pixels: Image, down: Boxes, across: Boxes, bits: int) -> NDArray[np.int16]:
    """(h, w, C): down, and then across, where so many bits behind the point are dropped."""
    kept = np.zeros((len(down.starts), *pixels.shape[1:]), np.int32)
    for tap in range(down.weights.shape[1]):
        kept += down.weights[:, tap, None, None].astype(np.int32) * pixels[np.minimum(down.starts + tap, len(pixels) - 1)]
    kept = _words(_rounded(kept, WEIGHT_BITS - KEPT_BITS))
    sums = np.zeros((len(down.starts), len(across.starts), pixels.shape[2]), np.int32)
    for tap in range(across.weights.shape[1]):
        sums += across.weights[:, tap, None].astype(np.int32) * kept[:, np.minimum(across.starts + tap, pixels.shape[1] - 1)]
    return _words(_rounded(sums, bits))


def _words(values: NDArray[np.integer]) -> NDArray[np.int16]:
    return np.asarray(np.clip(values, -32768, 32767), np.int16)


try:
    from skipvid.tasks._registered import average_pixels as average_pixels
    from skipvid.tasks._registered import average_planes as average_planes
except ImportError:  # it could not be compiled, or not be loaded; `skipvid doctor` tells why
    average_pixels, average_planes = average_pixels_by_numpy, average_planes_by_numpy
"""As `average_pixels_by_numpy` and `average_planes_by_numpy`, in one pass where the extension is there."""


class Source:
    """A frame's picture, and how large it is for the network: (height, width)."""

    def __init__(self, picture: Image | StoredPlanes, size: tuple[int, int]) -> None:
        self._picture, self._size = picture, size

    def whole(self) -> Image:
        """(height, width, 3) uint8, BGR: all of it, where it lies."""
        out = np.empty((*self._size, 3), np.uint8)
        self.sample(out, 0, 0)
        return out

    def sample(self, out: Image, x: int, y: int) -> None:
        """Write to out (h, w, 3) uint8, BGR, what lies x and y pixels of the network's picture, times PHASES, beside the frame's corner;
        all of it lies in the frame."""
        picture, (rows, columns) = self._picture, out.shape[:2]
        height, width = (picture.luma if isinstance(picture, StoredPlanes) else picture).shape[:2]

        def down(halved: bool = False) -> Boxes:
            return boxes_of(height, self._size[0], y % PHASES, halved).part(y // PHASES, rows)

        def across(halved: bool = False, before: float = 0.0) -> Boxes:
            return boxes_of(width, self._size[1], x % PHASES, halved, before).part(x // PHASES, columns)

        if isinstance(picture, StoredPlanes):
            planes, colours = picture[:3], colours_of(picture.matrix, picture.full_range)
            average_planes(*planes, out, down(), across(), down(True), across(True, AT_LEFT), colours)
        else:
            average_pixels(picture, out, down(), across())


def source_of(picture: Image | StoredPicture, size: tuple[int, int]) -> Source | None:
    """What a picture of (height, width) was scaled down from, where that can be sampled; None elsewhere."""
    height = picture.shape[0] if isinstance(picture, np.ndarray) else picture.height
    if height < LEAST * size[0]:
        return None
    if isinstance(picture, np.ndarray):  # whose pixels may lie in any order, as of a mirrored view
        return Source(picture if picture.strides[1:] == (3, 1) else np.ascontiguousarray(picture), size)
    own = picture.own_planes()
    return None if own is None else Source(own, size)
