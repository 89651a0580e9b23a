"""The program of one plan on the native executor: runs frames, between them the nodes that only PyTorch can compute."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import treespec_dumps

from skipvid.core.errors import BackendError
from skipvid.skip.backend import FrameRun, LayerMasks
from skipvid.skip.cpu import file
from skipvid.skip.cpu._native import State, StepKind, ThreadPool
from skipvid.skip.cpu.fallback import FallbackNodes, FallbackState
from skipvid.skip.cpu.lowering import lower
from skipvid.skip.gates.base import OutputGate
from skipvid.skip.gates.units import is_stale, to_check
from skipvid.skip.ir.graph import Node
from skipvid.skip.picture import Input, Picture, as_tensors
from skipvid.skip.plan import Plan
from skipvid.skip.reference.executor import Masks


class NativeState:
    """core: the rows of all native maps. fallback: what is remembered of the values that PyTorch computes. frame: frames run so far.

    still: whether no input changed in the last frame, so that all masks are empty.
    """

    def __init__(self, core: State, views: Mapping[str, Tensor]) -> None:
        self.core = core
        self.views = views
        self.fallback = FallbackState()
        self.frame = 0
        self.still = False

    @property
    def alone(self) -> bool:
        """Whether one thread computes the next frame."""
        return self.core.alone

    @alone.setter
    def alone(self, value: bool) -> None:
        self.core.alone = value

    def memory_bytes(self) -> int:
        return self.core.memory_bytes + self.fallback.memory_bytes()


class _Maps:
    """The native maps of one stream for the nodes that PyTorch computes."""

    def __init__(self, core: State, maps: Mapping[str, int], by_name: Mapping[str, Node]) -> None:
        self._core, self._maps, self._by_name = core, maps, by_name

    def values(self, name: str) -> Tensor:
        return _copy(_as_tensor(self._core.rows(self._maps[name]), self._by_name[name]))

    def any_changed(self, name: str) -> bool:
        return bool(self._core.any_changed(self._maps[name]))

    def changed(self, name: str) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self._core.changed(self._maps[name])
        return mask

    def write(self, name: str, value: Tensor, changed: NDArray[np.bool_]) -> None:
        self._core.set_changed(self._maps[name], changed)
        _as_tensor(self._core.rows(self._maps[name]), self._by_name[name]).copy_(value)

    def write_unchanged(self, name: str) -> None:
        self._core.set_changed(self._maps[name], np.zeros(self._by_name[name].size, np.bool_))


class NativeMasks(LayerMasks):
    """The masks of a frame, each made when it is read."""

    def __init__(self, state: NativeState, nodes: Sequence[str], maps: NDArray[np.int32], fallback: Mapping[str, Tensor]) -> None:
        self._state, self._nodes, self._maps, self._fallback, self._frame = state, nodes, maps, fallback, state.frame

    def __len__(self) -> int:
        return len(self._nodes)

    def mask(self, layer: int) -> NDArray[np.bool_]:
        core, name = self._core(), self._nodes[layer]
        return np.asarray(self._fallback[name][0, 0].numpy()) if name in self._fallback else core.computed(int(self._maps[layer]))

    def weighted(self, layers: NDArray[np.int32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._fallback:
            return super().weighted(layers, weights)
        return self._core().weighted(self._maps[layers], weights)

    def _core(self) -> State:
        if self._state.frame != self._frame:
            raise BackendError("these masks belong to a frame before the last one", "read them before the next frame is run")
        return self._state.core


class NativeProgram:
    """See skipvid.skip.backend.Program. fallbacks: (node, reason) of what PyTorch computes between native steps."""

    def __init__(self, plan: Plan, pool: ThreadPool, instruction_set: str = "") -> None:
        self.plan = plan
        self._lowered = lower(plan)
        self._program = file.build(self._lowered.description.to_bytes(), pool, instruction_set)
        self.instruction_set = self._program.instruction_set
        self.fallbacks = tuple(self._lowered.layout.fallback.items())
        self._outputs = tuple(leaf for leaf in plan.graph.outputs if isinstance(leaf, str))
        self._by_name = plan.graph.by_name
        # A picture is known to native steps only; where PyTorch reads the input, it is converted.
        self._takes_pictures = all(node.is_map and node.channels == 3 and self._is_native(node.name) for node in plan.graph.inputs)
        self._fallback = FallbackNodes(
            plan, self._lowered.layout.fallback.keys(), self._lowered.maps.keys() & self._lowered.layout.fallback.keys()
        )
        self._inputs = plan.graph.inputs
        self._last_input = self._segment_of_last_input()
        self._last_segment = max((segment for segment in self._lowered.segments if isinstance(segment, int)), default=-1)
        self._layer_nodes = [layer.node for layer in plan.layers]
        # What has no native map is counted by PyTorch; map 0 stands in for it.
        self._layer_maps = np.array([self._lowered.maps.get(name, 0) for name in self._layer_nodes], np.int32)
        self._gate_maps = np.array([self._lowered.maps.get(name, 0) for name in plan.gates], np.intp)
        self._idle: list[State] = []
        self._lock = threading.RLock()  # re-entrant: releasing may happen in a garbage collection at any point

    def as_file(self, about: Mapping[str, str] | None = None) -> file.ProgramFile:
        """What is written to disk. about: tells files apart. Raises BackendError where PyTorch computes a part of the network."""
        if self.fallbacks:
            name, reason = self.fallbacks[0]
            raise BackendError(f"PyTorch computes {name}: {reason}", "such a network is converted at each start")
        plan, lowered, graph = self.plan, self._lowered, self.plan.graph
        if len(self._outputs) != len(graph.outputs):
            raise BackendError("the network returns constants", "such a network is converted at each start")

        def tensor(name: str) -> file.Tensor:
            return file.Tensor(name, lowered.maps[name], self._by_name[name].shape)

        return file.ProgramFile(
            lowered.description.to_bytes(),
            tuple(tensor(node.name) for node in graph.inputs),
            tuple(tensor(name) for name in self._outputs),
            treespec_dumps(graph.out_spec),
            tuple(
                file.LayerInfo(row.node, row.name, row.stage, row.kind, row.dense_macs, row.outputs, row.gates, lowered.maps[row.node])
                for row in plan.layers
            ),
            tuple(segment for segment in lowered.segments if isinstance(segment, int)),
            {name: lowered.maps[name] for name in plan.gates},
            lowered.changes,
            lowered.output_gates,
            about or {},
        )

    def new_state(self, dense: bool = False) -> NativeState:
        core = State(self._program, dense)
        return NativeState(core, {name: self._view(core, name) for name in self._outputs if self._is_native(name)})

    def state_bytes(self) -> int:
        return int(State(self._program, False).memory_bytes) + self._fallback.remembered_bytes

    def run(self, state: NativeState, inputs: Sequence[Input], keyframe: bool, gated_next: bool = True) -> FrameRun:
        run_segment, given = self._bind(inputs)
        masks = Masks()
        computed, changed = masks.computed, masks.changed
        state.frame += 1
        native = _Maps(state.core, self._lowered.maps, self._by_name)
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
        counts = state.core.counts()
        active = counts[self._layer_maps].tolist()
        pixels = {} if keyframe else dict(zip(self.plan.gates, counts[self._gate_maps].tolist(), strict=True))
        if computed:  # PyTorch's share
            active = [_count(computed, layer.node, own) for layer, own in zip(self.plan.layers, active, strict=True)]
            pixels = {name: _count(computed, name, own) for name, own in pixels.items()}
        reached = state.core.candidates()
        measured = {} if keyframe else {name: int(reached[step]) for name, step in self._lowered.changes.items()}
        candidates = {} if keyframe else {name: int(reached[step]) for name, step in self._lowered.output_gates.items()}
        outputs = tuple(state.fallback.values[name] if name not in state.views else _as_floats(state.views[name]) for name in self._outputs)
        maps = self._lowered.maps
        news = [bool(changed[name].any()) if name in changed else state.core.any_changed(maps[name]) for name in self._outputs]
        return FrameRun(
            outputs, active, NativeMasks(state, self._layer_nodes, self._layer_maps, computed), pixels, news, measured, candidates
        )

    @torch.no_grad()
    def run_dense(self, inputs: Sequence[Input], alone: bool = False) -> tuple[Tensor, ...]:
        core = self._borrow()
        core.alone = alone
        run_segment, values = self._bind(inputs)
        native = _Maps(core, self._lowered.maps, self._by_name)
        for segment in self._lowered.segments:
            if isinstance(segment, Node):
                self._fallback.run_dense(segment, values, native)
            else:
                run_segment(core, segment, True, False)
        return self._lend(core, values)

    def unit_is_stale(self, state: NativeState, number: int) -> bool:
        if not self.plan.measured_units:
            return False
        name, gate = to_check(self.plan.measured_units, number)
        if not self._is_native(name):
            return is_stale(gate, state.fallback.values[name], state.fallback.scales[name])
        # What the native side keeps of a unit is the limit that it gives.
        core, node = state.core, self._by_name[name]
        if isinstance(gate, OutputGate):
            limit, one = core.output_limit(self._lowered.output_gates[name]), gate.limit(1.0)
        else:
            limit, one = core.limit(self._lowered.maps[name]), gate.limit(1.0) * node.channels
        return math.isfinite(one) and is_stale(gate, _as_floats(self._view(core, name)), limit / one)

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

    def _rests(self, state: NativeState, native: _Maps, keyframe: bool, masks: Masks) -> bool:
        """Whether no input changed in this frame nor in the last one, so that everything is as that has left it."""
        rested, state.still = (
            state.still,
            not keyframe
            and not any(
                native.any_changed(node.name) if self._is_native(node.name) else bool(masks.changed[node.name].any())
                for node in self._inputs
            ),
        )
        if not (rested and state.still):
            return False
        masks.computed.update(self._fallback.unchanged.computed)
        masks.changed.update(self._fallback.unchanged.changed)
        return True

    def _bind(self, inputs: Sequence[Input]) -> tuple[Callable[[State, int, bool, bool], None], dict[str, Tensor]]:
        """What runs a segment of the program on these inputs, and those inputs that PyTorch reads, by name."""
        program, only = self._program, inputs[0]
        if len(inputs) == 1 and isinstance(only, Picture) and self._takes_pictures:

            def run_picture(core: State, segment: int, keyframe: bool, gates: bool) -> None:
                program.run_picture(core, only.pixels, only.tables, only.order, segment, keyframe, gates)

            return run_picture, {}
        tensors = as_tensors(inputs, [node.dtype for node in self._inputs])
        arrays = [_as_array(item) for node, item in zip(self._inputs, tensors, strict=False) if self._is_native(node.name)]
        given = {node.name: item.cpu() for node, item in zip(self._inputs, tensors, strict=False) if not self._is_native(node.name)}

        def run(core: State, segment: int, keyframe: bool, gates: bool) -> None:
            program.run(core, arrays, segment, keyframe, gates)

        return run, given

    def _is_native(self, name: str) -> bool:
        return name not in self._lowered.layout.fallback

    def _view(self, core: State, name: str) -> Tensor:
        """A native map as a tensor of its shape in the network, on the same memory."""
        return _as_tensor(core.rows(self._lowered.maps[name]), self._by_name[name])

    def _borrow(self) -> State:
        with self._lock:
            return self._idle.pop() if self._idle else State(self._program, True)

    def _lend(self, core: State, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The outputs of a dense run, on the state's own memory; the state is used again when the last of them is gone."""
        rows = {name: core.rows(self._lowered.maps[name]) for name in dict.fromkeys(self._outputs) if self._is_native(name)}
        left = len(rows)

        def release() -> None:
            nonlocal left
            with self._lock:
                left -= 1
                if left == 0:
                    self._idle.append(core)

        for array in rows.values():
            weakref.finalize(array, release).atexit = False
        return tuple(_as_floats(_as_tensor(rows[name], self._by_name[name])) if name in rows else values[name] for name in self._outputs)


