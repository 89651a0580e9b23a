"""What is lowered to what: which nodes run natively, which point-wise nodes are one chain, which maps live inside others' memory.

Pure functions on the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from skipvid.skip.cpu._native import LANES
from skipvid.skip.ir.graph import Node
from skipvid.skip.plan import Plan

POINTWISE = frozenset({"affine", "activation", "add", "sub", "mul", "div"})
LOCAL = frozenset({"conv", "conv_transpose", "channels", "resize", "max_pool", "avg_pool", "pad", "publish", "global_mean"})
LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A map that lives inside another map's rows, from channel `offset` on."""

    of: str
    offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    """fallback: nodes without a kernel, run by PyTorch, and why. chains: for the last node of a point-wise chain all its nodes, in order.

    absorbed: nodes inside a chain, which have no map of their own. parts: maps inside others. enlarged: those of the absorbed nodes that
    resize to the nearest pixel: the chain that reads them looks their pixels up in the map that they resize.
    """

    fallback: Mapping[str, str]
    chains: Mapping[str, tuple[Node, ...]]
    absorbed: frozenset[str]
    parts: Mapping[str, Part]
    enlarged: Mapping[str, Node]


def make_layout(plan: Plan) -> Layout:
    """Decide how the nodes of a plan are executed."""
    by_name = plan.graph.by_name
    fallback: dict[str, str] = {}
    for node in plan.graph:
        reason = _why_fallback(node, by_name, fallback)
        if reason is not None:
            fallback[node.name] = reason
    chains = _chains(plan, fallback)
    enlarged = _enlarged(plan, fallback)
    absorbed = frozenset(node.name for last, chain in chains.items() for node in chain if node.name != last).union(enlarged)
    return Layout(fallback, chains, absorbed, _parts(plan, fallback, absorbed), enlarged)


def _why_fallback(node: Node, by_name: Mapping[str, Node], fallback: Mapping[str, str]) -> str | None:
    """fallback: the nodes before it that are."""
    sources = [by_name[name] for name in node.inputs]
    if node.op == "input" and node.dtype != torch.float32:
        return f"its values are {str(node.dtype).removeprefix('torch.')}"
    if node.op == "aten":
        return f"{node.attrs['target']} has no kernel"
    if node.op in POINTWISE:
        maps = node.is_map and all(source.is_map for source in sources)
        if not maps and any(name in fallback for name in node.inputs):
            return "it works on values that are no maps, which PyTorch computes"  # copying them there and back would cost more
        return None if maps or all(source.shape == node.shape for source in sources) else "it broadcasts values that are no maps"
    if node.op == "concat" and not all(source.is_map or len(source.shape) == 2 for source in sources):
        return "it joins values that are no maps"
    if node.op in LOCAL and not (node.is_map and all(source.is_map for source in sources)):
        return "it works on a value that is no map"
    return None


def _chains(plan: Plan, fallback: Mapping[str, str]) -> dict[str, tuple[Node, ...]]:
    """Join a point-wise node to its reader where nobody else reads it: recomputing it costs less than remembering it."""
    consumers = plan.graph.consumers()
    kept = plan.graph.output_names | plan.gates.keys()
    chains: dict[str, tuple[Node, ...]] = {}
    for node in plan.graph:
        if node.op not in POINTWISE or node.name in fallback:
            continue
        chain: tuple[Node, ...] = (node,)
        for name in node.inputs:
            if name in chains and name not in kept and len(consumers[name]) == 1:
                source = chains[name]
                if source[-1].shape == node.shape and len(source) + len(chain) <= LONGEST_CHAIN:
                    chain = (*source, *chain)
                    del chains[name]
        chains[node.name] = chain
    return chains


def _enlarged(plan: Plan, fallback: Mapping[str, str]) -> dict[str, Node]:
    """Nearest-neighbour resizing that only one point-wise node reads, as often as not several times: looking up beats copying."""
    consumers = plan.graph.consumers()
    kept = plan.graph.output_names | plan.gates.keys() | fallback.keys()
    found = {}
    for node in plan.graph:
        if node.op == "resize" and node.attrs["mode"] == "nearest" and node.name not in kept and node.inputs[0] not in fallback:
            readers = {reader.name: reader for reader in consumers[node.name]}
            if len(readers) == 1 and all(reader.op in POINTWISE and reader.name not in fallback for reader in readers.values()):
                found[node.name] = node
    return found


def _parts(plan: Plan, fallback: Mapping[str, str], absorbed: frozenset[str]) -> dict[str, Part]:
    by_name = plan.graph.by_name
    parts: dict[str, Part] = {}
    for node in plan.graph:
        if node.name in fallback or node.name in plan.gates:  # what a gate publishes is not what it was made of
            continue
        if node.op == "channels":
            index = node.attrs["index"]
            if index == tuple(range(index[0], index[0] + len(index))):
                parts[node.name] = Part(node.inputs[0], index[0])
        elif node.op == "concat":
            offset = 0
            for position, name in enumerate(node.inputs):
                source = by_name[name]
                # A row is written in full vectors, so a part must start and end at one, unless only padding comes behind it.
                fits = offset % LANES == 0 and (source.channels % LANES == 0 or position == len(node.inputs) - 1)
                own = source.op != "input" and name not in fallback and name not in parts and node.inputs.count(name) == 1
                if fits and own:
                    parts[name] = Part(node.name, offset)
                offset += source.channels
    return parts
