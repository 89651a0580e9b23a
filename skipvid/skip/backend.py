"""What a back end is: it compiles a plan into a program; a program runs frames for any number of sessions, each with its own state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.cost_model import CostModel
from skipvid.skip.picture import Input

if TYPE_CHECKING:
    from torch import Tensor

    from skipvid.skip.plan import Plan


class LayerMasks(Sequence[NDArray[np.bool_]]):
    """The computed outputs of each layer of a plan, in order, as (h, w) masks."""

    @abstractmethod
    def mask(self, layer: int) -> NDArray[np.bool_]:
        """That of one layer. Raises IndexError where there is none of that number."""

    @overload
    def __getitem__(self, index: int) -> NDArray[np.bool_]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.bool_]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.bool_] | Sequence[NDArray[np.bool_]]:
        return [self.mask(layer) for layer in range(*index.indices(len(self)))] if isinstance(index, slice) else self.mask(index)

    def weighted(self, layers: NDArray[np.int32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Σ weights[i] · the mask of layers[i], (h, w). layers: one or more whose masks are of one size."""
        total = np.zeros(self.mask(int(layers[0])).shape, np.float32)
        for layer, weight in zip(layers, weights, strict=True):
            total += weight * self.mask(int(layer))
        return total


class NoMasks(LayerMasks):
    """Of a frame in which nothing was computed."""

    def __init__(self, costs: CostModel) -> None:
        self._sizes = [layer.size for layer in costs.layers]

    def __len__(self) -> int:
        return len(self._sizes)

    def mask(self, layer: int) -> NDArray[np.bool_]:
        return np.zeros(self._sizes[layer], np.bool_)


class Numbered(Mapping[str, int]):
    """numbers[places[i]] by names[i]. A frame has hundreds, which are seldom asked for: put together only then."""

    def __init__(self, names: tuple[str, ...], numbers: NDArray[np.int64], places: NDArray[np.intp]) -> None:
        self._names, self._numbers, self._places = names, numbers, places

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return dict(zip(self._names, self._numbers[self._places].tolist(), strict=True))

    def __getitem__(self, name: str) -> int:
        return self._by_name[name]

    def get(self, name: str, default: Any = None, /) -> Any:  # Mapping's own takes three times as long
        return self._by_name.get(name, default)

    def of(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        """Those of some names in their order, (names,), 0 where there is none."""
        own, known = _positions(self._names, names)
        found = np.zeros(len(names), np.int64)
        found[known] = self._numbers[self._places[own]]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@lru_cache(maxsize=64)
def _positions(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of those that are in both, where in `names`, and where in `wanted`."""
    place = {name: number for number, name in enumerate(names)}
    known = [number for number, name in enumerate(wanted) if name in place]
    return np.array([place[wanted[number]] for number in known], np.intp), np.array(known, np.intp)


if TYPE_CHECKING:
    Output = Tensor | NDArray[np.float32]
    """An output map: an array where a program runs without PyTorch."""
else:
    Output = object  # so that it can be imported without PyTorch


@dataclass(frozen=True, slots=True, eq=False)
class FrameRun:
    """What a program did in one frame.

    outputs: the network's output maps, in the order of the graph's leaves. active: for each layer of the plan, in order, the number of its
    computed output pixels. computed: the same as masks, which may be made only when asked for: read them before the state's next frame.
    gate_pixels: for each gate the number of pixels that were compared. changed: for each output whether any of it may differ from the
    frame before. measured_pixels: for each map that output gates read the number of pixels whose change was measured. candidates:
    for each layer with an output gate the number of outputs that it decided about. costs: of the network that ran, where that is not always
    the same; None: the program's. choices: by adaptive layer the number of its choice: of a ratio, or the one behind them, reuse.
    """

    outputs: tuple[Output, ...]
    active: Sequence[int] | NDArray[np.int64]
    computed: LayerMasks
    gate_pixels: Mapping[str, int]
    changed: Sequence[bool]
    measured_pixels: Mapping[str, int] = field(default_factory=dict)
    candidates: Mapping[str, int] = field(default_factory=dict)
    costs: CostModel | None = None
    choices: Mapping[str, int] = field(default_factory=dict)


def unchanged(costs: CostModel, last: FrameRun) -> FrameRun:
    """The account of a frame that is equal to the last one."""
    still = [False] * len(last.outputs)
    return FrameRun(last.outputs, [0] * len(costs.layers), NoMasks(costs), {}, still, costs=costs, choices=last.choices)


def as_arrays(outputs: Sequence[Output]) -> tuple[NDArray[np.float32], ...]:
    """Output maps for those who read them without PyTorch, in memory that may be the program's own."""
    return tuple(output if isinstance(output, np.ndarray) else output.float().numpy(force=True) for output in outputs)


class State(Protocol):
    """Everything remembered of one stream. Opaque: only the program that made it knows what is inside.

    alone: whether one thread shall compute the next frame, in place of all of the back end's; the result has the same bits.
    """

    alone: bool

    def memory_bytes(self) -> int:
        """Bytes held for this stream."""


class Program(Protocol):
    """A compiled network. Holds no state of any stream, so that sessions in several threads may share it. costs: what is counted of it."""

    costs: CostModel
    fallbacks: tuple[tuple[str, str], ...]
    """(node, reason) of what PyTorch computes because this back end has no kernel for it."""
    interrupted: bool
    """Whether native steps read what PyTorch computes."""
    in_torch: bool
    """Whether PyTorch computes any of it: then a frame is run where tensors are made in main memory."""

    def new_state(self, dense: bool = False) -> State:
        """An empty state; the first frame run on it must be a keyframe. dense: promises that all will be, so that little is remembered."""

    def run(self, state: Any, inputs: Sequence[Input], keyframe: bool, gated_next: bool = True) -> FrameRun:
        """Advance the stream by one frame, updating `state`, which this program made.

        inputs: (1, C, H, W) float32, as at export, or a picture; from one to the other a stream changes at keyframes only.
        gated_next: False promises that the next frame will be a keyframe, too: what gates need of this one may be left out.
        """

    @property
    def shifts(self) -> bool:
        """Whether `run_shifted` can be called."""

    def run_shifted(self, state: Any, inputs: Sequence[Input], shift: tuple[int, int]) -> FrameRun:
        """As `run`, between keyframes, before a scene that has moved by whole pixels: maps move with it (skipvid.skip.reference.shifting).

        shift: (dy, dx), less than the input's height and width: (y, x) of the input shows what (y + dy, x + dx) of the last one showed.
        """

    def state_bytes(self) -> int:
        """Bytes that a stream will hold, but for what torch's own allocator adds."""

    def unit_is_stale(self, state: Any, number: int) -> bool:
        """Whether the unit of a gate no longer fits (skipvid.skip.gates.units). number: of the check, which decides about the gate."""

    def run_dense(self, inputs: Sequence[Input], alone: bool = False) -> tuple[Output, ...]:
        """The same network without gates or memory, on the same kernels. alone: as in State. Returns the outputs as in FrameRun."""

    def restore(self, outputs: Sequence[Output]) -> Any:
        """Outputs as tensors in the structure that the network returns."""


class PlannedProgram(Program, Protocol):
    """A program that was compiled here, and still knows its plan."""

    plan: Plan


class Backend(Protocol):
    """A way to execute plans."""

    name: str

    def compile(self, plan: Plan) -> PlannedProgram:
        """Prepare `plan` for execution. Raises BackendError where this back end cannot run it."""
