"""Arithmetic of an exported network: activations, functions of single points, and what joins maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node as FxNode

from skipvid.skip.importers.pointwise import WRITTEN_OUT
from skipvid.skip.importers.translation import Translation
from skipvid.skip.ir.graph import Activation, MapArgument, Node

aten = torch.ops.aten

ACTIVATIONS: dict[Any, tuple[str, tuple[float, ...]]] = {
    # target -> (kind, default parameters)
    aten.relu.default: ("relu", ()),
    aten.relu6.default: ("hardtanh", (0.0, 6.0)),
    aten.hardtanh.default: ("hardtanh", (-1.0, 1.0)),
    aten.silu.default: ("silu", ()),
    aten.sigmoid.default: ("sigmoid", ()),
    aten.tanh.default: ("tanh", ()),
    aten.hardswish.default: ("hardswish", ()),
    aten.hardsigmoid.default: ("hardsigmoid", ()),
    aten.leaky_relu.default: ("leaky_relu", (0.01,)),
    aten.elu.default: ("elu", (1.0,)),
    aten.gelu.default: ("gelu", ()),
    aten.mish.default: ("mish", ()),
    aten.softplus.default: ("softplus", (1.0, 20.0)),
    aten.exp.default: ("exp", ()),
    aten.log.default: ("log", ()),
    aten.sqrt.default: ("sqrt", ()),
    aten.rsqrt.default: ("rsqrt", ()),
    aten.reciprocal.default: ("reciprocal", ()),
    aten.erf.default: ("erf", ()),
    aten.abs.default: ("abs", ()),
    aten.clamp.default: ("hardtanh", (-math.inf, math.inf)),
    aten.clamp_min.default: ("hardtanh", (0.0, math.inf)),
}
BINARY = {aten.add.Tensor: "add", aten.sub.Tensor: "sub", aten.mul.Tensor: "mul", aten.div.Tensor: "div"}
OF_TWO = {aten.maximum.default: "max", aten.minimum.default: "min", aten.max.other: "max", aten.min.other: "min"}
EXPANSIONS = {aten.expand.default, aten.expand_as.default}


def point_by_point(graph: Translation, fx: FxNode) -> str | None:
    """Add what computes each point of its result from the same point of what it reads; None where it is no such operation."""
    if fx.target in ACTIVATIONS and not (fx.target is aten.elu.default and len(fx.args) > 2):  # a scaled one
        return graph.emit(fx, "activation", (fx.args[0],), activation=_activation(fx))
    if fx.target in BINARY:
        return _binary(graph, fx, BINARY[fx.target])
    if fx.target in OF_TWO and all(graph.is_map(item) for item in fx.args):
        return graph.emit(fx, OF_TWO[fx.target], fx.args)
    if fx.target is aten.glu.default:
        return _gated_half(graph, fx)
    if fx.target in WRITTEN_OUT and graph.is_native_map(fx) and not any(graph.is_map(item) for item in fx.args[1:]):
        return _written_out(graph, fx)
    return None


def _binary(graph: Translation, fx: FxNode, op: str) -> str:
    left, right = fx.args[0], fx.args[1]
    alpha: Any = fx.kwargs.get("alpha", 1)
    shape = tuple(fx.meta["val"].shape)
    if graph.is_map(left) and graph.is_map(right):
        left, right = (_unexpanded(item, shape) for item in (left, right))
        if alpha == 1:
            return graph.emit(fx, op, (left, right))
        if op == "div":  # rounded
            return graph.aten(fx)
        consts = {"scale": torch.tensor(float(alpha), dtype=torch.float32), "shift": torch.zeros((), dtype=torch.float32)}
        times = graph.add(Node(f"{fx.name}_times", "affine", (graph.value(right),), tuple(right.meta["val"].shape), consts=consts))
        return graph.add(Node(fx.name, op, (graph.value(left), times), shape))
    constant, source = (graph.value(right), left) if graph.is_map(left) else (graph.value(left), right)
    reversed_ = source is right
    tensor = constant.float() if isinstance(constant, Tensor) else torch.tensor(float(constant), dtype=torch.float32)
    keeps_shape = isinstance(source, FxNode) and tuple(source.meta["val"].shape) == shape
    if alpha != 1 or not keeps_shape:
        return graph.aten(fx)
    if reversed_ and op == "div":
        name = f"{fx.name}_reciprocal"
        graph.add(Node(name, "activation", (graph.value(source),), shape, activation=Activation("reciprocal")))
        consts = {"scale": tensor, "shift": torch.tensor(0.0, dtype=torch.float32)}
        return graph.add(Node(fx.name, "affine", (name,), shape, consts=consts))
    one, zero = (torch.tensor(number, dtype=torch.float32) for number in (1.0, 0.0))
    scale, shift = {
        "add": (one, tensor),
        "sub": (-one, tensor) if reversed_ else (one, -tensor),
        "mul": (tensor, zero),
        "div": (1 / tensor, zero),
    }[op]
    return graph.emit(fx, "affine", (source,), consts={"scale": scale, "shift": shift})


def _unexpanded(operand: Any, shape: tuple[int, ...]) -> Any:
    """Arithmetic repeats a smaller value by itself."""
    if operand.target not in EXPANSIONS or tuple(operand.meta["val"].shape) != shape:
        return operand
    source = operand.args[0]
    return source if len(source.meta["val"].shape) == len(shape) else operand


def _gated_half(graph: Translation, fx: FxNode) -> str:
    """The first half of an axis times the logistic function of the second (GLU)."""
    source: Any = fx.args[0]
    name, shape = graph.value(source), list(fx.meta["val"].shape)
    axis: Any = fx.args[1] if len(fx.args) > 1 else -1
    axis %= len(shape)
    halves = []
    for number in range(2):
        args = (MapArgument(0), axis, number * shape[axis], (number + 1) * shape[axis])
        attrs = {"target": aten.slice.Tensor, "args": args, "kwargs": {}, "item": None}
        halves.append(graph.add(Node(f"{fx.name}_half{number}", "aten", (name,), tuple(shape), attrs)))
    opening = graph.add(Node(f"{fx.name}_opening", "activation", (halves[1],), tuple(shape), activation=Activation("sigmoid")))
    return graph.add(Node(fx.name, "mul", (halves[0], opening), tuple(shape)))


def _written_out(graph: Translation, fx: FxNode) -> str | None:
    shape = tuple(fx.meta["val"].shape)

    def add(op: str, *inputs: str, activation: Activation | None = None, **consts: Tensor) -> str:
        return graph.add(Node(f"{fx.name}_part{len(graph.nodes)}", op, inputs, shape, consts=consts, activation=activation))

    given = [graph.value(item) for item in fx.args[1:]]
    return WRITTEN_OUT[fx.target](add, graph.value(fx.args[0]), *given, **fx.kwargs)


def _reversed_sub(graph: Translation, fx: FxNode) -> str:
    """constant − alpha · x"""
    constant, alpha = (torch.tensor(float(item), dtype=torch.float32) for item in (*fx.args[1:], 1.0)[:2])  # type: ignore[arg-type]
    return graph.emit(fx, "affine", (fx.args[0],), consts={"scale": -alpha, "shift": constant})


def _add_product(graph: Translation, fx: FxNode) -> str:
    """shift + value · scale · x, where only x is no constant."""
    shift, *factors = fx.args
    maps = [item for item in factors if graph.is_map(item)]
    shape = tuple(fx.meta["val"].shape)
    if graph.is_map(shift) or len(maps) != 1 or tuple(maps[0].meta["val"].shape) != shape:  # type: ignore[union-attr]
        return graph.aten(fx)
    (scale,) = (graph.constant(item) for item in factors if not graph.is_map(item))
    offset, times = graph.constant(shift), fx.kwargs.get("value", 1)
    if scale is None or offset is None or not isinstance(times, int | float):
        return graph.aten(fx)
    return graph.emit(fx, "affine", maps, consts={"scale": scale * times, "shift": offset})


def _concat(graph: Translation, fx: FxNode) -> str:
    parts: Any = fx.args[0]
    axis = fx.args[1] if len(fx.args) > 1 else 0
    if axis not in (1, -3) or not all(graph.is_map(part) for part in parts):
        return graph.aten(fx)
    return graph.emit(fx, "concat", parts)


def _activation(fx: FxNode) -> Activation:
    kind, params = ACTIVATIONS[fx.target]
    if fx.kwargs.get("approximate") == "tanh":
        return Activation("gelu_tanh")
    given: list[Any] = [*fx.args[1:], *[None] * len(params)]
    return Activation(kind, tuple(default if item is None else float(item) for item, default in zip(given, params, strict=False)))


JOINING: dict[Any, Callable[[Translation, FxNode], str]] = {
    aten.addcmul.default: _add_product,
    aten.cat.default: _concat,
    aten.rsub.Scalar: _reversed_sub,
}
"""target -> what adds its nodes and returns the name of the last one."""
