"""The reference back end: the plan in plain PyTorch, with a gate after each gated map. It defines what every other back end must compute.

Slow on purpose: an operation whose input changed anywhere is computed everywhere, and only its footprint is taken over. It saves
no time within a map; an operation none of whose inputs changed is not run at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skipvid.skip.backend import LayerMasks, Step
from skipvid.skip.gates.rules import OutputRule, measure_scale, open_gate, output_rule
from skipvid.skip.ir.footprint import SPARSE_OPS, footprint, to_blocks
from skipvid.skip.ir.graph import Activation, Node
from skipvid.skip.ir.movement import call
from skipvid.skip.picture import Input, as_tensors
from skipvid.skip.plan import Plan


class ReferenceBackend:
    """Runs on any machine where PyTorch runs."""

    name = "reference"

    def compile(self, plan: Plan) -> ReferenceProgram:
        return ReferenceProgram(plan)


class ReferenceState:
    """values: each map as its readers see it (published, where it is gated). scales: unit of each gate, from the last keyframe.

    pending: what an output gate has skipped so far, by layer. sums: results before activation, where changes are added to them (paper
    mode). before: `values` as they were before the frame that is being run.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}
        self.scales: dict[str, float] = {}
        self.pending: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.before: dict[str, Tensor] = {}

    def memory_bytes(self) -> int:
        kept = [*self.values.values(), *self.pending.values(), *self.sums.values()]
        return sum(value.numel() * value.element_size() for value in kept)


@dataclass(frozen=True, slots=True, eq=False)
class FrameMasks:
    """Masks of one frame by map or layer, (1, 1, H, W) bool.

    computed: pixels whose value was computed anew. changed: those whose value, as readers see it, may differ from the last frame's.
    asked: outputs that an output gate was asked about.
    """

    computed: dict[str, Tensor] = field(default_factory=dict)
    changed: dict[str, Tensor] = field(default_factory=dict)
    asked: dict[str, Tensor] = field(default_factory=dict)


class KeptMasks(LayerMasks):
    """Masks that are there already."""

    def __init__(self, masks: Sequence[NDArray[np.bool_]]) -> None:
        self._masks = masks

    def __len__(self) -> int:
        return len(self._masks)

    def mask(self, layer: int) -> NDArray[np.bool_]:
        return self._masks[layer]


class ReferenceProgram:
    """See skipvid.skip.backend.Program."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rules = output_rules(plan)
        self._outputs = tuple(leaf for leaf in plan.graph.outputs if isinstance(leaf, str))

    def new_state(self, dense: bool = False) -> ReferenceState:
        return ReferenceState()

    @torch.no_grad()
    def run_dense(self, inputs: Sequence[Input]) -> tuple[Tensor, ...]:
        values: dict[str, Tensor] = {}
        queue = iter(as_tensors(inputs))
        for node in self.plan.graph:
            values[node.name] = next(queue).contiguous() if node.op == "input" else evaluate(node, values)
        return tuple(values[name] for name in self._outputs)

    @torch.no_grad()
    def run(self, state: ReferenceState, inputs: Sequence[Input], keyframe: bool, gated_next: bool = True) -> Step:
        masks = FrameMasks()
        queue = iter(as_tensors(inputs))
        state.before = dict(state.values)
        for node in self.plan.graph:
            value = next(queue) if node.op == "input" else None
            run_node = start if keyframe else advance
            run_node(self.plan, self.rules, node, value, state, masks)
        state.before = {}
        computed = [_as_array(masks.computed[layer.node]) for layer in self.plan.layers]
        return Step(
            tuple(state.values[name] for name in self._outputs),
            [int(np.count_nonzero(mask)) for mask in computed],
            KeptMasks(computed),
            {} if keyframe else {name: _count(masks.computed[name]) for name in self.plan.gates},
            [bool(masks.changed[name].any()) for name in self._outputs],
            {} if keyframe else {name: _count(masks.changed[name]) for name in self.plan.watched},
            {name: _count(mask) for name, mask in masks.asked.items()},
        )


def output_rules(plan: Plan) -> dict[str, OutputRule]:
    """The rules of a plan's output gates, by layer."""
    by_name = plan.graph.by_name
    return {name: output_rule(gate, by_name[name], by_name[by_name[name].inputs[0]]) for name, gate in plan.output_gates.items()}


