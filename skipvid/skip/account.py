"""From what a frame did to what it cost, layer by layer; the gates' own work included."""

from __future__ import annotations

from collections import Counter

from skipvid.core.results import FrameCost, LayerCost
from skipvid.skip.backend import Step
from skipvid.skip.ir.cost import executed_macs, gate_operations, question_macs, question_operations, window_operations
from skipvid.skip.plan import Plan


def frame_cost(plan: Plan, step: Step) -> FrameCost:
    """The cost of one frame."""
    by_name = plan.graph.by_name
    operations: Counter[str] = Counter()  # by gated map, or by layer for its output gate
    macs: Counter[str] = Counter()
    for name, pixels in step.gate_pixels.items():
        channels = by_name[name].channels
        if plan.gates[name].question is None:
            operations[name] += gate_operations(channels, pixels)
        else:
            macs[name] += question_macs(channels, pixels)
            operations[name] += question_operations(channels, pixels)
    measured = dict(step.watched_pixels)
    own: Counter[str] = Counter()
    for layer in plan.layers:
        if layer.node not in plan.output_gates:
            continue
        node = by_name[layer.node]
        # A map's change is measured once, for all layers that look at it: the first one's account.
        own[layer.node] += gate_operations(by_name[node.inputs[0]].channels, measured.pop(node.inputs[0], 0))
        kernel = node.consts["weight"].shape[2:]
        own[layer.node] += window_operations(kernel[0] * kernel[1], step.asked.get(layer.node, 0))
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
        for layer, active in zip(plan.layers, step.active, strict=True)
    )
    return FrameCost(layers, sum(operations[name] for name in plan.other_gates))
