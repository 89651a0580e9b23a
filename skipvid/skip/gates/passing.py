"""Gates that would pass what they are asked, left out.

A 1 × 1 convolution that widens a map, or keeps its width and has an activation, is asked about pixels alone whose input has just opened its
own gate, and hands nearly all of them on: in the bundled detector 99.9 % on three clips. In half precision, where products are cheap, the
comparison costs more than what it saves. A map without a gate has its exact value, so that every promise about it holds.
"""

from __future__ import annotations

from typing import TypeGuard

from skipvid.skip.gates.base import GatedGraph, MapGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Node


def without_passing(gated: GatedGraph) -> GatedGraph:
    """The same without norm gates that pass nearly all that they are asked."""
    by_name, gates = gated.graph.by_name, gated.gates

    def passes(name: str, gate: MapGate) -> bool:
        node = by_name[name]
        before = gates.get(node.inputs[0]) if node.op == "conv" else None
        if not _is_plain(gate) or not _is_plain(before):
            return False
        return before.threshold >= gate.threshold and _keeps_changes(node, by_name[node.inputs[0]])

    kept = {name: gate for name, gate in gates.items() if not passes(name, gate)}
    return GatedGraph(gated.graph, kept, gated.output_gates)


def _is_plain(gate: MapGate | None) -> TypeGuard[NormGate]:
    """Whether a gate decides by the change of each pixel alone."""
    return type(gate) is NormGate and gate.block == 1


def _keeps_changes(node: Node, source: Node) -> bool:
    """Whether a convolution sees single pixels and has room for all that changes in them: a projection may lose it."""
    pixel_by_pixel = tuple(node.consts["weight"].shape[2:]) == (1, 1) and node.attrs["groups"] == 1 and node.size == source.size != (1, 1)
    return pixel_by_pixel and (node.channels > source.channels or (node.channels == source.channels and node.activation is not None))
