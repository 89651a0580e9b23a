"""Point-wise functions written out in operations that run on single pixels, so that none of them makes a map run densely.

Only where their input is native: between nodes that PyTorch computes, one operation of PyTorch's is less work than many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Activation, MapArgument

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


def log_sigmoid(add: Add, x: str) -> str:
    """−softplus(−x)"""
    return negative(add, add("activation", negative(add, x), activation=Activation("softplus", (1.0, 20.0))))


def celu(add: Add, x: str, alpha: float = 1.0) -> str:
    """x where it is positive, else alpha · (e^(x / alpha) − 1)"""
    # In two parts: x / alpha may be too large for a float.
    below = _affine(add, add("activation", x, activation=Activation("hardtanh", (-math.inf, 0.0))), 1 / alpha, 0.0)
    curve = _affine(add, add("activation", below, activation=Activation("elu", (1.0,))), alpha, 0.0)
    return add("add", add("activation", x, activation=Activation("relu")), curve)


def selu(add: Add, x: str) -> str:
    """The exponential linear unit, in the published proportions."""
    return _affine(add, add("activation", x, activation=Activation("elu", (1.6732632423543772,))), 1.0507009873554805, 0.0)


def softshrink(add: Add, x: str, most: float = 0.5) -> str:
    """x brought nearer to 0 by at most that."""
    above = add("activation", _affine(add, x, 1.0, -most), activation=Activation("relu"))
    below = add("activation", _affine(add, x, -1.0, -most), activation=Activation("relu"))
    return add("sub", above, below)


def _affine(add: Add, x: str, scale: float, shift: float) -> str:
    return add("affine", x, scale=torch.tensor(scale, dtype=torch.float32), shift=torch.tensor(shift, dtype=torch.float32))


WRITTEN_OUT: dict[Any, Callable[..., str | None]] = {
    aten.celu.default: celu,
    aten.log_sigmoid.default: log_sigmoid,
    aten.neg.default: negative,
    aten.pow.Tensor_Scalar: power,
    aten.prelu.default: prelu,
    aten.selu.default: selu,
    aten.softshrink.default: softshrink,
    aten.square.default: square,
}
"""target -> what writes it out; arguments behind the first are passed on. It returns None for arguments that it does not know."""


def is_written_out(target: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether an operation with these arguments behind the first is; other ones of the same name may not be."""
    if target not in WRITTEN_OUT or any(isinstance(item, MapArgument) for item in arguments):
        return False

    def add(op: str, *inputs: str, activation: Activation | None = None, **consts: Tensor) -> str:
        return op

    return WRITTEN_OUT[target](add, "", *arguments, **options) is not None
