"""All other operations of the native executor against the reference: shapes, broadcasts, memory shared between maps, fallbacks."""

from __future__ import annotations

import math

import native_plans as plans
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import conv, image, node

from skipvid.skip.cpu import _native
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Activation, MapArgument, Node

SETS = _native.instruction_sets()
aten = torch.ops.aten


def checked(
    nodes: list[Node], gates: list[NormGate], instruction_set: str = "", outputs: list[str] | None = None, share: float = 0.05
) -> None:
    plan = plans.plan_of(nodes, gates, outputs)
    inputs = [item for item in plan.graph if item.op == "input"]
    streams = [plans.frames(item.shape, 5, index, share) for index, item in enumerate(inputs)]
    stream = [list(frame) for frame in zip(*streams, strict=True)]
    plans.assert_agrees(plan, stream, 2, instruction_set)
    zero = plans.plan_of(nodes, [NormGate(gate.map, 0.0, None, gate.block) for gate in gates], outputs)
    plans.assert_same_bits_as_dense(zero, stream, 2, instruction_set)


@st.composite
def local_operations(draw: st.DrawFn) -> Node:
    op = draw(st.sampled_from(["max_pool", "avg_pool", "resize", "pad", "global_mean", "channels", "activation"]))
    if op in {"max_pool", "avg_pool"}:
        kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        attrs: dict[str, object] = {"kernel": kernel, "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3)))}
        if op == "max_pool":
            attrs["pads"] = tuple(draw(st.integers(0, kernel[index // 2] - 1)) for index in range(4))
            attrs["dilation"] = (draw(st.integers(1, 2)), 1)
        else:
            attrs["count_include_pad"] = draw(st.booleans())
            before = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
            behind = tuple(draw(st.integers(0, side - 1)) for side in kernel)  # as pools in ceil_mode have it
            attrs["pads"] = (before[0], behind[0], before[1], behind[1])
            if attrs["count_include_pad"]:
                attrs["pads"] = tuple(draw(st.integers(0, 2)) for _ in range(4))
        return node("y", op, "x", **attrs)
    if op == "resize":
        mode = draw(st.sampled_from(["nearest", "bilinear"]))
        size = (draw(st.integers(1, 40)), draw(st.integers(1, 70)))
        align = mode == "bilinear" and draw(st.booleans())
        return node("y", "resize", "x", mode=mode, size=size, scales=None, align_corners=align)
    if op == "pad":
        return node(
            "y", "pad", "x", pads=tuple(draw(st.integers(-2, 3)) for _ in range(4)), value=draw(st.sampled_from([0.0, 1.5, -math.inf]))
        )
    if op == "channels":
        return node("y", "channels", "x", index=tuple(draw(st.lists(st.integers(0, 19), min_size=1, max_size=40))))
    return node("y", op, "x", activation=Activation("silu") if op == "activation" else None)


@settings(max_examples=120, deadline=None)
@given(operation=local_operations(), height=st.integers(8, 20), width=st.sampled_from([8, 17, 64, 66]), data=st.data())
def test_operations_without_weights_agree_with_the_reference(operation, height, width, data) -> None:
    block, threshold = data.draw(st.sampled_from([1, 4])), data.draw(st.sampled_from([0.0, 0.3]))
    gates = [NormGate("x", threshold, None, block), NormGate("y", threshold, None, 1 if operation.op == "global_mean" else block)]
    checked([image(20, height, width), operation], gates, data.draw(st.sampled_from(SETS)))


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0, 2.1])
@pytest.mark.parametrize(("mode", "align"), [("nearest", False), ("bilinear", False), ("bilinear", True)])
def test_resizing_by_a_scale_factor_takes_the_pixels_that_torch_takes(mode, align, scale) -> None:
    size = (int(13 * scale), int(30 * scale))
    checked(
        [image(3, 13, 30), node("y", "resize", "x", mode=mode, size=size, scales=(scale, scale), align_corners=align)], [NormGate("x", 0.1)]
    )


SHAPES = [(8, 9, 20), (8, 1, 1), (1, 9, 20), (1, 1, 1), (8, 9, 1), (8, 1, 20), (1, 1, 20)]


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("second", SHAPES)
@pytest.mark.parametrize("swapped", [False, True])
def test_pointwise_operations_broadcast_as_torch_does(op, second, swapped) -> None:
    names = ("z", "x") if swapped else ("x", "z")
    shift = node("z", "affine", "s", consts={"scale": torch.tensor(0.1), "shift": torch.tensor(3.0)})  # keeps clear of division by 0
    nodes = [image(8, 9, 20), image(*second, name="s"), shift, node("y", op, *names, activation=Activation("silu"))]
    checked(nodes, [NormGate("x", 0.1), NormGate("s", 0.1), NormGate("y", 0.1)])


@pytest.mark.parametrize("shape", [(), (1,), (20, 1, 1), (1, 20, 1, 1), (7,), (6, 1), (6, 7), (20, 6, 7), (1, 1, 6, 1), (20, 1, 7)])
def test_affine_constants_broadcast_as_torch_does(shape) -> None:
    consts = {"scale": torch.randn(shape), "shift": torch.randn(shape)}
    checked(
        [image(20, 6, 7), node("y", "affine", "x", consts=consts, activation=Activation("relu"))], [NormGate("x", 0.1), NormGate("y", 0.1)]
    )


def test_chains_of_pointwise_operations_are_computed_as_one() -> None:
    half = {"scale": torch.tensor(0.5), "shift": torch.tensor(0.25)}
    nodes = [
        image(20, 12, 70),
        image(20, 12, 70, "z"),
        node("a", "affine", "x", consts=half),
        node("b", "affine", "z", consts=half, activation=Activation("tanh")),
        node("c", "add", "a", "b"),
        node("d", "mul", "c", "x"),
        node("e", "sub", "d", "z", activation=Activation("silu")),
        conv("y", "e", 20, 8),
    ]
    checked(nodes, [NormGate("x", 0.1), NormGate("z", 0.1), NormGate("e", 0.1)])
    program = plans.native(plans.plan_of(nodes, [NormGate("e", 0.1)]))
    assert (
        program.new_state().memory_bytes() < 1.2 * 12 * 70 * 4 * (4 + 4 + 32 + 32 + 16) + 80000
    )  # x and z unpadded are 20 wide, e 32, y 16


@pytest.mark.parametrize("widths", [(16, 32, 16), (16, 5), (5, 16), (3, 4, 5), (16, 20)])
def test_concatenation_shares_memory_only_where_rows_do_not_touch(widths) -> None:
    parts = [conv(f"c{index}", "x", 4, width, 3, index) for index, width in enumerate(widths)]
    names = [part.name for part in parts]
    total = sum(widths)
    nodes = [image(4, 10, 66), *parts, node("cat", "concat", *names), conv("y", "cat", total, 8, 3), conv("z", names[0], widths[0], 8)]
    gates = [NormGate("x", 0.05), *(NormGate(name, 0.05) for name in names)]
    checked(nodes, gates, outputs=["y", "z", "cat"])


def test_a_map_may_be_concatenated_twice_and_with_itself() -> None:
    nodes = [
        image(4, 9, 9),
        conv("a", "x", 4, 16),
        conv("b", "x", 4, 16, seed=1),
        node("ab", "concat", "a", "b"),
        node("ba", "concat", "b", "a", "a"),
        node("both", "concat", "ab", "ba"),
        conv("y", "both", 80, 8),
    ]
    checked(nodes, [NormGate("x", 0.05), NormGate("a", 0.05), NormGate("b", 0.05)], outputs=["y", "ab", "ba"])


def test_channel_shuffle_and_slices() -> None:
    shuffled = tuple(index for pair in zip(range(20), range(20, 40), strict=True) for index in pair)
    nodes = [
        image(4, 9, 70),
        conv("a", "x", 4, 40),
        node("left", "channels", "a", index=tuple(range(7, 20))),
        node("right", "channels", "a", index=tuple(range(20, 40))),
        conv("deep", "left", 13, 13, 3, groups=13),
        node("cat", "concat", "deep", "right", "left"),
        node("half", "channels", "cat", index=tuple(range(40))),
        node("mixed", "channels", "half", index=shuffled),
        conv("y", "mixed", 40, 8),
        node("pooled", "max_pool", "right", kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1), dilation=(1, 1)),
        node("excited", "add", "left", "left"),
    ]
    checked(
        nodes,
        [NormGate("x", 0.05), NormGate("a", 0.05), NormGate("deep", 0.05), NormGate("excited", 0.05)],
        outputs=["y", "pooled", "excited"],
    )


def squeeze_and_excite() -> list[Node]:
    return [
        image(24, 20, 70),
        conv("a", "x", 24, 40, 3, groups=8),
        node("mean", "global_mean", "a"),
        conv("squeeze", "mean", 40, 6),
        conv("excite", "squeeze", 6, 40),
        node("scale", "activation", "excite", activation=Activation("sigmoid")),
        node("scaled", "mul", "a", "scale"),
        conv("y", "scaled", 40, 24),
    ]


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("instruction_set", SETS)
def test_squeeze_and_excite(threshold, instruction_set) -> None:
    nodes = squeeze_and_excite()
    checked(nodes, [NormGate(name, threshold) for name in ("x", "a", "mean", "squeeze", "scale", "scaled")], instruction_set)


def test_means_do_not_drift_over_hundreds_of_frames() -> None:
    plan = plans.plan_of([image(16, 33, 70), node("y", "global_mean", "x")], [NormGate("x", 0.0)])
    plans.assert_same_bits_as_dense(plan, [[frame] for frame in plans.frames((1, 16, 33, 70), 300, 0, 0.02)])


def test_what_has_no_kernel_runs_in_torch_between_native_steps() -> None:
    nodes = [
        image(8, 12, 12),
        conv("a", "x", 8, 16),
        node("soft", "aten", "a", target=aten.softmax.int, args=(MapArgument(0), 1), kwargs={}, item=None),
        conv("b", "soft", 16, 8),
        node("flat", "aten", "b", target=aten.reshape.default, args=(MapArgument(0), [1, -1]), kwargs={}, item=None),
        node("y", "linear", "flat", consts={"weight": torch.randn(5, 8 * 144) / 30, "bias": torch.randn(5)}, activation=Activation("tanh")),
        node("where", "aten", "y", target=aten.argmax.default, args=(MapArgument(0), 1), kwargs={}, item=None),
        node("sum", "add", "y", "y"),
        node("joined", "concat", "sum", "y"),
    ]
    gates = [NormGate("x", 0.05), NormGate("soft", 0.05), NormGate("b", 0.05), NormGate("flat", 0.01), NormGate("y", 0.0)]
    checked(nodes, gates, outputs=["b", "flat", "joined"])
    program = plans.native(plans.plan_of(nodes, gates, ["where", "joined"]))
    assert [name for name, _ in program.fallbacks] == ["soft", "flat", "where"]
    dense = program.run_dense([torch.randn(1, 8, 12, 12)])
    assert dense[0].dtype == torch.int64


def test_an_ungated_input_is_still_compared() -> None:
    plan = plans.plan_of([image(3, 16, 70), node("y", "max_pool", "x", kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1), dilation=(1, 1))])
    stream = [[frame] for frame in plans.frames((1, 3, 16, 70), 4, 0)]
    plans.assert_agrees(plan, stream)
    plans.assert_same_bits_as_dense(plan, stream)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "transposed"])
