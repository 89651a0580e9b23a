"""No gates: the network runs densely, frame by frame."""

from __future__ import annotations

from skipvid.skip.gates.base import GatedGraph, GateKind

KIND = GateKind(lambda graph, settings: GatedGraph(graph), native=True)
