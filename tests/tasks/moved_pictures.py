"""Pictures for what moves and draws them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Image, np.random.Generator]:
    """A picture, perhaps part of a wider one, of extremes or of near values."""
    height, width, spare = (draw(st.integers(least, most)) for least, most in ((1, 24), (1, 110), (0, 5)))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    low, high = draw(st.sampled_from([(0, 256), (100, 112)]))
    values = random.integers(low, high, (height, width + spare, 3), np.uint8)
    if draw(st.booleans()):
        values = np.where(values > (low + high) // 2, 255, 0).astype(np.uint8)
    return values[:, :width], random
