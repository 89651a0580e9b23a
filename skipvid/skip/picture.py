"""A network input that is still a picture: the session converts it by itself, and only where it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Bytes at the top left of an input of three channels, the rest of which is 0.

    pixels: (h, w, 3) uint8, contiguous. size: (height, width) of the whole input, at least h and w. tables: (3, 256) float32, the value of
    each byte in each channel of the input. order: which byte of a pixel each channel is made of. lasts: whether nobody writes into the
    pixels any more, so that who remembers a picture need not copy them.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    tables: NDArray[np.float32]
    order: tuple[int, int, int]
    lasts: bool = False

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
        import torch

        return torch.from_numpy(result)


FEW = 9
"""Rows, and pixels of each, that two pictures are compared by at first, or some more: NumPy takes 500 bytes for many."""

if TYPE_CHECKING:
    Input = Tensor | Picture
    """What a session takes for each input of its network."""
else:
    Input = object  # so that it can be imported without PyTorch
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


def prepared(inputs: Sequence[Input], dtypes: Sequence[torch.dtype]) -> tuple[Input, ...]:
    """Inputs as a program takes them: floating-point ones as float32, others in their own type, or float32 where that holds them all.

    dtypes: of the network's inputs; none where all are float32, however many. Raises UsageError for inputs of other kinds or numbers.
    """
    if not inputs or (dtypes and len(inputs) != len(dtypes)):
        wanted = f"{len(dtypes) or 1} input{'s' if len(dtypes) > 1 else ''}"
        raise UsageError(
            f"the network takes {wanted}, not {len(inputs)}", "pass as many tensors as in the example that it was converted with"
        )
    if all(isinstance(item, Picture) for item in inputs) and not dtypes:
        return tuple(inputs)  # without PyTorch
    import torch
    from torch import Tensor

    wanted_types = dtypes or (torch.float32,) * len(inputs)
    if all(
        isinstance(item, Picture)
        or (isinstance(item, Tensor) and item.dtype == torch.float32 == dtype and not item.is_meta and item.layout == torch.strided)
        for item, dtype in zip(inputs, wanted_types, strict=True)
    ):
        return tuple(inputs)  # nearly always: no more than this is spent on a frame
    for item, dtype in zip(inputs, wanted_types, strict=True):
        float32 = isinstance(item, Tensor) and item.dtype == torch.float32 and dtype.is_floating_point
        if not isinstance(item, Picture) and (not isinstance(item, Tensor) or (item.dtype != dtype and not float32)):
            raise UsageError(f"the inputs of the network are {_kinds(inputs)}", _wanted(wanted_types))
        if isinstance(item, Tensor) and (item.is_meta or item.layout != torch.strided):
            what = "on the device meta: it has no values" if item.is_meta else "sparse"
            raise UsageError(f"the inputs of the network are {_kinds(inputs)}, one of them {what}", _wanted(wanted_types))
    return tuple(item.float() if isinstance(item, Tensor) and item.dtype.is_floating_point else item for item in inputs)


def _kinds(inputs: Sequence[object]) -> str:
    from torch import Tensor

    return ", ".join(str(item.dtype) if isinstance(item, Tensor) else type(item).__name__ for item in inputs)


def _wanted(dtypes: Sequence[torch.dtype]) -> str:
    names = tuple(str(dtype).removeprefix("torch.") for dtype in dict.fromkeys(dtypes))
    convert = ", e.g. torch.from_numpy(image).float()" if names == ("float32",) else ""
    return f"pass {', '.join(names)} tensors{convert}"


def copied(inputs: Sequence[Input], old: Sequence[Input] | None = None) -> tuple[Input, ...]:
    """Inputs that last when their owner writes the next frame into the same memory. old: copies of one layout that nobody needs any more,
    whose memory is used again."""
    return tuple(_copy(item, None if old is None else old[number]) for number, item in enumerate(inputs))


def _copy(item: Input, old: Input | None) -> Input:
    if not isinstance(item, Picture):
        value = item.detach()
        if old is None or isinstance(old, Picture) or old.is_inference() or (old.dtype, old.device) != (item.dtype, item.device):
            return value.clone()
        return old.copy_(value) if old.shape == item.shape else value.clone()
    if item.lasts:
        return item
    if not isinstance(old, Picture) or old.lasts or old.pixels.shape != item.pixels.shape:
        return replace(item, pixels=item.pixels.copy())
    np.copyto(old.pixels, item.pixels)
    return replace(item, pixels=old.pixels)


def same_values(inputs: Sequence[Input], seen: Sequence[Input]) -> bool:
    """Whether inputs of one layout have equal values."""
    return all(_same(item, other) for item, other in zip(inputs, seen, strict=True))


def _same(item: Input, other: Input) -> bool:
    if isinstance(item, Picture) or isinstance(other, Picture):
        return isinstance(item, Picture) and isinstance(other, Picture) and same_bytes(item.pixels, other.pixels)
    return item.equal(other)


def same_bytes(pixels: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures are equal.

    Most are told apart by a few pixels, so few that NumPy does not let other threads run Python meanwhile: they would keep the caller
    waiting just before it computes the network, which lets them run anyway.
    """
    step = tuple(max(1, extent // FEW) for extent in pixels.shape[:2])
    few = (slice(None, None, step[0]), slice(None, None, step[1]))
    return pixels.shape == other.shape and np.array_equal(pixels[few], other[few]) and np.array_equal(pixels, other)


def as_tensors(inputs: Sequence[Input], dtypes: Sequence[torch.dtype] = ()) -> list[Tensor]:
    """The inputs with pictures converted. dtypes: in which a graph takes them, where these are not their own."""
    tensors = [item.tensor() if isinstance(item, Picture) else item for item in inputs]
    return [item.to(dtype) for item, dtype in zip(tensors, dtypes, strict=False)] if dtypes else tensors
