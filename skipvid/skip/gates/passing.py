"""Gates that would pass what they are asked, left out.

A 1 × 1 convolution that widens a map, or keeps its width and has an activation, is asked about pixels alone whose input has just opened its
own gate, and hands nearly all of them on: in the bundled detector 99.9 % on three clips. In half precision, where products are cheap, the
comparison costs more than what it saves. So it is with smoothed gates, which open whole neighbourhoods, and whose comparisons cost more
(1.4 times the time of the frame on PETS). A map without a gate has its exact value, so that every promise about it holds.

So is a map that is another one scaled channel by channel, where a 1 × 1 convolution alone reads it (squeeze and excitation): in
EfficientDet-D0 100 % of its pixels pass while the scales are as they were. Without a gate it is not stored at all on the back end cpu: the
convolution scales what it reads. Scales that are published make it compute all of its pixels, which is no more work than to scale and to
compare all of a map that is four to six times as wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from skipvid.skip.gates.base import GatedGraph, MapGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Node


def without_passing(gated: GatedGraph) -> GatedGraph:
    """The same without those norm gates, smoothed or not, that pass nearly all that they are asked."""
    by_name, gates = gated.graph.by_name, gated.gates
    consumers = gated.graph.consumers()

    def passes(name: str, gate: MapGate) -> bool:
        node = by_name[name]
        if node.op == "mul" and name not in gated.graph.output_names:
            source = _scaled(node, [by_name[each] for each in node.inputs], consumers[name])
        else:
            source = node.inputs[0] if node.op == "conv" and _keeps_changes(node, by_name[node.inputs[0]]) else None
        before = gates.get(source) if source is not None else None
        if not (_opens_single_pixels(gate) and _opens_single_pixels(before)):
            return False
        return type(before) is type(gate) and before.threshold >= gate.threshold

    kept = {name: gate for name, gate in gates.items() if not passes(name, gate)}
    return GatedGraph(gated.graph, kept, gated.output_gates)


def _opens_single_pixels(gate: MapGate | None) -> TypeGuard[NormGate]:
    """Whether it is a norm gate that does not open in blocks."""
    return isinstance(gate, NormGate) and gate.block == 1


def _scaled(node: Node, sources: Sequence[Node], readers: Sequence[Node]) -> str | None:
    """The map that a product is, but for the scales of its channels, where a 1 × 1 convolution alone reads it; or None."""
    maps = [source for source in sources if source.size == node.size]
    scales = [source for source in sources if source.size == (1, 1) and source.channels == node.channels]
    if len(maps) != 1 or len(scales) != 1 or node.activation is not None or len(readers) != 1 or readers[0].op != "conv":
        return None
    (reader,) = readers
    pixel_by_pixel = tuple(reader.consts["weight"].shape[2:]) == (1, 1) and reader.size == node.size
    return maps[0].name if pixel_by_pixel and reader.attrs["groups"] == 1 and maps[0].channels == node.channels else None


def _keeps_changes(node: Node, source: Node) -> bool:
    """Whether a convolution sees single pixels and has room for all that changes in them: a projection may lose it."""
    pixel_by_pixel = tuple(node.consts["weight"].shape[2:]) == (1, 1) and node.attrs["groups"] == 1 and node.size == source.size != (1, 1)
    return pixel_by_pixel and (node.channels > source.channels or (node.channels == source.channels and node.activation is not None))
