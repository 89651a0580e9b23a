"""Plan -> description of the native program: every map becomes rows in memory, every node a step with its constants."""

from __future__ import annotations

from dataclasses import dataclass

from skipvid.skip.cpu import rows as flat
from skipvid.skip.cpu._native import StepKind
from skipvid.skip.cpu.description import Description, append
from skipvid.skip.cpu.draft import Draft
from skipvid.skip.cpu.layout import Layout
from skipvid.skip.cpu.lowered_chains import lower_chain
from skipvid.skip.cpu.lowered_gates import gate_outputs, measure_change
from skipvid.skip.cpu.lowered_layers import LAYERS
from skipvid.skip.cpu.lowered_moves import MOVES
from skipvid.skip.ir.graph import Node
from skipvid.skip.plan import Plan

STEPS = {**LAYERS, **MOVES}


@dataclass(frozen=True, slots=True)
class Lowered:
    """maps: number of each node's map in the program. segments: what runs in turn, a segment of the program or a node for PyTorch.

    changes: step that measures a map's change. output_gates: step of a layer with an output gate. choices: step of each choice, by node.
    """

    description: Description
    layout: Layout
    maps: dict[str, int]
    segments: tuple[int | Node, ...]
    changes: dict[str, int]
    output_gates: dict[str, int]
    choices: dict[str, int]


def lower(plan: Plan) -> Lowered:
    """Describe a plan. Raises BackendError for a map that is too large."""
    draft = Draft(plan)
    consumers = draft.plan.graph.consumers()
    steps, segments = draft.description.steps, list[int | Node]()
    for node in draft.plan.graph:
        if node.name in draft.layout.absorbed:
            continue
        fallback = node.name in draft.layout.fallback
        if fallback:
            _end_segment(draft, segments)
            segments.append(node)
            if all(reader.name in draft.layout.fallback for reader in consumers[node.name]):
                continue
        draft.allocate(node)
        if fallback:
            draft.step(StepKind.FALLBACK, node, [])
        elif node.op == "input":
            draft.step(StepKind.INPUT, node, [], draft.description.inputs)
            draft.description.inputs += 1
        elif node.name in draft.layout.chains:
            lower_chain(draft, node)
        else:
            measure_change(draft, node)
            STEPS[node.op](draft, node)
            gate_outputs(draft, node)
    _end_segment(draft, segments)
    draft.description.kept += [flat.KeptRow(number) for number in _kept(draft)]
    assert not draft.description.segments or draft.description.segments[-1].last == len(steps)
    changes = {name: step for (name, _), step in draft.changes.items()}
    return Lowered(draft.description, draft.layout, draft.maps, tuple(segments), changes, draft.output_gates, draft.choices)


def _end_segment(draft: Draft, segments: list[int | Node]) -> None:
    """What has been added since the last segment is run in one call."""
    done, last = draft.description.segments, len(draft.description.steps)
    first = done[-1].last if done else 0
    if last > first:
        segments.append(append(done, flat.SegmentRow(first, last)))


def _kept(draft: Draft) -> list[int]:
    """The maps that are read or written from outside: the network's outputs, and what PyTorch works on between two segments."""
    fallback = [node for node in draft.plan.graph if node.name in draft.layout.fallback]
    names = draft.plan.graph.output_names.union(*((node.name, *node.inputs) for node in fallback))
    return [draft.maps[name] for name in sorted(names) if name in draft.maps]
