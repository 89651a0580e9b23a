"""Half precision of the native executor against the reference.

Where all arithmetic is exact (small whole numbers), every instruction set has the reference's bits, gates and all, because each stored
value is rounded once. Elsewhere a value may fall to the other side of a rounding: each map is compared with that of its own inputs, within
a step of bfloat16.
"""

from __future__ import annotations

import native_plans as plans
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import HALF_SETS, image, node
from sample_frames import frames
from sample_networks import NETWORKS, converted
from test_native_convolution import conv_nodes, convolutions, depthwise, transposed
from test_native_gates import chain
from test_native_operations import local_operations
from test_native_promises import allowed, published_values
from torch import Tensor

from skipvid.models.registry import build_model
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu.backend import NativeBackend
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.gates.base import MapGate
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.units import FEWEST_SAMPLED, sampled
from skipvid.skip.ir.graph import Activation, Node
from skipvid.skip.ir.precision import rounded
from skipvid.skip.reference.executor import ReferenceProgram
from skipvid.skip.reference.operations import evaluate

STEP = 2.0**-7
"""The largest distance of two adjacent bfloat16 numbers, relative to them."""
EXACT = [None, Activation("relu"), Activation("hardtanh", (-6.0, 40.0)), Activation("leaky_relu", (0.125,))]


def whole_frames(shape: tuple[int, ...], count: int, seed: int, share: float) -> list[list[Tensor]]:
    """Frames of whole numbers that bfloat16 has not all of."""
    return [[(frame * 200).round().clamp(-700, 700)] for frame in plans.frames(shape, count, seed, share)]


def with_whole_weights(nodes: list[Node], activation: Activation | None) -> list[Node]:
    generator = torch.Generator().manual_seed(0)
    layer = nodes[-1]
    consts = {name: torch.randint(-4, 5, value.shape, generator=generator).float() for name, value in layer.consts.items()}
    return [*nodes[:-1], Node(layer.name, layer.op, layer.inputs, (), layer.attrs, consts, activation)]


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_layers_of_whole_numbers_have_the_bits_of_the_reference(kind, data) -> None:
    nodes = with_whole_weights(data.draw(kind()), data.draw(st.sampled_from(EXACT)))
    threshold, block = data.draw(st.sampled_from([0.0, 0.137])), data.draw(st.sampled_from([1, 1, 2, 8]))
    gates = [NormGate("x", threshold, 311.7, block), NormGate(nodes[-1].name, threshold, 2011.3, block)]
    plan = plans.plan_of(nodes, gates, precision="bf16")
    stream = whole_frames(nodes[0].shape, 4, 1, data.draw(st.sampled_from([0.01, 0.1, 0.6])))
    plans.assert_agrees(plan, stream, data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(HALF_SETS)), tolerance=0.0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_layers_that_read_neighbours_at_once_have_the_bits_of_the_reference(data) -> None:
    """Of three channels, or few whole vectors: the pixels that a row of the window reads are one row of the product, at borders, too."""
    channels = data.draw(st.sampled_from([3, 3, 16, 64, 80]))
    kernel = data.draw(st.sampled_from([(3, 3), (5, 5), (1, 2), (2, 17), (3, 1)]))
    dilation = (data.draw(st.integers(1, 2)), data.draw(st.sampled_from([1, 1, 2])))
    pads = tuple(data.draw(st.integers(0, 4)) for _ in range(4))
    least = [max(1, dilation[axis] * (kernel[axis] - 1) + 1 - sum(pads[2 * axis : 2 * axis + 2])) for axis in range(2)]
    size = tuple(data.draw(st.integers(extent, extent + 20)) for extent in least)
    stride = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    attrs = {"stride": stride, "pads": pads, "dilation": dilation}
    nodes = conv_nodes(channels, data.draw(st.sampled_from([1, 16, 40])), 1, kernel, size, 0, **attrs)  # type: ignore[arg-type]
    nodes = with_whole_weights(nodes, data.draw(st.sampled_from(EXACT)))
    gates = [NormGate("x", data.draw(st.sampled_from([0.0, 0.137])), 311.7), NormGate("conv", 0.0, 2011.3)]
    plan = plans.plan_of(nodes, gates, precision="bf16")
    stream = whole_frames(nodes[0].shape, 4, 1, data.draw(st.sampled_from([0.01, 0.1, 0.6])))
    plans.assert_agrees(plan, stream, data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(HALF_SETS)), tolerance=0.0)