def _copy(view: Tensor) -> Tensor:
    """A native map for PyTorch. Never the view itself: what PyTorch makes of it, a reshape say, is kept while the map's memory changes."""
    return view.to(torch.float32, memory_format=torch.contiguous_format, copy=True)


def _count(computed: Mapping[str, Tensor], name: str, otherwise: int) -> int:
    return int(computed[name].count_nonzero()) if name in computed else otherwise


def _as_floats(view: Tensor) -> Tensor:
    """What a caller gets to see: a map's own memory, or a copy where that is half precision."""
    return view.float()


def _as_tensor(rows: NDArray[Any], node: Node) -> Tensor:
    tensor = torch.from_numpy(rows)
    if rows.dtype != np.float32:
        tensor = tensor.view(torch.bfloat16)
    return tensor.permute(2, 0, 1).unsqueeze(0) if node.is_map else tensor.view(node.shape)


def _as_array(value: Tensor) -> NDArray[np.float32]:
    """A network input as (C, H, W); what is no map as a single pixel."""
    tensor = value.detach().cpu().resolve_neg()
    tensor = tensor[0] if tensor.dim() == 4 and tensor.shape[0] == 1 else tensor.reshape(-1, 1, 1)
    array: NDArray[np.float32] = tensor.numpy()
    return array
