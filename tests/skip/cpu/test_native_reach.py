"""A change of a single pixel reaches the outputs that read it, at whatever row it lies, and no others are looked for."""

from __future__ import annotations

import native_plans as plans
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_native_convolution import conv_nodes, convolutions, depthwise, gates_of, transposed
from test_native_operations import local_operations
from torch import Tensor

from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Node


def walk(shape: tuple[int, ...], rows: list[int], seed: int) -> list[Tensor]:
    """A random map, then copies in each of which one pixel of the given row (modulo the height) jumps."""
    generator = torch.Generator().manual_seed(seed)
    result = [torch.randn(shape, generator=generator)]
    for step, row in enumerate(rows):
        frame = result[-1].clone()
        frame[..., row % shape[2], (7 * step) % shape[3]] += 5.0
        result.append(frame)
    return result


ROWS = st.lists(st.integers(-40, 40), min_size=3, max_size=6).map(lambda rows: [0, -1, *rows])


@pytest.mark.parametrize("kind", [convolutions, depthwise, transposed])
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, block=st.sampled_from([1, 1, 4]), threads=st.sampled_from([1, 2]), data=st.data())
def test_a_pixel_of_a_convolution(kind, rows, block, threads, data) -> None:
    nodes = data.draw(kind())
    stream = [[frame] for frame in walk(nodes[0].shape, rows, 3)]
    plans.assert_agrees(plans.plan_of(nodes, gates_of(nodes, 0.1, block)), stream, threads)
    plans.assert_same_bits_as_dense(plans.plan_of(nodes, gates_of(nodes, 0.0, block)), stream, threads)


@settings(max_examples=60, deadline=None)
@given(operation=local_operations(), height=st.integers(8, 40), width=st.sampled_from([8, 66]), rows=ROWS)
def test_a_pixel_of_another_operation(operation: Node, height: int, width: int, rows: list[int]) -> None:
    nodes = [plans.image(20, height, width), operation]
    stream = [[frame] for frame in walk(nodes[0].shape, rows, 5)]
    plans.assert_agrees(plans.plan_of(nodes, [NormGate("x", 0.0, None, 1), NormGate("y", 0.05, None, 1)]), stream)


def wide_window(taps: int, dilation: int, stride: int, pads: tuple[int, int], width: int) -> list[Node]:
    """A convolution whose lines are one word of a bitmap or several, and whose taps lie up to several words apart."""
    return conv_nodes(2, 3, 1, (3, taps), (9, width), 1, stride=(1, stride), pads=(1, 1, *pads), dilation=(1, dilation))


@st.composite
def wide_windows(draw: st.DrawFn) -> list[Node]:
    """See wide_window()."""
    taps, dilation, stride = draw(st.integers(1, 5)), draw(st.sampled_from([1, 2, 13, 31, 40])), draw(st.integers(1, 3))
    pads = (draw(st.sampled_from([0, 2, 33, 70])), draw(st.sampled_from([0, 2, 33, 70])))
    least = max(1, dilation * (taps - 1) + 1 - pads[0] - pads[1])
    width = draw(st.one_of(st.integers(least, max(least, 64)), st.integers(least, 200)))
    return wide_window(taps, dilation, stride, pads, width)


@settings(max_examples=150, deadline=None)
@given(nodes=wide_windows(), column=st.integers(0, 199))
@example(nodes=wide_window(5, 31, 2, (70, 33), 30), column=0)  # a tap a word to the left of a map of less than a word
@example(nodes=wide_window(5, 31, 2, (33, 70), 30), column=29)  # and to the right
def test_a_column_of_a_wide_window(nodes: list[Node], column: int) -> None:
    frame = torch.randn(nodes[0].shape, generator=torch.Generator().manual_seed(7))
    changed = frame.clone()
    changed[..., 4, column % frame.shape[3]] += 5.0
    stream = [[frame], [changed], [frame]]
    plans.assert_agrees(plans.plan_of(nodes, gates_of(nodes, 0.0, 1)), stream)
