"""A network input that is still a picture: the session converts it by itself, and only where it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Bytes at the top left of an input of three channels, the rest of which is 0.

    pixels: (h, w, 3) uint8, contiguous. size: (height, width) of the whole input, at least h and w. tables: (3, 256) float32, the value of
    each byte in each channel of the input. order: which byte of a pixel each channel is made of.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    tables: NDArray[np.float32]
    order: tuple[int, int, int]

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[:2]
        fits = height <= self.size[0] and width <= self.size[1]
        if self.pixels.shape != (height, width, 3) or self.pixels.dtype != np.uint8 or not self.pixels.flags.c_contiguous or not fits:
            raise ValueError(f"pixels must be a contiguous (h, w, 3) uint8 array that fits {self.size}, got {self.pixels.shape}")
        if self.tables.shape != (3, 256) or self.tables.dtype != np.float32 or sorted({*self.order, 0, 1, 2}) != [0, 1, 2]:
            raise ValueError("tables must be (3, 256) float32, and order three numbers of 0, 1, 2")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the input that it stands for."""
        return (1, 3, *self.size)

    def tensor(self) -> Tensor:
        """The input that it stands for: (1, 3, H, W) float32."""
        height, width = self.pixels.shape[:2]
        result = np.zeros(self.shape, np.float32)
        for channel, (source, table) in enumerate(zip(self.order, self.tables, strict=True)):
            result[0, channel, :height, :width] = table[self.pixels[..., source]]
        return torch.from_numpy(result)


Input = Tensor | Picture
"""What a session takes for each input of its network."""
Shapes = tuple[tuple[int, ...], ...]


Layout = tuple[tuple[object, ...], ...]
"""Everything about the inputs of a frame but their values."""


def layout_of(inputs: Sequence[Input]) -> Layout:
    """What must be equal in two frames for one to be compared with the other.

    Of a picture that is its place in the input and what its bytes stand for, too: only then equal bytes mean equal values.
    """
    return tuple(
        (item.shape, item.pixels.shape, item.order, item.tables.tobytes()) if isinstance(item, Picture) else (item.shape,)
        for item in inputs
    )


def shapes_of(inputs: Sequence[Input]) -> Shapes:
    """What a plan is made for."""
    return tuple(tuple(item.shape) for item in inputs)


def as_tensors(inputs: Sequence[Input]) -> list[Tensor]:
    """The inputs with pictures converted."""
    return [item.tensor() if isinstance(item, Picture) else item for item in inputs]
