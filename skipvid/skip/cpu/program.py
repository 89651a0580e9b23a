"""The program of one plan on the native executor: runs frames, between them the nodes that only PyTorch can compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import treespec_dumps

from skipvid.core.errors import BackendError
from skipvid.skip.backend import FrameRun, LayerMasks, Output
from skipvid.skip.cpu import file
from skipvid.skip.cpu._native import State, StepKind, ThreadPool
from skipvid.skip.cpu.compiled import CompiledMasks, CompiledProgram, CompiledState
from skipvid.skip.cpu.content import content_of, unit_of
from skipvid.skip.cpu.fallback import FallbackNodes, FallbackState
from skipvid.skip.cpu.lowering import lower
from skipvid.skip.cpu.native_maps import NativeMaps
from skipvid.skip.gates.units import is_stale, to_check
from skipvid.skip.ir.graph import Node
from skipvid.skip.picture import Input, Picture, as_tensors
from skipvid.skip.plan import Plan
from skipvid.skip.reference.choices import is_reused
from skipvid.skip.reference.executor import Masks


class NativeState(CompiledState):
    """fallback: what is remembered of the values that PyTorch computes. still: whether no input changed in the last frame."""

    def __init__(self, core: State, views: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(core, views)
        self.fallback = FallbackState()
        self.still = False

    def memory_bytes(self) -> int:
        return super().memory_bytes() + self.fallback.memory_bytes()


class NativeMasks(CompiledMasks):
    """As CompiledMasks, some of them PyTorch's. nodes: of the layers. fallback: masks that PyTorch has made, by node."""

    def __init__(self, state: NativeState, maps: NDArray[np.int32], nodes: Sequence[str], fallback: Mapping[str, Tensor]) -> None:
        super().__init__(state, maps)
        self._nodes, self._fallback = nodes, fallback

    def mask(self, layer: int) -> NDArray[np.bool_]:
        own = self._fallback.get(self._nodes[layer])
        self._core()
        return super().mask(layer) if own is None else np.asarray(own[0, 0].numpy())

    def weighted(self, layers: NDArray[np.int32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._fallback:
            return LayerMasks.weighted(self, layers, weights)  # one by one
        return super().weighted(layers, weights)


class NativeProgram(CompiledProgram):
    """See skipvid.skip.backend.PlannedProgram. Outputs are tensors. fallbacks: (node, reason) of what PyTorch computes between steps."""

    def __init__(self, plan: Plan, pool: ThreadPool, instruction_set: str = "") -> None:
        self.plan = plan
        self._lowered = lower(plan)
        super().__init__(content_of(plan, self._lowered), pool, instruction_set)
        self.fallbacks = tuple(self._lowered.layout.fallback.items())
        self.interrupted = bool(self._lowered.maps.keys() & self._lowered.layout.fallback.keys())
        self.in_torch = bool(self.fallbacks)
        self._names = tuple(leaf for leaf in plan.graph.outputs if isinstance(leaf, str))
        self._by_name = plan.graph.by_name
        # Where PyTorch reads the input, a picture is converted.
        self._takes_pictures = all(node.is_map and node.channels == 3 and self._is_native(node.name) for node in plan.graph.inputs)
        self._fallback = FallbackNodes(
            plan, self._lowered.layout.fallback.keys(), self._lowered.maps.keys() & self._lowered.layout.fallback.keys()
        )
        self._choices = plan.choices
        self._last_input = self._segment_of_last_input()
        self._last_segment = max((segment for segment in self._lowered.segments if isinstance(segment, int)), default=-1)

    def as_file(self, about: Mapping[str, str] | None = None) -> file.ProgramFile:
        """What is written to disk. about: tells files apart. Raises BackendError where PyTorch computes a part of the network."""
        if self.fallbacks:
            name, reason = self.fallbacks[0]
            raise BackendError(f"PyTorch computes {name}: {reason}", "such a network is converted at each start")
        if len(self._names) != len(self.plan.graph.outputs):
            raise BackendError("the network returns constants", "such a network is converted at each start")
        if self._choices:
            raise BackendError("the network has adaptive layers", "such a network is converted at each start")
        try:
            structure = treespec_dumps(self.plan.graph.out_spec)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise BackendError(f"what the network returns cannot be written down: {error}", "it is converted at each start") from error
        return replace(content_of(self.plan, self._lowered), structure=structure, about=about or {})

    def restore(self, outputs: Sequence[Output]) -> Any:
        return self.plan.restore(outputs)

    def new_state(self, dense: bool = False) -> NativeState:
        core = State(self._program, dense)
        return NativeState(core, self._views(core))

    def state_bytes(self) -> int:
        return super().state_bytes() + self._fallback.remembered_bytes

    def run(self, state: NativeState, inputs: Sequence[Input], keyframe: bool, gated_next: bool = True) -> FrameRun:
        if not self.fallbacks:
            return super().run(state, inputs, keyframe, gated_next)
        if keyframe and not gated_next:
            return self._run_alone(state, inputs)
        run_segment, given = self._bind(self._native_inputs(inputs)), self._given(inputs)
        masks = Masks()
        state.frame += 1
        native = NativeMaps(state.core, self._lowered.maps, self._by_name)
        self._fallback.forget_passing(state.fallback)
        for number, segment in enumerate(self._lowered.segments):
            if isinstance(segment, Node):
                self._fallback.run(segment, given.get(segment.name), state.fallback, native, keyframe, masks)
            else:
                run_segment(state.core, segment, keyframe, gated_next or not keyframe)
            if number == self._last_input and self._rests(state, native, keyframe, masks):
                last = self._last_segment
                if last != segment and last > 0:
                    run_segment(state.core, last, keyframe, True)  # it is what completes a frame
                break
        return self._with_fallbacks(self._account(state, keyframe), state, state.fallback.values, masks)

    def _account(self, state: NativeState, keyframe: bool) -> FrameRun:
        run = super()._account(state, keyframe)
        if not self._choices:
            return run
        counts, maps = state.core.counts(), self._lowered.maps
        numbers = {layer: state.core.choice(self._lowered.choices[choice]) for layer, choice in self._choices.items()}
        decided = {choice: int(counts[maps[choice]]) for choice in self._choices.values()}
        reused = {
            name: int(counts[maps[node.name]])
            if is_reused(self._by_name[node.inputs[0]], state.core.choice(self._lowered.choices[node.inputs[0]]))
            else 0
            for name, node in self.plan.reusing.items()
        }
        return replace(run, gate_pixels={**run.gate_pixels, **decided, **reused}, choices=numbers)

    @torch.no_grad()
    def _run_alone(self, state: NativeState, inputs: Sequence[Input]) -> FrameRun:
        """A dense frame that leaves nothing to the next one, so that nothing is remembered, or compared."""
        state.frame += 1
        values = self._run_segments(state.core, inputs)
        everything = self._fallback.everything
        return self._with_fallbacks(self._account(state, True), state, values, Masks(dict(everything), dict(everything)))

    def _run_segments(self, core: State, inputs: Sequence[Input]) -> dict[str, Tensor]:
        """Compute everything. Returns what PyTorch has computed that is wanted outside."""
        run_segment, values = self._bind(self._native_inputs(inputs)), self._given(inputs)
        native = NativeMaps(core, self._lowered.maps, self._by_name)
        for segment in self._lowered.segments:
            if isinstance(segment, Node):
                self._fallback.run_dense(segment, values, native)
            else:
                run_segment(core, segment, True, False)
        return values

    def _with_fallbacks(self, run: FrameRun, state: NativeState, values: Mapping[str, Tensor], masks: Masks) -> FrameRun:
        """The account of a frame with PyTorch's share of it. values: what that returns."""
        computed, changed = masks.computed, masks.changed
        nodes = [layer.node for layer in self.costs.layers]
        own = dict(zip((item.name for item in self._outputs), zip(run.outputs, run.changed, strict=True), strict=True))
        results = [own[name] if name in own else (values[name], bool(changed[name].any())) for name in self._names]
        return replace(
            run,
            outputs=tuple(value for value, _ in results),
            active=[_count(computed, node, count) for node, count in zip(nodes, run.active, strict=True)],
            computed=NativeMasks(state, self._layer_maps, nodes, computed),
            gate_pixels={name: _count(computed, name, count) for name, count in run.gate_pixels.items()},
            changed=[news for _, news in results],
        )

    @torch.no_grad()
    def run_dense(self, inputs: Sequence[Input], alone: bool = False) -> tuple[Output, ...]:
        if not self.fallbacks:
            return super().run_dense(inputs, alone)
        core = self._borrow()
        core.alone = alone
        values = self._run_segments(core, inputs)
        own = self._lent(core)
        return tuple(own[name] if name in own else values[name] for name in self._names)

    def unit_is_stale(self, state: NativeState, number: int) -> bool:
        if not self.plan.measured_units:
            return False
        name, gate = to_check(self.plan.measured_units, number)
        if not self._is_native(name):
            value = state.fallback.values.get(name)
            if value is None:
                value = NativeMaps(state.core, self._lowered.maps, self._by_name).values(name)
            return is_stale(gate.measured, value, state.fallback.scales[name])
        return self._left_behind(state.core, unit_of(self._lowered, name, gate, self._by_name[name]))

    def _segment_of_last_input(self) -> int:
        """Behind which all inputs are read."""
        description, found = self._lowered.description, 0
        for number, segment in enumerate(self._lowered.segments):
            if isinstance(segment, Node):
                reads = segment.op == "input"
            else:
                rows = description.segments[segment]
                reads = any(description.steps[step].kind == StepKind.INPUT for step in range(rows.first, rows.last))
            found = number if reads else found
        return found

    def _rests(self, state: NativeState, native: NativeMaps, keyframe: bool, masks: Masks) -> bool:
        """Whether no input changed in this frame nor in the last one, so that everything is as that has left it."""
        rested, state.still = (
            state.still,
            not keyframe
            and not any(
                native.any_changed(node.name) if self._is_native(node.name) else bool(masks.changed[node.name].any())
                for node in self.plan.graph.inputs
            ),
        )
        if not (rested and state.still) or self._choices:  # a layer that reuses its map has still to compute
            return False
        masks.computed.update(self._fallback.unchanged.computed)
        masks.changed.update(self._fallback.unchanged.changed)
        return True

    def _native_inputs(self, inputs: Sequence[Input]) -> Sequence[Input]:
        """Those that native steps read."""
        if len(inputs) == 1 and isinstance(inputs[0], Picture) and self._takes_pictures:
            return inputs
        return [item for node, item in zip(self.plan.graph.inputs, self._as_tensors(inputs), strict=False) if self._is_native(node.name)]

    def _given(self, inputs: Sequence[Input]) -> dict[str, Tensor]:
        """Those that PyTorch reads, by name."""
        if all(self._is_native(node.name) for node in self.plan.graph.inputs):
            return {}
        tensors = zip(self.plan.graph.inputs, self._as_tensors(inputs), strict=False)
        return {node.name: item.cpu() for node, item in tensors if not self._is_native(node.name)}

    def _as_tensors(self, inputs: Sequence[Input]) -> list[Tensor]:
        return as_tensors(inputs, [node.dtype for node in self.plan.graph.inputs])

    def _is_native(self, name: str) -> bool:
        return name not in self._lowered.layout.fallback

    def _value(self, array: NDArray[np.float32]) -> Output:
        return torch.from_numpy(array)


def _count(computed: Mapping[str, Tensor], name: str, otherwise: int) -> int:
    return int(computed[name].count_nonzero()) if name in computed else otherwise
