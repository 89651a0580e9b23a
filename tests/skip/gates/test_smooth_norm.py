"""The smoothed norm gate: which pixels it opens, and what it promises about those that stay closed."""

from __future__ import annotations

import pytest
import torch
from exported import graph_of
from promises import check_state
from sample_frames import frames
from sample_networks import NETWORKS, converted, dense_leaves
from test_all_gates import MAPS_ONLY, check_dense
from torch import Tensor, nn

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.smooth_norm import SmoothNormGate, place_smooth_norm_gates
from skipvid.skip.reference.executor import ReferenceProgram

T = 0.1


def opened(change: Tensor, scale: float = 1.0, threshold: float = T) -> Tensor:
    """What a gate opens for a mean change (H, W), spread over two channels of opposite sign."""
    new = torch.stack([change, -change])[None]
    return SmoothNormGate("x", threshold).opened(new, torch.zeros_like(new), scale)[0, 0]


def at(value: float, *places: tuple[int, int], size: tuple[int, int] = (7, 8)) -> Tensor:
    change = torch.zeros(size)
    for place in places:
        change[place] = value
    return change


def test_a_pixel_alone_opens_above_three_times_the_threshold() -> None:
    assert not opened(at(2.9 * T, (3, 3))).any()
    only = opened(at(3.1 * T, (3, 3)))
    assert only[3, 3] and only.sum() == 1  # its neighbours did not change


def test_neighbours_open_each_other_above_the_threshold_in_the_mean() -> None:
    block = [(y, x) for y in (2, 3, 4) for x in (2, 3, 4)]
    assert not opened(at(0.99 * T, *block)).any()
    middle = opened(at(1.01 * T, *block))
    assert middle[3, 3] and middle.sum() == 1  # of nine pixels around the others not all changed
    assert opened(at(2.5 * T, *block)).sum() == 9


def test_noise_below_the_threshold_in_the_mean_opens_nothing_where_a_norm_gate_opens_much() -> None:
    torch.manual_seed(0)
    noise = torch.rand(1, 1, 40, 40) * 1.4 * T
    assert NormGate("x", T).opened(noise, torch.zeros_like(noise), 1.0).float().mean() > 0.2
    assert SmoothNormGate("x", T).opened(noise, torch.zeros_like(noise), 1.0).float().mean() < 0.05


@pytest.mark.parametrize(("place", "count"), [((0, 0), 4), ((0, 3), 6), ((6, 7), 4), ((3, 0), 6), ((3, 3), 9)])
def test_at_the_border_the_mean_is_over_the_pixels_that_lie_in_the_map(place: tuple[int, int], count: int) -> None:
    window = [(y, x) for y in range(7) for x in range(8) if max(abs(y - place[0]), abs(x - place[1])) <= 1]
    assert len(window) == count
    few = window[: count // 2]
    needed = T * count / len(few)
    assert place not in few or needed < 3 * T
    probe = at(1e-6, place)
    assert not opened(torch.maximum(at(0.98 * needed, *few), probe))[place]
    assert opened(torch.maximum(at(1.02 * needed, *few), probe))[place]


def test_the_scale_multiplies_the_threshold() -> None:
    assert not opened(at(2.9 * T * 5, (3, 3)), scale=5.0).any()
    assert opened(at(3.1 * T * 5, (3, 3)), scale=5.0).any()


def test_vectors_have_norm_gates_and_maps_smoothed_ones() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.point = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return y * self.point(y.mean((2, 3), keepdim=True)).sigmoid()

    graph = graph_of(Net(), (1, 3, 9, 8))
    gates = place_smooth_norm_gates(graph, 0.2, 4)
    kinds = {graph.by_name[name].size: type(gate) for name, gate in gates.items()}
    assert kinds == {(9, 8): SmoothNormGate, (7, 6): SmoothNormGate, (1, 1): NormGate}
    assert all(gate.threshold == 0.2 for gate in gates.values())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_threshold_zero_is_dense(name: str, backend: str) -> None:
    net, base = converted(name)
    model = base.regated(SkipConfig(threshold=0, gate="norm-smooth", backend=backend))
    session = model.session()
    for number, frame in enumerate(frames(NETWORKS[name][1], 6)):
        check_dense(session(frame), model.dense(frame), dense_leaves(net, frame), f"frame {number}")


@torch.no_grad()
@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("name", MAPS_ONLY)
def test_no_pixel_keeps_more_than_its_bound(name: str, block: int) -> None:
    shape = NETWORKS[name][1]
    config = SkipConfig(threshold=0.2, gate="norm-smooth", block=block, backend="reference")
    program = converted(name)[1].regated(config).program((shape,))
    assert isinstance(program, ReferenceProgram)
    state = program.new_state()
    for number, frame in enumerate(frames(shape, 8)):
        program.run(state, (frame,), number == 0)
        check_state(program, state, frame)


@torch.no_grad()
def test_the_mean_around_what_was_just_computed_stays_within_the_threshold() -> None:
    """An input is computed everywhere in each frame, so that the promise holds at each of its pixels, at any time."""
    shape = (1, 3, 24, 20)
    conv = nn.Conv2d(3, 4, 3, padding=1).eval()
    program = convert(conv, torch.zeros(shape), SkipConfig(threshold=0.3, gate="norm-smooth", backend="reference"))[0].program((shape,))
    assert isinstance(program, ReferenceProgram)
    state = program.new_state()
    (name,) = program.plan.gates
    kept = 0.0
    torch.manual_seed(0)
    base = torch.randn(shape)
    for number in range(12):
        frame = base + (torch.rand(1, 1, 24, 20) < 0.15) * 0.6 * torch.rand(shape)
        program.run(state, (frame,), number == 0)
        left = (frame - state.values[name]).abs().mean(1, keepdim=True)
        mean = nn.functional.avg_pool2d(left, 3, 1, 1, count_include_pad=False)
        limit = 0.3 * state.scales[name]
        assert float(mean[left > 0].max() if (left > 0).any() else 0) <= limit * (1 + 1e-5)
        kept = max(kept, float(left.max()) / limit)
    assert kept <= 3 * (1 + 1e-5)
    assert kept > 1  # more than a norm gate of this threshold lets stay
