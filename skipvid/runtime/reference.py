"""The reference back end: the plan in plain PyTorch, with a gate after each gated map. It defines what every other back end must compute.

Slow on purpose: an operation whose input changed anywhere is computed everywhere, and only its footprint is taken over. It saves
no time within a map; an operation none of whose inputs changed is not run at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skipvid.graph.footprint import SPARSE_OPS, footprint, to_blocks
from skipvid.graph.gating import Gate
from skipvid.graph.ir import Activation, Node
from skipvid.graph.movement import call
from skipvid.graph.plan import Plan
from skipvid.runtime.base import Step


class ReferenceBackend:
    """Runs on any machine where PyTorch runs."""

    name = "reference"

    def compile(self, plan: Plan) -> ReferenceProgram:
        return ReferenceProgram(plan)


class ReferenceState:
    """values: each map as its readers see it (published, where it is gated). scales: s_X of each gated map, from the last keyframe."""

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}
        self.scales: dict[str, float] = {}

    def memory_bytes(self) -> int:
        return sum(value.numel() * value.element_size() for value in self.values.values())


class ReferenceProgram:
    """See skipvid.runtime.base.Program."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._outputs = tuple(leaf for leaf in plan.graph.outputs if isinstance(leaf, str))

    def new_state(self) -> ReferenceState:
        return ReferenceState()

    @torch.no_grad()
    def run_dense(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        values: dict[str, Tensor] = {}
        queue = iter(inputs)
        for node in self.plan.graph:
            values[node.name] = next(queue).contiguous() if node.op == "input" else evaluate(node, values)
        return tuple(values[name] for name in self._outputs)

    @torch.no_grad()
    def run(self, state: ReferenceState, inputs: Sequence[Tensor], keyframe: bool) -> Step:
        computed: dict[str, Tensor] = {}  # pixels whose value was computed anew
        changed: dict[str, Tensor] = {}  # pixels whose value, as readers see it, may differ from the last frame's
        queue = iter(inputs)
        for node in self.plan.graph:
            value = next(queue) if node.op == "input" else None
            if keyframe:
                computed[node.name] = torch.ones(1, 1, *node.size, dtype=torch.bool)
                state.values[node.name] = evaluate(node, state.values) if value is None else _taken(value)
                changed[node.name] = computed[node.name]
                if (gate := self.plan.gates.get(node.name)) is not None:
                    state.scales[gate.map] = measure_scale(gate, state.values[node.name])
            else:
                self._advance(node, value, state, computed, changed)
        gate_pixels = {} if keyframe else {name: int(computed[name].count_nonzero()) for name in self.plan.gates}
        masks = [_as_array(computed[layer.node]) for layer in self.plan.layers]
        return Step(tuple(state.values[name] for name in self._outputs), masks, gate_pixels)

    def _advance(
        self, node: Node, given: Tensor | None, state: ReferenceState, computed: dict[str, Tensor], changed: dict[str, Tensor]
    ) -> None:
        masks = [changed[name] for name in node.inputs]
        if given is None and not any(bool(mask.any()) for mask in masks):
            computed[node.name] = changed[node.name] = torch.zeros(1, 1, *node.size, dtype=torch.bool)
            return
        old = state.values[node.name]
        new = evaluate(node, state.values) if given is None else _taken(given)
        if node.op in SPARSE_OPS:
            region = computed[node.name] = footprint(node, masks)
        else:
            # A given or dense value is compared, or computed, everywhere; its readers still see only what differs.
            region = difference(new, old, node)
            computed[node.name] = torch.ones_like(region)
        opened = region
        if (gate := self.plan.gates.get(node.name)) is not None:
            # A block opens as a whole: its readers compute all of it, though only what was computed here has a new value.
            opened = to_blocks(open_gate(gate, new, old, state.scales[gate.map]) & region, gate.block)
        state.values[node.name] = _replace(old, new, opened & region)
        changed[node.name] = opened


def _taken(value: Tensor) -> Tensor:
    """A copy of a network input, which its owner may write the next frame into."""
    return value.clone(memory_format=torch.contiguous_format)


def _replace(old: Tensor, new: Tensor, mask: Tensor) -> Tensor:
    """`new` where mask is True. A value that is no map is replaced as a whole."""
    return torch.where(mask, new, old) if old.dim() == 4 else (new if bool(mask) else old)


def measure_scale(gate: Gate, value: Tensor) -> float:
    """s_X, the unit of the threshold: the calibrated scale of the map, or its mean |activation| now.

    0 where that is no finite number: such a gate passes every change on, where an infinite scale would never open.
    """
    scale = gate.scale if gate.scale is not None else float(value.abs().mean())
    return scale if math.isfinite(scale) else 0.0


def open_gate(gate: Gate, new: Tensor, published: Tensor, scale: float) -> Tensor:
    """The norm gate: pixels whose mean |new − published| over channels exceeds threshold * scale, as (1, 1, H, W) bool.

    Compared as a sum, so that with threshold 0 any change opens, however small; a NaN opens too.
    """
    distance = (new - published).abs()
    total = distance.sum(1, keepdim=True) if distance.dim() == 4 else distance.sum().view(1, 1, 1, 1)
    channels = distance.shape[1] if distance.dim() == 4 else distance.numel()
    return ~(total <= gate.threshold * scale * channels)


def difference(new: Tensor, old: Tensor, node: Node) -> Tensor:
    """Changed pixels by exact comparison, (1, 1, H, W) bool; (1, 1, 1, 1) for a value that is no map. NaN counts as changed."""
    unequal = new != old
    return unequal.any(1, keepdim=True) if node.is_map else unequal.any().view(1, 1, 1, 1)


def evaluate(node: Node, values: Mapping[str, Tensor]) -> Tensor:
    """The dense result of one node from the values of its inputs, contiguous: the order in memory decides which kernels torch takes."""
    inputs = [values[name] for name in node.inputs]
    result = call(node, inputs) if node.op == "aten" else _OPERATIONS[node.op](node, inputs)
    if node.activation is not None and node.op != "activation":
        result = activate(node.activation, result)
    return result.contiguous()


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
    if not attrs["count_include_pad"]:  # then the pads are torch's own: symmetric, and no more than half a kernel
        return functional.avg_pool2d(inputs[0], attrs["kernel"], attrs["stride"], (top, left), False, False)
    return functional.avg_pool2d(functional.pad(inputs[0], (left, right, top, bottom)), attrs["kernel"], attrs["stride"])


def _pad(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    top, bottom, left, right = node.attrs["pads"]
    return functional.pad(inputs[0], (left, right, top, bottom), value=node.attrs["value"])


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
    "concat": lambda node, inputs: torch.cat(list(inputs), 1),
    "channels": lambda node, inputs: inputs[0][:, list(node.attrs["index"])],
    "resize": _resize,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "pad": _pad,
    "global_mean": lambda node, inputs: inputs[0].mean((2, 3), keepdim=True),
}


def _as_array(mask: Tensor) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = mask[0, 0].numpy()
    return array
