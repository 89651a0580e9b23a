"""What a frame cost, against counts by hand; where it was spent; dense counts against torch's own counter."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
import torch
from function_network import Net
from sample_frames import frames
from sample_networks import NETWORKS, converted
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from skipvid.skip.api import SkipModel, convert
from skipvid.skip.backend import Numbered
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.session import Session

Pixel = tuple[int, int]


def model_of(net: nn.Module, shape: tuple[int, ...], backend: str, block: int = 1) -> SkipModel:
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter)  # no weight is zero: every output under the window changes
    return convert(net.eval(), torch.zeros(shape), SkipConfig(threshold=0, backend=backend, block=block))[0]


def after_changing(model: SkipModel, shape: tuple[int, ...], *pixels: Pixel) -> Session:
    """A session whose second frame differs from its first in these pixels."""
    session, frame = model.session(), torch.randn(shape)
    session(frame)
    for y, x in pixels:
        frame[..., y, x] += 1
    session(frame)
    return session


SINGLE: dict[str, tuple[nn.Module, tuple[int, ...], Pixel, int, int]] = {
    # network, input shape, changed pixel, outputs that depend on it, MACs of one output pixel
    "3x3, inside": (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), (4, 5), 9, 8 * 3 * 9),
    "3x3, corner": (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), (0, 11), 4, 8 * 3 * 9),
    "3x3, edge, no padding": (nn.Conv2d(3, 8, 3), (1, 3, 10, 12), (0, 5), 3, 8 * 3 * 9),
    "1x1": (nn.Conv2d(3, 8, 1), (1, 3, 10, 12), (4, 5), 1, 8 * 3),
    "depthwise": (nn.Conv2d(4, 4, 5, padding=2, groups=4), (1, 4, 10, 12), (4, 5), 25, 4 * 25),
    "groups": (nn.Conv2d(4, 8, 3, padding=1, groups=2), (1, 4, 10, 12), (4, 5), 9, 8 * 2 * 9),
    "stride 2, on the grid": (nn.Conv2d(3, 8, 3, 2, 1), (1, 3, 10, 12), (4, 6), 1, 8 * 3 * 9),
    "stride 2, between": (nn.Conv2d(3, 8, 3, 2, 1), (1, 3, 10, 12), (5, 7), 4, 8 * 3 * 9),
    "stride larger than the kernel, unseen": (nn.Conv2d(3, 8, 1, 2), (1, 3, 10, 12), (5, 7), 0, 8 * 3),
    "dilation": (nn.Conv2d(3, 8, 3, padding=2, dilation=2), (1, 3, 10, 12), (1, 5), 6, 8 * 3 * 9),
    "asymmetric": (nn.Conv2d(3, 8, (1, 7), padding=(0, 3)), (1, 3, 10, 12), (4, 5), 7, 8 * 3 * 7),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_changed_pixel_costs_exactly_the_outputs_that_see_it(name: str, backend: str) -> None:
    net, shape, pixel, outputs, macs = SINGLE[name]
    session = after_changing(model_of(net, shape, backend), shape, pixel)
    (layer,) = session.cost.layers
    assert (layer.active, layer.macs) == (outputs, outputs * macs)
    assert layer.dense_macs == layer.outputs * macs
    assert session.computed[layer.name].sum() == outputs
    assert session.cost.macs == layer.macs and session.cost.dense_macs == layer.dense_macs
    assert session.cost.skip_ratio == pytest.approx(1 - outputs / layer.outputs)
    assert session.cost.saving == pytest.approx(1 - outputs / layer.outputs)


def test_transposed_convolution_is_charged_its_share(backend: str) -> None:
    shape = (1, 3, 6, 5)
    session = after_changing(model_of(nn.ConvTranspose2d(3, 2, 3, 2, 1, 1), shape, backend), shape, (3, 2))
    (layer,) = session.cost.layers
    dense = 6 * 5 * 3 * 2 * 9
    assert (layer.outputs, layer.dense_macs, layer.active) == (12 * 10, dense, 9)
    assert layer.macs == round(dense * 9 / 120)


def test_change_spreads_through_depth_layer_by_layer(backend: str) -> None:
    shape = (1, 2, 16, 16)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 3, 2, 1)
    )
    session = after_changing(model_of(net, shape, backend), shape, (8, 8))
    cost = session.cost
    assert [(layer.name, layer.kind, layer.active) for layer in cost.layers] == [
        ("0", "conv", 9),
        ("1", "depthwise", 25),
        ("2", "conv", 25),
        ("3", "conv", 9),
    ]
    assert [layer.macs for layer in cost.layers] == [9 * 4 * 2 * 9, 25 * 4 * 9, 25 * 4 * 4, 9 * 2 * 4 * 9]
    assert cost.macs == sum(layer.macs for layer in cost.layers)
    # Gates look at every pixel of the input, and at what was computed of each map that another convolution reads.
    assert cost.other_gate_ops == 256 * (3 * 2 + 1)
    assert [layer.gate_ops for layer in cost.layers] == [9 * 13, 25 * 13, 25 * 13, 0]
    assert cost.gate_ops == 256 * 7 + (9 + 25 + 25) * 13


def test_output_gates_are_charged_for_the_change_once_a_map_and_for_each_candidate(backend: str) -> None:
    def forward(m: Net, x: Tensor) -> Tensor:
        return m.first(x) + m.second(x)

    shape, taps = (1, 2, 16, 16), 9
    net = Net(forward, first=nn.Conv2d(2, 4, 3, padding=1), second=nn.Conv2d(2, 4, 3, padding=1))
    model = model_of(net, shape, backend).regated(SkipConfig(threshold=0, gate="norm-output", backend=backend))
    cost = after_changing(model, shape, (8, 8)).cost
    measured, decided = 1 * (3 * 2 + 1), 9 * (taps + 1)  # one published pixel of two channels; the outputs in its footprint
    assert [(layer.name, layer.active, layer.gate_ops) for layer in cost.layers] == [
        ("first", 9, measured + decided),
        ("second", 9, decided),
    ]
    assert cost.other_gate_ops == 256 * (3 * 2 + 1)  # the norm gate on the input looks at every pixel


def test_learned_gates_are_charged_to_the_layer_that_they_serve(backend: str) -> None:
    shape = (1, 2, 16, 16)
    base = model_of(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 1)), shape, backend)
    gates = {"1": LearnedGate(torch.ones(4), 0.0)}
    cost = after_changing(base.regated(SkipConfig(gate="gumbel", learned_gates=gates, backend=backend)), shape, (8, 8)).cost
    assert [(layer.active, layer.gate_macs, layer.gate_ops) for layer in cost.layers] == [(9, 0, 0), (9, 9 * 4, 9 * (2 * 4 + 1))]
    assert cost.macs == sum(layer.macs + layer.gate_macs for layer in cost.layers) and cost.other_gate_ops == 0


def test_costs_of_two_input_sizes_and_of_two_networks_add_up(backend: str) -> None:
    small, large = (1, 2, 16, 16), (1, 2, 24, 16)
    model = model_of(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 1)), small, backend)
    other = model_of(nn.Conv2d(2, 5, 1), small, backend)
    costs = [after_changing(model, shape, (8, 8)).cost for shape in (small, large)] + [
        after_changing(other, small, (8, 8)).cost.named("other")
    ]
    total = sum(costs[1:], start=costs[0])
    assert [layer.name for layer in total.layers[:2]] == ["0", "1"] and total.layers[2].name.startswith("other.")
    assert total.layers[0].dense_macs == (16 * 16 + 24 * 16) * 4 * 2 * 9 and total.layers[0].active == 9 + 9
    assert (total.macs, total.gate_ops) == (sum(cost.macs for cost in costs), sum(cost.gate_ops for cost in costs))


@pytest.mark.parametrize(("block", "outputs"), [(1, 9), (2, 16), (4, 36), (8, 9 * 9)])
def test_block_opens_as_a_whole(block: int, outputs: int, backend: str) -> None:
    shape = (1, 2, 16, 16)
    session = after_changing(model_of(nn.Conv2d(2, 4, 3, padding=1), shape, backend, block=block), shape, (9, 5))
    assert session.cost.layers[0].active == outputs  # the block of 8 lies in a corner, where its window is cut on two sides


def test_change_that_does_not_come_through_costs_nothing_behind(backend: str) -> None:
    shape = (1, 2, 16, 16)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    model = model_of(net, shape, backend)
    with torch.no_grad():
        net[0].bias.fill_(-100)  # the ReLU lets nothing through
    closed = convert(net, torch.zeros(shape), SkipConfig(threshold=0, backend=backend))[0]
    assert [layer.active for layer in after_changing(model, shape, (8, 8)).cost.layers] == [9, 25]
    assert [layer.active for layer in after_changing(closed, shape, (8, 8)).cost.layers] == [9, 0]


def test_gate_keeps_back_what_is_below_its_threshold_and_counts_what_it_compared(backend: str) -> None:
    shape = (1, 2, 16, 16)
    model = model_of(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)), shape, backend)
    inner = [name for name in model.program((shape,)).plan.gates][1]
    cost = after_changing(model.regated(SkipConfig(threshold=0, backend=backend, thresholds={inner: 1e6})), shape, (8, 8)).cost
    assert [(layer.active, layer.gate_ops) for layer in cost.layers] == [(9, 9 * 13), (0, 0)]


def test_two_changes_that_share_outputs_are_charged_once(backend: str) -> None:
    shape = (1, 2, 16, 16)
    session = after_changing(model_of(nn.Conv2d(2, 4, 3, padding=1), shape, backend), shape, (8, 8), (8, 9), (2, 2))
    assert session.cost.layers[0].active == 12 + 9


def test_squeeze_and_excite_recomputes_all_that_its_vector_scales_only_when_it_is_published(backend: str) -> None:
    def forward(m: Net, x: Tensor) -> Tensor:
        y = m.first(x)
        return m.last(y * m.point(y.mean((2, 3), keepdim=True)))

    shape = (1, 2, 16, 16)
    net = Net(forward, first=nn.Conv2d(2, 4, 3, padding=1), point=nn.Conv2d(4, 4, 1), last=nn.Conv2d(4, 2, 1))
    model = model_of(net, shape, backend)
    exact = after_changing(model, shape, (8, 8)).cost
    assert [layer.active for layer in exact.layers] == [9, 1, 256]
    point = next(node.name for node in model.program((shape,)).plan.graph if node.layer == "point")
    gated = after_changing(model.regated(SkipConfig(threshold=0, backend=backend, thresholds={point: 10.0})), shape, (8, 8)).cost
    assert [layer.active for layer in gated.layers] == [9, 1, 9]


def test_operation_without_a_sparse_rule_is_charged_in_full(backend: str) -> None:
    def forward(m: Net, x: Tensor) -> Tensor:
        y = m.first(x)
        return y + (y[0].flatten(1).t() @ m.weight).t().reshape(1, 4, 8, 8)

    shape = (1, 2, 8, 8)
    model = model_of(Net(forward, first=nn.Conv2d(2, 4, 1), weight=nn.Parameter(torch.randn(4, 4))), shape, backend)
    cost = after_changing(model, shape, (3, 3)).cost
    assert [(layer.kind, layer.macs) for layer in cost.layers] == [("conv", 8), ("matmul", 64 * 16)]


@pytest.mark.parametrize("name", NETWORKS)
def test_dense_count_is_that_of_torch_on_the_original_network(name: str) -> None:
    net, model = converted(name)
    shape = NETWORKS[name][1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(shape))
    assert 2 * model.program((shape,)).plan.dense_macs == counter.get_total_flops()


def test_costs_of_frames_add_up_layer_by_layer(backend: str) -> None:
    model, shape = converted("everything")[1].regated(SkipConfig(threshold=0.05, backend=backend)), NETWORKS["everything"][1]
    session, costs = model.session(), []
    for frame in frames(shape, 12):
        session(frame)
        costs.append(session.cost)
        assert session.cost.dense_macs == model.program((shape,)).plan.dense_macs
        assert all(0 <= layer.macs <= layer.dense_macs and 0 <= layer.active <= layer.outputs for layer in session.cost.layers)
        assert list(session.computed) == [layer.name for layer in session.cost.layers]
    total = functools.reduce(operator.add, costs)
    assert total.macs == sum(cost.macs for cost in costs) and total.gate_ops == sum(cost.gate_ops for cost in costs)
    assert len({layer.name for layer in total.layers}) == len(total.layers) and all(layer.stage for layer in total.layers)


def test_activity_shows_where_the_work_was_done(backend: str) -> None:
    shape = (1, 2, 37, 50)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    model = model_of(net, shape, backend)
    session, frame = model.session(), torch.randn(shape)
    session(frame)
    assert session.activity(8).shape == (5, 7) and session.activity(8).dtype == np.float32
    assert np.allclose(session.activity(8), 1)
    session(frame)
    assert not session.activity(8).any()
    frame[..., 33:36, 4:8] += 1
    session(frame)
    activity = session.activity(8)
    assert activity[4, 0] > 0.3 and activity[:3].max() == 0 and activity[:, 4:].max() == 0
    assert activity.min() >= 0 and activity.max() <= 1


@pytest.mark.parametrize("row", [0, 3, 7])
def test_activity_is_the_share_of_a_cell_wherever_in_it_the_work_was_done(row: int, backend: str) -> None:
    session, frame = model_of(nn.Conv2d(2, 2, 1), (1, 2, 16, 16), backend).session(), torch.randn(1, 2, 16, 16)
    session(frame)
    frame[..., row, :8] += 1
    session(frame)
    assert np.allclose(session.activity(8), [[1 / 8, 0], [0, 0]])


@pytest.mark.parametrize("width", [50, 150])  # in rows of one word of a bitmap and of three, some of them full
def test_weighted_masks_are_the_sum_of_the_single_ones(backend: str, width: int) -> None:
    shape = (1, 2, 37, width)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, 2, 1))
    model = model_of(net, shape, backend)
    (layers, weights) = model.program((shape,)).costs.layers_by_size[37, width]
    assert len(layers) == 2 and np.isclose(weights.sum(), (72 + 144) / (72 + 144 + 72 / 4), rtol=1e-2)
    session, frame = model.session(), torch.randn(shape)
    for top, bottom in ((0, 37), (3, 3), (5, 6), (5, 30)):
        frame[..., top:bottom, 7 : width - 9] += 1
        session(frame)
        run = session._run
        assert run is not None
        expected = sum(weight * run.computed[int(layer)] for layer, weight in zip(layers, weights, strict=True))
        np.testing.assert_allclose(run.computed.weighted(layers, weights), expected, rtol=1e-6)


@pytest.mark.parametrize("kernel", [2, 3], ids=["every output of as many MACs", "outputs of different MACs"])
def test_the_quick_count_of_macs_is_the_sum_over_the_layers(kernel: int) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, kernel, stride=2), nn.Conv2d(4, 5, 1))
    program = model_of(net, (1, 3, 10, 12), "cpu").planned(((1, 3, 10, 12),))
    layers = program.costs.layers
    assert any(layer.dense_macs % layer.outputs for layer in layers) == (kernel == 3)
    random = np.random.default_rng(0)
    for _ in range(50):
        counts = [int(random.integers(0, layer.outputs + 1)) for layer in layers]
        wanted = sum((layer.dense_macs * count + layer.outputs // 2) // layer.outputs for layer, count in zip(layers, counts, strict=True))
        assert program.costs.executed_macs(counts) == wanted == program.costs.executed_macs(np.array(counts, np.int64))


@pytest.mark.parametrize("wanted", [("b", "a", "unknown", "c"), (), ("unknown",)])
def test_numbers_by_name_are_taken_all_at_once_as_one_by_one(wanted: tuple[str, ...]) -> None:
    found = Numbered(("a", "b", "c"), np.array([10, 20, 30, 40], np.int64), np.array([3, 0, 2], np.intp))
    assert found.of(wanted).tolist() == [found.get(name, 0) for name in wanted]
    assert dict(found) == {"a": 40, "b": 10, "c": 30}


def test_activity_can_be_put_together_when_others_have_followed(backend: str) -> None:
    session = converted("everything")[1].regated(SkipConfig(threshold=0.1, backend=backend)).session()
    at_once, later = [], []
    for frame in frames(NETWORKS["everything"][1], 8, 1):
        session(frame)
        at_once.append(session.activity(4))
        later.append(session.later_activity(4))
    assert len({grid.tobytes() for grid in at_once}) > 1
    assert all(np.array_equal(late(), grid) for late, grid in zip(later, at_once, strict=True))
