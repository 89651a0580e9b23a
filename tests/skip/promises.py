"""The promises of DESIGN §2, as checks on the state of a stream."""

from __future__ import annotations

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Node
from skipvid.skip.reference.executor import ReferenceProgram, ReferenceState
from skipvid.skip.reference.operations import evaluate


def relative_error(got: Tensor, want: Tensor) -> float:
    want = want.detach()
    return float((got.double() - want.double()).abs().max() / want.double().abs().max().clamp(min=1e-3)) if want.numel() else 0.0


def check_state(program: ReferenceProgram, state: ReferenceState, frame: Tensor) -> None:
    """Both promises of DESIGN §2 on every map: |X − X̂| ≤ τ·s in mean-abs per pixel where there is a gate, X = X̂ where there is none."""
    for node in program.plan.graph:
        exact = frame if node.op == "input" else evaluate(node, state.values)
        published = state.values[node.name]
        if node.name in program.plan.gates:
            check_bound(program, state, node, exact, published)
        else:
            assert torch.equal(torch.nan_to_num(exact), torch.nan_to_num(published)), f"{node.op} {node.name} is not that of its inputs"


def check_bound(program: ReferenceProgram, state: ReferenceState, node: Node, exact: Tensor, published: Tensor) -> None:
    gate = program.plan.gates[node.name]
    distance = (exact - published).abs()
    distance = distance.mean(1) if node.is_map else distance.mean()
    allowed = gate.bound(state.scales[node.name])
    slack = 1e-5 * allowed + 1e-6 * float(published.abs().max())
    assert float(distance.max()) <= allowed + slack, f"{node.op} {node.name}: {float(distance.max())} > {allowed}"
