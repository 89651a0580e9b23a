"""Another kind of gate is one file and a line in the registry: here the file stands beside the tests."""

from __future__ import annotations

import pytest
import torch
from largest_change_gate import LargestChangeGate
from sample_frames import frames
from torch import nn

from skipvid.core.errors import BackendError, UsageError
from skipvid.core.gate_kinds import KINDS
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.reference.executor import ReferenceProgram, ReferenceState
from skipvid.skip.reference.operations import evaluate

SHAPE = (1, 3, 12, 14)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "largest-change", "largest_change_gate")


def model(threshold: float, block: int = 1, backend: str = "auto") -> SkipModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    return convert(net, torch.zeros(SHAPE), SkipConfig(threshold, gate="largest-change", block=block, backend=backend))[0]


def test_threshold_zero_has_the_bits_of_the_dense_run() -> None:
    exact = model(0.0)
    session = exact.session()
    for frame in frames(SHAPE, 8):
        assert torch.equal(session(frame), exact.dense(frame))


@torch.no_grad()
@pytest.mark.parametrize("block", [1, 4])
def test_gate_saves_macs_and_keeps_its_bound(block: int) -> None:
    program = model(0.4, block).program((SHAPE,))
    assert isinstance(program, ReferenceProgram)
    assert all(isinstance(gate, LargestChangeGate) for gate in program.plan.gates.values()) and len(program.plan.gates) == 3
    state = program.new_state()
    skipped = 0
    for number, frame in enumerate(frames(SHAPE, 12)):
        run = program.run(state, (frame,), number == 0)
        skipped += sum(layer.outputs - active for layer, active in zip(program.plan.layers, run.active, strict=True))
        check_bounds(program, state, frame)
    assert skipped > 0


def check_bounds(program: ReferenceProgram, state: ReferenceState, frame: torch.Tensor) -> None:
    for node in program.plan.graph:
        exact = frame if node.op == "input" else evaluate(node, state.values)
        gate = program.plan.gates.get(node.name)
        largest = float((exact - state.values[node.name]).abs().max())
        assert largest <= (0.0 if gate is None else gate.bound(state.scales[node.name]) + 1e-6), node.name


def test_its_cost_is_reported_with_the_layers() -> None:
    session, frame = model(0.1).session(), torch.zeros(SHAPE)
    session(frame)
    session(frame + 1)
    pixels = 12 * 14
    assert session.cost.other_gate_ops == pixels * 3 * 3
    assert [layer.gate_ops for layer in session.cost.layers] == [pixels * 3 * 8, pixels * 3 * 4, 0]


def test_a_back_end_without_kernels_for_it_is_refused_by_name() -> None:
    assert model(0.1).backend.name == "reference"
    with pytest.raises(BackendError, match="no kernels for the gate largest-change"):
        model(0.1, backend="cpu")


def test_names_that_are_not_registered_are_refused_with_those_that_are() -> None:
    with pytest.raises(
        UsageError, match="'smallest-change'; it must be one of norm, norm-smooth, norm-output, gumbel, none, largest-change"
    ):
        SkipConfig(gate="smallest-change")
