"""The reference back end: the plan in plain PyTorch, with a gate after each gated map. It defines what every other back end must compute.

Slow on purpose: an operation whose input changed anywhere is computed everywhere, and only its footprint is taken over. It saves
no time within a map; an operation none of whose inputs changed is not run at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.nn.window import round_up_to_blocks
from skipvid.skip.backend import FrameRun, LayerMasks
from skipvid.skip.gates.base import GateState, MapGate, OutputGate
from skipvid.skip.gates.units import is_stale, sampled, to_check
from skipvid.skip.ir.footprint import SPARSE_OPS, footprint
from skipvid.skip.ir.graph import Node
from skipvid.skip.picture import Input, Picture, as_tensors
from skipvid.skip.plan import Plan
from skipvid.skip.reference.choices import Choice, again, is_off, is_reused
from skipvid.skip.reference.operations import evaluate
from skipvid.skip.reference.shifting import Shift, moved, moves_by, stays_right


class ReferenceBackend:
    """Runs on any machine where PyTorch runs."""

    name = "reference"

    def compile(self, plan: Plan) -> ReferenceProgram:
        return ReferenceProgram(plan)


class ReferenceState:
    """values: each map as its readers see it (published, where it is gated). scales: unit of each map gate, from the last keyframe.

    output_gates: what each output gate remembers, by layer. before: `values` as they were before the frame that is being run.
    choices: by node, of adaptive layers. pending: by guarded node, (1, 1, h, w) bool, what it has to make up for when its choice is taken.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}
        self.scales: dict[str, float] = {}
        self.output_gates: dict[str, GateState] = {}
        self.before: dict[str, Tensor] = {}
        self.choices: dict[str, Choice] = {}
        self.pending: dict[str, Tensor] = {}
        self.alone = False  # PyTorch has its own threads

    def memory_bytes(self) -> int:
        gates = (value for gate in self.output_gates.values() for value in gate.maps.values())
        kept = [*self.values.values(), *gates, *self.pending.values(), *(choice.news for choice in self.choices.values())]
        return sum(value.numel() * value.element_size() for value in kept)


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """Masks of one frame run by map or layer, (1, 1, H, W) bool.

    computed: pixels whose value was computed anew. changed: those whose value, as readers see it, may differ from the last frame's.
    candidates: outputs that an output gate decided about.
    """

    computed: dict[str, Tensor] = field(default_factory=dict)
    changed: dict[str, Tensor] = field(default_factory=dict)
    candidates: dict[str, Tensor] = field(default_factory=dict)


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
        self.costs = plan.costs
        self.restore = plan.restore
        self.fallbacks: tuple[tuple[str, str], ...] = ()  # PyTorch computes all of it
        self.interrupted = False
        self.in_torch = True
        self._types = tuple(node.dtype for node in plan.graph.inputs)
        self._outputs = tuple(leaf for leaf in plan.graph.outputs if isinstance(leaf, str))

    def new_state(self, dense: bool = False) -> ReferenceState:
        return ReferenceState()

    def state_bytes(self) -> int:
        return sum(math.prod(node.shape) * node.dtype.itemsize for node in self.plan.graph)

    @torch.no_grad()
    def unit_is_stale(self, state: ReferenceState, number: int) -> bool:
        plan = self.plan
        if not plan.measured_units:
            return False
        name, gate = to_check(plan.measured_units, number)
        unit = state.scales[name] if isinstance(gate, MapGate) else state.output_gates[name].scale
        return is_stale(gate.measured, state.values[name], unit)

    @torch.no_grad()
    def run_dense(self, inputs: Sequence[Input], alone: bool = False) -> tuple[Tensor, ...]:
        values: dict[str, Tensor] = {}
        queue = iter(as_tensors(inputs, self._types))
        for node in self.plan.graph:
            if is_off(node, values):
                values[node.name] = torch.empty(0)
                continue
            value = next(queue).contiguous() if node.op == "input" else evaluate(node, values)
            values[node.name] = self.plan.stored(node, value)
        return tuple(values[name] for name in self._outputs)

    @torch.no_grad()
    def run(self, state: ReferenceState, inputs: Sequence[Input], keyframe: bool, gated_next: bool = True) -> FrameRun:
        masks = Masks()
        queue = iter(as_tensors(inputs, self._types))
        state.before = dict(state.values)
        for node in self.plan.graph:
            value = next(queue) if node.op == "input" else None
            run_node = start if keyframe else advance
            run_node(self.plan, node, value, state, masks)
        state.before = {}
        return self._account(state, masks, keyframe)

    @property
    def shifts(self) -> bool:
        still = bool(self.plan.output_gates or self.plan.choices)
        return not still and len(self._types) == 1 and all(gate.block == 1 for gate in self.plan.gates.values())

    @torch.no_grad()
    def run_shifted(self, state: ReferenceState, inputs: Sequence[Input], shift: Shift) -> FrameRun:
        masks, graph, by_name = Masks(), self.plan.graph, self.plan.graph.by_name
        moves = {node.name: moves_by(node, graph, shift) for node in graph}
        queue = iter(as_tensors(inputs, self._types))
        for node in graph:
            by = moves[node.name]
            if by is not None:
                state.values[node.name] = moved(state.values[node.name], by)
            if node.op != "input":
                advance(self.plan, node, None, state, masks, ~stays_right(node, by_name, moves))
                continue
            if isinstance(inputs[0], Picture):
                _forget_beside(state.values[node.name], inputs[0], shift)
            advance(self.plan, node, next(queue), state, masks)
        return self._account(state, masks, False)

    def _account(self, state: ReferenceState, masks: Masks, keyframe: bool) -> FrameRun:
        """What was done in the frame just run."""
        computed = [_as_array(masks.computed[layer.node]) for layer in self.plan.layers]
        return FrameRun(
            tuple(state.values[name] for name in self._outputs),
            [int(np.count_nonzero(mask)) for mask in computed],
            KeptMasks(computed),
            self._gate_pixels(state, masks, keyframe),
            [bool(masks.changed[name].any()) for name in self._outputs],
            {} if keyframe else {name: _count(masks.changed[name]) for name in self.plan.measured_maps},
            {name: _count(mask) for name, mask in masks.candidates.items()},
            choices={layer: state.choices[choice].number for layer, choice in self.plan.choices.items()},
        )

    def _gate_pixels(self, state: ReferenceState, masks: Masks, keyframe: bool) -> dict[str, int]:
        found = {} if keyframe else {name: _count(masks.computed[name]) for name in self.plan.gates}
        for choice in self.plan.choices.values():
            found[choice] = _count(masks.computed[choice])
        for name, node in self.plan.reusing.items():
            reuses = is_reused(self.plan.graph.by_name[node.inputs[0]], state.choices[node.inputs[0]].number)
            found[name] = _count(masks.computed[node.name]) if reuses else 0
        return found


