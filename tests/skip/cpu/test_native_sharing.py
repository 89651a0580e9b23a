"""Dense states: maps that are not needed at the same time share their memory, and no bit differs for it."""

from __future__ import annotations

import native_plans as plans
import pytest
import torch
from native_plans import conv, image, node
from sample_frames import frames
from sample_networks import NETWORKS, converted

from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu.program import NativeProgram

MAP = 64 * 64 * 16 * 4
"""Bytes of a map of 64 x 64 pixels and 16 channels."""


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_a_state_that_forgets_has_the_bits_of_one_that_remembers(name: str) -> None:
    shape = NETWORKS[name][1]
    program = converted(name)[1].regated(SkipConfig(threshold=0.1, backend="cpu", threads=2)).program((shape,))
    assert isinstance(program, NativeProgram)
    remembers, forgets = program.new_state(), program.new_state(dense=True)
    for number, frame in enumerate(frames(shape, 5)):
        kept, shared = (program.run(state, (frame,), True, gated_next=False) for state in (remembers, forgets))
        dense = program.run_dense((frame,))
        assert list(kept.active) == list(shared.active)
        for expected, actual, lent in zip(kept.outputs, shared.outputs, dense, strict=True):
            assert torch.equal(expected, actual) and torch.equal(expected, lent), f"frame {number}"
    assert forgets.core.memory_bytes <= remembers.core.memory_bytes


def test_a_chain_of_layers_needs_two_maps() -> None:
    nodes = [image(3, 64, 64), conv("c0", "x", 3, 16, 3), *(conv(f"c{i}", f"c{i - 1}", 16, 16, 3) for i in range(1, 12))]
    program = plans.native(plans.plan_of(nodes))
    assert program.new_state().memory_bytes() > 12 * MAP
    assert program.new_state(dense=True).memory_bytes() < 3.5 * MAP  # the input has 4 channels; masks take the rest


def test_what_is_read_late_keeps_its_memory() -> None:
    layers = [conv(f"c{i}", f"c{i - 1}", 16, 16, 3) for i in range(1, 8)]
    nodes = [image(3, 64, 64), conv("c0", "x", 3, 16, 3), *layers, node("y", "add", "c7", "c0"), conv("z", "y", 16, 16)]
    plan = plans.plan_of(nodes, outputs=["z", "c3"])
    program = plans.native(plan)
    whole, shared = program.new_state(), program.new_state(dense=True)
    for frame in plans.frames((1, 3, 64, 64), 3, 0):
        expected, actual = (program.run(state, [frame], True, gated_next=False).outputs for state in (whole, shared))
        assert all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True))
    assert shared.memory_bytes() < 5.5 * MAP  # c0 and c3 to the end, two of the chain, the input


@pytest.mark.parametrize("widths", [(16, 32, 16), (16, 5), (3, 4, 5)])
def test_parts_of_a_concatenation_live_as_long_as_it_does(widths: tuple[int, ...]) -> None:
    parts = [conv(f"c{index}", "x", 4, width, 3, index) for index, width in enumerate(widths)]
    total = sum(widths)
    between = [conv("a", "x", 4, 64, 3), conv("b", "a", 64, 64, 3)]
    join = [node("cat", "concat", *(part.name for part in parts)), conv("y", "cat", total, 8, 3), conv("z", "b", 64, 8)]
    plans.assert_same_bits_as_dense(
        plans.plan_of([image(4, 20, 33), *parts, *between, *join], outputs=["y", "z"]),
        [[frame] for frame in plans.frames((1, 4, 20, 33), 4, 1)],
    )


def test_a_state_that_forgets_takes_no_gated_frame() -> None:
    program = plans.native(plans.plan_of([image(3, 8, 8), conv("y", "x", 3, 4)]))
    state, frame = program.new_state(dense=True), torch.randn(1, 3, 8, 8)
    program.run(state, [frame], True, gated_next=False)
    for keyframe, gated_next in ((False, True), (True, True)):
        with pytest.raises(RuntimeError, match="dense state"):
            program.run(state, [frame], keyframe, gated_next)