@pytest.mark.parametrize("instruction_set", HALF_SETS)
def test_what_lay_beside_the_channels_of_an_input_does_not_matter(instruction_set: str) -> None:
    """Maps of a dense run lie one after the other in the same memory."""
    layers = conv_nodes(3, 16, 1, (3, 3), (24, 24), 0, pads=(1, 1, 1, 1))
    shrunk = {"weight": torch.ones(16, 16, 4, 4)}
    layers.append(node("small", "conv", "conv", consts=shrunk, stride=(4, 4), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1))
    layers.append(plans.conv("last", "small", 16, 16, 3))
    program = plans.native(plans.plan_of(layers, precision="bf16"), 1, instruction_set)
    frame = plans.frames((1, 3, 24, 24), 1, 0)[0]
    expected = program.run_dense([frame])[0].clone()
    assert program.run_dense([torch.full_like(frame, float("inf"))])[0].isnan().any()
    assert expected.isfinite().all() and torch.equal(program.run_dense([frame])[0], expected)


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_output_gates_on_whole_numbers_decide_as_the_reference_does(kind, data) -> None:
    nodes = with_whole_weights(data.draw(kind()), data.draw(st.sampled_from(EXACT)))
    gate = {
        "threshold": data.draw(st.sampled_from([0.0, 0.0517])),
        "scale": 2011.3,
        "p": data.draw(st.sampled_from([1.0, float("inf")])),
        "block": data.draw(st.sampled_from([1, 1, 4])),
    }
    plan = plans.plan_of(nodes, output_gates={nodes[-1].name: gate}, precision="bf16")
    stream = whole_frames(nodes[0].shape, 5, 1, data.draw(st.sampled_from([0.05, 0.5])))
    plans.assert_agrees(plan, stream, data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(HALF_SETS)), tolerance=0.0)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_learned_gates_on_whole_numbers_decide_as_the_reference_does(data) -> None:
    channels = data.draw(st.sampled_from([1, 5, 16, 24, 70]))
    nodes = chain(channels, (data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))), 1)
    for layer in nodes:
        for value in layer.consts.values():
            value.copy_((value * 4).round().clamp(-4, 4))
    weight = torch.randint(-3, 4, (channels,), generator=torch.Generator().manual_seed(channels)).float()
    magnitude = data.draw(st.booleans())
    gates: list[MapGate] = [
        LearnedGate(weight.abs() if magnitude else weight, -100.5, magnitude, data.draw(st.sampled_from(["first", "own"])))
    ]
    plan = plans.plan_of(nodes, gates, outputs=("sum", "last"), precision="bf16")
    stream = [[(frame / 64).round() for frame in inputs] for inputs in whole_frames(nodes[0].shape, 5, 3, 0.2)]
    plans.assert_agrees(plan, stream, 2, data.draw(st.sampled_from(HALF_SETS)), tolerance=0.0)


def assert_each_map_follows(program: NativeProgram, stream: list[tuple[Tensor, ...]]) -> None:
    """Every map without a gate is that of its inputs, within a rounding; every gated one is within the gate's bound of it."""
    state = program.new_state()
    plan = program.plan
    for number, inputs in enumerate(stream):
        program.run(state, inputs, number == 0)
        values = published_values(program, state)
        queue = iter(inputs)
        for item in plan.graph:
            exact = plan.stored(item, next(queue) if item.op == "input" else evaluate(item, values))
            what = f"frame {number}: {item.op} {item.name}"
            # Sums that cancel are as exact as what was added up, which is no larger than the largest values of the map.
            level = float(exact[exact.isfinite()].abs().max()) if exact.numel() else 0.0
            slack = STEP * exact.abs() + 1e-5 * level
            excess = torch.where(exact == values[item.name], 0.0, (exact - values[item.name]).abs() - slack)
            if item.name not in plan.gates:
                assert bool((excess <= 0).all()), what
            else:
                assert float((excess.mean(1) if item.is_map else excess.mean()).max()) <= allowed(program, state, item), what
            if item.name in plan.rounded:
                assert torch.equal(values[item.name], rounded(values[item.name])), what


