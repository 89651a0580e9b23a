"""Products on tiles of AMX-BF16, in the emulation that every processor runs, and on the processor's own where it has them.

The shapes are those that decide where rows are gathered: pieces of 32 values that a row has or has not, 16 pixels in a row or fewer.
"""

from __future__ import annotations

import native_plans as plans
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_plans import HALF_SETS, image, node
from test_half_precision import EXACT, assert_each_map_follows, whole_frames, with_whole_weights
from test_native_convolution import ACTIVATIONS, conv_nodes

from skipvid.skip.cpu import status
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Activation, Node

SETS = [name for name in HALF_SETS if name.startswith("amx")]
KERNELS = [(1, 1), (1, 1), (3, 3), (3, 3), (5, 5), (1, 3), (4, 2)]


@st.composite
def layers(draw: st.DrawFn) -> list[Node]:
    kernel = draw(st.sampled_from(KERNELS))
    groups, per_group, outputs = draw(
        st.one_of(
            st.tuples(
                st.just(1), st.sampled_from([1, 3, 16, 24, 31, 32, 33, 40, 64, 96, 130]), st.sampled_from([1, 16, 17, 32, 40, 48, 64])
            ),
            st.tuples(st.sampled_from([2, 3]), st.sampled_from([16, 32, 64]), st.sampled_from([16, 32, 48])),
            st.tuples(st.sampled_from([4, 5]), st.sampled_from([3, 8]), st.sampled_from([4, 7])),
        )
    )
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    size = (draw(st.integers(1, 9)), draw(st.sampled_from([3, 16, 18, 33, 50])))
    pads = (
        *(draw(st.integers(0, 2)) + dilation[0] * (kernel[0] - 1) // 2 for _ in range(2)),
        *(draw(st.integers(0, 2)) + dilation[1] * (kernel[1] - 1) // 2 for _ in range(2)),
    )
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 2)]))
    smallest = [dilation[axis] * (kernel[axis] - 1) + 1 - pads[2 * axis] - pads[2 * axis + 1] for axis in range(2)]
    size = (max(size[0], smallest[0]), max(size[1], smallest[1]))
    activation = draw(st.sampled_from(ACTIVATIONS))
    attrs = {"stride": stride, "pads": pads, "dilation": dilation, "activation": activation}
    return conv_nodes(per_group * groups, outputs * groups, groups, kernel, size, draw(st.integers(0, 1000)), **attrs)


def gated(nodes: list[Node], threshold: float, block: int) -> list[NormGate]:
    return [NormGate("x", threshold, 311.7, block), NormGate(nodes[-1].name, threshold, 2011.3, block)]


BLOCKS, SHARES, THREADS = st.sampled_from([1, 1, 4]), st.sampled_from([0.01, 0.1, 0.6]), st.sampled_from([1, 2, 4])


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_layers_of_whole_numbers_have_the_bits_of_the_reference(data) -> None:
    nodes = with_whole_weights(data.draw(layers()), data.draw(st.sampled_from(EXACT)))
    plan = plans.plan_of(nodes, gated(nodes, data.draw(st.sampled_from([0.0, 0.137])), data.draw(BLOCKS)), precision="bf16")
    stream = whole_frames(nodes[0].shape, 4, 1, data.draw(SHARES))
    plans.assert_agrees(plan, stream, data.draw(THREADS), data.draw(st.sampled_from(SETS)), tolerance=0.0)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_layers_follow_the_reference_and_skipping_changes_no_bit(data) -> None:
    nodes = data.draw(layers())
    plan = plans.plan_of(nodes, gated(nodes, 0.0, data.draw(BLOCKS)), precision="bf16")
    stream = [(frame,) for frame in plans.frames(nodes[0].shape, 4, 2, data.draw(SHARES))]
    instruction_set, threads = data.draw(st.sampled_from(SETS)), data.draw(THREADS)
    plans.assert_same_bits_as_dense(plan, stream, threads, instruction_set)
    assert_each_map_follows(plans.native(plan, threads, instruction_set), stream)


@pytest.mark.parametrize("instruction_set", SETS)
def test_the_bits_do_not_depend_on_the_number_of_threads(instruction_set: str) -> None:
    nodes = conv_nodes(96, 80, 1, (3, 3), (16, 40), 3, pads=(1, 1, 1, 1), activation=Activation("silu"))
    plan = plans.plan_of(nodes, gated(nodes, 0.0, 1), precision="bf16")
    frame = plans.frames(nodes[0].shape, 1, 4)[0]
    first, *others = [plans.native(plan, threads, instruction_set).run_dense([frame])[0].clone() for threads in (1, 2, 3, 4)]
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize(("kernel", "channels"), [(1, 40), (1, 96), (3, 32), (3, 33), (3, 40)])
def test_what_lies_behind_a_row_does_not_matter(kernel: int, channels: int, instruction_set: str) -> None:
    """A slice whose neighbours are no numbers, in rows that are long enough for tiles to be read in their place."""
    nodes = [
        image(2 * channels, 5, 37),
        node("copy", "activation", "x", activation=Activation("relu")),
        node("left", "channels", "copy", index=tuple(range(channels))),
        plans.conv("y", "left", channels, 24, kernel),
    ]
    program = plans.native(plans.plan_of(nodes, precision="bf16"), 1, instruction_set)
    assert program._lowered.layout.parts.keys() == {"left"}
    frame = plans.frames((1, 2 * channels, 5, 37), 1, 0)[0]
    expected = program.run_dense([frame])[0].clone()
    frame[:, channels:] = float("nan")
    assert expected.isfinite().all() and torch.equal(program.run_dense([frame])[0], expected)


def test_the_emulation_is_never_chosen() -> None:
    assert HALF_SETS[-2:] == ["generic", "amx_emulated"]
    plan = plans.plan_of(conv_nodes(8, 8, 1, (1, 1), (4, 4), 0), precision="bf16")
    assert plans.native(plan).instruction_set == status().half_sets[0] == HALF_SETS[0]
    assert "amx_emulated" not in status().half_sets
