"""Plan -> native program: every map becomes rows in memory, every node a step with its constants packed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from skipvid.core.errors import BackendError
from skipvid.skip.cpu import tables
from skipvid.skip.cpu._native import LARGEST_EXTENT, Footprint, Program, ThreadPool
from skipvid.skip.cpu.layout import LANES, Layout, make_layout
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.output_norm import OutputNormGate
from skipvid.skip.ir.graph import Node
from skipvid.skip.plan import Plan

COPY, OPERATIONS, MULTIPLY_ADD = 0, {"add": 1, "sub": 2, "mul": 3, "div": 4}, 5
NORM_KINDS = {1.0: 0, 2.0: 1, math.inf: 2}
EMPTY = np.zeros(0, np.float32)
NOWHERE = np.zeros(0, np.int32)
Leaf = tuple[int, tables.Floats, bool, bool, bool, tables.Ints, tables.Ints]
Link = tuple[int, tuple[int, int, int], tables.Code]
OpenLink = tuple[int, list[int], tables.Code]


@dataclass(frozen=True, slots=True)
class Lowered:
    """maps: number of each node's map in the program. segments: what runs in turn, a segment of the program or a node for PyTorch.

    watches: entry that measures a map's change. output_gates: entry of a layer with an output gate.
    """

    program: Program
    layout: Layout
    maps: dict[str, int]
    segments: tuple[int | Node, ...]
    watches: dict[str, int]
    output_gates: dict[str, int]


def lower(plan: Plan, pool: ThreadPool, instruction_set: str = "") -> Lowered:
    """Compile a plan. instruction_set: one of _native.instruction_sets(), or "" for the best."""
    return _Lowering(plan, pool, instruction_set).run()


class _Lowering:
    def __init__(self, plan: Plan, pool: ThreadPool, instruction_set: str) -> None:
        self.plan = plan
        self.by_name = plan.graph.by_name
        self.layout = make_layout(plan)
        self.program = Program(instruction_set, pool)
        self.maps: dict[str, int] = {}
        self.watches: dict[tuple[str, int], int] = {}  # (map, how its change is measured) -> entry
        self.output_gates: dict[str, int] = {}
        self.handlers: dict[str, Callable[[Node], None]] = {
            "conv": self._conv,
            "conv_transpose": self._conv_transpose,
            "linear": self._linear,
            "concat": self._concat,
            "channels": self._channels,
            "resize": self._resize,
            "max_pool": self._pool,
            "avg_pool": self._pool,
            "pad": self._pad,
            "publish": self._publish,
            "global_mean": lambda node: self.program.add_global_mean(self.maps[node.name], self.maps[node.inputs[0]]),
        }

    def run(self) -> Lowered:
        consumers = self.plan.graph.consumers()
        segments: list[int | Node] = []
        first = entries = inputs = 0
        for node in self.plan.graph:
            if node.name in self.layout.absorbed:
                continue
            if node.name in self.layout.foreign:
                if entries > first:
                    segments.append(self.program.add_segment(first, entries))
                segments.append(node)
                first = entries
                if all(reader.name in self.layout.foreign for reader in consumers[node.name]):
                    continue
            name = self._allocate(node)
            if node.name in self.layout.foreign:
                self.program.add_foreign(name)
            elif node.op == "input":
                self.program.add_input(name, inputs)
                inputs += 1
            elif node.name in self.layout.chains:
                self._chain(node)
            else:
                entries += self._watch(node)
                self.handlers[node.op](node)
                self._gate_outputs(node)
            entries += 1
        if entries > first:
            segments.append(self.program.add_segment(first, entries))
        self.program.share(self._kept())
        watches = {name: entry for (name, _), entry in self.watches.items()}
        return Lowered(self.program, self.layout, self.maps, tuple(segments), watches, self.output_gates)

    def _kept(self) -> list[int]:
        """The maps that are read or written from outside: the network's outputs, and what PyTorch works on between two segments."""
        foreign = [node for node in self.plan.graph if node.name in self.layout.foreign]
        names = self.plan.graph.output_names.union(*((node.name, *node.inputs) for node in foreign))
        return [self.maps[name] for name in sorted(names) if name in self.maps]

    def _watch(self, node: Node) -> int:
        """Have the change of the map measured that an output gate looks at. Returns the number of entries that this took."""
        key = self._watch_of(node)
        if key is None or key in self.watches:
            return 0
        self.watches[key] = self.program.add_watch(self.maps[key[0]], key[1])
        return 1

    def _watch_of(self, node: Node) -> tuple[str, int] | None:
        gate = self._output_gate(node)
        return None if gate is None else (node.inputs[0], NORM_KINDS[gate.norm.p])

    def _output_gate(self, node: Node) -> OutputNormGate | None:
        gate = self.plan.output_gates.get(node.name)
        if gate is not None and not isinstance(gate, OutputNormGate):
            raise BackendError(f"the back end cpu has no kernels for a {type(gate).__name__}", "use the back end reference")
        return gate

    def _gate_outputs(self, node: Node) -> None:
        key, gate = self._watch_of(node), self._output_gate(node)
        if key is None or gate is None:
            return
        biased = node.activation is None and "bias" in node.consts
        bias = tables.bias_of(node, node.channels) if biased else EMPTY
        scale = math.nan if gate.scale is None else gate.scale
        self.output_gates[node.name] = self.program.set_output_gate(self.watches[key], gate.limit(1.0), scale, gate.block, bias)

    def _allocate(self, node: Node) -> int:
        """The number of a node's map, made when first asked for: a part may come before the map that it lives in."""
        if node.name in self.maps:
            return self.maps[node.name]
        part = self.layout.parts.get(node.name)
        if part is not None:
            number = self.program.add_part(self._allocate(self.by_name[part.of]), node.channels, part.offset)
        else:
            if max(node.size) > LARGEST_EXTENT:
                raise BackendError(
                    f"the map {node.name} has {node.size[0]} x {node.size[1]} pixels, and the back end cpu counts to {LARGEST_EXTENT}",
                    "choose a smaller input, or --backend reference",
                )
            number = self.program.add_map(*node.size, node.channels, node.op == "input")
        self.maps[node.name] = number
        gate = self.plan.gates.get(node.name)
        if gate is not None and node.name not in self.layout.foreign:
            if isinstance(gate, LearnedGate):
                self.program.set_question(number, tables.array(gate.weight), gate.bias, gate.magnitude, gate.block)
            elif isinstance(gate, NormGate):
                self.program.set_gate(number, gate.threshold, math.nan if gate.scale is None else gate.scale, gate.block)
            else:
                raise BackendError(f"the back end cpu has no kernels for a {type(gate).__name__}", "use the back end reference")
        elif node.op == "input":
            # Without a gate its readers still see only what differs: a gate of threshold 0.
            self.program.set_gate(number, 0.0, 1.0, 1)
        return number

    def _sources(self, node: Node) -> list[int]:
        return [self.maps[name] for name in node.inputs]

    def _conv(self, node: Node) -> None:
        weight, attrs = node.consts["weight"], node.attrs
        kernel = (weight.shape[2], weight.shape[3])
        window = tables.window_of(node, kernel)
        bias, activation = tables.bias_of(node, node.channels), tables.activation_code(node.activation)
        number, source = self.maps[node.name], self._sources(node)[0]
        taps, weights = tables.convolution_taps(node)
        if attrs["groups"] == node.channels == self.by_name[node.inputs[0]].channels > 1:
            self.program.add_depthwise(number, source, window, np.ascontiguousarray(weights[:, 0]), bias, activation)
        else:
            self.program.add_convolution(
                number, source, window, attrs["stride"], (1, 1), attrs["groups"], [(taps, weights)], bias, activation
            )

    def _conv_transpose(self, node: Node) -> None:
        footprint = tables.transposed_footprint(node, self.by_name[node.inputs[0]])
        phases = tables.transposed_phases(node, node.channels)
        bias, activation = tables.bias_of(node, node.channels), tables.activation_code(node.activation)
        self.program.add_convolution(
            self.maps[node.name],
            self._sources(node)[0],
            footprint,
            (1, 1),
            node.attrs["stride"],
            node.attrs["groups"],
            phases,
            bias,
            activation,
        )

    def _linear(self, node: Node) -> None:
        weights = tables.array(node.consts["weight"].T.unsqueeze(0))
        bias, activation = tables.bias_of(node, node.channels), tables.activation_code(node.activation)
        phase = (np.zeros((1, 2), np.int32), weights)
        self.program.add_convolution(
            self.maps[node.name], self._sources(node)[0], Footprint.any(), (1, 1), (1, 1), 1, [phase], bias, activation
        )

    def _chain(self, last: Node) -> None:
        chain = self.layout.chains[last.name]
        inside = {node.name: position for position, node in enumerate(chain)}
        leaves: list[Leaf] = []
        outside: dict[str, int] = {}
        footprints: list[Footprint] = []
        # Operands are numbered leaves first; how many there are is known only at the end, so links count from -1 downwards until then.
        links: list[OpenLink] = []

        def operand(name: str) -> int:
            if name in inside:
                return -1 - inside[name]
            if name not in outside:
                outside[name] = len(leaves)
                leaves.append(self._map_leaf(self.by_name[name], last))
                footprints.append(self._footprint_of(name, last))
            return outside[name]

        for node in chain:
            numbers = [operand(name) for name in node.inputs]
            operation = OPERATIONS.get(node.op, COPY)
            if node.op == "affine":
                shifted = bool(node.consts["shift"].any())
                operation = MULTIPLY_ADD if shifted else OPERATIONS["mul"]
                for key in ("scale", "shift") if shifted else ("scale",):
                    numbers.append(len(leaves))
                    leaves.append(_constant_leaf(node.consts[key], node))
            links.append((operation, numbers, tables.activation_code(node.activation)))
        resolved: list[Link] = []
        for operation, numbers, activation in _fused(links):
            final = [number if number >= 0 else len(leaves) - 1 - number for number in numbers]
            final += [final[0]] * (3 - len(final))
            resolved.append((operation, (final[0], final[1], final[2]), activation))
        sources = [self.maps[self._origin(name).name] for name in outside]
        self.program.add_pointwise(self.maps[last.name], sources, footprints, leaves, resolved)

    def _origin(self, name: str) -> Node:
        """The node whose map a chain reads for a value."""
        resized = self.layout.enlarged.get(name)
        return self.by_name[name if resized is None else resized.inputs[0]]

    def _footprint_of(self, name: str, target: Node) -> Footprint:
        if name in self.layout.enlarged:
            return tables.resize_footprint(self.by_name[name], self._origin(name))
        return Footprint.same() if target.is_map else Footprint.any()

    def _map_leaf(self, source: Node, target: Node) -> Leaf:
        origin, scalar = self._origin(source.name), source.channels == 1 and target.channels > 1
        if origin is not source:
            rows, columns = (tables.resize_axis(source, origin, axis)[0] for axis in range(2))
            return (self.maps[origin.name], EMPTY, True, True, scalar, rows, columns)
        height, width = source.size
        return (self.maps[source.name], EMPTY, height > 1, width > 1, scalar, NOWHERE, NOWHERE)

    def _concat(self, node: Node) -> None:
        parts, offset = [], 0
        for name in node.inputs:
            part, channels = self.layout.parts.get(name), self.by_name[name].channels
            if part is None or part.of != node.name:
                parts.append((self.maps[name], offset, channels, [0]))
            offset += channels
        sources, footprints = self._sources(node), [Footprint.same() for _ in node.inputs]
        if parts:
            self.program.add_move(self.maps[node.name], sources, footprints, parts, (0, 0), 0.0)
        else:
            self.program.add_view(self.maps[node.name], sources, footprints)

    def _channels(self, node: Node) -> None:
        sources, footprints = self._sources(node), [Footprint.same()]
        if node.name in self.layout.parts and self.layout.parts[node.name].of == node.inputs[0]:
            self.program.add_view(self.maps[node.name], sources, footprints)
        else:
            parts = [(sources[0], 0, node.channels, list(node.attrs["index"]))]
            self.program.add_move(self.maps[node.name], sources, footprints, parts, (0, 0), 0.0)

    def _resize(self, node: Node) -> None:
        source = self.by_name[node.inputs[0]]
        rows, columns = (tables.resize_axis(node, source, axis) for axis in range(2))
        bilinear = node.attrs["mode"] == "bilinear"
        footprint = tables.resize_footprint(node, source)
        self.program.add_resize(self.maps[node.name], self.maps[source.name], footprint, bilinear, rows, columns)

    def _pool(self, node: Node) -> None:
        window = tables.window_of(node, node.attrs["kernel"])
        count_padding = node.attrs.get("count_include_pad", False)
        self.program.add_pool(self.maps[node.name], self._sources(node)[0], window, node.op == "max_pool", count_padding)

    def _publish(self, node: Node) -> None:
        sources = self._sources(node)
        self.program.add_move(self.maps[node.name], sources, [Footprint.same()], [(sources[0], 0, node.channels, [0])], (0, 0), 0.0)

    def _pad(self, node: Node) -> None:
        top, _, left, _ = node.attrs["pads"]
        sources = self._sources(node)
        # A pixel's shift is a window of one tap.
        window = Footprint.window((1, 1), (1, 1), (1, 1), (-top, -left))
        parts = [(sources[0], 0, node.channels, [0])]
        self.program.add_move(self.maps[node.name], sources, [window], parts, (-top, -left), node.attrs["value"])


