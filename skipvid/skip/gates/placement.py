"""Where gates go, and what they ask.

A gate on a map publishes it: readers see a pixel's new value only where the gate opened. It asks for the norm of the change (paper, section
3.2, input form), or a learned question (the Gumbel gate, equation 8). A gate behind an operation that only moves values (concat, channel
slice, shuffle, pad) would gate the same values twice, or compare them after they were copied; so norm gates move through those to where the
values are computed. A learned gate belongs to one layer: it stands right in front of it, and what others read of that map stays as it is.

A gate on a layer (the output-norm gate, equation 7) decides which of its outputs are computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from skipvid.core.errors import UsageError, WeightsError
from skipvid.skip.ir.graph import MOVEMENT, WEIGHTED, Graph, Node

NORMS: Mapping[str, float] = {"1": 1.0, "2": 2.0, "inf": math.inf}
"""The p of a norm by its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a learned gate asks of each pixel: it opens where Σ_c weight[c] · r[c] + bias ≥ 0 (paper, equation 8, kernel 1x1).

    weight: (C,) float32. r is the change since the last publication, or its magnitude if `magnitude` is set.
    """

    weight: Tensor
    bias: float
    magnitude: bool = True


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of one map (paper, section 3.2, input form) on the accumulated reference.

    threshold: τ, in units of the map's scale. scale: the map's mean |activation| from a calibration, or None: measured at each keyframe.
    block: the mask is rounded up to blocks of block x block pixels (1 = single pixels). question: a learned gate's; it has no threshold.
    """

    map: str
    threshold: float
    scale: float | None = None
    block: int = 1
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class OutputGate:
    """The gate of one convolution: an output is computed where the change in its window, as a norm, exceeds the threshold.

    form "output" (paper, equation 7): the norm of the change times that of the weights, in units of the mean |output|. form "input"
    (equation 6; only with `previous`): the norm of the change alone, in units of the mean |input|. Norms are taken as means, so that one
    threshold suits layers of any size (skipvid.nn.NormGate has the same units). p: 1, 2 or inf.
    previous: as the paper has it, changes are counted from frame to frame, what is skipped is forgotten, and w ∗ (x_t − x_{t−1}) is added
    to the output. Otherwise what is skipped adds up until it opens the gate, and outputs are absolute: the sum bounds how far they are off.
    scale: from a calibration, or None: measured at each keyframe. block: as in Gate.
    """

    node: str
    threshold: float
    form: str = "output"
    p: float = 1.0
    previous: bool = False
    scale: float | None = None
    block: int = 1


def place_gates(
    graph: Graph,
    threshold: float,
    block: int = 1,
    thresholds: Mapping[str, float] | None = None,
    scales: Mapping[str, float] | None = None,
) -> dict[str, Gate]:
    """Norm gates by the name of their map. thresholds, scales: per map, in place of `threshold` and of measuring.

    Raises UsageError where these name a map that is not gated: they belong to another network.
    """
    gated = _norm_gated(graph)
    thresholds, scales = thresholds or {}, scales or {}
    _check_names({*thresholds, *scales}, gated, "gated map")
    return {
        node.name: Gate(node.name, thresholds.get(node.name, threshold), scales.get(node.name), block if node.size != (1, 1) else 1)
        for node in graph.nodes
        if node.name in gated
    }


def place_output_gates(
    graph: Graph,
    template: OutputGate,
    thresholds: Mapping[str, float] | None = None,
    scales: Mapping[str, float] | None = None,
) -> dict[str, OutputGate]:
    """Output gates by the name of their convolution. template: the settings of all; thresholds, scales: for single ones.

    Convolutions and transposed convolutions of maps have one; a linear layer has a single output pixel, and its input's gate serves.
    """
    chosen = [node for node in graph if takes_output_gate(node)]
    thresholds, scales = thresholds or {}, scales or {}
    _check_names({*thresholds, *scales}, {node.name for node in chosen}, "gated layer")
    return {
        node.name: replace(
            template,
            node=node.name,
            threshold=thresholds.get(node.name, template.threshold),
            scale=scales.get(node.name, template.scale),
            block=template.block if node.size != (1, 1) else 1,
        )
        for node in chosen
    }


def takes_output_gate(node: Node) -> bool:
    """Whether single outputs of a node can be skipped."""
    return node.op in {"conv", "conv_transpose"} and node.is_map


def place_learned_gates(graph: Graph, questions: Mapping[str, Question], block: int = 1) -> tuple[Graph, dict[str, Gate]]:
    """The graph with learned gates in front of the layers that have one, and those gates by map. questions: by parameter path of the layer.

    Where others read the layer's input, too, the gate gets a map of its own, a `publish` node. Raises WeightsError where a question belongs
    to no layer of this graph or has another number of channels than the layer's input.
    """
    layers = {node.layer for node in graph if node.op in WEIGHTED}
    if unknown := sorted(questions.keys() - layers):
        raise WeightsError(f"there is a gate for {unknown[0]}, which is no layer of this network", "use the gates of this network")
    by_name, consumers, outputs = graph.by_name, graph.consumers(), graph.output_names
    gates: dict[str, Gate] = {}
    nodes: list[Node] = []
    for node in graph:
        question = questions.get(node.layer) if node.op in WEIGHTED else None
        if question is not None:
            source = by_name[node.inputs[0]]
            if len(question.weight) != source.channels:
                raise WeightsError(
                    f"the gate of {node.layer} has {len(question.weight)} weights, the layer {source.channels} input channels",
                    "use the gates of this network",
                )
            own = source.op != "input" and len(consumers[source.name]) == 1 and source.name not in outputs
            name = source.name if own else f"{node.name}_published"
            if not own:
                nodes.append(Node(name, "publish", (source.name,), source.shape, layer=""))
                node = replace(node, inputs=(name, *node.inputs[1:]))
            gates[name] = Gate(name, 0.0, None, block if source.size != (1, 1) else 1, question)
        nodes.append(node)
    return Graph(tuple(nodes), graph.outputs, graph.out_spec), gates


def place_vector_gates(graph: Graph, threshold: float, besides: Mapping[str, Gate]) -> dict[str, Gate]:
    """Norm gates on the vectors that scale whole maps, where no other gate is: there any change, however small, would open everything."""
    by_name = graph.by_name
    vectors = {name for node in graph for name in _scaling_vectors(node, by_name)}
    return {name: Gate(name, threshold) for name in vectors if name not in besides}


def _check_names(given: set[str], known: set[str], what: str) -> None:
    if unknown := sorted(given - known):
        raise UsageError(f"thresholds or scales are given for {unknown[0]}, which is no {what}", "calibrate again for this network")


def _norm_gated(graph: Graph) -> set[str]:
    by_name = graph.by_name
    gated: set[str] = set()
    for node in graph.nodes:
        for name in _gated_inputs(node, by_name):
            _push_up(name, by_name, gated)
    return gated


def _gated_inputs(node: Node, by_name: Mapping[str, Node]) -> tuple[str, ...]:
    if node.op in WEIGHTED:
        return node.inputs[:1]
    return node.inputs if node.op == "global_mean" else _scaling_vectors(node, by_name)


def _scaling_vectors(node: Node, by_name: Mapping[str, Node]) -> tuple[str, ...]:
    if node.op not in {"add", "sub", "mul", "div"}:
        return ()
    # Squeeze-and-excite: a change of the vector, however small, would open the whole map.
    # What is neither a map nor a vector would be judged by its mean, in which a small part that changed does not show.
    return tuple(name for name in node.inputs if by_name[name].is_map and by_name[name].size != node.size)


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
