"""Output gates, learned gates and paper mode: the promises that each of them makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from promises import relative_error
from sample_frames import frames
from sample_networks import NETWORKS, converted, dense_leaves
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from skipvid.core.errors import BackendError, UsageError, WeightsError
from skipvid.nn import GumbelGate, NormGate, SkipConv2d
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.learned import LearnedGate, place_learned_gates
from skipvid.skip.reference.executor import ReferenceProgram
from skipvid.skip.reference.operations import evaluate

MAPS_ONLY = [name for name in NETWORKS if name not in {"types", "two images in a batch"}]


def gates_for(model: SkipModel, shape: tuple[int, ...], make: Callable[[int], LearnedGate]) -> dict[str, LearnedGate]:
    """A learned gate for every layer that has a parameter path. make: from the number of input channels to its gate."""
    program = model.program((shape,))
    by_name = program.plan.graph.by_name
    weighted = [node for node in program.plan.graph if node.op in {"conv", "conv_transpose", "linear"} and node.layer]
    return {node.layer: make(by_name[node.inputs[0]].channels) for node in weighted}


def check_dense(got: Any, dense: Any, original: list[Any], what: str) -> None:
    """The bits of our dense run, and the original network's result."""
    for value, same, want in zip(tree_leaves(got), tree_leaves(dense), original, strict=True):
        if not isinstance(value, Tensor):
            assert value == same == want, what
            continue
        assert torch.equal(value, same), f"{what}: differs from dense"
        assert value.dtype == torch.bool or relative_error(value, want) <= 1e-4, what


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_output_gates_of_threshold_zero_are_dense(name: str, p: float, backend: str) -> None:
    net, base = converted(name)
    model = base.regated(SkipConfig(threshold=0, gate="norm-output", p=p, backend=backend))
    session = model.session()
    for number, frame in enumerate(frames(NETWORKS[name][1], 6)):
        check_dense(session(frame), model.dense(frame), dense_leaves(net, frame), f"frame {number}")


@torch.no_grad()
@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize(("threshold", "block"), [(0.1, 1), (0.5, 4)])
@pytest.mark.parametrize("name", MAPS_ONLY)
def test_no_layer_drifts_beyond_its_bound(name: str, threshold: float, block: int, p: float) -> None:
    """At any time a layer's output is that of its input, but for a mean change over channels of its gate's bound."""
    shape = NETWORKS[name][1]
    config = SkipConfig(threshold=threshold, gate="norm-output", p=p, block=block, backend="reference")
    program = converted(name)[1].regated(config).program((shape,))
    assert isinstance(program, ReferenceProgram)
    state = program.new_state()
    closed = 0
    for number, frame in enumerate(frames(shape, 12)):
        run = program.run(state, (frame,), number == 0)
        closed += sum(candidates - active for candidates, active in zip(run.candidates.values(), run.active, strict=False))
        for layer, gate in program.plan.output_gates.items():
            node = gate.layer
            if node.activation is not None and node.activation.kind not in {"relu", "hardtanh", "sigmoid", "tanh", "leaky_relu"}:
                continue  # others stretch distances
            exact = evaluate(node, state.values)
            worst = float((exact - state.values[layer]).abs().mean(1).max())
            allowed = gate.bound(state.output_gates[layer].scale)
            published = program.plan.gates.get(layer)
            slack = 1e-5 * float(exact.abs().max())
            if published is not None:  # the layer's result has a gate of its own
                slack += published.bound(state.scales[layer])
            assert worst <= allowed + slack, f"frame {number}: {layer}"


