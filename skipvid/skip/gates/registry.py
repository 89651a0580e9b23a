"""From the settings of a network to its gates. The kinds are listed in skipvid.core.gate_kinds."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from skipvid.core.gate_kinds import KINDS

if TYPE_CHECKING:
    from skipvid.skip.gates.base import GatedGraph, GateKind, GateSettings
    from skipvid.skip.ir.graph import Graph

PREVIOUS = "skipvid.skip.gates.previous"
"""Paper mode, which stands in for the kind that is named."""


def gate_kind(name: str) -> GateKind:
    """The kind of that name."""
    return _kind_of(KINDS[name])


def kind_for(settings: GateSettings) -> GateKind:
    """The kind that settings ask for."""
    return _kind_of(PREVIOUS) if settings.reference == "previous" and settings.gate != "none" else gate_kind(settings.gate)


def attach_gates(graph: Graph, settings: GateSettings) -> GatedGraph:
    """A graph with the gates that settings ask for. Raises UsageError or WeightsError where they belong to another network."""
    return kind_for(settings).attach(graph, settings)


def _kind_of(module: str) -> GateKind:
    kind: GateKind = import_module(module).KIND
    return kind