@settings(max_examples=80, deadline=None)
@given(operation=local_operations(), height=st.integers(8, 20), width=st.sampled_from([8, 17, 66]), data=st.data())
def test_operations_without_weights_follow_their_inputs(operation, height, width, data) -> None:
    block, threshold = data.draw(st.sampled_from([1, 4])), data.draw(st.sampled_from([0.0, 0.3]))
    gates = [NormGate("x", threshold, None, block), NormGate("y", threshold, None, 1 if operation.op == "global_mean" else block)]
    instruction_set = data.draw(st.sampled_from(HALF_SETS))
    plan = plans.plan_of([image(20, height, width), operation], gates, precision="bf16")
    stream = [(frame,) for frame in plans.frames((1, 20, height, width), 4, 1, 0.1)]
    assert_each_map_follows(plans.native(plan, 2, instruction_set), stream)
    exact = plans.plan_of(
        [image(20, height, width), operation], [NormGate(gate.map, 0.0, None, gate.block) for gate in gates], precision="bf16"
    )
    plans.assert_same_bits_as_dense(exact, stream, 2, instruction_set)


@torch.no_grad()
@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize(("threshold", "block"), [(0.1, 1), (0.5, 4)])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "types"])  # a boolean output has no distance
def test_every_map_of_a_network_follows_its_inputs(name: str, threshold: float, block: int, instruction_set: str) -> None:
    shape = NETWORKS[name][1]
    config = SkipConfig(threshold=threshold, block=block, backend="cpu", precision="bf16")
    plan = converted(name)[1].regated(config).program((shape,)).plan
    assert_each_map_follows(NativeBackend(2, instruction_set).compile(plan), [(frame,) for frame in frames(shape, 8)])


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_skipping_changes_no_bit(kind, data) -> None:
    nodes = data.draw(kind())
    block = data.draw(st.sampled_from([1, 1, 2, 8]))
    plan = plans.plan_of(nodes, [NormGate("x", 0.0, None, block), NormGate(nodes[-1].name, 0.0, None, block)], precision="bf16")
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 4, 2, data.draw(st.sampled_from([0.01, 0.1, 0.6])))]
    plans.assert_same_bits_as_dense(plan, stream, data.draw(st.sampled_from([1, 2, 4])), data.draw(st.sampled_from(HALF_SETS)))


@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize("channels", [1, 3, 5, 13])
def test_what_lies_behind_an_odd_number_of_channels_does_not_matter(channels: int, instruction_set: str) -> None:
    """A slice whose neighbour is no number, in a row that is read in pairs."""
    nodes = [
        image(2 * channels, 6, 7),
        node("copy", "activation", "x", activation=Activation("relu")),
        node("left", "channels", "copy", index=tuple(range(channels))),
        plans.conv("y", "left", channels, 9, 3),
    ]
    program = plans.native(plans.plan_of(nodes, precision="bf16"), 1, instruction_set)
    assert program._lowered.layout.parts.keys() == {"left"}
    frame = plans.frames((1, 2 * channels, 6, 7), 1, 0)[0]
    expected = program.run_dense([frame])[0].clone()
    frame[:, channels:] = float("nan")
    assert expected.isfinite().all() and torch.equal(program.run_dense([frame])[0], expected)


@torch.no_grad()
@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("order", ["mi", "im", "mim", "imi", "mmi", "mii"])
def test_a_concatenation_copies_no_more_than_what_does_not_lie_in_it(order: str, read: bool, instruction_set: str) -> None:
    """Of its parts, slices of another map are copied (m), and what layers compute for it alone lies inside (i)."""
    nodes = [image(20, 9, 11), plans.conv("whole", "x", 20, 96, 1)]
    for number, kind in enumerate(order):
        if kind == "m":
            nodes.append(node(f"part{number}", "channels", "whole", index=tuple(range(32 * number, 32 * number + 32))))
        else:
            nodes.append(plans.conv(f"part{number}", "whole", 96, 32, 3))
    inside = {f"part{number}" for number, kind in enumerate(order) if kind == "i"}
    nodes.append(node("cat", "concat", *(f"part{number}" for number in range(len(order)))))
    if read:
        nodes.append(plans.conv("y", "cat", 32 * len(order), 7, 3))
    gates = [NormGate(name, 0.2, None, 1) for name in ("x", *inside)]
    plan = plans.plan_of(nodes, gates, precision="bf16")
    program = plans.native(plan, 2, instruction_set)
    assert inside == {name for name, part in program._lowered.layout.parts.items() if part.of == "cat"}
    assert_each_map_follows(program, [(frame,) for frame in plans.frames((1, 20, 9, 11), 4, 0, 0.2)])
    exact = plans.plan_of(nodes, [NormGate(gate.map, 0.0, None, 1) for gate in gates], precision="bf16")
    plans.assert_same_bits_as_dense(exact, [[frame] for frame in plans.frames((1, 20, 9, 11), 4, 1, 0.2)], 2, instruction_set)