def start(plan: Plan, node: Node, given: Tensor | None, state: ReferenceState, masks: Masks) -> None:
    """Compute one map of `state` everywhere, for a keyframe. Arguments as in `advance`."""
    everything = torch.ones(1, 1, *node.size, dtype=torch.bool)
    masks.computed[node.name] = masks.changed[node.name] = everything
    if node.guard is not None:
        off = is_off(node, state.values)
        state.pending[node.name] = everything if off else ~everything
        if off:
            masks.computed[node.name] = masks.changed[node.name] = ~everything
            state.values.setdefault(node.name, torch.zeros(node.shape))
            return
    if node.op == "choice":
        state.choices[node.name] = Choice.first(node, state.values)
    value = plan.stored(node, evaluate(node, state.values) if given is None else _copied(given))
    state.values[node.name] = value
    gate, output_gate = plan.gates.get(node.name), plan.output_gates.get(node.name)
    if gate is not None:
        state.scales[node.name] = gate.unit(sampled(value) if plan.precision == "bf16" else value)
    if output_gate is not None:
        state.output_gates[node.name] = output_gate.start(value, state.values[node.inputs[0]])


def advance(plan: Plan, node: Node, given: Tensor | None, state: ReferenceState, masks: Masks, anyhow: Tensor | None = None) -> None:
    """Bring one map of `state` up to date, between keyframes. given: the new input, where the node is a network input.

    masks: those of the node's inputs are read, its own are added. anyhow: (1, 1, H, W) bool, what is computed whatever changed.
    """
    read = [masks.changed[name] for name in node.inputs]
    if node.op == "choice":
        _choose(node, state, masks)
        return
    if node.guard is not None:
        reached = footprint(node, read) | state.pending[node.name]
        off = is_off(node, state.values)
        state.pending[node.name] = reached if off else torch.zeros_like(reached)
        read, anyhow = ([torch.zeros_like(mask) for mask in read], None) if off else (read, reached if bool(reached.any()) else None)
    reused = node.op == "select" and is_reused(plan.graph.by_name[node.inputs[0]], state.choices[node.inputs[0]].number)
    if reused:
        everything = torch.ones(1, 1, *node.size, dtype=torch.bool)
        read, anyhow = [torch.zeros_like(mask) for mask in read], everything if node.consts else None
    if given is None and anyhow is None and not any(bool(mask.any()) for mask in read):
        masks.computed[node.name] = masks.changed[node.name] = torch.zeros(1, 1, *node.size, dtype=torch.bool)
        return
    old = state.values[node.name]
    gate, output_gate = plan.gates.get(node.name), plan.output_gates.get(node.name)
    if output_gate is not None:
        masks.candidates[node.name] = footprint(node, read)
        region, result = _decide(output_gate, state)
        new = plan.stored(node, result)
        masks.computed[node.name] = region
    else:
        new = plan.stored(node, again(node, old) if reused else evaluate(node, state.values) if given is None else _copied(given))
        if node.op in SPARSE_OPS:
            region = footprint(node, read)
            region = masks.computed[node.name] = region if anyhow is None else region | anyhow
        else:
            # A given or dense value is compared, or computed, everywhere; its readers still see only what differs.
            region = difference(new, old, node)
            masks.computed[node.name] = torch.ones_like(region)
    opened = region
    if gate is not None:
        # A block opens as a whole: its readers compute all of it, though only what was computed here has a new value.
        opened = round_up_to_blocks(gate.opened(new, old, state.scales[node.name]) & region, gate.block)
    state.values[node.name] = _replace(old, new, opened & region)
    masks.changed[node.name] = opened


