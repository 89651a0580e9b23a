"""In-place operations of an exported network, rewritten as functional ones where nobody can tell the difference.

torch's own way, `run_decompositions`, traces the whole network again. Nearly all in-place operations of real networks are harmless,
though: `relu_` on the result of a BatchNorm that nothing else reads. Only what is plainly of that kind is rewritten here.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch._ops import OpOverload
from torch.fx import Graph as FxGraph
from torch.fx import Node as FxNode

from skipvid.nn.adaptive_export import adaptive_operation

aten = torch.ops.aten

FRESH = {
    aten.add.Tensor,
    aten.batch_norm.default,
    aten.cat.default,
    aten.conv2d.default,
    aten.conv2d.padding,
    aten.conv_transpose2d.input,
    aten.div.Tensor,
    aten.linear.default,
    aten.mul.Tensor,
    aten.sub.Tensor,
    adaptive_operation,
}
"""Operations whose result shares no memory with anything."""


def make_functional(graph: FxGraph) -> bool:
    """Rewrite the in-place operations of an exported network. Returns False, with the graph unchanged, where that takes more than this."""
    rewritten: dict[FxNode, Any] = {}
    for fx in graph.nodes:
        if fx.op == "get_attr" or (fx.op == "call_function" and not _is_plain(fx)):
            return False
        if fx.op == "call_function" and isinstance(fx.target, OpOverload) and fx.target._schema.is_mutable:
            functional = _functional(fx.target)
            if functional is None or not _is_private(fx, rewritten):
                return False
            rewritten[fx] = functional
    for fx, functional in rewritten.items():
        fx.target = functional
    return True


def _is_plain(fx: FxNode) -> bool:
    """Whether an operation is one of ATen's that does what its schema says."""
    if fx.target in {aten.batch_norm.default, aten.instance_norm.default}:
        return fx.args[5] is False  # with statistics of the input they update the stored ones, unannounced
    return isinstance(fx.target, OpOverload) or fx.target is operator.getitem


def _functional(target: OpOverload) -> Any:
    namespace, name = target._schema.name.split("::")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    return getattr(packet, target._overloadname, None) if name.endswith("_") else None


def _is_private(fx: FxNode, rewritten: dict[FxNode, Any]) -> bool:
    """Whether the tensor that is changed in place is the whole result of an operation that only this one reads."""
    changed: Any = fx.args[0]
    fresh = changed.target in FRESH or changed in rewritten
    same_type = all(item.meta["val"].dtype == changed.meta["val"].dtype for item in fx.all_input_nodes)  # else the result takes another
    return fresh and len(changed.users) == 1 and same_type
