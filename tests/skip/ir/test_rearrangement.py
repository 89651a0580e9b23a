"""Rearrangements of channels in all their spellings, and what looks like one and is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from exported import graph_of, operations, run
from function_network import Net
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skipvid.skip.ir.graph import Graph, MapArgument, Node
from skipvid.skip.ir.rearrangement import recognise_rearrangements

SHAPE = (1, 8, 6, 6)  # square, so that a transposed map has the same shape


def shuffle(x: Tensor) -> Tensor:
    return x.view(1, 2, 4, 6, 6).transpose(1, 2).reshape(SHAPE)


def shuffle_by_flattening(x: Tensor) -> Tensor:
    return x.reshape(1, 2, 4, 36).permute(0, 2, 1, 3).contiguous().view(1, 8, 6, 6)


def shuffle_by_pairs(x: Tensor) -> Sequence[Tensor]:
    y = x.reshape(4, 2, 36).permute(1, 0, 2).reshape(2, 1, 4, 6, 6)
    return y[0], y[1]


MOVES: dict[str, tuple[Callable[[Tensor], Any], list[list[int]]]] = {
    "shuffle": (shuffle, [[0, 4, 1, 5, 2, 6, 3, 7]]),
    "shuffle by flattening": (shuffle_by_flattening, [[0, 4, 1, 5, 2, 6, 3, 7]]),
    "shuffle by pairs": (shuffle_by_pairs, [[0, 2, 4, 6], [1, 3, 5, 7]]),
    "chunk": (lambda x: x.chunk(3, 1), [[0, 1, 2], [3, 4, 5], [6, 7]]),
    "split": (lambda x: x.split([1, 7], 1), [[0], [1, 2, 3, 4, 5, 6, 7]]),
    "split evenly": (lambda x: torch.split(x, 4, 1), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    "slice": (lambda x: x[:, 2:5], [[2, 3, 4]]),
    "slice with a step": (lambda x: x[:, 1::3], [[1, 4, 7]]),
    "slice of a shuffle": (lambda x: shuffle(x)[:, :3], [[0, 4, 1]]),
    "one channel": (lambda x: x[:, 5].unsqueeze(1), [[5]]),
    "unbind": (lambda x: x.unbind(1)[3][:, None], [[3]]),
    "squeezed and back": (lambda x: x[:, 5:6].squeeze(1)[:, None], [[5]]),
}

SPATIAL: dict[str, Callable[[Tensor], Any]] = {
    "transposed map": lambda x: x.transpose(2, 3),
    "flipped map": lambda x: x.flip(3),
    "rolled map": lambda x: x.roll(1, 2),
    "rotated map": lambda x: x.rot90(1, (2, 3)),
    "channels mixed with rows": lambda x: x.reshape(1, 6, 8, 6).transpose(1, 2),
    "space to depth": lambda x: x.reshape(1, 8, 3, 2, 3, 2).permute(0, 1, 3, 5, 2, 4).reshape(1, 32, 3, 3),
    "every other row": lambda x: x[:, :, ::2],
    "shifted window": lambda x: x.reshape(1, 288)[:, 6:258].reshape(1, 7, 6, 6),
}


@pytest.mark.parametrize("name", MOVES)
def test_rearranged_channels_are_recognised_in_any_spelling(name: str) -> None:
    function, indices = MOVES[name]
    graph, x = graph_of(Net(lambda m, x: function(x)), SHAPE), torch.randn(SHAPE)
    rearrangements = [node for node in graph if node.op != "input"]
    assert {node.op for node in rearrangements} == {"channels"}
    outputs = [graph.by_name[str(leaf)] for leaf in graph.outputs]
    picked = {tuple(node.attrs["index"]) for node in outputs}
    assert all(node.inputs == (graph.inputs[0].name,) for node in rearrangements)
    assert {tuple(index) for index in indices} <= picked
    wanted = function(x)
    for got, want in zip(run(graph, x), [wanted] if isinstance(wanted, Tensor) else wanted, strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", SPATIAL)
def test_rearranged_pixels_are_not_mistaken_for_channels(name: str) -> None:
    graph, x = graph_of(Net(lambda m, x: SPATIAL[name](x) * 1.5), SHAPE), torch.randn(SHAPE)
    assert "channels" not in operations(graph)
    assert torch.equal(run(graph, x)[0], SPATIAL[name](x) * 1.5)


def test_vector_may_be_reshaped_into_another_number_of_channels_only_as_a_whole() -> None:
    shape = (1, 8, 1, 1)
    graph, x = graph_of(Net(lambda m, x: x.reshape(1, 2, 2, 2) + 1), shape), torch.randn(shape)
    assert "channels" not in operations(graph)
    assert torch.equal(run(graph, x)[0], x.reshape(1, 2, 2, 2) + 1)


aten = torch.ops.aten


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_any_chain_of_rearrangements_computes_what_torch_computes(data: st.DataObject) -> None:
    """Chains drawn at random, built as nodes: whatever is recognised must give the same numbers."""
    x = torch.randn(1, data.draw(st.sampled_from([4, 6])), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    nodes, values = [Node("0", "input", (), tuple(x.shape))], [x]
    for number in range(1, data.draw(st.integers(2, 6))):
        value = values[-1]
        axis, other = (data.draw(st.integers(0, value.dim() - 1)) for _ in range(2))
        target, arguments = data.draw(
            st.sampled_from(
                [
                    (aten.transpose.int, (axis, other)),
                    (aten.slice.Tensor, (axis, 0, max(1, value.shape[axis] - 1))),
                    (aten.slice.Tensor, (axis, 0, value.shape[axis], 2)),
                    (aten.reshape.default, (data.draw(shapes_of(value.numel())),)),
                    (aten.permute.default, (data.draw(st.permutations(range(value.dim()))),)),
                    (aten.unsqueeze.default, (axis,)),
                ]
            )
        )
        values.append(target(value, *arguments))
        attrs = {"target": target, "args": (MapArgument(0), *arguments), "kwargs": {}, "item": None}
        nodes.append(Node(str(number), "aten", (str(number - 1),), tuple(values[-1].shape), attrs))
    names = tuple(node.name for node in nodes)
    graph = recognise_rearrangements(Graph(tuple(nodes), names, None))  # type: ignore[arg-type]
    for got, want in zip(run(graph, x), values, strict=True):
        assert torch.equal(got, want)


@st.composite
def shapes_of(draw: st.DrawFn, count: int) -> list[int]:
    """Factors of a number of values, often with a leading 1, as maps have."""
    shape = [1] if draw(st.booleans()) else []
    while count > 1 and len(shape) < 4:
        factor = draw(st.sampled_from([value for value in range(1, count + 1) if count % value == 0]))
        shape, count = [*shape, factor], count // factor
    return [*shape, count]
