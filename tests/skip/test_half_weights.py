"""Biases in half precision: what rounding the weights does to a layer's mean output is made up for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_structure

from skipvid import build_model
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.half_weights import artificial, half_weights
from skipvid.skip.importers.exported import import_exported
from skipvid.skip.importers.tracing import export
from skipvid.skip.ir.graph import Activation, Graph, Node
from skipvid.skip.ir.passes import optimise
from skipvid.skip.ir.precision import round_weights
from skipvid.skip.reference.operations import evaluate


class Layers(nn.Module):
    """A layer of each kind that has rounded weights, and one that has not; behind ReLU, so that what they read is not negative."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, 2, 1, bias=False)
        self.grouped = nn.Conv2d(24, 32, 3, 1, 1, groups=4)
        self.depthwise = nn.Conv2d(32, 32, 3, 1, 1, groups=32)
        self.up = nn.ConvTranspose2d(32, 20, 3, 2, 1, 1)
        self.linear = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.grouped(torch.relu(self.stem(x))))
        x = torch.relu(self.up(torch.relu(self.depthwise(x))))
        return x, self.linear(x.mean((2, 3)))


def graph_of(net: nn.Module, example: Tensor) -> Graph:
    return optimise(import_exported(export(net.eval(), (example,))))


def values_of(graph: Graph, given: Tensor) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
    with torch.no_grad():
        for node in graph:
            values[node.name] = given if node.op == "input" else evaluate(node, values)
    return values


def test_each_layer_has_the_mean_of_exact_weights_on_what_it_was_measured_on() -> None:
    torch.manual_seed(0)
    graph = graph_of(Layers(), torch.zeros(1, 3, 40, 56))
    half, plain = half_weights(graph), round_weights(graph)
    exact = values_of(graph, artificial(graph.inputs[0]))
    seen = set()
    for node, other, nearest in zip(graph, half, plain, strict=True):
        if nearest is node:
            assert other is node, "a layer whose weights are not rounded, or none"
            continue
        seen.add(node.op)
        assert torch.equal(other.consts["weight"], nearest.consts["weight"])
        alone = [
            evaluate(Node(each.name, each.op, each.inputs, each.shape, each.attrs, each.consts), exact) for each in (node, other, nearest)
        ]
        means = [value.mean([axis for axis in range(value.ndim) if axis != 1]) for value in alone]
        assert float((means[1] - means[0]).abs().max()) < 1e-5 < float((means[2] - means[0]).abs().max()), node.op
    assert seen == {"conv", "conv_transpose"}


def test_a_layer_on_a_list_of_numbers_is_corrected_too() -> None:
    torch.manual_seed(0)
    weight = torch.rand(4, 6)
    nodes = (
        Node("x", "input", (), (1, 6)),
        Node("one", "activation", ("x",), (1, 6), activation=Activation("sigmoid")),  # 0.5 for zeros
        Node("y", "linear", ("one",), (1, 4), consts={"weight": weight}),
    )
    graph = Graph(nodes, ("y",), tree_structure(0))
    layer = half_weights(graph).nodes[-1]
    lost = weight - layer.consts["weight"]
    assert torch.allclose(layer.consts["bias"], lost.sum(1) / 2, atol=1e-6) and bool(lost.any())


@pytest.mark.parametrize("seed", range(3))
def test_a_picture_that_was_not_measured_gains_too(seed: int) -> None:
    torch.manual_seed(seed)
    widths = (3, 24, 40, 40, 56, 56)
    net = nn.Sequential(*(layer for a, b in zip(widths, widths[1:], strict=False) for layer in (nn.Conv2d(a, b, 3, 1, 1), nn.ReLU())))
    for layer in net[::2]:
        nn.init.kaiming_normal_(layer.weight)
    graph = graph_of(net, torch.zeros(1, 3, 48, 48))
    picture = torch.nn.functional.interpolate(torch.randn(1, 3, 12, 12), size=(48, 48), mode="bilinear")
    last = graph.outputs[0]
    exact, with_bias, nearest = (values_of(each, picture)[last] for each in (graph, half_weights(graph), round_weights(graph)))
    assert float((with_bias - exact).abs().mean()) < 0.95 * float((nearest - exact).abs().mean())


def test_it_is_the_same_each_time_and_leaves_random_numbers_alone() -> None:
    graph = graph_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)), torch.zeros(1, 3, 16, 16))
    state = torch.get_rng_state()
    one, two = half_weights(graph), half_weights(graph)
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(a.consts[name], b.consts[name]) for name in a.consts)


def test_what_is_no_number_on_an_artificial_picture_corrects_nothing() -> None:
    class Logarithm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.log(x))  # of a network whose inputs are positive

    net = Logarithm().eval()
    model, _ = convert(net, torch.ones(1, 3, 8, 8), SkipConfig(precision="bf16", backend="reference"))
    frame = torch.rand(1, 3, 8, 8) + 0.5
    assert torch.allclose(model.dense(frame), net(frame), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("shape", [(1, 3, 32, 48), (1, 1, 5, 1), (1, 7, 200, 3)], ids=str)
def test_an_artificial_input_looks_like_a_picture(shape: tuple[int, ...]) -> None:
    value = artificial(Node("x", "input", (), shape))
    assert value.shape == shape and value.dtype == torch.float32 and bool(value.isfinite().all())
    if shape[1:3] == (3, 32):
        assert float(value.mean().abs()) < 1 and 0.5 < float(value.std()) < 1.5
        beside = (value[..., 1:] == value[..., :-1]).float().mean()
        assert 0.5 < float(beside) < 1, "neither noise nor a blank"


@pytest.mark.parametrize(("shape", "dtype"), [((1, 12), torch.float32), ((1, 3, 8, 8), torch.int64), ((), torch.float32)], ids=str)
def test_what_is_no_picture_is_taken_for_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    value = artificial(Node("x", "input", (), shape, dtype=dtype))
    assert value.shape == shape and value.dtype == dtype and not value.any()


def test_biases_have_the_same_bits_whatever_threads_pytorch_has() -> None:
    """A dense program that an earlier run kept on disk has to agree with a gated one that is compiled now."""
    torch.manual_seed(0)
    graph = graph_of(build_model("efficientdet_d0", image_size=(128, 128)), torch.zeros(1, 3, 128, 128))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append([node.consts["bias"] for node in half_weights(graph) if "bias" in node.consts])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(found[0]) >= 4 and all(torch.equal(one, other) for other in found[1:] for one, other in zip(found[0], other, strict=True))
