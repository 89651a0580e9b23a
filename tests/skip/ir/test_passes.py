"""Each pass makes fewer operations and changes no result; and keeps its hands off where it would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from exported import graph_of, operations, raw_graph, run
from function_network import Net
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip.ir.graph import Activation, Graph, Node
from skipvid.skip.ir.passes import fold_affines, fuse_activations, optimise
from skipvid.skip.reference.operations import evaluate

SHAPE = (1, 4, 8, 6)


def conv(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1, **options)


def double_activation(m: Any, x: Tensor) -> Tensor:
    return m.conv(x).relu().sigmoid()


def read_twice(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return y.relu() + y


def also_returned(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y = m.conv(x)
    return y.relu(), y


def norm_read_twice(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.norm(y) * y


def swish(m: Any, x: Tensor) -> Tensor:
    y = m.norm(m.conv(x))
    return torch.sigmoid(y) * y


def swish_whose_gate_is_returned(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y = m.conv(x)
    gate = y.sigmoid()
    return y * gate, gate


def not_swish(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return y.sigmoid() * y.relu() + y.sigmoid() * y.sigmoid()


def dead_branch(m: Any, x: Tensor) -> Tensor:
    m.conv(m.conv(x))
    return m.norm(x)


def weighted_sum(m: Any, x: Tensor) -> Tensor:
    weights = functional.relu(m.weights)
    weights = weights / (weights.sum() + 1e-4)
    return torch.stack([x.relu() * weights[0], m.conv(x) * weights[1]], -1).sum(-1)


OPTIMISED: dict[str, tuple[Callable[[Any, Tensor], Any], dict[str, int]]] = {
    "conv, norm, activation": (lambda m, x: functional.hardswish(m.norm(m.conv(x))), {"conv": 1}),
    "conv, norm, norm, scale": (lambda m, x: m.norm(m.norm(m.conv(x))) * 3 - 1, {"conv": 1}),
    "norm before conv stays": (lambda m, x: m.conv(m.norm(x)), {"affine": 1, "conv": 1}),
    "norm behind activation stays": (lambda m, x: m.norm(m.conv(x).relu()).relu(), {"conv": 1, "affine": 1}),
    "activation of activation": (double_activation, {"conv": 1, "activation": 1}),
    "three activations": (lambda m, x: m.conv(x).relu().sigmoid().tanh(), {"conv": 1, "activation": 2}),
    "conv read twice": (read_twice, {"conv": 1, "activation": 1, "add": 1}),
    "conv also returned": (also_returned, {"conv": 1, "activation": 1}),
    "norm of a conv read twice": (norm_read_twice, {"conv": 1, "affine": 1, "mul": 1}),
    "activation of a sum": (lambda m, x: (x + m.conv(x)).relu(), {"conv": 1, "add": 1}),
    "activation of a pool stays": (lambda m, x: functional.max_pool2d(x, 2).relu(), {"max_pool": 1, "activation": 1}),
    "map-sized factor stays": (lambda m, x: m.conv(x) * m.space, {"conv": 1, "affine": 1}),
    "swish": (swish, {"conv": 1}),
    "swish whose gate is returned": (swish_whose_gate_is_returned, {"conv": 1, "activation": 2}),
    "not swish": (not_swish, {"conv": 1, "activation": 4, "mul": 2, "add": 1}),
    "dead branch": (dead_branch, {"affine": 1}),
    "BiFPN weights": (weighted_sum, {"conv": 1, "activation": 1, "affine": 1, "add": 1}),
    "zero pad": (lambda m, x: m.conv(functional.pad(x, (0, 1, 2, 3))), {"conv": 1}),
    "pad read twice": (lambda m, x: (lambda y: m.conv(y) + m.conv(y))(functional.pad(x, (1, 1))), {"conv": 2, "add": 1}),
    "pad also returned": (lambda m, x: (lambda y: (m.conv(y), y))(functional.pad(x, (1, 1))), {"conv": 1, "pad": 1}),
    "pad of ones": (lambda m, x: m.conv(functional.pad(x, (1, 1), value=1.0)), {"conv": 1, "pad": 1}),
    "cropping pad": (lambda m, x: m.conv(functional.pad(x, (-1, 1))), {"conv": 1, "pad": 1}),
    "pad before a maximum": (lambda m, x: functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2), {"max_pool": 1}),
    "zero pad before a maximum": (lambda m, x: functional.max_pool2d(functional.pad(x, (0, 1)), 3, 2), {"pad": 1, "max_pool": 1}),
    "pad before a mean": (lambda m, x: functional.avg_pool2d(functional.pad(x, (2, 2, 2, 2)), 3, 2), {"avg_pool": 1}),
    "pad before a mean that pads too": (
        lambda m, x: functional.avg_pool2d(functional.pad(x, (1, 1)), 3, 2, 1, count_include_pad=False),
        {"pad": 1, "avg_pool": 1},
    ),
}


@pytest.mark.parametrize("name", OPTIMISED)
def test_passes_leave_these_operations_and_the_same_result(name: str) -> None:
    torch.manual_seed(0)
    function, expected = OPTIMISED[name]
    norm = nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    net = Net(function, conv=conv(), norm=norm, space=torch.rand(8, 6), weights=nn.Parameter(torch.rand(2)))
    x = torch.randn(SHAPE)
    graph = graph_of(net, SHAPE)
    assert operations(graph) == expected
    with torch.no_grad():
        wanted = net(x)
    for got, want in zip(run(graph, x), wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_activation_of_a_result_that_is_returned_is_not_fused() -> None:
    graph = graph_of(Net(also_returned, conv=conv()), SHAPE)
    assert [node.activation for node in graph if node.op == "conv"] == [None]


def single(op: str, weight: Tensor, bias: Tensor | None, x: Tensor, **attrs: Any) -> Graph:
    """x -> convolution -> affine of the same number of channels."""
    consts = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    node = Node("conv", op, ("x",), (), attrs, consts)
    shape = tuple(evaluate(node, {"x": x}).shape)
    scale, shift = torch.randn(shape[1], 1, 1), torch.randn(shape[1], 1, 1)
    nodes = (
        Node("x", "input", (), tuple(x.shape)),
        Node("conv", op, ("x",), shape, attrs, consts),
        Node("norm", "affine", ("conv",), shape, consts={"scale": scale, "shift": shift}),
    )
    return Graph(nodes, ("norm",), None)  # type: ignore[arg-type]  # the structure of the output is of no interest here


@pytest.mark.parametrize("op", ["conv", "conv_transpose"])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_folding_a_norm_costs_no_accuracy(op: str, data: st.DataObject) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    groups, per_in, per_out = (data.draw(st.integers(1, 3)) for _ in range(3))
    kernel = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    inputs, outputs = groups * per_in, groups * per_out
    x, bias = torch.randn(1, inputs, 5, 4), torch.randn(outputs) if data.draw(st.booleans()) else None
    if op == "conv":
        weight = torch.randn(outputs, per_in, *kernel)
        attrs: dict[str, Any] = {"stride": (1, 1), "pads": (1, 0, 2, 1), "dilation": (1, 1), "groups": groups}
    else:
        weight = torch.randn(inputs, per_out, *kernel)
        attrs = {"stride": (2, 1), "padding": (0, 0), "output_padding": (1, 0), "dilation": (1, 1), "groups": groups}
    graph = single(op, weight, bias, x, **attrs)
    folded = fold_affines(graph)
    assert [node.op for node in folded] == ["input", op]
    exact = Graph(
        tuple(Node(n.name, n.op, n.inputs, n.shape, n.attrs, {key: value.double() for key, value in n.consts.items()}) for n in graph),
        graph.outputs,
        graph.out_spec,
    )
    torch.testing.assert_close(run(folded, x)[0].double(), run(exact, x.double())[0], rtol=1e-5, atol=1e-5)


def test_pass_changes_no_graph_in_place() -> None:
    graph = raw_graph(Net(lambda m, x: m.norm(m.conv(x)).relu(), conv=conv(), norm=nn.BatchNorm2d(4)), SHAPE)
    before = [(node.name, node.op, node.inputs, node.activation) for node in graph]
    weights = next(node for node in graph if node.op == "conv").consts["weight"].clone()
    optimise(graph)
    assert [(node.name, node.op, node.inputs, node.activation) for node in graph] == before
    assert torch.equal(next(node for node in graph if node.op == "conv").consts["weight"], weights)


def test_fused_activation_is_the_one_applied_last() -> None:
    nodes = [Node("x", "input", (), SHAPE), Node("sum", "add", ("x", "x"), SHAPE)]
    nodes += [Node("one", "activation", ("sum",), SHAPE, activation=Activation("relu"))]
    nodes += [Node("two", "activation", ("one",), SHAPE, activation=Activation("tanh"))]
    fused = fuse_activations(Graph(tuple(nodes), ("two",), None))  # type: ignore[arg-type]
    assert [(node.name, node.activation and node.activation.kind) for node in fused] == [("x", None), ("sum", "relu"), ("two", "tanh")]
    assert fused.outputs == ("two",) and fused.nodes[-1].inputs == ("sum",)
