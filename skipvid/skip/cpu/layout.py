"""What is lowered to what: which nodes run natively, which point-wise nodes are one chain, which maps live inside others' memory.

Pure functions on the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skipvid.skip.cpu._native import LANES
from skipvid.skip.ir.chains import POINTWISE, find_chains, find_fallbacks
from skipvid.skip.ir.graph import Node
from skipvid.skip.plan import Plan


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
    fallback = find_fallbacks(plan.graph)
    chains = find_chains(plan.graph, plan.gates.keys(), fallback)
    enlarged = _enlarged(plan, fallback)
    absorbed = frozenset(node.name for last, chain in chains.items() for node in chain if node.name != last).union(enlarged)
    return Layout(fallback, chains, absorbed, _parts(plan, fallback, absorbed), enlarged)


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
    # Attention reads whole vectors behind a head's channels, which another step may be writing.
    apart = {name for node in plan.graph if node.op == "attention" for name in node.inputs} | fallback.keys()
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
                own = source.op != "input" and name not in apart and name not in parts and node.inputs.count(name) == 1
                if fits and own:
                    parts[name] = Part(node.name, offset)
                offset += source.channels
    return parts