def _fused(links: Sequence[OpenLink]) -> list[OpenLink]:
    """A product that only goes into a sum becomes part of it: a multiply-add in place of two operations."""
    reads = Counter(number for _, numbers, _ in links for number in set(numbers))
    absorbed: set[int] = set()
    result: list[tuple[int, OpenLink]] = []
    for position, (operation, numbers, activation) in enumerate(links):
        if operation == OPERATIONS["add"] and numbers[0] != numbers[1]:
            for product, other in (numbers, numbers[::-1]):
                source = links[-1 - product] if product < 0 else None
                if source is not None and source[0] == OPERATIONS["mul"] and source[2] == tables.NONE and reads[product] == 1:
                    operation, numbers = MULTIPLY_ADD, [*source[1], other]
                    absorbed.add(-1 - product)
                    break
        result.append((position, (operation, numbers, activation)))
    kept = [(position, link) for position, link in result if position not in absorbed]
    renamed = {-1 - position: -1 - index for index, (position, _) in enumerate(kept)}
    return [(operation, [renamed.get(number, number) for number in numbers], activation) for _, (operation, numbers, activation) in kept]


def _constant_leaf(constant: Tensor, node: Node) -> Leaf:
    """A constant that broadcasts over a node's value, as rows padded like those of a map."""
    if constant.numel() == 1:
        return (-1, tables.array(constant.reshape(1)), False, False, True, NOWHERE, NOWHERE)
    if not node.is_map:
        flat = tables.array(constant.expand(node.shape).reshape(1, -1))
        return (-1, _padded(flat), False, False, False, NOWHERE, NOWHERE)
    channels, height, width = (*(1,) * (3 - constant.dim()), *constant.shape)[-3:]
    rows = tables.array(constant.reshape(channels, height * width).T)
    scalar = channels == 1 and node.channels > 1
    # A constant that varies along one axis only is spread over the other, so that its rows lie as a map's do.
    if 1 < height * width:
        full = constant.reshape(channels, height, width).expand(channels, *node.size)
        rows = tables.array(full.reshape(channels, -1).T)
    return (-1, rows.reshape(-1) if scalar else _padded(rows), height * width > 1, height * width > 1, scalar, NOWHERE, NOWHERE)


def _padded(rows: tables.Floats) -> tables.Floats:
    spare = -rows.shape[1] % LANES
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, spare)))).reshape(-1)
