"""Convolutions of the native executor against the reference, over random shapes."""

from __future__ import annotations

import native_plans as plans
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skipvid.skip.cpu import _native
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Activation, Node

SETS = _native.instruction_sets()
ACTIVATIONS = [
    None,
    Activation("relu"),
    Activation("hardtanh", (0.0, 6.0)),
    Activation("silu"),
    Activation("sigmoid"),
    Activation("tanh"),
    Activation("hardswish"),
    Activation("hardsigmoid"),
    Activation("leaky_relu", (0.1,)),
    Activation("elu", (1.0,)),
]


def conv_nodes(
    inputs: int, outputs: int, groups: int, kernel: tuple[int, int], size: tuple[int, int], seed: int, **attrs: object
) -> list[Node]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs // groups, *kernel, generator=generator) / (inputs // groups * kernel[0] * kernel[1]) ** 0.5
    consts = {"weight": weight, "bias": torch.randn(outputs, generator=generator)}
    activation = attrs.pop("activation", None)
    fields = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": groups, **attrs}
    conv = Node("conv", "conv", ("x",), (), fields, consts, activation)  # type: ignore[arg-type]
    return [Node("x", "input", (), (1, inputs, *size)), conv]


@st.composite
def convolutions(draw: st.DrawFn) -> list[Node]:
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    pads = tuple(draw(st.integers(0, 3)) for _ in range(4))
    groups = draw(st.sampled_from([1, 1, 2, 3, 8]))
    per_group, outputs = draw(st.integers(1, 20)), draw(st.integers(1, 24))
    smallest = [
        max(1, d * (k - 1) + 1 - before - after) for d, k, before, after in zip(dilation, kernel, pads[::2], pads[1::2], strict=True)
    ]
    size = (draw(st.integers(smallest[0], 20)), draw(st.integers(smallest[1], 20)))
    activation = draw(st.sampled_from(ACTIVATIONS))
    seed = draw(st.integers(0, 1000))
    return conv_nodes(
        per_group * groups, outputs * groups, groups, kernel, size, seed, stride=stride, pads=pads, dilation=dilation, activation=activation
    )


