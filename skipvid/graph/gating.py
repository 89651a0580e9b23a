"""Where gates go: on every map that feeds a weighted layer, and on every vector that scales a whole map.

A gate behind an operation that only moves values (concat, channel slice, shuffle, pad) would gate the same values twice, or compare them
after they were copied; so the need for a gate moves through those to where the values are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skipvid.errors import UsageError
from skipvid.graph.ir import MOVEMENT, WEIGHTED, Graph, Node


@dataclass(frozen=True, slots=True)
class Gate:
    """The norm gate of one map (paper, section 3.2, input form) on the accumulated reference.

    threshold: τ, in units of the map's scale. scale: the map's mean |activation| from a calibration, or None: measured at each keyframe.
    block: the mask is rounded up to blocks of block x block pixels (1 = single pixels).
    """

    map: str
    threshold: float
    scale: float | None = None
    block: int = 1


def place_gates(
    graph: Graph,
    threshold: float,
    block: int = 1,
    thresholds: Mapping[str, float] | None = None,
    scales: Mapping[str, float] | None = None,
) -> dict[str, Gate]:
    """Gates by the name of their map. thresholds, scales: per map, in place of `threshold` and of measuring.

    Raises UsageError where these name a map that is not gated: they belong to another network.
    """
    by_name = graph.by_name
    gated: set[str] = set()
    for node in graph.nodes:
        for name in _gated_inputs(node, by_name):
            _push_up(name, by_name, gated)
    thresholds, scales = thresholds or {}, scales or {}
    if unknown := sorted({*thresholds, *scales} - gated):
        raise UsageError(f"thresholds or scales are given for {unknown[0]}, which is no gated map", "calibrate again for this network")
    return {
        node.name: Gate(node.name, thresholds.get(node.name, threshold), scales.get(node.name), block if node.size != (1, 1) else 1)
        for node in graph.nodes
        if node.name in gated
    }


def _gated_inputs(node: Node, by_name: Mapping[str, Node]) -> tuple[str, ...]:
    if node.op in WEIGHTED:
        return node.inputs[:1]
    if node.op in {"add", "sub", "mul", "div"}:
        # Squeeze-and-excite: a change of the vector, however small, would open the whole map.
        # What is neither a map nor a vector would be judged by its mean, in which a small part that changed does not show.
        return tuple(name for name in node.inputs if by_name[name].is_map and by_name[name].size != node.size)
    if node.op == "global_mean":
        return node.inputs
    return ()


def _push_up(name: str, by_name: Mapping[str, Node], gated: set[str]) -> None:
    node = by_name[name]
    if node.op in MOVEMENT or (node.op == "resize" and node.attrs["mode"] == "nearest"):
        for source in node.inputs:
            _push_up(source, by_name, gated)
    else:
        gated.add(name)


def layers_behind(graph: Graph) -> dict[str, list[Node]]:
    """For each map that a norm gate stands on because weighted layers read it, directly or moved: those layers."""
    by_name = graph.by_name
    behind: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.op in WEIGHTED:
            maps: set[str] = set()
            _push_up(node.inputs[0], by_name, maps)
            for name in sorted(maps):
                behind.setdefault(name, []).append(node)
    return behind
