"""Point-wise operations of torch's that nothing here has a word for: joined to nodes that can be evaluated pixel by pixel.

torch marks its point-wise operations. Those between two values that are no floating-point maps (comparisons, conditions, whole numbers)
are computed as a part of what reads them: only floating-point maps are kept from frame to frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Graph, MapArgument, Node

aten = torch.ops.aten

UNMARKED = frozenset({
    aten.to.dtype, aten._to_copy.default, aten.__and__.Tensor, aten.__and__.Scalar, aten.__or__.Tensor, aten.__or__.Scalar,
    aten.where.ScalarOther, aten.where.ScalarSelf, aten.where.Scalar, aten.masked_fill.Tensor, aten.floor_divide.default,
    aten.rsub.Tensor, aten.multiply.Tensor, aten.subtract.Tensor, aten.divide.Tensor, aten.absolute.default, aten.negative.default,
    aten.fix.default, aten.greater.Scalar, aten.greater.Tensor, aten.greater_equal.Scalar, aten.greater_equal.Tensor,
    aten.less.Scalar, aten.less.Tensor, aten.less_equal.Scalar, aten.less_equal.Tensor, aten.not_equal.Scalar, aten.not_equal.Tensor,
})  # fmt: skip
"""Point-wise ones that torch does not mark."""
MOST = 24
"""Operations in one node, but for those that pass on no floating-point numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """inner: nodes in order, each reading earlier ones, and maps outside, by name."""

    inner: tuple[Node, ...]
    outside: tuple[str, ...]


def join_pointwise(graph: Graph, has_rule: Callable[[Node], bool]) -> Graph:
    """Replace point-wise operations of torch's by `pointwise` nodes, where all that they read are maps. has_rule: of those left alone."""
    by_name, kept = graph.by_name, graph.output_names
    read_once = {name for name, readers in graph.consumers().items() if len(readers) == 1 and name not in kept}
    groups: dict[str, _Group] = {}
    nodes = []
    for node in graph:
        group = _group(node, by_name, groups, read_once) if _is_pointwise(node) and not has_rule(node) else None
        if group is not None:
            groups[node.name] = group
            if node.dtype == torch.float32:
                node = _joined(node, group)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _group(node: Node, by_name: Mapping[str, Node], groups: Mapping[str, _Group], read_once: Set[str]) -> _Group | None:
    """A point-wise operation with those before it whose results nobody else needs, or nobody can keep."""
    inner: dict[str, Node] = {}
    outside: dict[str, None] = {}
    for name in node.inputs:
        source, group = by_name[name], groups.get(name)
        passing = name in read_once and group is not None and len(inner) + len(group.inner) < MOST
        if group is not None and (passing or source.dtype != torch.float32) and source.shape == node.shape:
            inner.update((each.name, each) for each in group.inner)
            outside.update(dict.fromkeys(group.outside))
        elif source.dtype == torch.float32 and _broadcasts(source, node):
            outside[name] = None
        else:
            return None
    if not outside:
        return None
    inner[node.name] = node
    return _Group(tuple(inner.values()), tuple(outside))


def _is_pointwise(node: Node) -> bool:
    """Whether an operation works on each number, or each pixel's channels, by itself, with the constants that it has."""
    if node.op != "aten" or node.attrs["item"] is not None:
        return False
    target = node.attrs["target"]
    marked = isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags
    return (marked or target in UNMARKED) and _constants_fit((*node.attrs["args"], *node.attrs["kwargs"].values()), node)


def _broadcasts(source: Node, node: Node) -> bool:
    if not node.is_map:
        return source.shape == node.shape
    return source.is_map and source.size in ((1, 1), node.size) and source.channels in (1, node.channels)


def _constants_fit(arguments: Sequence[Any], node: Node) -> bool:
    """Whether all tensors among the arguments are one number, or one for each channel of a map."""
    for item in arguments:
        if isinstance(item, list | tuple) and not _constants_fit(item, node):
            return False
        if isinstance(item, Tensor) and item.numel() != 1:
            extents = (*(1,) * (4 - item.dim()), *item.shape)
            if not node.is_map or extents != (1, node.channels, 1, 1):
                return False
    return True


def _joined(node: Node, group: _Group) -> Node:
    """Inside, what is read from outside goes by its position, as names outside may change."""
    names = {name: str(position) for position, name in enumerate(group.outside)}
    consts: dict[str, Tensor] = {}
    inner = []
    for each in group.inner:
        own = [names.get(name, name) for name in each.inputs]
        args, kwargs = (_without_constants(each.attrs[key], own, consts) for key in ("args", "kwargs"))
        inner.append(replace(each, inputs=tuple(own), attrs={**each.attrs, "args": args, "kwargs": kwargs}))
    return Node(node.name, "pointwise", group.outside, node.shape, {"inner": tuple(inner)}, consts, layer=node.layer)


def _without_constants(argument: Any, inputs: list[str], consts: dict[str, Tensor]) -> Any:
    """An argument in which constants that differ by channel are inputs, too."""
    if isinstance(argument, Tensor):
        if argument.numel() == 1:
            return argument.reshape(())
        name = f"constant{len(consts)}"
        consts[name] = argument.reshape(1, -1)
        inputs.append(name)
        return MapArgument(len(inputs) - 1)
    if isinstance(argument, dict):
        return {key: _without_constants(item, inputs, consts) for key, item in argument.items()}
    if isinstance(argument, list | tuple):
        return type(argument)(_without_constants(item, inputs, consts) for item in argument)
    return argument