@pytest.mark.parametrize("instruction_set", HALF_SETS)
def test_values_are_rounded_to_nearest_even_as_torch_does(instruction_set: str) -> None:
    """Inputs of any bits, and sums that need more of them than bfloat16 has, some half way between two of its numbers."""
    random = np.random.default_rng(0)
    special = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 3.3895e38, 3.4e38, 1e-40, -1e-45, 1.00390625, 1.01171875])
    given = torch.from_numpy(random.integers(0, 2**32, 4096 - len(special), np.uint32).view(np.float32))
    x = torch.cat([special, given]).view(1, 1, 64, 64)
    y = x.bfloat16().float() * 2.0 ** torch.from_numpy(random.integers(-12, 1, (1, 1, 64, 64)))
    plan = plans.plan_of([image(1, 64, 64), image(1, 64, 64, "y"), node("sum", "add", "x", "y")], outputs=["x", "sum"], precision="bf16")
    stored, total = plans.native(plan, 1, instruction_set).run_dense([x, y])
    for actual, expected in ((stored, rounded(x)), (total, rounded(rounded(x) + rounded(y)))):
        assert torch.equal(actual.isnan(), expected.isnan())
        assert torch.equal(actual.nan_to_num(0, 1, 2), expected.nan_to_num(0, 1, 2))


@torch.no_grad()
@pytest.mark.parametrize("instruction_set", HALF_SETS)
@pytest.mark.parametrize("gate", ["norm", "norm-output"])
@pytest.mark.parametrize("name", NETWORKS)
def test_threads_and_the_choice_of_pixels_change_no_bit(name: str, gate: str, instruction_set: str) -> None:
    shape = NETWORKS[name][1]

    def programs(threshold: float) -> list[NativeProgram]:
        config = SkipConfig(threshold=threshold, gate=gate, backend="cpu", precision="bf16")
        plan = converted(name)[1].regated(config).program((shape,)).plan
        return [NativeBackend(threads, instruction_set).compile(plan) for threads in (1, 2, 4)]

    gated, exact = programs(0.1), programs(0.0)
    states = [program.new_state() for program in (*gated, *exact)]
    for number, frame in enumerate(frames(shape, 6, seed=3)):
        runs = [program.run(state, (frame,), number in (0, 3)) for program, state in zip((*gated, *exact), states, strict=True)]
        dense = exact[number % 3].run_dense((frame,))
        for other in runs[1:3]:
            assert list(other.active) == list(runs[0].active)
            assert all(torch.equal(a, b) for a, b in zip(other.outputs, runs[0].outputs, strict=True)), f"frame {number}, gated"
        for other in runs[3:]:
            assert all(torch.equal(a, b) for a, b in zip(other.outputs, dense, strict=True)), f"frame {number}, against dense"
            assert all(output.dtype != torch.bfloat16 for output in other.outputs)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("tf_efficientdet_d0", (256, 256)), ("hrnet-nano", (128, 96))])