def test_paper_weights_give_a_bound_within_the_threshold_for_p_2_and_inf() -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(6, 8, 3, padding=1).eval()
    for p in (2.0, math.inf):
        model = convert(net, torch.zeros(1, 6, 9, 9), SkipConfig(threshold=0.2, gate="norm-output", p=p, backend="reference"))[0]
        program = model.program(((1, 6, 9, 9),))
        assert isinstance(program, ReferenceProgram)
        (gate,) = program.plan.output_gates.values()
        assert 0.2 * 0.2 < gate.bound(1.0) <= 0.2


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "bias": False}, {"groups": 2, "dilation": 2}, {"padding": (0, 2)}])
def test_output_gate_agrees_with_the_papers_module(options: dict[str, object], p: float, backend: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, **{"padding": 1, **options}).eval()  # type: ignore[arg-type]
    config = SkipConfig(threshold=0.3, gate="norm-output", p=p, backend=backend, dense_above=1.0)
    session = convert(conv, torch.zeros(1, 4, 11, 12), config)[0].session()
    layer = SkipConv2d.from_conv(conv, NormGate(0.3, form="output", p=p))
    computed = 0
    for frame in frames((1, 4, 11, 12), 12):
        with torch.no_grad():
            want = layer(frame)
        assert relative_error(session(frame), want) <= 1e-5
        assert session.cost.layers[0].active == int(layer.masks[0].sum())  # type: ignore[union-attr]
        computed += session.cost.layers[0].active
    assert 0 < computed < 12 * session.cost.layers[0].outputs


@pytest.mark.parametrize("gate", ["norm", "norm-output"])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "bias": False}, {"groups": 2, "dilation": 2}])
def test_paper_mode_agrees_with_the_papers_module(options: dict[str, object], gate: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, **{"padding": 1, **options}).eval()  # type: ignore[arg-type]
    config = SkipConfig(threshold=0.3, gate=gate, reference="previous", backend="auto", dense_above=1.0)
    session = convert(conv, torch.zeros(1, 4, 11, 12), config)[0].session()
    layer = SkipConv2d.from_conv(conv, NormGate(0.3, form="input" if gate == "norm" else "output"), reference="previous")
    for number, frame in enumerate(frames((1, 4, 11, 12), 12)):
        with torch.no_grad():
            want = layer(frame)
        assert relative_error(session(frame), want) <= 1e-5, f"frame {number}"
        assert session.cost.layers[0].active == int(layer.masks[0].sum())  # type: ignore[union-attr]


