"""The intermediate representation: a network as a flat list of operations on maps, free of torch.export's detail.

A *map* is what one node computes: (1, C, H, W) float32 mostly; anything else is allowed and treated as one indivisible value.
Nodes are immutable; passes build new graphs. The vocabulary of operations is small, so that a back end can say in one table
which of them it runs sparsely:

  input        a network input; given: the type in which a caller passes it
  conv         weight (O, I/g, kh, kw), bias; stride, dilation (y, x), pads (top, bottom, left, right), groups, activation
  conv_transpose  weight (I, O/g, kh, kw), bias; stride, padding, output_padding, dilation, groups, activation
  linear       weight (O, I), bias, on (1, I); activation
  activation   kind and its parameters
  affine       x * scale + shift, constants that broadcast over the map (folded BatchNorm, fusion weights); activation
  add, sub, mul, div, max, min   two maps, broadcasting; activation
  concat       along channels
  channels     output channel c is input channel index[c] (slice, split, shuffle)
  resize       mode nearest | bilinear, size, scales, align_corners
  max_pool     kernel, stride, dilation, pads
  avg_pool     kernel, stride, pads, count_include_pad
  adaptive_pool  maximum or mean of the windows into which torch's adaptive pooling cuts a map; maximum
  pad          pads, value
  global_mean  over H and W, giving (1, C, 1, 1)
  gather       pixel p of the result, row by row, is channels channel[p], channel[p] + 1, … of pixel pixel[p] of input source[p]; zeros
               where source[p] is -1
  layer_norm   over the channels of each pixel; epsilon; weight, bias (C,), or none
  softmax      over the channels of each pixel
  attention    of queries to keys and their values, in groups of pixels that follow each other, as many rows or all pixels; inputs: the
               three maps, in which head h lies at channels queries[h], keys[h], values[h] and those behind; groups, heads, key_size,
               value_size, scale; bias (blocks, heads, queries, keys) of a group's pixels, and bias_blocks, the block of each group, or none
  tokens       a map as a value of another shape, for what PyTorch computes: pixel order[i] is row i, all if there is no order
  token_map    the other way round: (…, C) as a map, row order[i] of it as pixel i
  pointwise    point-wise operations of torch's, joined: inner, `aten` nodes in order, which read earlier ones by name, inputs by their
               position, and constants (1, C); evaluated on rows of channels, (pixels, C)
  publish      its input, unchanged: a map of its own for a gate that only one reader shall see
  choice       which way an adaptive layer goes in this frame, a number; inputs: the mean of a map, and the map; inner, inner_bias, outer,
               outer_bias: of its policy; ratios, how many there are; reuse, whether the number behind them stands for the last map;
               hysteresis, least_stay, longest_reuse (skipvid.skip.reference.choices)
  select       one of several maps, put together along channels; inputs: a choice, and the parts; parts: by number, their places among the
               inputs; of reuse, its own last value, times scale, plus shift (C,), or as it is where there are none
  aten         any other operation: target, arguments (maps by position in `inputs`), run densely
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.utils._pytree import TreeSpec

WEIGHTED = frozenset({"conv", "conv_transpose", "linear"})
"""Operations with a weight: what a gate in front of them saves."""
ARITHMETIC = frozenset({"add", "sub", "mul", "div", "max", "min"})
"""Of two maps, number by number."""
REARRANGEMENTS = frozenset({"concat", "channels", "pad", "gather"})
"""Operations that only move values: a gate belongs in front of them, not behind."""


def _float32() -> torch.dtype:
    import torch  # kinds of gates know this module, and they are known where no network is built

    return torch.float32


class MapArgument(int):
    """Stands in an `aten` node's arguments for the map at this position of the node's inputs."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A pointwise function with its constants, e.g. ("leaky_relu", (0.1,)) or ("hardtanh", (0.0, 6.0)) for ReLU6."""

    kind: str
    params: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation. name: unique, also the name of the map it computes. layer: the parameter path it came from, "" where it has none.

    guard: a `choice` and one of its numbers: the node is computed in frames of that choice alone, and brought up to date then.
    dtype: of the value. Whatever floating-point type a network computes in, here it is float32; other types (indices, masks) stay.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    consts: Mapping[str, Tensor] = field(default_factory=dict)
    activation: Activation | None = None
    layer: str = ""
    dtype: torch.dtype = field(default_factory=_float32)
    guard: tuple[str, int] | None = None

    @property
    def is_map(self) -> bool:
        """Whether the value is a (1, C, H, W) map, so that single pixels of it can be skipped."""
        return len(self.shape) == 4 and self.shape[0] == 1

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of a map; (1, 1) for any other value, which changes as a whole."""
        return (self.shape[2], self.shape[3]) if self.is_map else (1, 1)

    @property
    def channels(self) -> int:
        """Numbers per pixel."""
        if self.is_map:
            return self.shape[1]
        count = 1
        for extent in self.shape:
            count *= extent
        return count


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in an order in which each follows its inputs. outputs: names of maps, or constants, as leaves of out_spec.

    other_floats: names of the floating-point types of the network that float32 stands in for.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str | Tensor | int | float | None, ...]
    out_spec: TreeSpec
    other_floats: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.op == "input")

    @property
    def output_names(self) -> frozenset[str]:
        return frozenset(leaf for leaf in self.outputs if isinstance(leaf, str))

    def consumers(self) -> dict[str, list[Node]]:
        """For each map the nodes that read it, a node once per use."""
        uses: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in node.inputs:
                uses[name].append(node)
        return uses

    def rewritten(self, nodes: list[Node], renamed: Mapping[str, str]) -> Graph:
        """The graph with other nodes; uses of a map in `renamed` become uses of the map it names, followed to the end."""

        def final(name: str) -> str:
            while name in renamed:
                name = renamed[name]
            return name

        rewired = tuple(replace(node, inputs=tuple(final(name) for name in node.inputs)) for node in nodes)
        outputs = tuple(final(leaf) if isinstance(leaf, str) else leaf for leaf in self.outputs)
        return replace(self, nodes=rewired, outputs=outputs)
