"""Short ways from a network to its graph, for the tests of this folder."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from skipvid.skip.importers.exported import import_exported
from skipvid.skip.importers.tracing import export
from skipvid.skip.ir.graph import Graph
from skipvid.skip.ir.passes import optimise
from skipvid.skip.reference.operations import evaluate


def raw_graph(net: nn.Module, *shapes: tuple[int, ...]) -> Graph:
    """The imported graph, before any pass."""
    return import_exported(export(net.eval(), tuple(torch.zeros(shape) for shape in shapes)))


def graph_of(net: nn.Module, *shapes: tuple[int, ...]) -> Graph:
    return optimise(raw_graph(net, *shapes))


def operations(graph: Graph) -> Counter[str]:
    """How many nodes of each kind, inputs left out."""
    return Counter(node.op for node in graph if node.op != "input")


@torch.no_grad()
def run(graph: Graph, *inputs: Tensor) -> list[Any]:
    """The leaves that the graph computes from `inputs`, constants among them."""
    values: dict[str, Tensor] = {}
    queue = iter(inputs)
    for node in graph:
        values[node.name] = next(queue) if node.op == "input" else evaluate(node, values)
    return [values[leaf] if isinstance(leaf, str) else leaf for leaf in graph.outputs]
