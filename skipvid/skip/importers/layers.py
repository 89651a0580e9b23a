"""Layers of an exported network: what reads weights or a window, and norms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node as FxNode

from skipvid.core.errors import BackendError
from skipvid.skip.importers.adaptive import ADAPTIVE, adaptive_nodes
from skipvid.skip.importers.attributes import LOCAL, adaptive_pool, conv_attributes, conv_transpose_attributes
from skipvid.skip.importers.element_types import first_of
from skipvid.skip.importers.map_norms import SUM, group_norm
from skipvid.skip.importers.translation import Translation
from skipvid.skip.ir.graph import Activation, Node

aten = torch.ops.aten


def _weighted(graph: Translation, fx: FxNode, op: str, attrs: dict[str, Any]) -> str:
    """A layer with constant weight and bias; a weight that is computed from the input leaves no choice but a dense call."""
    path = graph.paths.get(id(graph.value(fx.args[1])), fx.name).removesuffix(".weight")
    if op == "aten" or graph.is_map(fx.args[1]) or (len(fx.args) > 2 and graph.is_map(fx.args[2])):
        name = graph.aten(fx)
        graph.nodes[name] = replace(graph.nodes[name], layer=path)
        return name
    weight = graph.constant(fx.args[1])
    assert weight is not None
    bias = graph.constant(fx.args[2]) if len(fx.args) > 2 else None
    consts = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return graph.emit(fx, op, (fx.args[0],), attrs=attrs, consts=consts, layer=path)


def _conv(graph: Translation, fx: FxNode) -> str:
    kernel = graph.value(fx.args[1]).shape[2:] if not graph.is_map(fx.args[1]) else (1, 1)
    return _weighted(graph, fx, "conv", conv_attributes(fx, kernel))


def _conv_transpose(graph: Translation, fx: FxNode) -> str:
    return _weighted(graph, fx, "conv_transpose", conv_transpose_attributes(fx))


def _linear(graph: Translation, fx: FxNode) -> str:
    # Only a single vector is one "pixel"; what tokens are made of is known when the whole graph is.
    shape = fx.meta["val"].shape
    return _weighted(graph, fx, "linear" if len(shape) == 2 and shape[0] == 1 else "aten", {})


def _batch_norm(graph: Translation, fx: FxNode) -> str:
    weight, bias, mean, variance = (graph.constant(item) for item in fx.args[1:5])
    if mean is None or variance is None:
        return graph.aten(fx)
    stored: Any = fx.args[5:]
    if fx.target is aten.batch_norm.default:
        if stored[0]:  # normalises with the statistics of this input
            return graph.aten(fx)
        stored = stored[1:]
    epsilon = stored[1]
    scale = (weight if weight is not None else torch.ones_like(mean)) / torch.sqrt(variance + epsilon)
    shift = (bias if bias is not None else torch.zeros_like(mean)) - mean * scale
    # One of the two spellings returns three tensors, the map first: emit the map; _getitem passes it through.
    shape = tuple(first_of(fx.meta["val"]).shape)
    name: str = graph.value(fx.args[0])
    extents = (1, -1, 1, 1)[: len(shape)]
    consts = {"scale": scale.view(extents), "shift": shift.view(extents)}
    return graph.add(Node(fx.name, "affine", (name,), shape, consts=consts))


def _group_norm(graph: Translation, fx: FxNode) -> str:
    given: list[Any] = [*fx.args, *(None, None, 1e-5)[len(fx.args) - 2 :]]
    return _map_norm(graph, fx, given[1], given[2], given[3], given[4])


def _instance_norm(graph: Translation, fx: FxNode) -> str:
    given: list[Any] = list(fx.args)
    if not given[5]:  # with statistics from training
        return graph.aten(fx)
    return _map_norm(graph, fx, fx.meta["val"].shape[1], given[1], given[2], given[7])


def _layer_norm(graph: Translation, fx: FxNode) -> str:
    """One over all of a map; those over channels are found when tokens are."""
    given: list[Any] = [*fx.args, *(None, None, 1e-5)[len(fx.args) - 2 :]]
    shape = tuple(fx.meta["val"].shape)
    return _map_norm(graph, fx, 1, given[2], given[3], given[4]) if list(given[1]) == list(shape[1:]) else graph.aten(fx)


def _map_norm(graph: Translation, fx: FxNode, groups: int, weight: Any, bias: Any, epsilon: float) -> str:
    name, shape = graph.value(fx.args[0]), tuple(fx.meta["val"].shape)
    if len(shape) != 4 or graph.is_map(weight) or graph.is_map(bias):
        return graph.aten(fx)

    def add(op: str, *inputs: str, shape: tuple[int, ...], activation: Activation | None = None, groups: int = 0, **consts: Tensor) -> str:
        made, attrs = f"{fx.name}_part{len(graph.nodes)}", {**SUM, "groups": groups} if op == "conv" else {}
        return graph.add(Node(made, op, inputs, shape, attrs, consts, activation))

    one, zero = torch.ones((), dtype=torch.float32), torch.zeros((), dtype=torch.float32)
    scale, shift = (default if item is None else _over_map(graph.constant(item)) for item, default in ((weight, one), (bias, zero)))
    return group_norm(add, name, shape, groups, scale, shift, epsilon)


def _adaptive(graph: Translation, fx: FxNode) -> str:
    """Raises BackendError where the layer is not one of a single stream with constant weights."""
    path = graph.paths.get(id(graph.value(fx.args[2])), fx.name).removesuffix(".weight")
    constants = [graph.value(item) for item in fx.args[2:7]]
    computed = any(isinstance(value, str) for item in constants for value in (item if isinstance(item, list) else [item]))
    if computed or not all(graph.is_map(item) and graph.nodes[graph.value(item)].is_map for item in fx.args[:2]):
        raise BackendError(
            f"the adaptive layer {path} reads {'weights that are computed' if computed else 'several maps at a time'}",
            "give it maps of one stream, (1, C, H, W), and weights of its own",
        )
    settings: Any = fx.args[7:]
    for node in adaptive_nodes(fx.name, path, graph.value(fx.args[0]), graph.value(fx.args[1]), graph.nodes, constants, settings):
        graph.add(node)
    return fx.name


def _local(graph: Translation, fx: FxNode) -> str:
    op, attributes = LOCAL[fx.target]
    attrs = attributes(fx)
    return graph.aten(fx) if attrs is None else graph.emit(fx, op, (fx.args[0],), attrs=attrs)


def _adaptive_pool(graph: Translation, fx: FxNode) -> str:
    found = adaptive_pool(fx)
    if found is None:
        return graph.aten(fx)
    op, attrs = found
    if attrs.get("kernel") == (1, 1):
        return str(graph.value(fx.args[0]))
    return graph.emit(fx, op, (fx.args[0],), attrs=attrs)


def _over_map(constant: Tensor | None) -> Tensor:
    """A norm's constant, by channel or by number of a map, so that it broadcasts over a map."""
    assert constant is not None
    return constant.view(1, -1, 1, 1) if constant.dim() == 1 else constant.unsqueeze(0)


LAYERS: dict[Any, Callable[[Translation, FxNode], str]] = {
    aten.conv2d.default: _conv,
    aten.conv2d.padding: _conv,
    aten.conv_transpose2d.input: _conv_transpose,
    aten.linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.group_norm.default: _group_norm,
    aten.instance_norm.default: _instance_norm,
    aten.layer_norm.default: _layer_norm,
    aten.adaptive_avg_pool2d.default: _adaptive_pool,
    aten.adaptive_max_pool2d.default: _adaptive_pool,
    ADAPTIVE: _adaptive,
    **dict.fromkeys(LOCAL, _local),
}
"""target -> what adds its nodes and returns the name of the last one."""
