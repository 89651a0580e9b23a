"""A network split in two behind its target layer: what stands before it runs at keyframes, what stands behind it in every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch.utils._pytree import tree_flatten

from skipvid.core.errors import UsageError
from skipvid.skip.gates.base import GatedGraph
from skipvid.skip.ir.graph import Graph, Node
from skipvid.skip.ir.precision import stored_maps
from skipvid.skip.plan import Plan, make_plan

SHARE = (0.7, 0.95)
"""The least and the largest share of the MACs before the split: less saves little, and what is left of more is no network."""
INSTEAD = "leave --motion warp out, or choose another preset"


@dataclass(frozen=True, eq=False)
class Split:
    """prefix, suffix: plans of the two parts; the suffix takes the prefix's outputs. whole: the plan of both, without gates.

    behind: for each layer of the whole plan whether it stands behind the split.
    """

    prefix: Plan
    suffix: Plan
    whole: Plan
    behind: tuple[bool, ...]


def split_graph(graph: Graph, precision: str) -> Split:
    """Split a network where the fewest numbers have to be kept and moved, of the places with SHARE of its MACs before them.

    Of several such places the last. All maps that are read behind the split are outputs of the prefix, and each of them is stored in the
    whole network too, so that both parts together have its bits. precision: as in Plan; weights are rounded already.
    Raises UsageError for a network that cannot be split so: with more inputs than one, or where no place has only maps crossing it.
    """
    if len(graph.inputs) != 1:
        raise UsageError(f"activation motion compensation takes networks of one picture, this one has {len(graph.inputs)} inputs", INSTEAD)
    whole = make_plan(GatedGraph(graph), precision)
    macs = {layer.node: layer.dense_macs for layer in whole.layers}
    stored = stored_maps(graph, frozenset())
    found: tuple[int, list[Node]] | None = None
    done, fewest = 0, 0
    for position, crossing in _crossings(graph):
        done += macs.get(graph.nodes[position].name, 0)
        inside = SHARE[0] * whole.dense_macs <= done <= SHARE[1] * whole.dense_macs
        if not inside or not all(node.name in stored and _moves(node) for node in crossing):
            continue
        if all(node.size == (1, 1) for node in crossing):
            continue  # nothing that could move
        numbers = sum(node.channels * node.size[0] * node.size[1] for node in crossing)
        if found is None or numbers <= fewest:
            found, fewest = (position, crossing), numbers
    if found is None:
        raise UsageError("activation motion compensation finds no layer of this network behind which its maps could be moved", INSTEAD)
    return _split(whole, *found)


def _moves(node: Node) -> bool:
    return node.op != "input" and node.is_map and node.dtype.is_floating_point


def _crossings(graph: Graph) -> Iterator[tuple[int, list[Node]]]:
    """After each node, by its number, those whose values are still to be read."""
    last = {name: number for number, node in enumerate(graph.nodes) for name in node.inputs}
    last.update({name: len(graph.nodes) for name in graph.output_names})
    crossing: list[Node] = []
    for number, node in enumerate(graph.nodes):
        crossing = [one for one in (*crossing, node) if last.get(one.name, -1) > number]
        yield number, crossing


def _split(whole: Plan, position: int, crossing: Sequence[Node]) -> Split:
    graph, precision = whole.graph, whole.precision
    before, behind = graph.nodes[: position + 1], graph.nodes[position + 1 :]
    names = tuple(node.name for node in crossing)
    prefix = replace(graph, nodes=before, outputs=names, out_spec=tree_flatten(names)[1])
    inputs = tuple(Node(node.name, "input", (), node.shape, {"given": node.dtype}, dtype=node.dtype) for node in crossing)
    suffix = replace(graph, nodes=(*inputs, *behind))
    after = {node.name for node in behind}
    return Split(
        make_plan(GatedGraph(prefix), precision),
        make_plan(GatedGraph(suffix), precision),
        whole,
        tuple(layer.node in after for layer in whole.layers),
    )
