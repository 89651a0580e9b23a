"""A compiled network that runs natively as a whole. It needs neither torch nor the plan: what is kept on disk is enough."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skipvid.core.errors import BackendError
from skipvid.skip.backend import FrameRun, LayerMasks, Numbered
from skipvid.skip.cpu._native import State, ThreadPool
from skipvid.skip.cpu.file import MeasuredUnit, ProgramFile
from skipvid.skip.gates.norm import finite
from skipvid.skip.gates.units import is_stale, to_check
from skipvid.skip.picture import Input, Picture

if TYPE_CHECKING:
    from skipvid.skip.backend import Output


class CompiledState:
    """core: the rows of all native maps. views: those of the outputs, in their shapes in the network. frame: frames run so far.

    lasting: the outputs, where the memory of all of them is what a caller gets: the same objects in all frames.
    """

    def __init__(self, core: State, views: Mapping[str, NDArray[Any]]) -> None:
        self.core = core
        self.views = views
        self.frame = 0
        self.lasting: tuple[Output, ...] | None = None

    @property
    def alone(self) -> bool:
        """Whether one thread computes the next frame."""
        return self.core.alone

    @alone.setter
    def alone(self, value: bool) -> None:
        self.core.alone = value

    def memory_bytes(self) -> int:
        return self.core.memory_bytes


class CompiledMasks(LayerMasks):
    """The masks of a frame, each made when it is read. maps: of the layers' results."""

    def __init__(self, state: CompiledState, maps: NDArray[np.int32]) -> None:
        self._state, self._maps, self._frame = state, maps, state.frame

    def __len__(self) -> int:
        return len(self._maps)

    def mask(self, layer: int) -> NDArray[np.bool_]:
        return self._core().computed(int(self._maps[layer]))

    def weighted(self, layers: NDArray[np.int32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._core().weighted(self._maps[layers], weights)

    def _core(self) -> State:
        if self._state.frame != self._frame:
            raise BackendError("these masks belong to a frame before the last one", "read them before the next frame is run")
        return self._state.core


class CompiledProgram:
    """See skipvid.skip.backend.Program. Outputs are arrays. Raises BackendError for a description that C++ refuses."""

    fallbacks: tuple[tuple[str, str], ...] = ()
    interrupted = False
    in_torch = False

    def __init__(self, content: ProgramFile, pool: ThreadPool, instruction_set: str = "") -> None:
        self._program = content.build(pool, instruction_set)
        self.instruction_set = self._program.instruction_set
        self.costs = content.costs
        self._structure = content.structure
        self._inputs, self._outputs = content.inputs, content.outputs
        self._output_maps = tuple(item.map for item in content.outputs)
        self._segments = content.segments
        self._layer_maps = np.array(content.layer_maps, np.int32)
        self._gates, self._gate_maps = tuple(content.gates), np.array([*content.gates.values()], np.intp)
        self._changes, self._output_gates = content.changes, content.output_gates
        self._units = content.units
        # A picture is known to native steps only.
        self._takes_pictures = all(len(item.shape) == 4 and item.shape[:2] == (1, 3) for item in self._inputs)
        self._idle: list[State] = []
        self._lock = threading.RLock()  # re-entrant: releasing may happen in a garbage collection at any point

    def new_state(self, dense: bool = False) -> CompiledState:
        core = State(self._program, dense)
        return CompiledState(core, self._views(core))

    def state_bytes(self) -> int:
        return int(State(self._program, False).memory_bytes)

    def run(self, state: Any, inputs: Sequence[Input], keyframe: bool, gated_next: bool = True) -> FrameRun:
        run_segment = self._bind(inputs)
        state.frame += 1
        for segment in self._segments:
            run_segment(state.core, segment, keyframe, gated_next or not keyframe)
        return self._account(state, keyframe)

    @property
    def shifts(self) -> bool:
        return not self.fallbacks and self._program.moves

    def run_shifted(self, state: Any, inputs: Sequence[Input], shift: tuple[int, int]) -> FrameRun:
        run_segment = self._bind(inputs, shift)
        state.frame += 1
        run_segment(state.core, self._segments[0], False, True)
        return self._account(state, False)

    def run_dense(self, inputs: Sequence[Input], alone: bool = False) -> tuple[Output, ...]:
        core = self._borrow()
        core.alone = alone
        run_segment = self._bind(inputs)
        for segment in self._segments:
            run_segment(core, segment, True, False)
        outputs = self._lent(core)
        return tuple(outputs[item.name] for item in self._outputs)

    def restore(self, outputs: Sequence[Output]) -> Any:
        """Outputs as tensors in the structure that the network returns."""
        import torch
        from torch.utils._pytree import tree_unflatten, treespec_loads

        leaves = [torch.from_numpy(item) if isinstance(item, np.ndarray) else item for item in outputs]
        return tree_unflatten(leaves, treespec_loads(self._structure))

    def unit_is_stale(self, state: Any, number: int) -> bool:
        return bool(self._units) and self._left_behind(state.core, to_check(self._units, number))

    def _left_behind(self, core: State, unit: MeasuredUnit) -> bool:
        """Whether a gate's unit no longer fits: what the native side keeps of it is the limit that it gives."""
        limit = core.limit(unit.map) if unit.step < 0 else core.output_limit(unit.step)
        offsets = np.array(unit.offsets, np.float32).reshape(-1, 1, 1) if unit.offsets else np.float32(0)

        def magnitude(value: NDArray[Any]) -> float:
            # Floats of these rows alone: as a rule they are a sample of the map.
            return finite(float(np.abs(as_floats(value) - offsets).mean(dtype=np.float64)))

        value = core.rows(unit.map).transpose(2, 0, 1)[None]
        return math.isfinite(unit.limit) and is_stale(magnitude, value, limit / unit.limit)

    def _account(self, state: Any, keyframe: bool) -> FrameRun:
        """What was done in the frame just run."""
        core = state.core
        counts = core.counts()
        measured, candidates = {}, {}
        if not keyframe and (self._changes or self._output_gates):
            reached = core.candidates()
            measured = {name: int(reached[step]) for name, step in self._changes.items()}
            candidates = {name: int(reached[step]) for name, step in self._output_gates.items()}
        changed = core.any_changed
        return FrameRun(
            state.lasting or self._results(state),
            counts[self._layer_maps],
            CompiledMasks(state, self._layer_maps),
            {} if keyframe else Numbered(self._gates, counts, self._gate_maps),
            [changed(number) for number in self._output_maps],
            measured,
            candidates,
        )

    def _results(self, state: Any) -> tuple[Output, ...]:
        """The outputs of the frame just run, as a caller gets them."""
        views = [state.views[item.name] for item in self._outputs]
        results = tuple([self._value(as_floats(view)) for view in views])
        if all(view.dtype == np.float32 for view in views):
            state.lasting = results
        return results

    def _value(self, array: NDArray[np.float32]) -> Output:
        """An output as a caller gets it."""
        return array

    def _views(self, core: State) -> dict[str, NDArray[Any]]:
        return {item.name: shaped(core.rows(item.map), item.shape) for item in self._outputs}

    def _bind(self, inputs: Sequence[Input], shift: tuple[int, int] = (0, 0)) -> Callable[[State, int, bool, bool], None]:
        """What runs a segment of the program on these inputs. shift: as in `run_shifted`."""
        program, only = self._program, inputs[0] if inputs else None  # none of the network's may be native
        if len(inputs) == 1 and isinstance(only, Picture) and self._takes_pictures:

            def run_picture(core: State, segment: int, keyframe: bool, gates: bool) -> None:
                program.run_picture(core, only.pixels, only.tables, only.order, segment, keyframe, gates, *shift)

            return run_picture
        arrays = [_as_array(item) for item in inputs]

        def run(core: State, segment: int, keyframe: bool, gates: bool) -> None:
            program.run(core, arrays, segment, keyframe, gates, *shift)

        return run

    def _borrow(self) -> State:
        with self._lock:
            return self._idle.pop() if self._idle else State(self._program, True)

    def _lent(self, core: State) -> dict[str, Output]:
        """The outputs of a dense run, on the state's own memory; the state is used again when the last of them is gone."""
        rows = {item.name: core.rows(item.map) for item in self._outputs}
        left = len(rows)

        def release() -> None:
            nonlocal left
            with self._lock:
                left -= 1
                if left == 0:
                    self._idle.append(core)

        for array in rows.values():
            weakref.finalize(array, release).atexit = False
        return {item.name: self._value(shaped(as_floats(rows[item.name]), item.shape)) for item in self._outputs}


def shaped(rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A native map of rows (h, w, C) in its shape in the network, on the same memory."""
    return rows.transpose(2, 0, 1)[None] if len(shape) == 4 and shape[0] == 1 else rows.reshape(shape)


def as_floats(values: NDArray[Any]) -> NDArray[np.float32]:
    """A map's own memory, or a copy where that is half precision: bfloat16 is the upper half of a float."""
    return values if values.dtype == np.float32 else (values.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _as_array(value: Any) -> NDArray[np.float32]:
    """A network input as (C, H, W); what is no map as a single pixel."""
    tensor = value.tensor() if isinstance(value, Picture) else value
    tensor = tensor.detach().cpu().resolve_neg()
    tensor = tensor[0] if tensor.dim() == 4 and tensor.shape[0] == 1 else tensor.reshape(-1, 1, 1)
    array: NDArray[np.float32] = tensor.numpy()
    return array
