"""Adaptive layers (skipvid.nn.AdaptiveConv2d) as nodes: a choice; a convolution and cheap operations for each ratio; a selection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from skipvid.nn.adaptive_export import adaptive_operation
from skipvid.skip.ir.graph import Node

ADAPTIVE = adaptive_operation
FOREVER = 2**30
"""Frames that no stream has."""


def adaptive_nodes(
    name: str, path: str, source: str, seen: str, nodes: Mapping[str, Node], constants: Sequence[Any], settings: Sequence[Any]
) -> Iterator[Node]:
    """The nodes of one layer, in order; the last one has its name.

    path: of its parameters. source: what it convolves. seen: what its policy looks at. nodes: those before it. constants, settings: the
    arguments of the operation, tensors and others. Only the nodes of the frame's choice are computed.
    """
    weight, bias, cheap, policy, reuse = constants
    stride, pads, dilation, groups, widths, hysteresis, least_stay, longest_reuse = settings
    channels, size = nodes[source].channels, _output_size(nodes[source], weight, stride, pads, dilation)
    mean, choice = f"{name}_mean", f"{name}_choice"
    yield Node(mean, "global_mean", (seen,), (1, nodes[seen].channels, 1, 1))
    attrs = {
        "ratios": len(widths),
        "reuse": bool(reuse),
        "hysteresis": hysteresis,
        "least_stay": min(least_stay, FOREVER),
        "longest_reuse": min(longest_reuse, FOREVER),
    }
    layers = dict(zip(("inner", "inner_bias", "outer", "outer_bias"), (_constant(item) for item in policy), strict=True))
    yield Node(choice, "choice", (mean, seen), (1, 1, 1, 1), attrs, layers)
    queue, places, inputs = iter(cheap), [], [choice]
    for number, width in enumerate(widths):
        guard = (choice, number)
        some = groups * width // len(weight) if groups > 1 else 1
        read = source
        if some * weight.shape[1] != channels:
            read = f"{name}_input{number}"
            index = tuple(range(some * weight.shape[1]))
            yield Node(read, "channels", (source,), (1, len(index), *nodes[source].size), {"index": index})
        own = {"stride": tuple(stride), "pads": tuple(pads), "dilation": tuple(dilation), "groups": some}
        consts = {"weight": _constant(weight[:width])} | ({} if bias is None else {"bias": _constant(bias[:width])})
        made = f"{name}_ratio{number}"
        layer = path if number == 0 else f"{path}.ratio{number}"
        yield Node(made, "conv", (read,), (1, width, *size), own, consts, layer=layer, guard=guard)
        parts = [made]
        if width < len(weight):
            for node in _cheap(f"{made}_cheap", path, number, made, size, width, (next(queue), next(queue)), guard):
                yield node
                parts += [node.name] if node.op == "conv" else []
        places.append(tuple(range(len(inputs), len(inputs) + len(parts))))
        inputs += parts
    yield Node(name, "select", tuple(inputs), (1, len(weight), *size), {"parts": tuple(places)}, _changes(reuse))


def _cheap(
    name: str,
    path: str,
    number: int,
    source: str,
    size: tuple[int, int],
    width: int,
    weights: tuple[Tensor, Tensor],
    guard: tuple[str, int],
) -> Iterator[Node]:
    """A depthwise convolution for each round through the computed channels: partners repeat where more are rebuilt than computed."""
    kernels, shifts = weights
    side = kernels.shape[2] // 2
    for turn, first in enumerate(range(0, len(kernels), width)):
        count, read = min(width, len(kernels) - first), source
        if count < width:
            read = f"{name}{turn}_input"
            yield Node(read, "channels", (source,), (1, count, *size), {"index": tuple(range(count))}, guard=guard)
        attrs = {"stride": (1, 1), "pads": (side,) * 4, "dilation": (1, 1), "groups": count}
        consts = {"weight": _constant(kernels[first : first + count]), "bias": _constant(shifts[first : first + count])}
        layer = f"{path}.cheap.{number - 1}"
        yield Node(f"{name}{turn}", "conv", (read,), (1, count, *size), attrs, consts, layer=layer, guard=guard)


def _changes(reuse: Sequence[Tensor]) -> dict[str, Tensor]:
    """Scale and shift of what is reused; nothing where it stays as it is."""
    if not reuse or (bool((reuse[0] == 1).all()) and not bool(reuse[1].any())):
        return {}
    return {"scale": _constant(reuse[0]), "shift": _constant(reuse[1])}


def _constant(value: Tensor) -> Tensor:
    return value.detach().float().contiguous()


def _output_size(source: Node, weight: Tensor, stride: Sequence[int], pads: Sequence[int], dilation: Sequence[int]) -> tuple[int, int]:
    extents = []
    for axis in range(2):
        padded = source.size[axis] + pads[2 * axis] + pads[2 * axis + 1]
        extents.append((padded - dilation[axis] * (weight.shape[2 + axis] - 1) - 1) // stride[axis] + 1)
    return extents[0], extents[1]
