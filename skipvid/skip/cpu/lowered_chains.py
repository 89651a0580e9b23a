"""Chains of point-wise operations, each one step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from skipvid.skip.cpu import rows as flat
from skipvid.skip.cpu import tables
from skipvid.skip.cpu._native import Pointwise, StepKind
from skipvid.skip.cpu.description import append, extend
from skipvid.skip.cpu.draft import Draft, Read
from skipvid.skip.ir.graph import Node

OPERATIONS = {
    "add": Pointwise.ADD,
    "sub": Pointwise.SUB,
    "mul": Pointwise.MUL,
    "div": Pointwise.DIV,
    "max": Pointwise.MAX,
    "min": Pointwise.MIN,
}
Link = tuple[Pointwise, list[int], tables.Code]


def lower_chain(draft: Draft, last: Node) -> None:
    """Add the step of the chain that ends with a node."""
    chain = draft.layout.chains[last.name]
    inside = {node.name: position for position, node in enumerate(chain)}
    operands: list[flat.OperandRow] = []
    outside: dict[str, int] = {}
    reads: list[Read] = []
    # Operands come first, and how many there are is known only at the end, so links count from -1 downwards until then.
    links: list[Link] = []

    def operand(name: str) -> int:
        if name in inside:
            return -1 - inside[name]
        if name not in outside:
            outside[name] = len(operands)
            operands.append(_map_operand(draft, draft.by_name[name], len(reads)))
            reads.append((_origin(draft, name).name, _footprint_of(draft, name, last)))
        return outside[name]

    for node in chain:
        numbers = [operand(name) for name in node.inputs]
        operation = OPERATIONS.get(node.op, Pointwise.COPY)
        if node.op == "affine":
            shifted = bool(node.consts["shift"].any())
            operation = Pointwise.MULTIPLY_ADD if shifted else Pointwise.MUL
            for key in ("scale", "shift") if shifted else ("scale",):
                numbers.append(append(operands, _constant_operand(draft, node.consts[key], node)))
        links.append((operation, numbers, tables.activation_code(node.activation)))
    rows = []
    for operation, numbers, activation in _fused(links):
        final = [number if number >= 0 else len(operands) - 1 - number for number in numbers]
        final += [final[0]] * (3 - len(final))
        rows.append(flat.OperationRow(operation, final[0], final[1], final[2], *activation))
    description = draft.description
    row = flat.PointwiseRow(extend(description.operands, operands), len(operands), extend(description.operations, rows), len(rows))
    draft.step(StepKind.POINTWISE, last, reads, append(description.pointwise, row))


def _origin(draft: Draft, name: str) -> Node:
    """The node whose map a chain reads for a value."""
    resized = draft.layout.enlarged.get(name)
    return draft.by_name[name if resized is None else resized.inputs[0]]


def _footprint_of(draft: Draft, name: str, target: Node) -> flat.FootprintRow:
    if name in draft.layout.enlarged:
        return tables.resize_footprint(draft.by_name[name], _origin(draft, name), draft.description)
    return flat.SAME if target.is_map else flat.ANY


def _map_operand(draft: Draft, source: Node, read: int) -> flat.OperandRow:
    origin = _origin(draft, source.name)
    if origin is source:
        return flat.OperandRow(read)
    rows, columns = (draft.description.integers.add(tables.resize_axis(source, origin, axis)[0]) for axis in range(2))
    return flat.OperandRow(read, rows=rows, columns=columns)


def _constant_operand(draft: Draft, constant: Tensor, node: Node) -> flat.OperandRow:
    """A constant that broadcasts over a node's value: of one pixel or of all, of one channel or of all."""
    if constant.numel() == 1:
        values, pixels, channels = tables.array(constant), 1, 1
    elif not node.is_map:
        values, pixels, channels = tables.array(constant.expand(node.shape)), 1, node.channels
    else:
        channels, height, width = (*(1,) * (3 - constant.dim()), *constant.shape)[-3:]
        # A constant that varies along one axis only is spread over the other, so that its rows lie as a map's do.
        size = node.size if height * width > 1 else (1, 1)
        full = constant.reshape(channels, height, width).expand(channels, *size)
        values, pixels = tables.array(full.reshape(channels, -1).T), size[0] * size[1]
    return flat.OperandRow(values=draft.description.numbers.add(values), pixels=pixels, channels=channels)


def _fused(links: Sequence[Link]) -> list[Link]:
    """A product that only goes into a sum becomes part of it: a multiply-add in place of two operations."""
    reads = Counter(number for _, numbers, _ in links for number in set(numbers))
    absorbed: set[int] = set()
    result: list[tuple[int, Link]] = []
    for position, (operation, numbers, activation) in enumerate(links):
        if operation == Pointwise.ADD and numbers[0] != numbers[1]:
            for product, other in (numbers, numbers[::-1]):
                source = links[-1 - product] if product < 0 else None
                if source is not None and source[0] == Pointwise.MUL and source[2] == tables.NONE and reads[product] == 1:
                    operation, numbers = Pointwise.MULTIPLY_ADD, [*source[1], other]
                    absorbed.add(-1 - product)
                    break
        result.append((position, (operation, numbers, activation)))
    kept = [(position, link) for position, link in result if position not in absorbed]
    renamed = {-1 - position: -1 - index for index, (position, _) in enumerate(kept)}
    return [(operation, [renamed.get(number, number) for number in numbers], activation) for _, (operation, numbers, activation) in kept]