@st.composite
def depthwise(draw: st.DrawFn) -> list[Node]:
    kernel = draw(st.sampled_from([(3, 3), (5, 5), (7, 7), (3, 5), (2, 2)]))
    stride = draw(st.sampled_from([(1, 1), (2, 2), (1, 2), (3, 3)]))
    pads = tuple(draw(st.integers(0, kernel[index // 2] - 1)) for index in range(4))
    channels = draw(st.sampled_from([2, 5, 16, 24, 70]))
    size = (draw(st.integers(kernel[0], 24)), draw(st.integers(kernel[1], 24)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 2)])) if min(size) > 2 * max(kernel) else (1, 1)
    seed = draw(st.integers(0, 1000))
    activation = draw(st.sampled_from(ACTIVATIONS))
    return conv_nodes(channels, channels, channels, kernel, size, seed, stride=stride, pads=pads, dilation=dilation, activation=activation)


@st.composite
def transposed(draw: st.DrawFn) -> list[Node]:
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    inputs, outputs = draw(st.integers(1, 9)) * groups, draw(st.integers(1, 9))
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    padding = tuple(draw(st.integers(0, k - 1)) if (n - 1) * s + k > 2 * k else 0 for k, s, n in zip(kernel, stride, size, strict=True))
    output_padding = tuple(draw(st.integers(0, s - 1)) for s in stride)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    consts = {
        "weight": torch.randn(inputs, outputs, *kernel, generator=generator),
        "bias": torch.randn(outputs * groups, generator=generator),
    }
    attrs = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": (1, 1), "groups": groups}
    conv = Node("conv", "conv_transpose", ("x",), (), attrs, consts, draw(st.sampled_from(ACTIVATIONS)))
    return [Node("x", "input", (), (1, inputs, *size)), conv]


def gates_of(nodes: list[Node], threshold: float, block: int) -> list[NormGate]:
    # A fixed scale on one gate, a measured one on the other.
    return [NormGate("x", threshold, None, block), NormGate(nodes[-1].name, threshold, 0.7, block)]


OPTIONS = {
    "block": st.sampled_from([1, 1, 2, 8]),
    "threshold": st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    "share": st.sampled_from([0.01, 0.1, 0.6]),
    "instruction_set": st.sampled_from(SETS),
}


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_convolutions_agree_with_the_reference(kind, data) -> None:
    nodes = data.draw(kind())
    option = {name: data.draw(strategy, label=name) for name, strategy in OPTIONS.items()}
    plan = plans.plan_of(nodes, gates_of(nodes, option["threshold"], option["block"]))
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 4, 1, option["share"])]
    plans.assert_agrees(plan, stream, 1, option["instruction_set"])


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_skipping_changes_no_bit(kind, data) -> None:
    nodes = data.draw(kind())
    block = data.draw(OPTIONS["block"])
    plan = plans.plan_of(nodes, gates_of(nodes, 0.0, block))
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 4, 2, data.draw(OPTIONS["share"]))]
    plans.assert_same_bits_as_dense(plan, stream, data.draw(st.sampled_from([1, 2, 4])), data.draw(OPTIONS["instruction_set"]))


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "size"),
    [
        (64, 96, (1, 1), (40, 40)),
        (32, 32, (3, 3), (33, 31)),
        (320, 1200, (1, 1), (3, 3)),
        (256, 810, (1, 1), (4, 5)),
        (3, 32, (3, 3), (64, 66)),
        (128, 128, (3, 3), (16, 12)),  # more weights than values: threads share out the channels of several chunks
    ],
)
def test_layers_of_real_networks_agree_and_do_not_depend_on_threads(instruction_set, inputs, outputs, kernel, size) -> None:
    nodes = conv_nodes(inputs, outputs, 1, kernel, size, 3, pads=(kernel[0] // 2,) * 4, activation=Activation("silu"))
    plan = plans.plan_of(nodes, gates_of(nodes, 0.0, 1))
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 3, 4, 0.2)]
    plans.assert_agrees(plan, stream, 2, instruction_set)
    results = [[step.clone() for step in run_all(plan, stream, threads, instruction_set)] for threads in (1, 2, 4)]
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def run_all(plan, stream, threads, instruction_set):
    program = plans.native(plan, threads, instruction_set)
    state = program.new_state()
    for number, inputs in enumerate(stream):
        yield program.run(state, inputs, number == 0).outputs[0]


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("activation", ACTIVATIONS[1:], ids=lambda item: item.kind)
def test_activations_are_exact_over_their_whole_range(activation, instruction_set) -> None:
    # An identity convolution in front of the activation.
    nodes = conv_nodes(1, 1, 1, (1, 1), (64, 128), 0, activation=activation)
    nodes[1].consts["weight"].fill_(1.0)
    nodes[1].consts["bias"].zero_()
    x = torch.cat([torch.linspace(-110, 110, 4096), torch.logspace(-30, 1, 2048), -torch.logspace(-30, 1, 2048)]).view(1, 1, 64, 128)
    x[0, 0, 0, :3] = torch.tensor([float("nan"), float("inf"), float("-inf")])
    actual = plans.native(plans.plan_of(nodes), 1, instruction_set).run_dense([x])[0]
    expected = torch.nn.functional.silu(x) if activation.kind == "silu" else _torch_activation(activation, x)
    finite = expected.isfinite()
    assert torch.equal(actual.isnan(), expected.isnan()) or activation.kind == "silu"
    torch.testing.assert_close(actual[finite], expected[finite], rtol=1e-6, atol=1e-35)


def _torch_activation(activation, x):
    from skipvid.skip.reference.operations import activate

    return activate(activation, x)


def test_nan_opens_the_gate_and_leaves_no_trace() -> None:
    nodes = conv_nodes(8, 8, 1, (3, 3), (12, 12), 5, pads=(1, 1, 1, 1))
    plan = plans.plan_of(nodes, gates_of(nodes, 0.1, 1))
    clean = plans.frames(nodes[0].shape, 1, 6)[0]
    spoilt = clean.clone()
    spoilt[0, 3, 5, 5] = float("nan")
    program = plans.native(plan)
    state = program.new_state()
    first = program.run(state, [clean], True).outputs[0].clone()
    assert program.run(state, [spoilt], False).outputs[0].isnan().sum() == 9 * 8
    assert torch.equal(program.run(state, [clean], False).outputs[0], first)
