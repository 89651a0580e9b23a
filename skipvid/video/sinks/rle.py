"""COCO's compressed run lengths of masks, as pycocotools' `mask` module reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.class_maps import Numbers

DIGIT = 5
"""Bits in a character; a sixth says that another one follows."""
MOST_DIGITS = 8
FIRST_CHARACTER = 48


def run_lengths(pixels: Numbers, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """pixels: (H, W), classes -> for each of these classes {"size": [H, W], "counts": text, "area": pixels}, whether it is there or not.

    Runs go down the columns, the first one is of pixels of other classes, which may be of none.
    """
    flat = pixels.T.ravel()  # a copy, column after column
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
    begins = np.concatenate([[0], ends[:-1]])
    classes = flat[begins]
    found = {}
    for number in numbers:
        own = classes == number
        edges = np.stack([begins[own], ends[own]], 1).ravel()
        counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
        if edges.size and edges[-1] == flat.size:
            counts = counts[:-1]
        area = int((ends[own] - begins[own]).sum())
        found[number] = {"size": list(pixels.shape), "counts": _text(counts), "area": area}
    return found


def _text(counts: NDArray[np.int64]) -> str:
    """Counts as COCO packs them: from the fourth on as differences to the last but one, in digits of five bits, the lowest first."""
    values = counts.copy()
    values[3:] -= counts[1:-2]
    characters = np.zeros((len(values), MOST_DIGITS), np.uint8)
    more = np.ones(len(values), bool)
    for place in range(MOST_DIGITS):
        digit = values & (2**DIGIT - 1)
        values = values >> DIGIT
        # The fifth bit of the last digit is the sign.
        last = np.where(digit & 2 ** (DIGIT - 1), values == -1, values == 0)
        characters[more, place] = (digit + 2**DIGIT * ~last + FIRST_CHARACTER)[more]
        more &= ~last
        if not more.any():
            break
    return characters[characters > 0].tobytes().decode("ascii")