@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("block", [1, 4])
def test_inputs_may_lie_in_memory_in_any_order(layout, channels, block) -> None:
    nodes = [image(channels, 18, 70), conv("y", "x", channels, 8, 3)]
    stream = plans.frames((1, channels, 18, 70), 4, 0)
    if layout == "channels_last":
        stream = [frame.contiguous(memory_format=torch.channels_last) for frame in stream]
    elif layout == "sliced":
        stream = [torch.nn.functional.pad(frame, (1, 3, 2, 2))[:, :, 2:-2, 1:-3] for frame in stream]
    elif layout == "transposed":
        stream = [frame.transpose(2, 3).contiguous().transpose(2, 3) for frame in stream]
    plans.assert_agrees(plans.plan_of(nodes, [NormGate("x", 0.05, None, block)]), [[frame] for frame in stream])


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("channels", [3, 20, 64])
def test_enlarged_maps_and_products_melt_into_sums(channels: int, instruction_set: str) -> None:
    def scaled(name: str, source: str, scale: float, shift: float = 0.0) -> Node:
        return node(name, "affine", source, consts={"scale": torch.tensor(scale), "shift": torch.tensor(shift)})

    nodes = [
        image(channels, 11, 9),
        image(channels, 5, 4, "small"),
        conv("deep", "small", channels, channels, 3),
        node("large", "resize", "deep", mode="nearest", size=(11, 9), align_corners=False, scales=None),
        scaled("half", "large", 0.5),
        scaled("third", "x", 0.3),
        node("sum", "add", "half", "third"),
        scaled("moved", "x", 0.2, 1.0),
        node("total", "add", "sum", "moved", activation=Activation("silu", ())),
        conv("y", "total", channels, 6),
    ]
    gates = [NormGate("x", 0.1, None, 1), NormGate("small", 0.1, None, 1), NormGate("total", 0.1, None, 1)]
    program = plans.native(plans.plan_of(nodes, gates))
    assert set(program._lowered.layout.enlarged) == {"large"} and set(program._lowered.layout.chains) == {"total"}
    checked(nodes, gates, instruction_set)
