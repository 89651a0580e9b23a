"""The weights of a network in half precision: rounded to bfloat16, and biases that make up for what that does to a layer's mean output.

Most layers read values that are not negative, so that the rounding errors of an output's weights do not cancel: they shift it. By how much
is measured on an artificial picture, layer by layer, and added to the bias (the bias correction of Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2, with a picture in place of BatchNorm's statistics).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from skipvid.skip.ir.graph import Graph, Node
from skipvid.skip.ir.precision import round_weights
from skipvid.skip.reference.operations import evaluate

MOST_SQUARES = 1000
SMALLEST_SIDE = 4


def half_weights(graph: Graph) -> Graph:
    """The graph that half precision computes. The same graph gives the same bits on the same machine: other gates on it are other programs,
    which may be compiled in other runs, and all of them shall agree with the dense one."""
    with _one_thread():
        return _compensated(graph, round_weights(graph))


@contextmanager
def _one_thread() -> Iterator[None]:
    """How PyTorch adds up depends on how many threads it has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _compensated(graph: Graph, half: Graph) -> Graph:
    values: dict[str, Tensor] = {}
    left = Counter(name for node in graph for name in node.inputs)
    nodes = []
    for node, shortened in zip(graph, half, strict=True):
        if node.op == "choice":
            value = torch.zeros(node.shape)  # adaptive layers at their full ratio, whatever a policy finds in such a picture
        else:
            value = artificial(node) if node.op == "input" else evaluate(node, values)
        nodes.append(shortened if shortened is node else _with_bias(node, shortened, values))
        values[node.name] = value
        for name in node.inputs:  # as a network's maps are many, each is let go behind its last reader
            left[name] -= 1
            if left[name] == 0:
                values.pop(name, None)
    return Graph(tuple(nodes), half.outputs, half.out_spec, half.other_floats)


def _with_bias(node: Node, shortened: Node, values: dict[str, Tensor]) -> Node:
    """A layer of rounded weights that has the mean output of the exact one. values: what it reads."""
    lost = node.consts["weight"] - shortened.consts["weight"]
    shift = evaluate(replace(node, consts={"weight": lost}, activation=None), values)
    shift = shift.mean([axis for axis in range(shift.ndim) if axis != 1])
    bias = node.consts.get("bias")
    shift = torch.where(shift.isfinite(), shift, 0)
    return replace(shortened, consts={**shortened.consts, "bias": shift if bias is None else bias + shift})


def artificial(node: Node) -> Tensor:
    """A network input like a picture: squares of all sizes over each other, of mean 0 and deviation 1; zeros where it is no map."""
    value = torch.zeros(node.shape, dtype=node.dtype)
    if not node.is_map or not node.dtype.is_floating_point:
        return value
    generator = torch.Generator().manual_seed(0)
    height, width = node.size
    count = min(MOST_SQUARES, height * width // SMALLEST_SIDE**2 + 1)
    sides = SMALLEST_SIDE * (max(height, width) / SMALLEST_SIDE) ** torch.rand(count, generator=generator)
    tops, lefts = torch.rand(count, generator=generator) * height, torch.rand(count, generator=generator) * width
    # Channels mostly agree, as those of colours do.
    colours = torch.randn(count, 1, generator=generator) * 0.95 + torch.randn(count, node.shape[1], generator=generator) * 0.3
    for side, top, left, colour in zip(sides.tolist(), tops.tolist(), lefts.tolist(), colours, strict=True):
        rows = slice(max(0, int(top - side / 2)), int(top + side / 2) + 1)
        value[:, :, rows, max(0, int(left - side / 2)) : int(left + side / 2) + 1] = colour[:, None, None]
    return value
