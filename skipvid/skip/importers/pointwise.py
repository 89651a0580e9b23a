"""Point-wise functions written out in operations that run on single pixels, so that none of them makes a map run densely.

Only where their input is native: between nodes that PyTorch computes, one operation of PyTorch's is less work than many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Activation

aten = torch.ops.aten

ROOTS = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}


class Add(Protocol):
    """Adds a node that computes a map of the same size. Returns its name."""

    def __call__(self, op: str, *inputs: str, activation: Activation | None = None, **consts: Tensor) -> str: ...


def power(add: Add, x: str, exponent: float) -> str | None:
    """x to the power of a small whole number or a half; None where it is another one."""
    if exponent in ROOTS:
        return add("activation", x, activation=Activation(ROOTS[exponent]))
    if exponent not in (2, 3):
        return None
    squared = add("mul", x, x)
    return squared if exponent == 2 else add("mul", squared, x)


def square(add: Add, x: str) -> str:
    return add("mul", x, x)


def negative(add: Add, x: str) -> str:
    return _affine(add, x, -1.0, 0.0)


def prelu(add: Add, x: str, weight: Tensor) -> str:
    """x where it is positive, else weight · x; one weight, or one for each channel."""
    if weight.numel() == 1:
        return add("activation", x, activation=Activation("leaky_relu", (float(weight),)))
    positive = add("activation", x, activation=Activation("relu"))
    negative = add("activation", _affine(add, x, -1.0, 0.0), activation=Activation("relu"))
    scale = -weight.float().view(1, -1, 1, 1)
    return add("add", positive, add("affine", negative, scale=scale, shift=torch.zeros((), dtype=torch.float32)))


def _affine(add: Add, x: str, scale: float, shift: float) -> str:
    return add("affine", x, scale=torch.tensor(scale, dtype=torch.float32), shift=torch.tensor(shift, dtype=torch.float32))


WRITTEN_OUT: dict[Any, Callable[..., str | None]] = {
    aten.neg.default: negative,
    aten.pow.Tensor_Scalar: power,
    aten.prelu.default: prelu,
    aten.square.default: square,
}
"""target -> what writes it out; arguments behind the first are passed on. It returns None for arguments that it does not know."""
