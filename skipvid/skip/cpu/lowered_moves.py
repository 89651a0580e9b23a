"""The steps that move values: joined and picked channels, borders, pixels gathered, and what is chosen among several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from skipvid.skip.cpu import rows as flat
from skipvid.skip.cpu import tables
from skipvid.skip.cpu._native import FootprintKind, StepKind
from skipvid.skip.cpu.description import append, extend
from skipvid.skip.cpu.draft import Draft, Read
from skipvid.skip.ir.graph import Node


def _move(
    draft: Draft, node: Node, reads: Sequence[Read], parts: Sequence[flat.PartRow], origin: tuple[int, int] = (0, 0), outside: float = 0.0
) -> None:
    row = flat.MoveRow(extend(draft.description.parts, parts), len(parts), *origin, outside)
    draft.step(StepKind.MOVE, node, reads, append(draft.description.moves, row))


def _concat(draft: Draft, node: Node) -> None:
    parts, offset = [], 0
    for read, name in enumerate(node.inputs):
        part, channels = draft.layout.parts.get(name), draft.by_name[name].channels
        if part is None or part.of != node.name:
            parts.append(flat.PartRow(read, offset, channels, 0))
        offset += channels
    if parts:
        _move(draft, node, draft.same(node), parts)
    else:
        draft.step(StepKind.VIEW, node, draft.same(node))


def _channels(draft: Draft, node: Node) -> None:
    if node.name in draft.layout.parts and draft.layout.parts[node.name].of == node.inputs[0]:
        draft.step(StepKind.VIEW, node, draft.same(node))
    else:
        first = draft.description.integers.add(node.attrs["index"])
        _move(draft, node, draft.same(node), [flat.PartRow(0, 0, node.channels, first, True)])


def _gather(draft: Draft, node: Node) -> None:
    source, integers = node.attrs["source"], draft.description.integers
    reads: list[Read] = []
    for number, name in enumerate(node.inputs):
        pixels = torch.where(source == number, node.attrs["pixel"], -1)
        reads.append((name, flat.FootprintRow(FootprintKind.PIXELS, rows=integers.add(pixels.numpy()))))
    row = flat.GatherRow(integers.add(source.numpy()), integers.add(node.attrs["channel"].numpy()))
    draft.step(StepKind.GATHER, node, reads, append(draft.description.gathers, row))


def _pad(draft: Draft, node: Node) -> None:
    top, _, left, _ = node.attrs["pads"]
    # A pixel's shift is a window of one tap.
    window = flat.FootprintRow(FootprintKind.WINDOW, origin_y=-top, origin_x=-left)
    _move(draft, node, [(node.inputs[0], window)], [flat.PartRow(0, 0, node.channels, 0)], (-top, -left), node.attrs["value"])


def _publish(draft: Draft, node: Node) -> None:
    _move(draft, node, draft.same(node), [flat.PartRow(0, 0, node.channels, 0)])


def _choice(draft: Draft, node: Node) -> None:
    attrs, numbers = node.attrs, draft.description.numbers
    places = (numbers.add(tables.array(node.consts[key])) for key in ("inner", "inner_bias", "outer", "outer_bias"))
    settings = (attrs["ratios"], attrs["reuse"], attrs["hysteresis"], attrs["least_stay"], attrs["longest_reuse"])
    row = flat.ChoiceRow(*settings, len(node.consts["inner"]), *places)
    reads = [(name, flat.ANY) for name in node.inputs]
    draft.choices[node.name] = draft.step(StepKind.CHOICE, node, reads, append(draft.description.choices, row))


def _select(draft: Draft, node: Node) -> None:
    variants = []
    for places in node.attrs["parts"]:
        parts, channel = [], 0
        for read in places:
            count = draft.by_name[node.inputs[read]].channels
            parts.append(flat.PartRow(read, channel, count, 0))
            channel += count
        variants.append(flat.VariantRow(extend(draft.description.parts, parts), len(parts)))
    scale, shift = (
        draft.description.numbers.add(tables.array(node.consts[key])) if key in node.consts else flat.NOWHERE for key in ("scale", "shift")
    )
    row = flat.SelectRow(extend(draft.description.variants, variants), len(variants), scale, shift)
    draft.step(StepKind.SELECT, node, draft.same(node), append(draft.description.selects, row))


MOVES: dict[str, Callable[[Draft, Node], None]] = {
    "concat": _concat,
    "channels": _channels,
    "pad": _pad,
    "gather": _gather,
    "publish": _publish,
    "choice": _choice,
    "select": _select,
}
"""By a node's op, what adds its step."""
