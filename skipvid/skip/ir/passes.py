"""Rewrites of the graph that change no result (beyond rounding) and make fewer, larger operations: each a pure function Graph -> Graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from skipvid.skip.ir.graph import ARITHMETIC, WEIGHTED, Activation, Graph, Node
from skipvid.skip.ir.rearrangement import recognise_rearrangements

FUSES_ACTIVATION = WEIGHTED | ARITHMETIC | {"affine"}
"""A residual add is deliberately not fused: where only the residual changed, its convolution need not be computed again."""


def optimise(graph: Graph) -> Graph:
    """All passes, in the order in which each prepares the next."""
    passes: tuple[Callable[[Graph], Graph], ...] = (
        recognise_rearrangements,
        remove_dead,
        fold_affines,
        fold_pads,
        recognise_silu,
        fuse_activations,
        remove_dead,
    )
    for rewrite in passes:
        graph = rewrite(graph)
    return graph


def remove_dead(graph: Graph) -> Graph:
    """Drop nodes that no output depends on; inputs stay, being part of the network's signature."""
    needed = set(graph.output_names)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in needed or node.op == "input":
            needed.update(node.inputs)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))


def _read_once(graph: Graph) -> set[str]:
    """Maps that one node reads, and no output: that node may swallow the operation before it."""
    outputs = graph.output_names
    return {name for name, readers in graph.consumers().items() if len(readers) == 1 and name not in outputs}


def fold_affines(graph: Graph) -> Graph:
    """Fold x * scale + shift (BatchNorm, most of all) into the convolution before it, where both are per channel."""
    swallowable = _read_once(graph)
    nodes: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        source = nodes.get(renamed.get(node.inputs[0], node.inputs[0])) if node.op == "affine" else None
        if source is not None and node.inputs[0] in swallowable and source.activation is None and _folds(source, node):
            nodes[source.name] = _with_affine(source, node)
            renamed[node.name] = source.name
        else:
            nodes[node.name] = node
    return graph.rewritten(list(nodes.values()), renamed)


def _per_channel(constant: torch.Tensor, channels: int) -> torch.Tensor | None:
    """A constant of an affine as (channels,), or None where it varies over space."""
    if constant.numel() == 1:
        return constant.reshape(1).expand(channels)
    if constant.numel() == channels and constant.dim() in (3, 4) and constant.shape[-3] == channels:
        return constant.reshape(channels)
    return None


def _folds(source: Node, affine: Node) -> bool:
    if source.op not in {"conv", "conv_transpose"}:
        return False
    return all(_per_channel(affine.consts[key], source.channels) is not None for key in ("scale", "shift"))


def _with_affine(conv: Node, affine: Node) -> Node:
    channels = conv.channels
    scale, shift = (_per_channel(affine.consts[key], channels) for key in ("scale", "shift"))
    assert scale is not None and shift is not None
    # In float64, so that folding costs no accuracy beyond the final rounding.
    weight, scale64 = conv.consts["weight"].double(), scale.double()
    if conv.op == "conv":
        weight = weight * scale64.view(-1, 1, 1, 1)
    else:  # (I, O/g, kh, kw): the outputs of group g are rows g of O/g channels
        groups = conv.attrs["groups"]
        inputs, outputs = weight.shape[:2]
        per_group = scale64.view(groups, 1, outputs, 1, 1)
        weight = (weight.view(groups, inputs // groups, outputs, *weight.shape[2:]) * per_group).view_as(weight)
    bias = conv.consts["bias"].double() if "bias" in conv.consts else torch.zeros(channels, dtype=torch.float64)
    consts = {"weight": weight.float(), "bias": (bias * scale64 + shift.double()).float()}
    return replace(conv, consts=consts)


def fold_pads(graph: Graph) -> Graph:
    """Let convolutions and pools pad for themselves: TensorFlow's asymmetric "same" becomes four numbers."""
    padded = {node.name: node for node in graph.nodes if node.op == "pad"}
    nodes = []
    for node in graph.nodes:
        pad = padded.get(node.inputs[0]) if node.op in {"conv", "max_pool", "avg_pool"} else None
        if pad is not None and _pad_folds(node, pad):
            pads = tuple(a + b for a, b in zip(node.attrs["pads"], pad.attrs["pads"], strict=True))
            node = replace(node, inputs=pad.inputs, attrs={**node.attrs, "pads": pads})
        nodes.append(node)
    return remove_dead(graph.rewritten(nodes, {}))


def _pad_folds(node: Node, pad: Node) -> bool:
    if min(pad.attrs["pads"]) < 0:  # negative padding crops
        return False
    if node.op == "max_pool":
        return bool(pad.attrs["value"] == float("-inf"))
    if pad.attrs["value"] != 0.0:
        return False
    return node.op == "conv" or (node.attrs["count_include_pad"] and node.attrs["pads"] == (0, 0, 0, 0))


def recognise_silu(graph: Graph) -> Graph:
    """x * sigmoid(x), written out, is one activation."""
    by_name = graph.by_name
    nodes = []
    for node in graph.nodes:
        if node.op == "mul" and node.activation is None:
            for one, other in (node.inputs, node.inputs[::-1]):
                gate = by_name[other]
                if gate.op == "activation" and gate.activation == Activation("sigmoid") and gate.inputs == (one,):
                    node = replace(node, op="activation", inputs=(one,), activation=Activation("silu"))
                    break
        nodes.append(node)
    return remove_dead(graph.rewritten(nodes, {}))


def fuse_activations(graph: Graph) -> Graph:
    """Apply an activation where its input is computed, if nobody else wants the input."""
    swallowable = _read_once(graph)
    nodes: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "activation" and node.inputs[0] in swallowable:
            source = nodes[renamed.get(node.inputs[0], node.inputs[0])]
            if source.op in FUSES_ACTIVATION and source.activation is None:
                nodes[source.name] = replace(source, activation=node.activation)
                renamed[node.name] = source.name
                continue
        nodes[node.name] = node
    return graph.rewritten(list(nodes.values()), renamed)
