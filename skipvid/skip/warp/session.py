"""A session of activation motion compensation: the prefix runs at keyframes, the suffix in every frame, on maps moved by block motion.

As EVA² does it (Buckler et al., ISCA 2018), for comparison. What it returns between keyframes has no bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.errors import UsageError
from skipvid.skip.backend import FrameRun, LayerMasks, Output, Program
from skipvid.skip.cost_model import CostModel
from skipvid.skip.picture import Input, Picture, Shapes, layout_of, shapes_of
from skipvid.skip.session import Network, Session
from skipvid.skip.thread_choice import ThreadChoice
from skipvid.skip.warp.block_motion import BlockMotion, block_motion, small_grey
from skipvid.skip.warp.moving import moved

if TYPE_CHECKING:
    from torch import Tensor

MOST_UNMATCHED = 0.03
"""Share of the blocks that the moved key picture may not match; beyond, it is a keyframe."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitPrograms:
    """A compiled network in two parts without gates. costs: of both. behind: for each layer whether it stands in the suffix."""

    prefix: Program
    suffix: Program
    costs: CostModel
    behind: tuple[bool, ...]


class SplitNetwork(Network, Protocol):
    """What a session needs of a converted network; skipvid.skip.api.SkipModel is one."""

    def split(self, shapes: Shapes) -> SplitPrograms:
        """The network in two parts, for inputs of these shapes."""


class WarpSession(Session):
    """One stream. Gates are left out: the configuration's back end, threads, precision and `refresh` hold.

    A keyframe is the first one, one whose picture has another size or other tables, every one that `refresh` asks for, and one whose
    blocks the moved key picture does not match, in more than MOST_UNMATCHED of the picture. It takes pictures only, and finds motion by
    itself, so that `shift` says nothing to it.
    """

    def __init__(self, model: SplitNetwork) -> None:
        super().__init__(model)
        self._network = model
        self._parts: SplitPrograms | None = None
        self._key_grey: NDArray[np.uint8] | None = None
        self._key_maps: list[Tensor] = []
        self._operations = 0
        self._frames = self._keyframes = 0
        self._thread_choices = {part: ThreadChoice() for part in ("prefix", "suffix")} if model.config.threads == 0 else {}

    def _advance(self, inputs: Sequence[Input]) -> tuple[Output, ...]:
        layout, picture = layout_of(inputs), inputs[0]
        if not isinstance(picture, Picture):
            raise UsageError("activation motion compensation takes pictures, which motion can be seen in", "pass a Picture")
        if layout != self._layout:
            self._follow(shapes_of(inputs))
            self._layout = layout
        assert self._parts is not None
        refresh = self.model.config.refresh
        refreshed = refresh > 0 and self._since_keyframe >= refresh
        grey = small_grey(picture.pixels)
        motion = None
        if self._current and not refreshed and self._key_grey is not None:
            motion = block_motion(self._key_grey, grey)
        self.keyframe = motion is None or motion.unmatched > MOST_UNMATCHED
        self._operations = 0 if motion is None else motion.operations
        self._current = False  # after an error a keyframe follows
        if motion is None or self.keyframe:
            self._key_maps, self._key_grey = [_tensor(output) for output in self._run_part("prefix", inputs)], grey
            maps = self._key_maps
        else:
            maps = self._moved(motion, picture)
        outputs = self._run_part("suffix", maps)
        self._current = True
        self._since_keyframe = 1 if self.keyframe else self._since_keyframe + 1
        self._frames, self._keyframes = self._frames + 1, self._keyframes + self.keyframe
        ran = tuple(self.keyframe or behind for behind in self._parts.behind)
        costs = self._parts.costs
        active = [layer.outputs if runs else 0 for layer, runs in zip(costs.layers, ran, strict=True)]
        self._run = FrameRun(outputs, active, WholeLayers(costs, ran), {}, [True] * len(outputs), costs=costs)
        return outputs

    def _moved(self, motion: BlockMotion, picture: Picture) -> list[Tensor]:
        """The keyframe's maps for this picture."""
        size, content = picture.size, (picture.pixels.shape[0], picture.pixels.shape[1])
        results = [moved(value, motion.vectors, size, content) for value in self._key_maps]
        self._operations += sum(operations for _, operations in results)
        return [value for value, _ in results]

    def _run_part(self, name: str, inputs: Sequence[Input]) -> tuple[Output, ...]:
        """Run the "prefix" or the "suffix" on as many threads as pay."""
        program: Program = getattr(self._parts, name)
        choice = self._thread_choices.get(name)
        begin = time.perf_counter()
        outputs = program.run_dense(inputs, choice is not None and choice.alone)
        if choice is not None:
            choice.took(time.perf_counter() - begin)
        return outputs

    def _follow(self, shapes: Shapes) -> None:
        self.reset()
        self._parts = self._network.split(shapes)
        self._program, self._shapes = self._parts.suffix, shapes
        self._run = None

    def reset(self) -> None:
        """Forget the stream: the next frame is a keyframe."""
        super().reset()
        self._key_maps, self._key_grey = [], None

    def account(self) -> Callable[[], FrameCost]:
        """As of a session. What block motion and moving took, in element-wise operations, belongs to no layer."""
        own, operations = super().account(), self._operations

        def cost() -> FrameCost:
            found = own()
            return FrameCost(found.table, found.counts, operations)

        return cost

    @property
    def memory_bytes(self) -> int:
        """Bytes that are kept from the keyframe."""
        maps = sum(value.numel() * value.element_size() for value in self._key_maps)
        return maps + (0 if self._key_grey is None else self._key_grey.nbytes)

    @property
    def problem(self) -> str:
        """How the frames were computed, and what is not promised about them, one line."""
        return (
            f"activation motion compensation: {self._keyframes} of {self._frames} frames were keyframes; the others have no bound: "
            "they may differ from the dense network's by any amount"
        )


class WholeLayers(LayerMasks):
    """Of a frame in which each layer was computed everywhere or not at all. ran: by layer."""

    def __init__(self, costs: CostModel, ran: Sequence[bool]) -> None:
        self._sizes, self._ran = [layer.size for layer in costs.layers], ran

    def __len__(self) -> int:
        return len(self._sizes)

    def mask(self, layer: int) -> NDArray[np.bool_]:
        return np.full(self._sizes[layer], self._ran[layer], np.bool_)


def _tensor(output: Any) -> Tensor:
    import torch

    return torch.from_numpy(output) if isinstance(output, np.ndarray) else output
