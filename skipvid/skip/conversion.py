"""What `convert` made of a network: which share of the work skips, what PyTorch computes and why, and what a stream costs in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from skipvid.skip.backend import Program
from skipvid.skip.ir.footprint import SPARSE_OPS
from skipvid.skip.ir.graph import Node
from skipvid.skip.plan import Plan

SPARSE, DENSE, PYTORCH = "sparse", "dense", "PyTorch"
"""How a layer runs: pixel by pixel; as a whole whenever an input changed; the same, by PyTorch between native steps."""
WAYS = (SPARSE, DENSE, PYTORCH)
NAMED = 3
"""Nodes named in one line of a report; `details` names all."""
HOPELESS = 0.5
"""Share of the MACs in fallbacks from which skipping cannot pay, whatever stands still."""


@dataclass(frozen=True, slots=True)
class ConvertedLayer:
    """One layer. name, stage, kind: as in costs. way: one of WAYS."""

    name: str
    stage: str
    kind: str
    macs: int
    way: str


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What `convert` made of a network: nothing is left dense silently. Printed, it begins with totals; layers are folded to stages.

    operations: node count by kind. gated: number of gated maps. gated_layers: of convolutions with an output gate.
    dense: (node, torch operation, reason) of what runs on whole maps, all that PyTorch computes for a native back end among them.
    layers: all of them. fallbacks: names of the nodes that PyTorch computes between native steps. state_bytes: memory of one stream.
    notes: what else a user should know. verdict: of a short run, where PyTorch computes a part; "" = there was none.
    """

    operations: Mapping[str, int]
    gated: int
    dense_macs: int
    dense: tuple[tuple[str, str, str], ...]
    gated_layers: int = 0
    layers: tuple[ConvertedLayer, ...] = ()
    fallbacks: tuple[str, ...] = ()
    state_bytes: int = 0
    notes: tuple[str, ...] = ()
    verdict: str = ""

    def share(self, way: str) -> float:
        """Fraction of the MACs in layers that run that way, one of WAYS."""
        return _macs(self.layers, way) / max(self.dense_macs, 1)

    def __str__(self) -> str:
        return "\n".join([*self._totals(), *self._stages(), *self._dense(NAMED)])

    def details(self) -> str:
        """The report with every layer and every node."""
        width = max((len(layer.name) for layer in self.layers), default=0)
        layers = [f"  {layer.name:<{width}}  {layer.macs / 1e6:>9.2f} M  {layer.way:<7}  {layer.kind}" for layer in self.layers]
        return "\n".join([*self._totals(), *layers, *self._dense(len(self.dense))])

    def _totals(self) -> Iterator[str]:
        shares = ", ".join(f"{self.share(way):.0%} {'in ' if way == PYTORCH else ''}{way}" for way in WAYS)
        gates = f"{self.gated} gated maps" + (f", {self.gated_layers} gated layers" if self.gated_layers else "")
        yield f"{self.dense_macs / 1e6:.1f} M MACs: {shares}; {_size(self.state_bytes)} of state per stream; {gates}"
        kinds = sorted(self.operations.items(), key=lambda item: -item[1])
        yield "operations: " + ", ".join(f"{count} {kind}" for kind, count in kinds)
        if self.verdict:
            yield self.verdict
        if self.share(PYTORCH) > HOPELESS:
            yield f"{self.share(PYTORCH):.0%} of the MACs are in fallbacks: skipping will not pay"
        yield from self.notes

    def _stages(self) -> Iterator[str]:
        stages: dict[str, list[ConvertedLayer]] = {}
        for layer in self.layers:
            stages.setdefault(layer.stage, []).append(layer)
        if len(stages) < 2:
            return
        width = max(map(len, stages))
        yield f"{'stage':<{width}}  layers     M MACs  " + "  ".join(f"{way:>7}" for way in WAYS)
        for stage, layers in stages.items():
            total = sum(layer.macs for layer in layers)
            ways = "  ".join(f"{_macs(layers, way) / max(total, 1):>7.0%}" for way in WAYS)
            yield f"{stage:<{width}}  {len(layers):>6}  {total / 1e6:>9.2f}  {ways}"

    def _dense(self, most: int) -> Iterator[str]:
        groups: dict[tuple[bool, str, str], list[str]] = {}
        for name, target, reason in self.dense:
            groups.setdefault((name in self.fallbacks, target, reason), []).append(name)
        for (fallback, target, reason), names in groups.items():
            more = f" and {len(names) - most} more" if len(names) > most else ""
            where = "in PyTorch" if fallback else "dense"
            yield f"{where}: {len(names)} × {target} ({', '.join(names[:most])}{more}): {reason}"


