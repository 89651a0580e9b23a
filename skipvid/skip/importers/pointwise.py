"""Point-wise functions written out in operations that run on single pixels, so that none of them makes a map run densely.

Only where their input is native: between nodes that PyTorch computes, one operation of PyTorch's is less work than many.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Activation

aten = torch.ops.aten

NORMAL_LIMIT = 6.0
"""From here on the normal distribution's function is 1 in float32, and at −6 it is 0."""
NORMAL_LOGIT = (1.595768536772839, 0.07266829820346478, -6.605333615276455e-05, -0.00011054680039174332, 7.948145860919174e-06,
                -2.6756669800746055e-07, 3.62786186560436e-09)  # fmt: skip
"""Φ(x) = sigmoid(x · Σ a_k x^2k) for |x| ≤ 6: a least-squares fit, reweighted until x · Φ(x) was off by 6e-7 at most in float32."""


class Add(Protocol):
    """Adds a node that computes a map of the same size. Returns its name."""

    def __call__(self, op: str, *inputs: str, activation: Activation | None = None, **consts: Tensor) -> str: ...


def gelu(add: Add, x: str, approximate: str = "none") -> str:
    """x · Φ(x), exact or by the tanh formula, as torch has them."""
    if approximate == "tanh":
        factor = math.sqrt(2 / math.pi)
        inner = add("mul", _affine(add, add("mul", x, x), 0.044715 * factor, factor), x)
        share = _affine(add, add("activation", inner, activation=Activation("tanh")), 0.5, 0.5)
        return add("mul", x, share)
    clamped = add("activation", x, activation=Activation("hardtanh", (-NORMAL_LIMIT, NORMAL_LIMIT)))
    squared = add("mul", clamped, clamped)
    value = _affine(add, squared, NORMAL_LOGIT[-1], NORMAL_LOGIT[-2])
    for coefficient in reversed(NORMAL_LOGIT[:-2]):
        value = _affine(add, add("mul", value, squared), 1.0, coefficient)
    share = add("activation", add("mul", value, clamped), activation=Activation("sigmoid"))
    return add("mul", x, share)


def mish(add: Add, x: str) -> str:
    """x · tanh(ln(1 + e^x)) = x · (1 − t²) / (1 + t²) with t = sigmoid(−x)."""
    small = add("activation", _affine(add, x, -1.0, 0.0), activation=Activation("sigmoid"))
    squared = add("mul", small, small)
    share = add("div", _affine(add, squared, -1.0, 1.0), _affine(add, squared, 1.0, 1.0))
    return add("mul", x, share)


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


WRITTEN_OUT: dict[Any, Callable[..., str]] = {
    aten.gelu.default: gelu,
    aten.mish.default: mish,
    aten.prelu.default: prelu,
}
"""target -> what writes it out; arguments behind the first are passed on."""