def test_paper_mode_drifts_where_the_accumulated_reference_does_not() -> None:
    """A ramp, each step of which is below the threshold: as published, it is never seen."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, padding=1).eval()
    start, step = torch.rand(1, 3, 12, 12), 0.005
    moved = {}
    for reference in ("previous", "accumulated"):
        for gate in ("norm", "norm-output"):
            config = SkipConfig(threshold=0.1, gate=gate, reference=reference, backend="reference")
            session = convert(conv, torch.zeros(1, 3, 12, 12), config)[0].session()
            first = session(start).clone()
            for number in range(1, 100):
                last = session(start + number * step)
            with torch.no_grad():
                moved[reference, gate] = float((last - first).abs().mean() / (conv(start + 99 * step) - conv(start)).abs().mean())
    assert moved["previous", "norm"] == moved["previous", "norm-output"] == 0
    assert moved["accumulated", "norm"] > 0.7 and moved["accumulated", "norm-output"] > 0.7


def test_paper_mode_of_threshold_zero_follows_the_network() -> None:
    net, base = converted("everything")
    for gate in ("norm", "norm-output"):
        session = base.regated(SkipConfig(threshold=0, gate=gate, reference="previous")).session()
        for frame in frames(NETWORKS["everything"][1], 8):
            for value, want in zip(tree_leaves(session(frame)), dense_leaves(net, frame), strict=True):
                assert not isinstance(value, Tensor) or relative_error(value, want) <= 1e-4


@pytest.mark.parametrize("name", list(NETWORKS))
def test_learned_gates_that_open_at_any_change_are_dense(name: str, backend: str) -> None:
    net, base = converted(name)
    shape = NETWORKS[name][1]
    learned = gates_for(base, shape, lambda channels: LearnedGate(torch.ones(channels), 0.0))
    if not learned:
        pytest.skip("no layer has a name")
    model = base.regated(SkipConfig(threshold=0, gate="gumbel", learned_gates=learned, backend=backend))
    session = model.session()
    for number, frame in enumerate(frames(shape, 6)):
        check_dense(session(frame), model.dense(frame), dense_leaves(net, frame), f"frame {number}")


@torch.no_grad()
@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("name", MAPS_ONLY)
def test_learned_gates_leave_a_state_that_is_exact_for_what_was_published(name: str, block: int) -> None:
    """No bound, but no drift: every map is that of the maps it is made of, as they were published."""
    shape, base = NETWORKS[name][1], converted(name)[1]
    learned = gates_for(base, shape, lambda channels: LearnedGate(torch.full((channels,), 1 / channels), -0.2))
    if not learned:
        pytest.skip("no layer has a name")
    config = SkipConfig(threshold=0.1, gate="gumbel", learned_gates=learned, block=block, backend="reference")
    program = base.regated(config).program((shape,))
    assert isinstance(program, ReferenceProgram)
    state = program.new_state()
    for number, frame in enumerate(frames(shape, 10)):
        program.run(state, (frame,), number == 0)
        for node in program.plan.graph:
            exact = frame if node.op == "input" else evaluate(node, state.values)
            gate = program.plan.gates.get(node.name)
            if gate is None:
                assert torch.equal(exact, state.values[node.name]), f"{node.op} {node.name}"
            elif isinstance(gate, LearnedGate):  # and the gate would not open where it is closed
                distance = (exact - state.values[node.name]).abs()
                logit = (distance.mean(1) if node.is_map else distance.mean()) - 0.2
                assert float(logit.max()) < 1e-6, f"{node.op} {node.name}"


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("magnitude", [True, False])
def test_learned_gate_agrees_with_the_papers_module(magnitude: bool, block: int, backend: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, padding=1).eval()
    gate = GumbelGate(block=block, on_magnitude=magnitude, kernel=1, open_rate=0.2)
    layer = SkipConv2d.from_conv(conv, gate).eval()
    assert gate.weight is not None and gate.bias is not None
    with torch.no_grad():
        gate.weight.copy_(torch.tensor([0.8, 1.0, 0.6, 0.9]).view(1, 4, 1, 1) * 2)
    net = nn.Sequential(conv).eval()
    learned = LearnedGate(gate.weight.detach().flatten(), float(gate.bias.detach()), magnitude)
    config = SkipConfig(gate="gumbel", learned_gates={"0": learned}, block=block, backend=backend, dense_above=1.0)
    session = convert(net, torch.zeros(1, 4, 11, 12), config)[0].session()
    skipped, last = 0, None
    for frame in frames((1, 4, 11, 12), 12):
        with torch.no_grad():
            want = layer(frame)
        assert relative_error(session(frame), want) <= 1e-5
        cost = session.cost.layers[0]
        changed = 0 if last is None else int((frame != last).any(1).sum())
        last = frame
        assert cost.gate_macs == changed * 4 and cost.saving == pytest.approx(1 - (cost.macs + changed * 4) / cost.dense_macs)
        skipped += cost.outputs - cost.active
    assert skipped > 0


def test_readers_without_the_gate_see_the_map_as_it_is() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.gated, self.other = (nn.Conv2d(3, 3, 1) for _ in range(3))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.first(x)
            return self.gated(y), self.other(y)

    torch.manual_seed(0)
    net = Two().eval()
    learned = {"gated": LearnedGate(torch.zeros(3), -1.0)}  # never opens
    session = convert(net, torch.zeros(1, 3, 8, 8), SkipConfig(gate="gumbel", learned_gates=learned))[0].session()
    start, now = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    first = session(start)[0].clone()
    gated, other = session(now)
    with torch.no_grad():
        assert torch.equal(gated, first) and relative_error(other, net(now)[1]) <= 1e-5


def test_the_gates_of_another_network_are_refused() -> None:
    graph = converted("everything")[1].program((NETWORKS["everything"][1],)).plan.graph
    with pytest.raises(WeightsError, match="no layer of this network"):
        place_learned_gates(graph, {"somewhere": LearnedGate(torch.ones(3), 0.0)})
    with pytest.raises(WeightsError, match="has 2 weights, the layer 14 input channels"):
        place_learned_gates(graph, {"mix": LearnedGate(torch.ones(2), 0.0)})


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"gate": "gumbel"}, UsageError),
        ({"gate": "gumbel", "reference": "previous", "learned_gates": {"a": LearnedGate(torch.ones(1), 0.0)}}, UsageError),
        ({"gate": "norm-output", "p": 3.0}, UsageError),
        ({"gate": "norm-output", "input_threshold": -1.0}, UsageError),
        ({"reference": "last"}, UsageError),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        SkipConfig(**settings)  # type: ignore[arg-type]


def test_paper_mode_does_not_run_on_the_native_back_end() -> None:
    with pytest.raises(BackendError):
        converted("everything")[1].regated(SkipConfig(reference="previous", backend="cpu"))
