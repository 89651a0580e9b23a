"""Half precision: what is rounded to bfloat16, and when. The definition that every back end follows.

* Every stored map is rounded once, to nearest even: network inputs, results of layers and of all else that has a native kernel, and of what
  PyTorch computes what a native kernel reads. Within a chain of point-wise operations nothing is stored.
* Weights of convolutions and linear layers are rounded, those of depthwise ones are not; nor are biases and other constants.
* All arithmetic is float32: products, sums, activations, gates.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch
from torch import Tensor

from skipvid.skip.ir.chains import find_chains, find_fallbacks
from skipvid.skip.ir.graph import WEIGHTED, Graph, Node


def rounded(value: Tensor) -> Tensor:
    """The nearest bfloat16 numbers, in the type of `value`; what is not floating point stays as it is."""
    return value.to(torch.bfloat16).to(value.dtype) if value.is_floating_point() else value


def stored_maps(graph: Graph, gated: Set[str]) -> frozenset[str]:
    """Names of the values that are stored, and rounded, in half precision. gated: maps with a gate."""
    fallback = find_fallbacks(graph)
    consumers = graph.consumers()
    inside = {node.name for last, chain in find_chains(graph, gated, fallback).items() for node in chain if node.name != last}
    read = {node.name for node in graph if any(reader.name not in fallback for reader in consumers[node.name])}
    return frozenset(node.name for node in graph if node.name not in inside and (node.name not in fallback or node.name in read))


def round_weights(graph: Graph) -> Graph:
    """The graph with the weights that half precision multiplies with. Weights that layers share stay shared."""
    by_name = graph.by_name
    done: dict[int, Tensor] = {}

    def with_rounded_weight(node: Node) -> Node:
        if node.op not in WEIGHTED or is_depthwise(node, by_name[node.inputs[0]]):
            return node
        weight = node.consts["weight"]
        if id(weight) not in done:
            done[id(weight)] = rounded(weight)
        return replace(node, consts={**node.consts, "weight": done[id(weight)]})

    return Graph(tuple(with_rounded_weight(node) for node in graph), graph.outputs, graph.out_spec)


def is_depthwise(node: Node, source: Node) -> bool:
    """Whether a layer is a convolution of each channel by itself, of several. source: the node that it reads."""
    return node.op == "conv" and bool(node.attrs["groups"] == node.channels == source.channels > 1)
