"""From what a frame did to what it cost, layer by layer; the gates' own work included."""

from __future__ import annotations

from collections import Counter

from skipvid.core.results import FrameCost, LayerCost
from skipvid.skip.backend import FrameRun
from skipvid.skip.ir.cost import executed_macs
from skipvid.skip.plan import Plan


def frame_cost(plan: Plan, run: FrameRun) -> FrameCost:
    """The cost of one frame."""
    by_name = plan.graph.by_name
    operations: Counter[str] = Counter()  # by gated map, or by layer for its output gate
    macs: Counter[str] = Counter()
    for name, pixels in run.gate_pixels.items():
        gate, channels = plan.gates[name], by_name[name].channels
        macs[name] += pixels * gate.macs(channels)
        operations[name] += pixels * gate.operations(channels)
    measured = dict(run.measured_pixels)
    own: Counter[str] = Counter()
    for layer in plan.layers:
        output_gate = plan.output_gates.get(layer.node)
        if output_gate is None:
            continue
        # A map's change is measured once, for all layers that read it: the first one's account.
        own[layer.node] += measured.pop(output_gate.layer.inputs[0], 0) * output_gate.change_operations()
        own[layer.node] += run.candidates.get(layer.node, 0) * output_gate.operations()
    layers = tuple(
        LayerCost(
            layer.name,
            layer.stage,
            layer.kind,
            layer.dense_macs,
            executed_macs(layer.dense_macs, active, layer.outputs),
            layer.outputs,
            active,
            sum(macs[name] for name in layer.gates),
            sum(operations[name] for name in layer.gates) + own[layer.node],
        )
        for layer, active in zip(plan.layers, run.active, strict=True)
    )
    return FrameCost(layers, sum(operations[name] for name in plan.other_gates))
