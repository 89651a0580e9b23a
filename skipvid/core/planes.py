"""A picture as encoders take it: luma in full, chroma at half the resolution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = Literal["bt601", "bt709"]

SHARES: dict[Matrix, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Shares of red and blue in luma, of ITU-R BT.601 and BT.709."""

NEUTRAL = 128
BLACK = 16


class StoredPlanes(NamedTuple):
    """4:2:0, 8 bits, as a decoder left them; not to be written to.

    luma: (H, W) uint8. blue, red: (⌈H / 2⌉, ⌈W / 2⌉) uint8, chroma. matrix: from RGB. full_range: or else limited range.
    """

    luma: NDArray[np.uint8]
    blue: NDArray[np.uint8]
    red: NDArray[np.uint8]
    matrix: Matrix
    full_range: bool


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """4:2:0, 8 bits, limited range.

    luma: (2h, 2w) uint8; an odd last row or column of the picture is there twice. blue, red: (h, w) uint8, chroma. matrix: from RGB.
    height, width: pixels of the picture. memory: what the planes lie in, where an encoder takes that as it is.
    """

    luma: NDArray[np.uint8]
    blue: NDArray[np.uint8]
    red: NDArray[np.uint8]
    matrix: Matrix
    height: int
    width: int
    memory: object = None

    def __post_init__(self) -> None:
        rows, columns = -(-self.height // 2), -(-self.width // 2)
        if self.luma.shape != (2 * rows, 2 * columns) or not self.blue.shape == self.red.shape == (rows, columns):
            shapes = f"{self.luma.shape}, {self.blue.shape}, {self.red.shape}"
            raise ValueError(f"planes of {self.width}x{self.height} must be {2 * columns}x{2 * rows} and half of it, got {shapes}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the same picture in BGR."""
        return (self.height, self.width, 3)

    @classmethod
    def of_colour(cls, height: int, width: int, matrix: Matrix, colour: tuple[int, int, int]) -> Planes:
        """A picture of height × width pixels in one BGR colour."""
        rows, columns = -(-height // 2), -(-width // 2)
        luma, blue, red = _levels(matrix, colour)
        luma_plane = np.full((2 * rows, 2 * columns), luma, np.uint8)
        return cls(luma_plane, np.full((rows, columns), blue, np.uint8), np.full((rows, columns), red, np.uint8), matrix, height, width)

    def all(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Luma, blue chroma, red chroma."""
        return self.luma, self.blue, self.red

    def levels(self, colour: tuple[int, int, int]) -> tuple[int, int, int]:
        """The levels of luma and chroma of a BGR colour."""
        return _levels(self.matrix, colour)


@lru_cache(maxsize=1024)
def _levels(matrix: Matrix, colour: tuple[int, int, int]) -> tuple[int, int, int]:
    blue, green, red = (part / 255 for part in colour)
    red_share, blue_share = SHARES[matrix]
    luma = red_share * red + blue_share * blue + (1 - red_share - blue_share) * green
    from_blue, from_red = (blue - luma) / (2 - 2 * blue_share), (red - luma) / (2 - 2 * red_share)
    return round(BLACK + 219 * luma), round(NEUTRAL + 224 * from_blue), round(NEUTRAL + 224 * from_red)