def describe(plan: Plan, program: Program) -> ConversionReport:
    """The conversion report of a plan and its program."""
    reasons, by_name = dict(program.fallbacks), plan.graph.by_name
    dense = tuple(
        (node.name, _operation(node), _why(node, reasons))
        for node in plan.graph
        if node.name in reasons or (node.op not in SPARSE_OPS and node.op != "input")
    )
    gated = bool(plan.gates or plan.output_gates)
    layers = tuple(
        ConvertedLayer(layer.name, layer.stage, layer.kind, layer.dense_macs, _way(by_name[layer.node], reasons, gated))
        for layer in plan.costs.full_layers
    )
    return ConversionReport(
        dict(Counter(node.op for node in plan.graph)),
        len(plan.gates),
        plan.dense_macs,
        dense,
        len(plan.output_gates),
        layers,
        tuple(reasons),
        program.state_bytes(),
        _notes(plan),
    )


def _way(node: Node, fallbacks: Mapping[str, str], gated: bool) -> str:
    if node.name in fallbacks:
        return PYTORCH
    return SPARSE if gated and node.op in SPARSE_OPS and node.size != (1, 1) else DENSE


def _operation(node: Node) -> str:
    """Torch's name of it, where it has one."""
    if node.op == "pointwise":
        return ", ".join(str(inner.attrs["target"]) for inner in node.attrs["inner"])
    return str(node.attrs["target"]) if node.op == "aten" else node.op


def _why(node: Node, fallbacks: Mapping[str, str]) -> str:
    if node.op == "pointwise":
        return "no kernel for it; run on changed pixels only"
    if node.name in fallbacks:
        return f"{'no kernel for it' if node.op == 'aten' else fallbacks[node.name]}; run only when an input changed"
    if not node.is_map:
        return "its result is no (1, C, H, W) map; run only when an input changed"
    return "no sparse rule for it; run only when an input changed, its changed pixels are found by comparison"


def _notes(plan: Plan) -> tuple[str, ...]:
    types = plan.graph.other_floats
    notes = [f"computed in float32 where the network has {', '.join(types)}; what it returns keeps its type"] if types else []
    return (*notes, *_adaptive(plan))


def _adaptive(plan: Plan) -> Iterator[str]:
    """Which layers are adaptive, together with those that have the same choices."""
    names: dict[str, list[str]] = {}
    by_name = plan.graph.by_name
    shares: dict[str, dict[int, float]] = {}
    for part in plan.costs.alternatives:
        share = plan.layers[part.row].dense_macs / max(plan.layers[part.row].outputs, 1)
        own = shares.setdefault(part.choice, {})
        own[part.number] = own.get(part.number, 0.0) + share
    for layer, choice in plan.choices.items():
        own = shares[layer]
        ways = ", ".join(f"{own[number] / own[0]:.0%}" for number in sorted(own))
        names.setdefault(ways + (", or the last map" if by_name[choice].attrs["reuse"] else ""), []).append(layer)
    for ways, layers in names.items():
        more = f" and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
        yield f"adaptive: {len(layers)} layers ({', '.join(layers[:NAMED])}{more}) choose in each frame from {ways} of their MACs"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _macs(layers: Iterable[ConvertedLayer], way: str) -> int:
    return sum(layer.macs for layer in layers if layer.way == way)
