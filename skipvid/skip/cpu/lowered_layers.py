"""The steps of layers: convolutions, resizing, pooling, means, norms and attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from skipvid.skip.cpu import rows as flat
from skipvid.skip.cpu import tables
from skipvid.skip.cpu._native import ChannelOperation, StepKind
from skipvid.skip.cpu.description import append, extend
from skipvid.skip.cpu.draft import Draft
from skipvid.skip.ir.graph import Node
from skipvid.skip.ir.precision import is_depthwise


def _conv(draft: Draft, node: Node) -> None:
    weight, attrs = node.consts["weight"], node.attrs
    window = tables.window_of(node, (weight.shape[2], weight.shape[3]))
    taps, weights = tables.convolution_taps(node)
    if is_depthwise(node, draft.by_name[node.inputs[0]]):
        numbers = draft.description.numbers
        row = flat.DepthwiseRow(numbers.add(weights[:, 0]), numbers.add(tables.bias_of(node, node.channels)))
        details = append(draft.description.depthwise, row)
        draft.step(StepKind.DEPTHWISE, node, [(node.inputs[0], window)], details, tables.activation_code(node.activation))
    else:
        _convolution(draft, node, window, attrs["stride"], (1, 1), attrs["groups"], [(taps, weights)])


def _conv_transpose(draft: Draft, node: Node) -> None:
    footprint = tables.transposed_footprint(node, draft.by_name[node.inputs[0]], draft.description)
    phases = tables.transposed_phases(node, node.channels)
    _convolution(draft, node, footprint, (1, 1), node.attrs["stride"], node.attrs["groups"], phases)


def _linear(draft: Draft, node: Node) -> None:
    weights = tables.array(node.consts["weight"].T.unsqueeze(0))
    _convolution(draft, node, flat.ANY, (1, 1), (1, 1), 1, [(np.zeros((1, 2), np.int32), weights)])


def _convolution(
    draft: Draft,
    node: Node,
    footprint: flat.FootprintRow,
    stride: tuple[int, int],
    period: tuple[int, int],
    groups: int,
    phases: Sequence[tuple[tables.Ints, tables.Floats]],
) -> None:
    description = draft.description
    rows = [flat.PhaseRow(len(taps), description.integers.add(taps), description.numbers.add(weights)) for taps, weights in phases]
    bias = description.numbers.add(tables.bias_of(node, node.channels))
    row = flat.ConvolutionRow(*stride, *period, groups, extend(description.phases, rows), len(rows), bias)
    details = append(description.convolutions, row)
    draft.step(StepKind.CONVOLUTION, node, [(node.inputs[0], footprint)], details, tables.activation_code(node.activation))


def _resize(draft: Draft, node: Node) -> None:
    source, numbers, integers = draft.by_name[node.inputs[0]], draft.description.numbers, draft.description.integers
    bilinear = node.attrs["mode"] == "bilinear"
    (low_rows, high_rows, *row_weights), (low_columns, high_columns, *column_weights) = (
        tables.resize_axis(node, source, axis) for axis in range(2)
    )
    index = [integers.add(table) for table in (low_rows, high_rows, low_columns, high_columns)]
    weights = [numbers.add(table) for table in (*row_weights, *column_weights)]
    row = flat.ResizeRow(bilinear, index[0], index[1], index[2], index[3], weights[0], weights[1], weights[2], weights[3])
    footprint = tables.resize_footprint(node, source, draft.description)
    draft.step(StepKind.RESIZE, node, [(source.name, footprint)], append(draft.description.resizes, row))


def _pool(draft: Draft, node: Node) -> None:
    window = tables.window_of(node, node.attrs["kernel"])
    row = flat.PoolRow(node.op == "max_pool", bool(node.attrs.get("count_include_pad", False)))
    draft.step(StepKind.POOL, node, [(node.inputs[0], window)], append(draft.description.pools, row))


def _adaptive_pool(draft: Draft, node: Node) -> None:
    source = draft.by_name[node.inputs[0]]
    footprint = tables.adaptive_footprint(node, source, draft.description)
    details = append(draft.description.pools, flat.PoolRow(bool(node.attrs["maximum"]), False))
    draft.step(StepKind.POOL, node, [(source.name, footprint)], details)


def _global_mean(draft: Draft, node: Node) -> None:
    draft.step(StepKind.GLOBAL_MEAN, node, [(node.inputs[0], flat.ANY)])


def _layer_norm(draft: Draft, node: Node) -> None:
    weights, bias = (
        draft.description.numbers.add(tables.array(node.consts[key])) if key in node.consts else flat.NOWHERE for key in ("weight", "bias")
    )
    _channelwise(draft, node, flat.ChannelwiseRow(ChannelOperation.NORMALISE, node.attrs["epsilon"], weights, bias))


def _channelwise(draft: Draft, node: Node, row: flat.ChannelwiseRow) -> None:
    draft.step(StepKind.CHANNELWISE, node, draft.same(node), append(draft.description.channelwise, row))


def _attention(draft: Draft, node: Node) -> None:
    attrs, integers, bias = node.attrs, draft.description.integers, node.consts.get("bias")
    everything = [tables.group_footprint(node, draft.by_name[name], draft.description) for name in node.inputs[1:]]
    channels = (integers.add(attrs[key]) for key in ("queries", "keys", "values"))
    row = flat.AttentionRow(attrs["groups"], attrs["heads"], attrs["key_size"], attrs["value_size"], attrs["scale"], *channels)
    if bias is not None:
        places = (draft.description.numbers.add(tables.array(bias)), len(bias), integers.add(attrs["bias_blocks"]))
        row = replace(row, bias=places[0], blocks=places[1], bias_blocks=places[2])
    reads = list(zip(node.inputs, (flat.SAME, *everything), strict=True))
    draft.step(StepKind.ATTENTION, node, reads, append(draft.description.attentions, row))


def _softmax(draft: Draft, node: Node) -> None:
    _channelwise(draft, node, flat.ChannelwiseRow(ChannelOperation.SOFTMAX, 0.0))


LAYERS: dict[str, Callable[[Draft, Node], None]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": _linear,
    "resize": _resize,
    "max_pool": _pool,
    "avg_pool": _pool,
    "adaptive_pool": _adaptive_pool,
    "global_mean": _global_mean,
    "layer_norm": _layer_norm,
    "softmax": _softmax,
    "attention": _attention,
}
"""By a node's op, what adds its step."""
