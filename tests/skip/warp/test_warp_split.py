"""Splitting networks in two: both parts together are the network, and what cannot be split is refused."""

from __future__ import annotations

import pytest
import torch
from function_network import Net
from torch import nn

from skipvid.core.errors import UsageError
from skipvid.models import build_model
from skipvid.skip import cpu as native
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.ir.precision import round_weights
from skipvid.skip.plan import Plan
from skipvid.skip.warp.split import SHARE, Split, split_graph

REAL = {"efficientdet-nano": (128, 192), "yolox_nano": (96, 128), "tf_efficientdet_lite0": (128, 128), "efficientdet_d0": (128, 128)}


def split_of(model: SkipModel, size: tuple[int, int], precision: str) -> Split:
    graph = model.planned(((1, 3, *size),)).plan.graph
    return split_graph(round_weights(graph) if precision == "bf16" else graph, precision)


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest) -> tuple[SkipModel, tuple[int, int]]:
    torch.manual_seed(0)
    size = REAL[request.param]
    return SkipModel(build_model(request.param, image_size=size).eval(), SkipConfig(gate="none", backend="reference")), size


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_both_parts_of_a_detector_have_the_bits_of_the_whole(real: tuple[SkipModel, tuple[int, int]], precision: str, backend: str) -> None:
    if backend == "cpu" and not native.status().available:
        pytest.skip(native.status().reason)
    model, size = real
    own = model.regated(SkipConfig(gate="none", backend=backend, threads=1, precision=precision))
    parts, whole = own.split(((1, 3, *size),)), own.program(((1, 3, *size),))
    frame = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    maps = [torch.as_tensor(value) for value in parts.prefix.run_dense([frame])]
    actual, expected = parts.suffix.run_dense(maps), whole.run_dense([frame])
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_layers_of_both_parts_are_those_of_the_network(real: tuple[SkipModel, tuple[int, int]], precision: str) -> None:
    split = split_of(*real, precision)

    def macs(plan: Plan) -> dict[str, int]:
        return {layer.node: layer.dense_macs for layer in plan.layers}

    before, behind = macs(split.prefix), macs(split.suffix)
    assert not before.keys() & behind.keys() and before | behind == macs(split.whole)
    assert [layer.node in behind for layer in split.whole.layers] == list(split.behind)
    assert SHARE[0] <= split.prefix.dense_macs / split.whole.dense_macs <= SHARE[1]
    crossing = [node for node in split.suffix.graph if node.op == "input"]
    assert crossing and all(node.is_map for node in crossing) and max(node.size for node in crossing) > (1, 1)
    assert [node.name for node in crossing] == list(split.prefix.graph.outputs)


def graph_of(net: nn.Module, *shapes: tuple[int, ...]) -> Split:
    model = SkipModel(net, SkipConfig(gate="none", backend="reference"))
    return split_graph(model.planned(shapes).plan.graph, "f32")


def conv(inputs: int, outputs: int, size: int = 3, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, **options)


@pytest.mark.parametrize(
    ("net", "shapes"),
    [
        (Net(lambda m, x: m.a(x).mean((2, 3)), a=conv(3, 4)), [(1, 3, 32, 32)]),  # one layer: nothing behind it
        (Net(lambda m, x: m.a(x.flatten(1)), a=nn.Linear(3 * 64, 4)), [(1, 3, 8, 8)]),  # no maps
        (Net(lambda m, x: m.b(m.a(x)) + x, a=conv(3, 9), b=conv(9, 3)), [(1, 3, 32, 32)]),  # the picture itself is read at the end
        (Net(lambda m, x: m.b(m.a(x)), a=conv(3, 16, 7, stride=32), b=conv(16, 1)), [(1, 3, 32, 32)]),  # a map of one pixel
    ],
)
def test_what_has_no_place_for_a_split_is_refused_in_one_line(net: nn.Module, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match="finds no layer of this network") as error:
        graph_of(net, *shapes)
    assert "\n" not in str(error.value) and "leave --motion warp out" in str(error.value)


def test_a_network_of_two_pictures_is_refused() -> None:
    net = Net(lambda m, x, y: m.b(m.a(x)) + y, a=conv(3, 9), b=conv(9, 3))
    with pytest.raises(UsageError, match="2 inputs"):
        graph_of(net, (1, 3, 32, 32), (1, 3, 32, 32))


def test_the_split_lies_where_the_fewest_numbers_cross_behind_most_of_the_work() -> None:
    """A wide and a narrow map behind most of the work: the narrow one is kept, and the last of several as narrow."""
    net = Net(lambda m, x: m.d(m.c(m.b(m.a(x)))), a=conv(3, 32), b=conv(32, 8, 1), c=conv(8, 8, 1), d=conv(8, 32, 1))
    split = graph_of(net, (1, 3, 32, 32))
    assert split.prefix.layers[-1].name == "c" and [layer.name for layer in split.suffix.layers] == ["d"]
