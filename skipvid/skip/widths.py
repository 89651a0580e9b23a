"""A network at several widths as one program: each is compiled by itself, and a stream has a state for each that it has used.

A frame runs one of them from end to end. What it publishes is bounded as ever: it is the network at the frame's ratio, whose gates hold
back no more than their thresholds, because a change of the ratio is a keyframe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skipvid.core.errors import BackendError
from skipvid.core.ratios import RatioPolicy
from skipvid.skip.backend import FrameRun, Output, Program, State
from skipvid.skip.cost_model import CostModel, ReportedAs
from skipvid.skip.picture import Input


class WidthsState:
    """See skipvid.skip.backend.State. number: of the width that the next frame runs on, 0 = the full network."""

    alone: bool = False

    def __init__(self, programs: Sequence[Program], dense: bool) -> None:
        self.number = 0
        self._programs, self._dense = programs, dense
        self._states: dict[int, State] = {}

    @property
    def own(self) -> State:
        """That of the width in use, made when it is first used."""
        if self.number not in self._states:
            self._states[self.number] = self._programs[self.number].new_state(self._dense)
        state = self._states[self.number]
        state.alone = self.alone
        return state

    def memory_bytes(self) -> int:
        return sum(state.memory_bytes() for state in self._states.values())


class WidthsProgram:
    """See skipvid.skip.backend.Program; run_dense is the full network. A change of a state's `number` needs a keyframe.

    ratios, programs: of all widths, the full network first. renamed: as in skipvid.core.ratios.Narrower.
    """

    def __init__(
        self, ratios: Sequence[float], programs: Sequence[Program], renamed: Sequence[Mapping[str, str]], policy: RatioPolicy
    ) -> None:
        self.ratios, self.policy = tuple(ratios), policy
        self._programs = tuple(programs)
        self._full = programs[0]
        self.costs = self._full.costs
        self._costs = (self.costs, *(reported_as(each.costs, self.costs, names) for each, names in zip(programs[1:], renamed, strict=True)))
        self.fallbacks = tuple(dict.fromkeys(pair for each in programs for pair in each.fallbacks))
        self.interrupted = any(each.interrupted for each in programs)
        self.in_torch = any(each.in_torch for each in programs)

    def new_state(self, dense: bool = False) -> WidthsState:
        return WidthsState(self._programs, dense)

    def run(self, state: Any, inputs: Sequence[Input], keyframe: bool, gated_next: bool = True) -> FrameRun:
        run = self._programs[int(state.number)].run(state.own, inputs, keyframe, gated_next)
        return replace(run, costs=self._costs[int(state.number)])

    @property
    def shifts(self) -> bool:
        return all(each.shifts for each in self._programs)

    def run_shifted(self, state: Any, inputs: Sequence[Input], shift: tuple[int, int]) -> FrameRun:
        run = self._programs[int(state.number)].run_shifted(state.own, inputs, shift)
        return replace(run, costs=self._costs[int(state.number)])

    def state_bytes(self) -> int:
        """Of a stream that has used all widths."""
        return sum(each.state_bytes() for each in self._programs)

    def unit_is_stale(self, state: Any, number: int) -> bool:
        return self._programs[int(state.number)].unit_is_stale(state.own, number)

    def run_dense(self, inputs: Sequence[Input], alone: bool = False) -> tuple[Output, ...]:
        return self._full.run_dense(inputs, alone)

    def restore(self, outputs: Sequence[Output]) -> Any:
        return self._full.restore(outputs)


def reported_as(costs: CostModel, full: CostModel, renamed: Mapping[str, str]) -> CostModel:
    """The costs of a narrower network, to be reported in the rows of the full one. Raises BackendError for a layer that this has not."""
    places = {layer.name: row for row, layer in enumerate(full.layers)}
    rows, first, seen = [], [], set()
    for layer in costs.layers:
        path = next((path for path in renamed if layer.name == path or layer.name.startswith((f"{path}@", f"{path}#"))), None)
        name = layer.name if path is None else renamed[path] + layer.name[len(path) :]
        if name not in places:
            raise BackendError(f"the narrower network has a layer {layer.name}, the full one has none of that name", "train it again")
        rows.append(places[name])
        first.append(name not in seen)
        seen.add(name)
    return replace(costs, reported=ReportedAs(full.units, np.array(rows, np.int64), np.array(first, np.bool_)))
