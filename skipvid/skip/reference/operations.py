"""What each operation of a graph computes, in plain PyTorch: the definition that every back end agrees with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from skipvid.skip.ir.aten import call
from skipvid.skip.ir.graph import Activation, Node
from skipvid.skip.reference.choices import first_choice, selected
from skipvid.skip.reference.pointwise import on_maps


def evaluate(node: Node, values: Mapping[str, Tensor]) -> Tensor:
    """The dense result of one node from the values of its inputs, contiguous: the order in memory decides which kernels torch takes."""
    result = evaluate_anyhow(node, values)
    # What comes from tokens lies pixel by pixel already, as native steps want it.
    return result if node.op == "token_map" else result.contiguous()


def evaluate_anyhow(node: Node, values: Mapping[str, Tensor]) -> Tensor:
    """As `evaluate`, but a result that shares the memory of an input stays where it is."""
    inputs = [values[name] for name in node.inputs]
    result = _aten(node, inputs) if node.op == "aten" else _OPERATIONS[node.op](node, inputs)
    return activate(node.activation, result) if node.activation is not None and node.op != "activation" else result


def _aten(node: Node, inputs: list[Tensor]) -> Tensor:
    result: Tensor = call(node, inputs)
    # The default type decides about some results, and a network may have been exported under another one.
    return result.to(node.dtype) if result.is_floating_point() and node.dtype.is_floating_point else result


def activate(activation: Activation, x: Tensor) -> Tensor:
    """Apply a pointwise function."""
    return _ACTIVATIONS[activation.kind](x, *activation.params)


_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": functional.relu,
    "hardtanh": functional.hardtanh,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "mish": functional.mish,
    "softplus": functional.softplus,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "erf": torch.erf,
    "abs": torch.abs,
}


def _activation(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    assert node.activation is not None
    return activate(node.activation, inputs[0])


def _conv(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    attrs = node.attrs
    top, bottom, left, right = attrs["pads"]
    x, padding = inputs[0], (top, left)
    if (top, left) != (bottom, right):
        x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
    return functional.conv2d(
        x, node.consts["weight"], node.consts.get("bias"), attrs["stride"], padding, attrs["dilation"], attrs["groups"]
    )


def _conv_transpose(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    attrs = node.attrs
    return functional.conv_transpose2d(
        inputs[0],
        node.consts["weight"],
        node.consts.get("bias"),
        attrs["stride"],
        attrs["padding"],
        attrs["output_padding"],
        attrs["groups"],
        attrs["dilation"],
    )


def _resize(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    attrs = node.attrs
    # The scale factors, where given, decide the sampling positions; the size alone would give other ones for odd sizes.
    scales = attrs["scales"] or (None, None)
    if attrs["mode"] == "nearest":
        return torch.ops.aten.upsample_nearest2d.default(inputs[0], attrs["size"], *scales)  # type: ignore[no-any-return]
    return torch.ops.aten.upsample_bilinear2d.default(inputs[0], attrs["size"], attrs["align_corners"], *scales)  # type: ignore[no-any-return]


def _max_pool(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    attrs = node.attrs
    top, bottom, left, right = attrs["pads"]
    x = functional.pad(inputs[0], (left, right, top, bottom), value=float("-inf"))
    return functional.max_pool2d(x, attrs["kernel"], attrs["stride"], 0, attrs["dilation"])


def _avg_pool(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    attrs = node.attrs
    top, bottom, left, right = attrs["pads"]
    if not attrs["count_include_pad"] and (top, left) == (bottom, right):  # then they are torch's own, no more than half a kernel
        return functional.avg_pool2d(inputs[0], attrs["kernel"], attrs["stride"], (top, left), False, False)
    means = functional.avg_pool2d(functional.pad(inputs[0], (left, right, top, bottom)), attrs["kernel"], attrs["stride"])
    if attrs["count_include_pad"]:
        return means
    inside = functional.pad(torch.ones(1, 1, *inputs[0].shape[2:], device=means.device), (left, right, top, bottom))
    return means / functional.avg_pool2d(inside, attrs["kernel"], attrs["stride"])


def _adaptive_pool(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    pool = functional.adaptive_max_pool2d if node.attrs["maximum"] else functional.adaptive_avg_pool2d
    return pool(inputs[0], node.size)


def _pad(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    top, bottom, left, right = node.attrs["pads"]
    return functional.pad(inputs[0], (left, right, top, bottom), value=node.attrs["value"])


def _gather(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    source, pixel, channel = (node.attrs[key] for key in ("source", "pixel", "channel"))
    result = torch.zeros(len(source), node.channels, dtype=torch.float32)
    channels = torch.arange(node.channels)
    for number, value in enumerate(inputs):
        own = source == number
        rows = value[0].flatten(1).T
        result[own] = rows[pixel[own].unsqueeze(1), channel[own].unsqueeze(1) + channels]
    return result.T.reshape(node.shape)


def _layer_norm(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    rows = inputs[0].permute(0, 2, 3, 1)
    normed = functional.layer_norm(rows, rows.shape[3:], node.consts.get("weight"), node.consts.get("bias"), node.attrs["epsilon"])
    return normed.permute(0, 3, 1, 2)


def _attention(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    attrs, bias = node.attrs, node.consts.get("bias")
    sizes = (attrs["key_size"], attrs["key_size"], attrs["value_size"])
    parts = []
    for value, first, size in zip(inputs, (attrs["queries"], attrs["keys"], attrs["values"]), sizes, strict=True):
        rows = value[0].flatten(1).T[:, torch.tensor(first).unsqueeze(1) + torch.arange(size)]
        parts.append(rows.view(attrs["groups"], -1, *rows.shape[1:]).transpose(1, 2))
    queries, keys, values = parts
    products = (queries @ keys.transpose(2, 3)) * attrs["scale"]
    weights = (products if bias is None else products + bias[list(attrs["bias_blocks"])]).softmax(3)
    result: Tensor = (weights @ values).transpose(1, 2).reshape(-1, node.channels).T
    return result.reshape(node.shape)


def _tokens(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    rows, order = inputs[0][0].permute(1, 2, 0).flatten(0, 1), node.attrs["order"]
    return (rows if order is None else rows[order]).reshape(node.shape)


def _token_map(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    rows, order = inputs[0].reshape(-1, node.channels), node.attrs["order"]
    return (rows if order is None else rows[order]).view(1, *node.size, -1).permute(0, 3, 1, 2)


_OPERATIONS: dict[str, Callable[[Node, Sequence[Tensor]], Tensor]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": lambda node, inputs: functional.linear(inputs[0], node.consts["weight"], node.consts.get("bias")),
    "activation": _activation,
    "affine": lambda node, inputs: inputs[0] * node.consts["scale"] + node.consts["shift"],
    "add": lambda node, inputs: inputs[0] + inputs[1],
    "sub": lambda node, inputs: inputs[0] - inputs[1],
    "mul": lambda node, inputs: inputs[0] * inputs[1],
    "div": lambda node, inputs: inputs[0] / inputs[1],
    "max": lambda node, inputs: torch.maximum(inputs[0], inputs[1]),
    "min": lambda node, inputs: torch.minimum(inputs[0], inputs[1]),
    "concat": lambda node, inputs: torch.cat(list(inputs), 1),
    "channels": lambda node, inputs: inputs[0][:, list(node.attrs["index"])],
    "resize": _resize,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_pool": _adaptive_pool,
    "pad": _pad,
    "global_mean": lambda node, inputs: inputs[0].mean((2, 3), keepdim=True),
    "gather": _gather,
    "layer_norm": _layer_norm,
    "softmax": lambda node, inputs: inputs[0].softmax(1),
    "attention": _attention,
    "tokens": _tokens,
    "token_map": _token_map,
    "publish": lambda node, inputs: inputs[0],
    "choice": lambda node, inputs: inputs[0].new_full((1, 1, 1, 1), first_choice(node, inputs[0])),
    "select": selected,
    "pointwise": on_maps,
}
