"""From what a program did in a frame to what the frame cost, layer by layer; the gates' own work included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from skipvid.core.costs import ACTIVE, COUNTS, DENSE_MACS, GATE_MACS, GATE_OPS, MACS, OUTPUTS, FrameCost
from skipvid.skip.backend import FrameRun, Numbered
from skipvid.skip.cost_model import CostModel, GateUnits, executed_macs


def frame_cost(costs: CostModel, run: FrameRun) -> FrameCost:
    """The cost of one frame. costs: of the network that ran."""
    units = costs.units
    layers = len(units.table)
    counts = np.zeros((layers + 1, len(COUNTS)), np.int64)  # the last row: gates that belong to no layer
    active = np.asarray(run.active, np.int64)
    counts[:layers, DENSE_MACS] = units.dense_macs
    counts[:layers, MACS] = executed_macs(units.dense_macs, active, units.outputs)
    counts[:layers, OUTPUTS] = units.outputs
    counts[:layers, ACTIVE] = active
    _add_gates(counts, units.gates, run.gate_pixels)
    _add_gates(counts, units.measured, run.measured_pixels)
    _add_gates(counts, units.candidates, run.candidates)
    own = FrameCost(units.table, counts[:layers], int(counts[layers, GATE_OPS]))
    return own if costs.reported is None else costs.reported.cost(own)


def _add_gates(counts: NDArray[np.int64], units: GateUnits, pixels: Mapping[str, int]) -> None:
    if not pixels:
        return
    if isinstance(pixels, Numbered):  # nearly always, and hundreds of names in each frame
        seen = pixels.of(units.names)
    else:
        seen = np.array([pixels.get(name, 0) for name in units.names], np.int64)
    np.add.at(counts[:, GATE_MACS], units.rows, seen * units.macs)
    np.add.at(counts[:, GATE_OPS], units.rows, seen * units.operations)
