"""Where gates can stand in a graph.

A gate behind an operation that only moves values (concat, channel slice, shuffle, pad) would gate the same values twice, or compare them
after they were copied; so norm gates move through those to where the values are computed.
"""

from __future__ import annotations

from collections.abc import Mapping

from skipvid.core.errors import UsageError
from skipvid.skip.ir.graph import ARITHMETIC, REARRANGEMENTS, WEIGHTED, Graph, Node


def gated_maps(graph: Graph) -> list[str]:
    """The maps that norm gates stand on, in the order of the graph: what layers and means over a whole map read, and `scaling_vectors`."""
    by_name = graph.by_name
    found: set[str] = set()
    for node in graph.nodes:
        for name in _gated_inputs(node, by_name):
            _push_up(name, by_name, found)
    # What is computed in some frames alone has no unit that a keyframe could measure; what reads it is gated behind it.
    return [node.name for node in graph if node.name in found and node.guard is None]


def scaling_vectors(graph: Graph) -> list[str]:
    """Vectors that scale whole maps: without a gate any change of them, however small, would open everything."""
    by_name = graph.by_name
    found = {name for node in graph for name in _scaling_vectors(node, by_name)}
    return [node.name for node in graph if node.name in found]


def layers_behind(graph: Graph) -> dict[str, list[Node]]:
    """For each map that a norm gate stands on because weighted layers read it, directly or rearranged: those layers."""
    by_name = graph.by_name
    behind: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.op in WEIGHTED and (node.guard is None or node.guard[1] == 0):
            maps: set[str] = set()
            _push_up(node.inputs[0], by_name, maps)
            for name in sorted(maps):
                behind.setdefault(name, []).append(node)
    return behind


def block_on(node: Node, block: int) -> int:
    """The size of a gate's blocks on the map of a node: a single pixel has none."""
    return block if node.size != (1, 1) else 1


def check_names(given: set[str], known: set[str], what: str) -> None:
    """Raise UsageError where thresholds or scales are given for a name that this network has not: they belong to another one."""
    if unknown := sorted(given - known):
        raise UsageError(f"thresholds or scales are given for {unknown[0]}, which is no {what}", "calibrate again for this network")


def _gated_inputs(node: Node, by_name: Mapping[str, Node]) -> tuple[str, ...]:
    if node.op in WEIGHTED:
        return node.inputs[:1]
    return node.inputs if node.op == "global_mean" else _scaling_vectors(node, by_name)


def _scaling_vectors(node: Node, by_name: Mapping[str, Node]) -> tuple[str, ...]:
    if node.op not in ARITHMETIC:
        return ()
    # What is neither a map nor a vector would be judged by its mean, in which a small part that changed does not show.
    return tuple(name for name in node.inputs if by_name[name].is_map and by_name[name].size != node.size)


def _push_up(name: str, by_name: Mapping[str, Node], gated: set[str]) -> None:
    node = by_name[name]
    if node.op in REARRANGEMENTS or (node.op == "resize" and node.attrs["mode"] == "nearest"):
        for source in node.inputs:
            _push_up(source, by_name, gated)
    else:
        gated.add(name)
