"""Counting: multiply-accumulates of each operation from its shapes alone. One multiply-accumulate (MAC) is two floating-point operations.

Counted: convolutions, transposed convolutions, linear layers, and matrix products among operations that run densely. Not counted,
because they are no multiply-accumulates of a weight: activations, additions, concatenation, resizing, pooling, means, softmax, and
the comparisons of gates (skipvid.skip.gates says what those cost).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from skipvid.skip.ir.aten import call
from skipvid.skip.ir.graph import Graph, MapArgument, Node


def dense_macs(node: Node, inputs: Sequence[Node]) -> int:
    """MACs of a node computed everywhere; `inputs` are the nodes it reads. Padding counts as if it were multiplied, as is usual."""
    if node.attrs.get("kind") == "sum":
        return 0
    if node.op in {"conv", "linear"}:
        return math.prod(node.shape) * node.consts["weight"][0].numel()
    if node.op == "conv_transpose":
        # Each *input* pixel is multiplied with the whole kernel.
        return math.prod(inputs[0].size) * node.consts["weight"].numel()
    if node.op == "attention":
        groups, heads, keys, values = (node.attrs[key] for key in ("groups", "heads", "key_size", "value_size"))
        return int(math.prod(node.size) * heads * (math.prod(inputs[1].size) // groups) * (keys + values))
    return _matrix_macs(node, inputs) if node.op == "aten" else 0


def macs_by_node(graph: Graph) -> dict[str, int]:
    """`dense_macs` of every node, 0 of those that are not counted."""
    by_name = graph.by_name
    return {node.name: dense_macs(node, [by_name[name] for name in node.inputs]) for node in graph}


MULTIPLYING = ("mm", "matmul", "linear", "conv", "attention", "einsum")


def _matrix_macs(node: Node, inputs: Sequence[Node]) -> int:
    """MACs of an operation that we have no formula for, by torch's own counter, run on zeros."""
    name = str(node.attrs["target"])
    if not any(part in name for part in MULTIPLYING):
        return 0
    if "scaled_dot_product_attention" in name:  # which torch's counter knows on some processors only
        given = node.attrs["args"][:3]
        q, k, v = (inputs[item].shape if isinstance(item, MapArgument) else tuple(item.shape) for item in given)
        return math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(node, [torch.zeros(source.shape, dtype=source.dtype, device="cpu") for source in inputs])
    return int(counter.get_total_flops()) // 2
