"""The learned gate: a pixel is published when a learned weighted sum of its change is positive (the Gumbel gate; paper, equation 8).

It belongs to one layer and stands right in front of it; what others read of that map stays as it is. Training writes such gates into a
file, `detect` and `pose` read them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from skipvid.core.errors import OutputError, UsageError, WeightsError
from skipvid.skip.gates.base import GatedGraph, GateKind, GateSettings, MapGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.placement import block_on, scaling_vectors
from skipvid.skip.ir.graph import WEIGHTED, Graph, Node

FILE_KIND = "skipvid gates 1"
"""Tells a file of gates from weights; the number changes when the layout does."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedGate(MapGate):
    """Opens where the logit Σ_c weight[c] · r[c] + bias ≥ 0 (kernel 1x1). There is no threshold, and no bound.

    weight: (C,) float32. r is the change since the last publication, or its magnitude if `magnitude` is set. map: "" until it is placed.
    """

    weight: Tensor
    bias: float
    magnitude: bool = True
    map: str = ""
    block: int = 1
    at_reader: ClassVar[bool] = True

    def opened(self, new: Tensor, published: Tensor, scale: float) -> Tensor:
        residual = new - published
        seen = residual.abs() if self.magnitude else residual
        maps = seen if seen.dim() == 4 else seen.reshape(1, -1, 1, 1)
        logits = (maps * self.weight.view(1, -1, 1, 1)).sum(1, keepdim=True) + self.bias
        return ~(logits < 0)

    def macs(self, channels: int) -> int:
        return channels

    def operations(self, channels: int) -> int:
        """Subtract and, at most, absolute value for each channel; one comparison."""
        return 2 * channels + 1


def place_learned_gates(graph: Graph, gates: Mapping[str, LearnedGate], block: int = 1) -> tuple[Graph, dict[str, MapGate]]:
    """The graph with learned gates in front of the layers that have one, and those gates by map. gates: by parameter path of the layer.

    Where others read the layer's input, too, the gate gets a map of its own, a `publish` node. Raises WeightsError where a gate belongs
    to no layer of this graph or has another number of channels than the layer's input.
    """
    layers = {node.layer for node in graph if node.op in WEIGHTED and node.guard is None}
    if unknown := sorted(gates.keys() - layers):
        raise WeightsError(f"there is a gate for {unknown[0]}, which is no layer of this network", "use the gates of this network")
    by_name, consumers, outputs = graph.by_name, graph.consumers(), graph.output_names
    placed: dict[str, MapGate] = {}
    nodes: list[Node] = []
    for node in graph:
        gate = gates.get(node.layer) if node.op in WEIGHTED and node.guard is None else None
        if gate is not None:
            source = by_name[node.inputs[0]]
            if len(gate.weight) != source.channels:
                raise WeightsError(
                    f"the gate of {node.layer} has {len(gate.weight)} weights, the layer {source.channels} input channels",
                    "use the gates of this network",
                )
            own = source.op != "input" and len(consumers[source.name]) == 1 and source.name not in outputs
            name = source.name if own else f"{node.name}_published"
            if not own:
                nodes.append(Node(name, "publish", (source.name,), source.shape, layer=""))
                node = replace(node, inputs=(name, *node.inputs[1:]))
            placed[name] = replace(gate, map=name, block=block_on(source, block))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes)), placed


def save_gates(gates: Mapping[str, LearnedGate], path: Path, about: Mapping[str, Any]) -> None:
    """Write learned gates by the parameter path of their layer. about: plain values about how they were made. Raises OutputError."""
    entries = {
        name: {"weight": gate.weight.detach().float().clone(), "bias": gate.bias, "magnitude": gate.magnitude}
        for name, gate in gates.items()
    }
    try:
        torch.save({"kind": FILE_KIND, "gates": entries, "about": dict(about)}, path)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}", "check the folder and the space left") from error


def load_gates(path: Path | str) -> dict[str, LearnedGate]:
    """Learned gates by the parameter path of their layer; runs no code of the file. Raises WeightsError where it holds none."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"gate file {path} cannot be read: {error.strerror or error}") from None
    except Exception:  # a damaged archive or pickle provokes anything
        raise WeightsError(f"{path} is no file of learned gates, or it is damaged", "skipvid train gates writes such files") from None
    entries = content.get("gates") if isinstance(content, Mapping) and content.get("kind") == FILE_KIND else None
    if not isinstance(entries, Mapping) or not entries:
        raise WeightsError(f"{path} holds no learned gates", "skipvid train gates writes such files")
    return {str(name): _gate(entry, f"{path}: the gate of {name}") for name, entry in entries.items()}


def _gate(entry: Any, what: str) -> LearnedGate:
    weight, bias, magnitude = (entry.get(key) if isinstance(entry, Mapping) else None for key in ("weight", "bias", "magnitude"))
    if isinstance(weight, Tensor) and isinstance(bias, float) and isinstance(magnitude, bool):
        finite = math.isfinite(bias) and weight.dtype == torch.float32 and bool(weight.isfinite().all())
        if finite and weight.dim() == 1:
            return LearnedGate(weight, bias, magnitude)
    raise WeightsError(f"{what} is damaged", "train the gates anew, or take another file")


def _attach(graph: Graph, settings: GateSettings) -> GatedGraph:
    graph, gates = place_learned_gates(graph, settings.learned_gates, settings.block)
    vectors = {name: NormGate(name, settings.threshold) for name in scaling_vectors(graph) if name not in gates}
    return GatedGraph(graph, gates | vectors)


def _check(settings: GateSettings) -> None:
    if not settings.learned_gates:
        raise UsageError("the gate is gumbel, but there are no learned gates", "train some with: skipvid train gates")


KIND = GateKind(_attach, _check, native=True)
