"""What every gated frame promises, looked at map by map on any back end, and a network that has what detectors are made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip.cpu.compiled import as_floats
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.ir.graph import Node
from skipvid.skip.reference.executor import ReferenceProgram
from skipvid.skip.reference.operations import evaluate
from skipvid.skip.session import Session


class Pyramid(nn.Module):
    """Strides of 2 to 16, squeeze and excitation, both ways between the levels, and a head on each: what a detector is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.Conv2d(8, 12, 1), nn.ReLU())
        self.squeeze = nn.Conv2d(12, 12, 1)
        self.deeper = nn.Sequential(nn.Conv2d(12, 16, 5, 2, 2), nn.MaxPool2d(3, 2, 1), nn.ReLU6())
        self.across = nn.Conv2d(16, 12, 1)
        self.mix = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.down = nn.Conv2d(12, 16, 3, 4, 1)
        self.dilated = nn.Conv2d(16, 8, 3, padding=2, dilation=2)
        self.head = nn.Conv2d(12, 5, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.deep(self.stem(x))
        fine = fine * torch.sigmoid(self.squeeze(functional.adaptive_avg_pool2d(fine, 1)))
        coarse = self.deeper(fine)
        joined = self.mix(functional.silu(fine + functional.interpolate(self.across(coarse), scale_factor=4.0)))
        low = self.dilated(torch.relu(self.down(joined)))
        return self.head(joined), low, torch.cat([functional.avg_pool2d(fine, 3, 1, 1), joined], 1)


def values_of(session: Session) -> dict[str, Tensor]:
    """What each map holds, as its readers see it."""
    program, state = session._program, session._state
    if isinstance(program, ReferenceProgram):
        return dict(state.values)  # type: ignore[union-attr]
    assert isinstance(program, NativeProgram)
    maps = program._lowered.maps
    return {
        name: torch.from_numpy(np.ascontiguousarray(as_floats(state.core.rows(number)).transpose(2, 0, 1)))[None]  # type: ignore[union-attr]
        for name, number in maps.items()
    }


def scale_of(session: Session, node: Node) -> float:
    program, state = session._program, session._state
    gate = program.plan.gates[node.name]  # type: ignore[union-attr]
    if isinstance(program, ReferenceProgram):
        return gate.bound(state.scales[node.name])  # type: ignore[union-attr, no-any-return]
    limit = state.core.limit(program._lowered.maps[node.name]) / node.channels  # type: ignore[union-attr]
    return float(limit * gate.bound(1.0) / gate.limit(1.0))


def check_promises(session: Session, frame: Tensor) -> int:
    """Every map is what its operation makes of the published ones, or within its gate's bound of that. Returns how many were looked at."""
    values, looked_at = values_of(session), 0
    plan = session._program.plan  # type: ignore[union-attr]
    for node in plan.graph:
        if node.name not in values or not all(name in values for name in node.inputs):
            continue  # part of a chain, whose results are not kept
        looked_at += 1
        exact = frame if node.op == "input" else evaluate(node, values)
        exact = exact.reshape(values[node.name].shape)
        error = (exact - values[node.name]).abs()
        assert error.isfinite().all(), f"{node.name} holds what is no number"
        if node.name in plan.gates:
            allowed = scale_of(session, node)
            worst = float(error.mean(1).max())
            assert worst <= allowed * (1 + 1e-4) + 1e-5 * float(exact.abs().max()), f"{node.op} {node.name}: {worst} > {allowed}"
        else:
            assert float(error.max()) <= 2e-5 * float(exact.abs().max().clamp(min=1e-3)), f"{node.op} {node.name} is not that of its inputs"
    return looked_at
