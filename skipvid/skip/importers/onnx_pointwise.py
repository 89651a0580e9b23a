"""ONNX operations that work on every number by itself, or on pairs of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from skipvid.skip.importers.onnx_call import Call, Operation, Table

CLIP_INPUTS = 11
"""Opset from which Clip's limits are inputs."""
ARITHMETIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Min": torch.minimum,
    "Max": torch.maximum,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Equal": torch.eq,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": F.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "HardSwish": F.hardswish,
    "Mish": F.mish,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Abs": torch.abs,
    "Neg": torch.neg,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,
    "Sign": torch.sign,
    "Erf": torch.erf,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Not": torch.logical_not,
    "IsNaN": torch.isnan,
}


def _pairs(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """Min and Max take any number; a network that gives one input to an operation for two has it returned."""
    return lambda call: reduce(function, call.tensors())


def _single(function: Callable[[Tensor], Tensor]) -> Operation:
    return lambda call: function(call.tensor(0))


def _divide(call: Call) -> Tensor:
    a, b = call.tensor(0), call.tensor(1)
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(call: Call) -> Tensor:
    exponent = call.values[1]
    if not isinstance(exponent, Tensor) and exponent is not None and exponent.size == 1:
        return torch.pow(call.tensor(0), float(exponent.reshape(())))
    return torch.pow(call.tensor(0), call.tensor(1))


def _modulo(call: Call) -> Tensor:
    a, b = call.tensor(0), call.tensor(1)
    return torch.fmod(a, b) if call.get("fmod", 0) else torch.remainder(a, b)


def _sum(call: Call) -> Tensor:
    return reduce(torch.add, call.tensors())


def _mean(call: Call) -> Tensor:
    return _sum(call) / len(call)


def _clip(call: Call) -> Tensor:
    x = call.tensor(0)
    if call.op.opset < CLIP_INPUTS:
        low, high = call.get("min", -math.inf), call.get("max", math.inf)
    else:
        low, high = (_number(call, position, other) for position, other in ((1, -math.inf), (2, math.inf)))
    if not x.is_floating_point():
        return torch.clamp(x, None if low == -math.inf else int(low), None if high == math.inf else int(high))
    if (low, high) == (0, 6):
        return F.relu6(x)
    if low == 0 and high == math.inf:
        return F.relu(x)
    return F.hardtanh(x, low, high) if math.isfinite(low) and math.isfinite(high) else torch.clamp(x, low, high)


def _number(call: Call, position: int, default: float) -> float:
    return float(call.array(position, "limit").reshape(())) if call.has(position) else default


def _leaky_relu(call: Call) -> Tensor:
    return F.leaky_relu(call.tensor(0), call.get("alpha", 0.01))


def _prelu(call: Call) -> Tensor:
    x, slope = call.tensor(0), call.tensor(1)
    per_channel = slope.numel() == 1 or (x.dim() >= 3 and slope.numel() == x.shape[1] and slope.dim() == x.dim() - 1)
    per_channel = per_channel or (slope.dim() == x.dim() and slope.numel() == slope.shape[1] == x.shape[1])
    return F.prelu(x, slope.reshape(-1)) if per_channel else torch.where(x < 0, x * slope, x)


def _elu(call: Call) -> Tensor:
    return F.elu(call.tensor(0), call.get("alpha", 1.0))


def _celu(call: Call) -> Tensor:
    return F.celu(call.tensor(0), call.get("alpha", 1.0))


def _selu(call: Call) -> Tensor:
    alpha, gamma = float(call.get("alpha", 1.6732632)), float(call.get("gamma", 1.0507010))
    return F.elu(call.tensor(0), alpha) * gamma


def _gelu(call: Call) -> Tensor:
    return F.gelu(call.tensor(0), approximate=call.text("approximate", "none"))


def _swish(call: Call) -> Tensor:
    x, alpha = call.tensor(0), call.get("alpha", 1.0)
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


def _hard_sigmoid(call: Call) -> Tensor:
    alpha, beta = call.get("alpha", 0.2), call.get("beta", 0.5)
    x = call.tensor(0)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid(x)
    return F.hardtanh(x * alpha + beta, 0.0, 1.0)


def _thresholded_relu(call: Call) -> Tensor:
    return F.threshold(call.tensor(0), call.get("alpha", 1.0), 0.0)


def _where(call: Call) -> Tensor:
    return torch.where(call.tensor(0).bool(), call.tensor(1), call.tensor(2))


POINTWISE: Table = {
    **{kind: _pairs(function) for kind, function in ARITHMETIC.items()},
    **{kind: _single(function) for kind, function in FUNCTIONS.items()},
    "Celu": _celu,
    "Clip": _clip,
    "Div": _divide,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky_relu,
    "Mean": _mean,
    "Mod": _modulo,
    "PRelu": _prelu,
    "Pow": _power,
    "Selu": _selu,
    "Sum": _sum,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
    "Where": _where,
}