def _choose(node: Node, state: ReferenceState, masks: Masks) -> None:
    """Decide about this frame, where anything has changed since the layer was computed."""
    choice, before = state.choices[node.name], state.choices[node.name].number
    ran = choice.decide(node, state.values[node.inputs[0]], masks.changed[node.inputs[1]])
    masks.computed[node.name] = torch.full((1, 1, 1, 1), ran)
    masks.changed[node.name] = torch.full((1, 1, 1, 1), choice.number != before)
    state.values[node.name] = torch.full((1, 1, 1, 1), float(choice.number))


def _decide(gate: OutputGate, state: ReferenceState) -> tuple[Tensor, Tensor]:
    """The outputs that a gate opens, (1, 1, h, w) bool, and the layer's new result."""
    name, memory = gate.layer.inputs[0], state.output_gates[gate.layer.name]
    source = state.values[name]
    change = source - state.before[name]
    opened = gate.opened(memory, change)
    return opened, gate.outputs(memory, opened, source, change)


def _forget_beside(published: Tensor, picture: Picture, shift: Shift) -> None:
    """Where a picture's border lies now between a pixel and what it has moved from, nothing is known of the pixel."""
    covered = torch.zeros(1, 1, *published.shape[2:])
    covered[:, :, : picture.pixels.shape[0], : picture.pixels.shape[1]] = 1
    published[:, :, (moved(covered, shift) != covered)[0, 0]] = float("nan")


def _copied(value: Tensor) -> Tensor:
    """A copy of a network input, which its owner may write the next frame into."""
    return value.clone(memory_format=torch.contiguous_format)


def _replace(old: Tensor, new: Tensor, mask: Tensor) -> Tensor:
    """`new` where mask is True. A value that is no map is replaced as a whole."""
    return torch.where(mask, new, old) if old.dim() == 4 else (new if bool(mask) else old)


def difference(new: Tensor, old: Tensor, node: Node) -> Tensor:
    """Changed pixels by exact comparison, (1, 1, H, W) bool; (1, 1, 1, 1) for a value that is no map. NaN counts as changed."""
    unequal = new != old
    return unequal.any(1, keepdim=True) if node.is_map else unequal.any().view(1, 1, 1, 1)


def _as_array(mask: Tensor) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = mask[0, 0].numpy()
    return array


def _count(mask: Tensor) -> int:
    return int(mask.count_nonzero())
