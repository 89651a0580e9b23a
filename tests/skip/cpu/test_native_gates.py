"""Output gates and learned gates of the native executor against the reference, over random shapes."""

from __future__ import annotations

import math
from typing import Any

import native_plans as plans
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native_convolution import conv_nodes, convolutions, depthwise, transposed

from skipvid.skip.cpu import _native
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Node

SETS = _native.instruction_sets()
BLOCKS = st.sampled_from([1, 1, 2, 8])
SHARES = st.sampled_from([0.01, 0.1, 0.6])


def output_gate(data: st.DataObject) -> dict[str, Any]:
    return {
        "threshold": data.draw(st.sampled_from([0.0, 0.05, 0.3]), label="threshold"),
        "p": data.draw(st.sampled_from([1.0, 2.0, math.inf]), label="p"),
        "scale": data.draw(st.sampled_from([None, 0.7]), label="scale"),
        "block": data.draw(BLOCKS, label="block"),
    }


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_output_gates_agree_with_the_reference(kind, data) -> None:
    nodes = data.draw(kind())
    gates = [NormGate("x", data.draw(st.sampled_from([0.0, 0.02])))] if data.draw(st.booleans()) else []
    plan = plans.plan_of(nodes, gates, output_gates={nodes[-1].name: output_gate(data)})
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 6, 1, data.draw(SHARES))]
    plans.assert_agrees(plan, stream, data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(SETS)))


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_output_gates_of_threshold_zero_change_no_bit(kind, data) -> None:
    nodes = data.draw(kind())
    gate = {"threshold": 0.0, "p": data.draw(st.sampled_from([1.0, 2.0, math.inf])), "block": data.draw(BLOCKS)}
    plan = plans.plan_of(nodes, output_gates={nodes[-1].name: gate})
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 4, 2, data.draw(SHARES))]
    plans.assert_same_bits_as_dense(plan, stream, data.draw(st.sampled_from([1, 2, 4])), data.draw(st.sampled_from(SETS)))


def chain(channels: int, size: tuple[int, int], seed: int) -> list[Node]:
    """x -> first -> (last, others): the first map is read by a convolution, by its own gate, and by an addition."""
    x, first = conv_nodes(3, channels, 1, (3, 3), size, seed, pads=(1, 1, 1, 1))
    _, last = conv_nodes(channels, channels, 1, (3, 3), size, seed + 1, pads=(1, 1, 1, 1))
    first = Node("first", first.op, ("x",), (), first.attrs, first.consts)
    own = Node("own", "publish", ("first",), ())
    last = Node("last", last.op, ("own",), (), last.attrs, last.consts)
    both = Node("sum", "add", ("last", "first"), ())
    return [x, first, own, last, both]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_learned_gates_agree_with_the_reference(data) -> None:
    channels = data.draw(st.sampled_from([1, 5, 16, 24, 70]))
    size = (data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20)))
    seed = data.draw(st.integers(0, 1000))
    generator = torch.Generator().manual_seed(seed)
    magnitude = data.draw(st.booleans())
    weight = torch.randn(channels, generator=generator)
    bias = data.draw(st.sampled_from([-2.0, -0.3, 0.1]))
    nodes = chain(channels, size, seed)
    block = data.draw(BLOCKS)
    directly = data.draw(st.booleans())  # the map of a convolution, or a copy of it
    gates = [LearnedGate(weight.abs() if magnitude else weight, bias, magnitude, "first" if directly else "own", block)]
    plan = plans.plan_of(nodes, gates, outputs=("sum", "last"))
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 6, seed, data.draw(SHARES))]
    plans.assert_agrees(plan, stream, data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(SETS)))


@pytest.mark.parametrize("instruction_set", SETS)
def test_a_layer_of_zero_weights_is_never_computed_again(instruction_set) -> None:
    nodes = conv_nodes(4, 4, 1, (3, 3), (9, 9), 0, pads=(1, 1, 1, 1))
    nodes[1].consts["weight"].zero_()
    plan = plans.plan_of(nodes, output_gates={"conv": {"threshold": 0.1}})
    stream = [[frame] for frame in plans.frames(nodes[0].shape, 4, 3, 0.5)]
    plans.assert_agrees(plan, stream, 1, instruction_set)
    program = plans.native(plan, 1, instruction_set)
    state = program.new_state()
    assert [program.run(state, inputs, number == 0).active[0] for number, inputs in enumerate(stream)] == [81, 0, 0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_a_broken_frame_leaves_no_trace_behind_an_output_gate(p, bad) -> None:
    nodes = conv_nodes(8, 8, 1, (3, 3), (12, 12), 5, pads=(1, 1, 1, 1))
    plan = plans.plan_of(nodes, output_gates={"conv": {"threshold": 0.1, "p": p}})
    clean = plans.frames(nodes[0].shape, 1, 6)[0]
    spoilt = clean.clone()
    spoilt[0, 3, 5, 5] = bad
    for program in (plans.native(plan), plans.ReferenceProgram(plan)):
        state = program.new_state()
        first = program.run(state, [clean], True).outputs[0].clone()
        assert not program.run(state, [spoilt], False).outputs[0].isfinite().all()
        assert torch.equal(program.run(state, [clean], False).outputs[0], first)
