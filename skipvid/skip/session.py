"""A session: the state of one stream, and the account of its last frame."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.core.costs import FrameCost
from skipvid.core.errors import UsageError
from skipvid.skip.account import frame_cost
from skipvid.skip.backend import FrameRun, Program, State
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.registry import kind_for
from skipvid.skip.picture import Input, Layout, Picture, Shapes, layout_of, shapes_of
from skipvid.skip.plan import Plan
from skipvid.skip.thread_choice import ThreadChoice

LONGEST_DENSE_RUN = 8
"""Keyframes in a row where nearly everything moves, before gates are tried again: doubled from 1 on, so that a flash costs little."""


class Network(Protocol):
    """What a session needs of a converted network; skipvid.skip.api.SkipModel is one."""

    config: SkipConfig

    def program(self, shapes: Shapes) -> Program:
        """The compiled plan for inputs of these shapes."""


class Session:
    """The state of one stream. Call it with one frame after the other; not from several threads at once.

    keyframe: whether the last frame was computed densely.
    """

    def __init__(self, model: Network) -> None:
        self.model = model
        self.keyframe = False
        self._program: Program | None = None
        self._state: State | None = None
        self._dense_state: State | None = None
        self._current = False  # whether _state is that of the frame before this one
        self._run: FrameRun | None = None
        self._shapes: Shapes = ()
        self._layout: Layout = ()
        self._since_keyframe = 0
        # By whether the frame is computed densely. A number of threads that was asked for is kept to.
        self._choices = {dense: ThreadChoice() for dense in (False, True)} if model.config.threads == 0 else {}
        self._dense_left = self._dense_run = 0
        self._dense_above = model.config.dense_above if kind_for(model.config).dense_runs else 1.0

    def __call__(self, *inputs: Input) -> Any:
        """Run one frame: (1, C, H, W) float32, or a Picture, which is converted only where it changed.

        Returns what the network returns, in the same structure.

        The returned tensors belong to the session and are valid until the next call: clone what must last or be written to.
        A keyframe is the first frame, one whose inputs differ from the last frame's in anything but their values (size of the input or
        of the picture in it, a tensor in place of a picture, a picture's tables or order), and the frame after one that raised an error.
        Raises UsageError for inputs that are neither float32 tensors nor pictures.
        """
        if any(not isinstance(item, Picture) and (not isinstance(item, Tensor) or item.dtype != torch.float32) for item in inputs):
            kinds = ", ".join(str(getattr(item, "dtype", type(item).__name__)) for item in inputs)
            raise UsageError(f"the inputs of the network are {kinds}", "pass float32 tensors, e.g. torch.from_numpy(image).float()")
        layout = layout_of(inputs)
        if layout != self._layout:
            self._follow(shapes_of(inputs))
            self._layout = layout
        assert self._program is not None
        refresh, gated = self.model.config.refresh, self.model.config.gate != "none"
        due = (refresh > 0 and self._since_keyframe >= refresh) or self._dense_left > 0
        self.keyframe = not self._current or due or not gated
        # A keyframe before a keyframe has nothing to leave to the next frame, and takes less time on a state that forgets.
        gated_next = gated and not (self.keyframe and self._dense_left > 1)
        # A frame that fails or is interrupted half-way leaves a state that is part old, part new: nothing may follow on it but a keyframe.
        self._current = False
        if gated_next:
            self._state = self._state or self._program.new_state()
            self._run = self._timed(self._state, inputs)
            self._current = True
        else:
            self._dense_state = self._dense_state or self._program.new_state(dense=True)
            self._run = self._timed(self._dense_state, inputs, gated_next=False)
        self._since_keyframe = 1 if self.keyframe else self._since_keyframe + 1
        self._schedule_keyframes(self._program.plan, self._run)
        return self._program.plan.restore(self._run.outputs)

    def _timed(self, state: State, inputs: Sequence[Input], gated_next: bool = True) -> FrameRun:
        """Run the frame on as many threads as pay."""
        assert self._program is not None
        choice = self._choices.get(self.keyframe)
        if choice is None:
            return self._program.run(state, inputs, self.keyframe, gated_next)
        state.alone = choice.alone
        begin = time.perf_counter()
        run = self._program.run(state, inputs, self.keyframe, gated_next)
        choice.took(time.perf_counter() - begin)
        return run

    def reset(self) -> None:
        """Forget the stream: the next frame is a keyframe, and has the bits of a new session's first. The memory is kept for it."""
        self._current = False
        self._since_keyframe = 0
        self._dense_left = self._dense_run = 0

    def _follow(self, shapes: Shapes) -> None:
        """Begin anew with inputs that have changed in more than their values."""
        self.reset()
        program = self.model.program(shapes)
        if program is not self._program:
            self._state = self._dense_state = self._run = None
        self._program, self._shapes = program, shapes

    def _schedule_keyframes(self, plan: Plan, run: FrameRun) -> None:
        """Where nearly everything moves, gates cost more than they save: the next frames are keyframes, until it is tried again."""
        if self.keyframe:
            self._dense_left = max(0, self._dense_left - 1)
            return
        busy = plan.executed_macs(run.active) > self._dense_above * plan.dense_macs
        self._dense_run = min(2 * self._dense_run or 1, LONGEST_DENSE_RUN) if busy else 0
        self._dense_left = self._dense_run

    @property
    def memory_bytes(self) -> int:
        """Bytes that the stream's state holds."""
        return sum(state.memory_bytes() for state in (self._state, self._dense_state) if state is not None)

    def _last(self) -> tuple[Plan, FrameRun]:
        if self._run is None or self._program is None:
            raise UsageError("the session has run no frame yet", "call it with a frame first")
        return self._program.plan, self._run

    @property
    def changed(self) -> tuple[bool, ...]:
        """For each output map, in the order of the network's leaves, whether any of it may differ from the frame before."""
        return tuple(self._last()[1].changed)

    @property
    def cost(self) -> FrameCost:
        """What the last frame cost, layer by layer."""
        return frame_cost(*self._last())

    @property
    def computed(self) -> dict[str, NDArray[np.bool_]]:
        """By layer name, which output pixels the last frame computed: (h, w) bool."""
        plan, run = self._last()
        return {layer.name: computed for layer, computed in zip(plan.layers, run.computed, strict=True)}

    def activity(self, stride: int = 8) -> NDArray[np.float32]:
        """Where the last frame's work was done: the fraction of its dense MACs executed in each cell of stride x stride input pixels.

        Returns (ceil(H / stride), ceil(W / stride)) float32 in [0, 1]. Layers without a spatial extent are left out.
        """
        plan, run = self._last()
        height, width = (math.ceil(extent / stride) for extent in self._shapes[0][2:])
        grid = np.zeros((height, width), np.float32)
        for size, (layers, shares) in plan.layers_by_size.items():
            work = run.computed.weighted(layers, shares)
            grid += cv2.resize(work, (width, height), interpolation=cv2.INTER_AREA if size[0] >= height else cv2.INTER_NEAREST)
        return np.clip(grid, 0, 1, out=grid)