def start(plan: Plan, rules: Mapping[str, OutputRule], node: Node, given: Tensor | None, state: ReferenceState, masks: FrameMasks) -> None:
    """Compute one map of `state` everywhere, for a keyframe. Arguments as in `advance`."""
    masks.computed[node.name] = masks.changed[node.name] = torch.ones(1, 1, *node.size, dtype=torch.bool)
    value = state.values[node.name] = evaluate(node, state.values) if given is None else _taken(given)
    gate, rule = plan.gates.get(node.name), rules.get(node.name)
    if gate is not None:
        state.scales[node.name] = measure_scale(gate, value)
    if rule is not None:
        state.scales[layer_key(node)] = rule.scale(value, state.values[node.inputs[0]])
        state.pending[node.name] = torch.zeros(1, 1, *node.size)
        if rule.gate.previous:
            state.sums[node.name] = evaluate(replace(node, activation=None), state.values)


def advance(
    plan: Plan, rules: Mapping[str, OutputRule], node: Node, given: Tensor | None, state: ReferenceState, masks: FrameMasks
) -> None:
    """Bring one map of `state` up to date, between keyframes. given: the new frame, where the node is a network input.

    masks: those of the node's inputs are read, its own are added.
    """
    read = [masks.changed[name] for name in node.inputs]
    if given is None and not any(bool(mask.any()) for mask in read):
        masks.computed[node.name] = masks.changed[node.name] = torch.zeros(1, 1, *node.size, dtype=torch.bool)
        return
    old = state.values[node.name]
    gate, rule = plan.gates.get(node.name), rules.get(node.name)
    if rule is not None:
        masks.asked[node.name] = footprint(node, read)
        region = masks.computed[node.name] = _ask(rule, state)
    elif node.op in SPARSE_OPS:
        region = masks.computed[node.name] = footprint(node, read)
    if rule is not None and rule.gate.previous:
        new = _add_change(node, region, state)
    else:
        new = evaluate(node, state.values) if given is None else _taken(given)
    if rule is None and node.op not in SPARSE_OPS:
        # A given or dense value is compared, or computed, everywhere; its readers still see only what differs.
        region = difference(new, old, node)
        masks.computed[node.name] = torch.ones_like(region)
    opened = region
    if gate is not None:
        # A block opens as a whole: its readers compute all of it, though only what was computed here has a new value.
        opened = to_blocks(open_gate(gate, new, old, state.scales[node.name]) & region, gate.block)
    state.values[node.name] = _replace(old, new, opened & region)
    masks.changed[node.name] = opened


def layer_key(node: Node) -> str:
    """Where the scale of a layer's output gate is kept: its map may have a gate of its own."""
    return f"{node.name}()"


def _ask(rule: OutputRule, state: ReferenceState) -> Tensor:
    """The outputs that an output gate opens, (1, 1, h, w) bool; keeps account of those that it does not."""
    node = rule.node
    amount = rule.amount(state.values[node.inputs[0]] - state.before[node.inputs[0]])
    if not rule.gate.previous:
        amount = amount + state.pending[node.name]
    opened = rule.opened(amount, state.scales[layer_key(node)])
    state.pending[node.name] = amount.masked_fill(opened, 0)
    return opened


def _add_change(node: Node, region: Tensor, state: ReferenceState) -> Tensor:
    """Paper, section 3.1: z_t = z_{t−1} + g ⊙ (w ∗ (x_t − x_{t−1})), the bias being in z_1; then the activation."""
    name = node.inputs[0]
    plain = replace(node, activation=None, consts={"weight": node.consts["weight"]})
    added = evaluate(plain, {name: state.values[name] - state.before[name]})
    sums = state.sums[node.name] = torch.where(region, state.sums[node.name] + added, state.sums[node.name])
    return sums if node.activation is None else activate(node.activation, sums)


def _taken(value: Tensor) -> Tensor:
    """A copy of a network input, which its owner may write the next frame into."""
    return value.clone(memory_format=torch.contiguous_format)


def _replace(old: Tensor, new: Tensor, mask: Tensor) -> Tensor:
    """`new` where mask is True. A value that is no map is replaced as a whole."""
    return torch.where(mask, new, old) if old.dim() == 4 else (new if bool(mask) else old)


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
    "publish": lambda node, inputs: inputs[0],
}


def _as_array(mask: Tensor) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = mask[0, 0].numpy()
    return array


def _count(mask: Tensor) -> int:
    return int(mask.count_nonzero())
