"""A session: the state of one stream, and the account of its last frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import FrameCost
from skipvid.core.errors import UsageError
from skipvid.skip.backend import FrameRun, Output, Program, State, as_arrays, unchanged
from skipvid.skip.config import SkipConfig
from skipvid.skip.dense_stretch import DenseStretch
from skipvid.skip.devices import in_main_memory
from skipvid.skip.gate_choice import SEEN, GateChoice
from skipvid.skip.gates.registry import kind_for
from skipvid.skip.last_frame import LastFrame, WholeFrame
from skipvid.skip.pace import Pace
from skipvid.skip.picture import Input, Layout, Shapes, copied, layout_of, prepared, same_values, shapes_of
from skipvid.skip.ratio_choice import RatioChoice
from skipvid.skip.unit_checks import UnitChecks
from skipvid.skip.widths import WidthsProgram, WidthsState

if TYPE_CHECKING:
    import torch


class Network(Protocol):
    """What a session needs of a converted network; skipvid.skip.api.SkipModel is one."""

    config: SkipConfig

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """Of the inputs; none where all are float32, however many."""

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
        self._share = 0.0  # of the MACs, that the last gated frame executed
        self._pace = Pace(chooses=model.config.threads == 0)
        self._gate_choice: GateChoice | None = None
        self._widths: RatioChoice | None = None
        self._stretch = DenseStretch(model.config.threshold)
        self._seen: tuple[Input, ...] | None = None  # the inputs of the last frame
        self._unit_checks = UnitChecks()
        self._whole: WholeFrame | None = None
        self._shift: tuple[int, int] | None = None  # that the next frame has
        self._stray = False  # whether it is unlike those around it
        self._aside = False  # whether the last frame was such a one: _state is that of the frame before it
        self._returned = False  # whether the last frame came after such a one
        self._dense_above = model.config.dense_above if kind_for(model.config).dense_runs else 1.0

    def __call__(self, *inputs: Input, **named: Input) -> Any:
        """Run one frame: (1, C, H, W) tensors, or a Picture, which is converted only where it changed.

        Returns what the network returns, in the same structure.

        The returned tensors belong to the session and are valid until the next call: clone what must last or be written to.
        A keyframe is the first frame, one whose inputs differ from the last frame's in anything but their values (size of the input or of
        the picture in it, a tensor in place of a picture, a picture's tables or order), the frame after one that raised an error, and the
        frame after one that found the unit of a gate left behind (skipvid.skip.gates.units), those of a stretch of dense frames
        (skipvid.skip.dense_stretch), and one for which a network of several widths changes its ratio (skipvid.skip.ratio_choice). One equal
        to the last frame never is, unless `refresh` asks for it.
        Inputs have the type of the example, or of a floating-point one float32.
        Raises UsageError for inputs of other kinds, numbers or types.
        """
        if named:
            raise UsageError(f"inputs are given by name: {', '.join(named)}", "pass them in the order of the example, without names")
        inputs = prepared(inputs, self.model.dtypes)
        outputs = self._run_frame(inputs)
        assert self._program is not None
        return self._program.restore(outputs)

    def maps(self, *inputs: Input) -> tuple[NDArray[np.float32], ...]:
        """As a call, but returns all output maps as float32 arrays, in the order of the network's leaves; valid until the next frame."""
        return as_arrays(self._run_frame(prepared(inputs, self.model.dtypes)))

    def _run_frame(self, inputs: Sequence[Input]) -> tuple[Output, ...]:
        """Advance the stream by one frame of prepared inputs."""
        layout = layout_of(inputs)
        if layout != self._layout:
            self._follow(shapes_of(inputs))
            self._layout = layout
        assert self._program is not None
        if not self._program.in_torch:
            return self._advance(inputs)  # asking torch for its device takes a tenth of a frame in which nothing has changed
        with in_main_memory():
            return self._advance(inputs)

    def _advance(self, inputs: Sequence[Input]) -> tuple[Output, ...]:
        assert self._program is not None
        refresh, gated = self.model.config.refresh, self.model.config.gate != "none"
        refreshed = refresh > 0 and self._since_keyframe >= refresh
        shift, self._shift = self._shift, None
        stray, self._stray = self._stray, False
        repeated = False
        if self._seen is not None and shift is None:
            repeated = not refreshed and same_values(inputs, self._seen)
            if repeated:
                self._stretch.repeated()
                if not self._current or self._aside:
                    return self._repeat()
        self._returned, self._aside = self._aside, False
        if stray and gated and self._current and not refreshed and shift is None and self._widths is None and self._stretch.left == 0:
            return self._step_aside(inputs)
        self.keyframe = not self._current or refreshed or (self._stretch.left > 0 and not repeated) or not gated
        changes_width = self._widths is not None and self._widths.look(inputs)
        if changes_width or (shift is not None and not self._can_shift(shift)):
            self.keyframe = True
        # A keyframe before a keyframe has nothing to leave to the next frame, and takes less time on a state that forgets.
        gated_next = gated and not (self.keyframe and self._stretch.left > 1)
        # A frame that fails or is interrupted half-way leaves a state that is part old, part new: nothing may follow on it but a keyframe.
        self._current = False
        seen, self._seen = self._seen, None
        if gated_next:
            self._state = self._state or self._program.new_state()
            self._run = self._timed(self._state, inputs, shift=shift)
            self._current = True
        else:
            self._run = self._run_densely(inputs)
        self._since_keyframe = 1 if self.keyframe else self._since_keyframe + 1
        self._schedule_keyframes(self._run, stray)
        self._compare_times(not gated_next)
        if gated and (self._stretch.left > 0 or not self._current):
            if seen is not None and shift is None and not repeated:
                self._stretch.look(inputs, seen)
            self._seen = copied(inputs, seen)  # only where the next frame would be dense: to see whether it has to be
        return self._run.outputs

    def shift(self, dy: int, dx: int) -> None:
        """Say that the next frame shows at (y, x) what the last one showed at (y + dy, x + dx), pixels of the input.

        Maps then move with the scene in place of being computed, where their pixels are moved by whole ones; all promises hold. Where it
        cannot be done the next frame is a keyframe: with learned gates, output gates or gates in blocks, more inputs than one, nodes that
        PyTorch computes, or a shift as large as the input.
        """
        self._shift = (dy, dx) if (dy, dx) != (0, 0) else None

    def expect_stray(self) -> None:
        """Say that the next frame is unlike those around it: it is computed densely, and the one after it is gated by those before.

        Only where that one could have been gated, too: not in a stretch of dense frames, nor with a network of several widths.
        """
        self._stray = True

    def _step_aside(self, inputs: Sequence[Input]) -> tuple[Output, ...]:
        """A frame on the state that forgets. The other one stays as it is, so that the way there and back opens no gates."""
        seen, self._seen = self._seen, None
        self.keyframe, self._current = True, False  # until it has not failed
        self._run = self._run_densely(inputs)
        self._seen = copied(inputs, seen)
        self._since_keyframe += 1
        self._current = self._aside = True
        self._compare_times(True)
        return self._run.outputs

    def _run_densely(self, inputs: Sequence[Input]) -> FrameRun:
        """A dense frame on a state that remembers nothing for the next one."""
        assert self._program is not None
        self._dense_state = self._dense_state or self._program.new_state(dense=True)
        return self._timed(self._dense_state, inputs, gated_next=False)

    def _can_shift(self, shift: tuple[int, int]) -> bool:
        assert self._program is not None
        if not self._program.shifts or self.model.config.learned_gates:
            return False
        return all(abs(by) < extent for by, extent in zip(shift, self._shapes[0][2:], strict=True))

    def _timed(self, state: State, inputs: Sequence[Input], gated_next: bool = True, shift: tuple[int, int] | None = None) -> FrameRun:
        """Run the frame on as many threads as pay."""
        assert self._program is not None
        state.alone = self._pace.begin(self.keyframe)
        if self._widths is not None and isinstance(state, WidthsState):
            state.number = self._widths.number
        if shift is None or self.keyframe:
            run = self._program.run(state, inputs, self.keyframe, gated_next)
        else:
            run = self._program.run_shifted(state, inputs, shift)
        self._pace.end()
        if not self.keyframe:
            self._share, _ = self._spent(run)
        self._pace.took(self._share)
        return run

    def _repeat(self) -> tuple[Output, ...]:
        """The last frame again, which a state that forgets has computed: it can be told only as a whole that nothing changed."""
        assert self._program is not None and self._run is not None
        self.keyframe = False
        self._since_keyframe += 1
        self._run = unchanged(self._run.costs or self._program.costs, self._run)
        return self._run.outputs

    def __reduce__(self) -> NoReturn:
        raise UsageError("a session cannot be copied or pickled: it is the state of one stream", "open another one: model.session()")

    def reset(self) -> None:
        """Forget the stream: the next frame is a keyframe, and has the bits of a new session's first. The memory is kept for it."""
        self._current = False
        self._seen = self._shift = None
        self._stray = self._aside = self._returned = False
        self._since_keyframe = 0
        self._stretch.reset()
        self._unit_checks = UnitChecks()
        if self._widths is not None:
            self._widths.reset()

    def _follow(self, shapes: Shapes) -> None:
        """Begin anew with inputs that have changed in more than their values."""
        self.reset()
        program = self.model.program(shapes)
        if program is not self._program:
            self._state = self._dense_state = self._run = None
            # A threshold of dense runs of 1 says that there are to be none.
            self._gate_choice = GateChoice() if program.interrupted and self._dense_above < 1 else None
            self._widths = RatioChoice(program.policy) if isinstance(program, WidthsProgram) else None
        self._program, self._shapes = program, shapes

    def _spent(self, run: FrameRun) -> tuple[float, int]:
        """See `spent`."""
        assert self._program is not None
        costs = run.costs or self._program.costs
        whole = costs.macs_at(run.choices) if run.choices else costs.dense_macs
        return costs.executed_macs(run.active) / max(1, whole), whole

    def _schedule_keyframes(self, run: FrameRun, stray: bool) -> None:
        """Where nearly everything moves, gates cost more than they save: a stretch of dense frames follows."""
        if self.keyframe:
            self._stretch.passed()
            return
        if self._unit_is_stale(run):
            self._current = False
            return
        if self._stretch.left == 0 and not stray:  # otherwise it is a frame equal to the last one
            self._stretch.gated(self._share, self._dense_above)

    def _compare_times(self, dense: bool) -> None:
        """Where gated frames take longer than dense ones, the next ones are keyframes. dense: whether this one left nothing to the next."""
        if self._gate_choice is None or (self.keyframe and not dense):
            return
        run = self._gate_choice.took(self._pace.seconds, dense)
        if run and self._current:
            self._stretch.prolong(run)

    @property
    def verdict(self) -> str:
        """Why frames are computed densely although gates were asked for, where their times say so; otherwise nothing."""
        run = self._gate_choice.dense_run if self._gate_choice is not None else 0
        return f"gated frames take longer than dense ones: {run} of {run + SEEN} are computed densely" if run else ""

    def _unit_is_stale(self, run: FrameRun) -> bool:
        """Whether a gate's unit no longer fits, as far as it is time to look."""
        if not (self._unit_checks.are_due(self._since_keyframe) and kind_for(self.model.config).dense_runs and any(run.active)):
            return False
        program, state = self._program, self._state
        assert program is not None
        return self._unit_checks.asks_for_keyframe(self._since_keyframe, lambda number: program.unit_is_stale(state, number))

    def expect_other_load(self) -> None:
        """Say that other threads have more to do from now on, or less: where one thread computes the frames, more may pay again."""
        self._pace.reconsider()

    @property
    def held_up(self) -> float:
        """How many times as long as its thread would work for it a gated frame takes; about 1 on a machine at rest.

        By one thread or by all, whichever is less work for the thread that waits for the others: where other work uses the cores, of this
        process or of others, frames may be computed otherwise. The dense network's time (SkipModel.dense_ms) is of the same kind, so that
        times this it can be set against that of gated frames.
        """
        return self._pace.held_up

    @property
    def dense_ms(self) -> float | None:
        """Milliseconds that the last frame took, where it ran just as the network without gates does; otherwise None."""
        dense = self.keyframe and not self._current and self._pace.typical and self._widths is None
        return 1e3 * self._pace.seconds if dense else None

    @property
    def memory_bytes(self) -> int:
        """Bytes that the stream's state holds."""
        return sum(state.memory_bytes() for state in (self._state, self._dense_state) if state is not None)

    def _last_run(self) -> FrameRun:
        if self._run is None:
            raise UsageError("the session has run no frame yet", "call it with a frame first")
        return self._run

    def _last(self) -> LastFrame:
        run, whole = self._last_run(), None
        assert self._program is not None
        costs = run.costs or self._program.costs
        if self.keyframe and not run.choices:
            if self._whole is None or self._whole.costs is not costs:
                self._whole = WholeFrame.of(costs, run)
            whole = self._whole
        return LastFrame(costs, run, self._shapes[0][2:], whole)

    @property
    def ratio(self) -> float:
        """Share of the channels of its adaptive layers that the last frame computed; 1 for a network that has one width."""
        return self._program.ratios[self._widths.number] if isinstance(self._program, WidthsProgram) and self._widths is not None else 1.0

    @property
    def changed(self) -> tuple[bool, ...]:
        """For each output map, in the order of the network's leaves, whether any of it may differ from the frame before."""
        changed = self._last_run().changed
        return (True,) * len(changed) if self._returned else tuple(changed)

    @property
    def spent(self) -> tuple[float, int]:
        """Which share of the dense MACs the last frame executed, and how many those are: what its cost adds up to, without its account."""
        return self._spent(self._last_run())

    @property
    def cost(self) -> FrameCost:
        """What the last frame cost, layer by layer."""
        return self.account()()

    def account(self) -> Callable[[], FrameCost]:
        """What adds up the cost of the last frame, in any thread, also when frames have followed."""
        last, widths = self._last(), 0 if self._widths is None else self._widths.operations

        def cost() -> FrameCost:
            own = last.cost()
            return FrameCost(own.table, own.counts, own.other_gate_ops + widths) if widths else own

        return cost

    @property
    def computed(self) -> dict[str, NDArray[np.bool_]]:
        """By layer name, which output pixels the last frame computed: (h, w) bool."""
        return self._last().computed()

    @property
    def choices(self) -> dict[str, int]:
        """By adaptive layer what the last frame chose: the number of the ratio, or the one behind them, where the last map was reused."""
        return dict(self._last_run().choices)

    def activity(self, stride: int = 8) -> NDArray[np.float32]:
        """Where the last frame's work was done: the fraction of its dense MACs executed in each cell of stride x stride input pixels.

        Returns (ceil(H / stride), ceil(W / stride)) float32 in [0, 1]. Layers without a spatial extent are left out. Of a network that has
        several widths, the dense MACs are those of the width that ran.
        """
        return self.later_activity(stride)()

    def later_activity(self, stride: int = 8) -> Callable[[], NDArray[np.float32]]:
        """What makes `activity` of the last frame, in any thread, also when frames have followed."""
        return self._last().activity(stride)