def test_a_stream_takes_half_the_memory(name: str, size: tuple[int, int]) -> None:
    net, shape = build_model(name, image_size=size), (1, 3, *size)
    model = SkipModel(net, SkipConfig(backend="cpu"))
    bytes_of = {}
    for precision in ("f32", "bf16"):
        program = model.regated(SkipConfig(backend="cpu", precision=precision)).program((shape,))
        bytes_of[precision] = program.new_state().memory_bytes()
    assert bytes_of["bf16"] <= 0.55 * bytes_of["f32"]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_stream_of_bf16_stays_near_that_of_f32(backend: str) -> None:
    """Stated: within 3 % of the largest output for three layers of random weights, and no closer than rounding allows."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.SiLU(), torch.nn.Conv2d(16, 16, 3), torch.nn.SiLU(), torch.nn.Conv2d(16, 4, 1)
    )
    model = SkipModel(net.eval(), SkipConfig(threshold=0.0, backend=backend))
    full, half = model.session(), model.regated(SkipConfig(threshold=0.0, backend=backend, precision="bf16")).session()
    for (frame,) in [(frame,) for frame in frames((1, 3, 20, 22), 5)]:
        expected, actual = full(frame), half(frame)
        error = float((expected - actual).abs().max() / expected.abs().max())
        assert 1e-5 < error < 0.03


@pytest.mark.parametrize("instruction_set", HALF_SETS)
def test_outputs_that_no_layer_reads_are_kept_as_floats_and_handed_over_as_they_are(instruction_set: str) -> None:
    nodes = [image(3, 20, 40), plans.conv("a", "x", 3, 40, 3), plans.conv("b", "a", 40, 5), plans.conv("c", "a", 40, 17, 3)]
    plan = plans.plan_of(nodes, [NormGate("a", 0.1, None, 1)], outputs=("a", "b", "c"), precision="bf16")
    program = plans.native(plan, 2, instruction_set)
    state = program.new_state()
    assert {name: view.dtype for name, view in state.views.items()} == {"a": np.int16, "b": np.float32, "c": np.float32}
    for number, frame in enumerate(plans.frames((1, 3, 20, 40), 3, 0)):
        a, b, c = program.run(state, [frame], number == 0).outputs
        assert b.data_ptr() == state.views["b"].ctypes.data and c.data_ptr() == state.views["c"].ctypes.data
        assert torch.equal(b, rounded(b)) and torch.equal(c, rounded(c))
        assert_close_to(b, evaluate(nodes[2], {"a": a}))
        assert_close_to(c, evaluate(nodes[3], {"a": a}))


def assert_close_to(actual: Tensor, exact: Tensor) -> None:
    assert bool(((actual - exact).abs() <= STEP * exact.abs() + 1e-2 * exact.abs().max()).all())


@pytest.mark.parametrize("size", [(7, 9), (51, 68), (2, 4000), (101, 97), (4000, 2)], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_units_are_those_of_the_sample_that_the_reference_takes(size: tuple[int, int], threads: int) -> None:
    plan = plans.plan_of([image(20, *size), plans.conv("y", "x", 20, 24)], [NormGate("x", 0.1), NormGate("y", 0.1)], precision="bf16")
    generator = torch.Generator().manual_seed(3)
    # Pixels of their own magnitude, or the mean over another sample would be the same.
    frame = torch.randn(1, 20, *size, generator=generator) * torch.randn(1, 1, *size, generator=generator).exp()
    program, reference = NativeBackend(threads).compile(plan), ReferenceProgram(plan)
    state, expected = program.new_state(), reference.new_state()
    program.run(state, [frame], True)
    reference.run(expected, [frame], True)
    assert isinstance(program, NativeProgram)
    for name, channels, tolerance in (("x", 20, 1e-5), ("y", 24, 1e-3)):
        unit = state.core.limit(program._lowered.maps[name]) / (0.1 * channels)
        assert unit == pytest.approx(expected.scales[name], rel=tolerance), name


@pytest.mark.parametrize("size", [(256, 256), (64, 64), (64, 40), (300, 50), (16, 16)], ids=str)
def test_a_sample_is_small_large_enough_and_meets_all_phases_of_patterns_alike(size: tuple[int, int]) -> None:
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    taken = sampled(torch.stack([rows, columns])[None])[0, :, 0]
    pixels = size[0] * size[1]
    assert taken.shape[1] == len(set(map(tuple, taken.T.tolist())))
    assert taken.shape[1] >= min(pixels, FEWEST_SAMPLED) and (taken.shape[1] <= pixels / 4 or pixels < 5 * FEWEST_SAMPLED)
    for period in (2, 4, 8):
        counts = torch.bincount((taken[0] % period) * period + taken[1] % period, minlength=period**2)
        assert counts.min() > 0 and counts.max() <= 1.5 * counts.min() + 2, period
