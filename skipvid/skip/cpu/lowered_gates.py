"""Output gates: the steps that measure how a layer's input has changed, and what they decide by."""

from __future__ import annotations

import math

from skipvid.core.errors import BackendError
from skipvid.skip.cpu import rows as flat
from skipvid.skip.cpu import tables
from skipvid.skip.cpu._native import Norm, StepKind
from skipvid.skip.cpu.description import append
from skipvid.skip.cpu.draft import Draft, gate_scale
from skipvid.skip.gates.output_norm import OutputNormGate
from skipvid.skip.ir.graph import Node

NORMS = {1.0: Norm.MAGNITUDES, 2.0: Norm.SQUARES, math.inf: Norm.LARGEST}


def measure_change(draft: Draft, node: Node) -> None:
    """Have the change of the map measured that an output gate looks at."""
    key = _change_of(draft, node)
    if key is not None and key not in draft.changes:
        row = flat.StepRow(StepKind.CHANGE, draft.maps[key[0]], details=key[1])
        draft.changes[key] = append(draft.description.steps, row)


def gate_outputs(draft: Draft, node: Node) -> None:
    """Let the step that was added last be decided by the output gate of its layer, where there is one."""
    key, gate = _change_of(draft, node), _output_gate(draft, node)
    if key is None or gate is None:
        return
    step = len(draft.description.steps) - 1
    biased = node.activation is None and "bias" in node.consts
    bias = draft.description.numbers.add(tables.bias_of(node, node.channels)) if biased else flat.NOWHERE
    row = flat.OutputGateRow(step, draft.changes[key], gate.limit(1.0), *gate_scale(gate.scale), gate.block, bias)
    draft.description.output_gates.append(row)
    draft.output_gates[node.name] = step


def _change_of(draft: Draft, node: Node) -> tuple[str, Norm] | None:
    gate = _output_gate(draft, node)
    return None if gate is None else (node.inputs[0], NORMS[gate.norm.p])


def _output_gate(draft: Draft, node: Node) -> OutputNormGate | None:
    gate = draft.plan.output_gates.get(node.name)
    if gate is not None and not isinstance(gate, OutputNormGate):
        raise BackendError(f"the back end cpu has no kernels for a {type(gate).__name__}", "use the back end reference")
    return gate
