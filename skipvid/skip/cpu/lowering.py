"""Plan -> description of the native program: every map becomes rows in memory, every node a step with its constants."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from skipvid.core.errors import BackendError
from skipvid.skip.cpu import description as flat
from skipvid.skip.cpu import tables
from skipvid.skip.cpu._native import LARGEST_EXTENT, ChannelOperation, Element, FootprintKind, Norm, Pointwise, StepKind
from skipvid.skip.cpu.description import Description, append, extend
from skipvid.skip.cpu.layout import Layout, make_layout
from skipvid.skip.gates.learned import LearnedGate
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.gates.output_norm import OutputNormGate
from skipvid.skip.gates.smooth_norm import SmoothNormGate
from skipvid.skip.ir.graph import Node
from skipvid.skip.ir.precision import is_depthwise
from skipvid.skip.plan import Plan

OPERATIONS = {
    "add": Pointwise.ADD,
    "sub": Pointwise.SUB,
    "mul": Pointwise.MUL,
    "div": Pointwise.DIV,
    "max": Pointwise.MAX,
    "min": Pointwise.MIN,
}
ELEMENTS = {"f32": Element.F32, "bf16": Element.BF16}
NORMS = {1.0: Norm.MAGNITUDES, 2.0: Norm.SQUARES, math.inf: Norm.LARGEST}
Read = tuple[str, flat.FootprintRow]
"""A map by name, and how its changes spread."""
Link = tuple[Pointwise, list[int], tables.Code]


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
    return _Lowering(plan).run()


class _Lowering:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.by_name = plan.graph.by_name
        self.layout = make_layout(plan)
        self.description = Description(element=ELEMENTS[plan.precision])
        self.maps: dict[str, int] = {}
        self.changes: dict[tuple[str, Norm], int] = {}  # (map, how its change is measured) -> step
        self.output_gates: dict[str, int] = {}
        self.choices: dict[str, int] = {}
        self.footprints: dict[flat.FootprintRow, int] = {}
        self.handlers: dict[str, Callable[[Node], None]] = {
            "conv": self._conv,
            "conv_transpose": self._conv_transpose,
            "linear": self._linear,
            "concat": self._concat,
            "channels": self._channels,
            "resize": self._resize,
            "max_pool": self._pool,
            "avg_pool": self._pool,
            "adaptive_pool": self._adaptive_pool,
            "pad": self._pad,
            "gather": self._gather,
            "layer_norm": self._layer_norm,
            "softmax": lambda node: self._channelwise(node, flat.ChannelwiseRow(ChannelOperation.SOFTMAX, 0.0)),
            "attention": self._attention,
            "publish": self._publish,
            "global_mean": self._global_mean,
            "choice": self._choice,
            "select": self._select,
        }

    def run(self) -> Lowered:
        consumers = self.plan.graph.consumers()
        steps, segments = self.description.steps, list[int | Node]()
        for node in self.plan.graph:
            if node.name in self.layout.absorbed:
                continue
            fallback = node.name in self.layout.fallback
            if fallback:
                self._end_segment(segments)
                segments.append(node)
                if all(reader.name in self.layout.fallback for reader in consumers[node.name]):
                    continue
            self._allocate(node)
            if fallback:
                self._step(StepKind.FALLBACK, node, [])
            elif node.op == "input":
                self._step(StepKind.INPUT, node, [], self.description.inputs)
                self.description.inputs += 1
            elif node.name in self.layout.chains:
                self._chain(node)
            else:
                self._measure_change(node)
                self.handlers[node.op](node)
                self._gate_outputs(node)
        self._end_segment(segments)
        self.description.kept += [flat.KeptRow(number) for number in self._kept()]
        assert not self.description.segments or self.description.segments[-1].last == len(steps)
        changes = {name: step for (name, _), step in self.changes.items()}
        return Lowered(self.description, self.layout, self.maps, tuple(segments), changes, self.output_gates, self.choices)

    def _end_segment(self, segments: list[int | Node]) -> None:
        """What has been added since the last segment is run in one call."""
        done, last = self.description.segments, len(self.description.steps)
        first = done[-1].last if done else 0
        if last > first:
            segments.append(append(done, flat.SegmentRow(first, last)))

    def _kept(self) -> list[int]:
        """The maps that are read or written from outside: the network's outputs, and what PyTorch works on between two segments."""
        fallback = [node for node in self.plan.graph if node.name in self.layout.fallback]
        names = self.plan.graph.output_names.union(*((node.name, *node.inputs) for node in fallback))
        return [self.maps[name] for name in sorted(names) if name in self.maps]

    def _step(
        self, kind: StepKind, node: Node, reads: Sequence[Read], details: int = flat.NOWHERE, activation: tables.Code = tables.NONE
    ) -> int:
        rows = [flat.ReadRow(self.maps[name], self._footprint(row)) for name, row in reads]
        first = extend(self.description.reads, rows)
        row = flat.StepRow(kind, self.maps[node.name], first, len(rows), details, *activation)
        if node.guard is not None and kind != StepKind.VIEW:  # a view follows what it is one of
            row = replace(row, guard=self.choices[node.guard[0]], guard_number=node.guard[1])
        return append(self.description.steps, row)

    def _footprint(self, row: flat.FootprintRow) -> int:
        if row not in self.footprints:
            self.footprints[row] = append(self.description.footprints, row)
        return self.footprints[row]

    # -- gates

    def _measure_change(self, node: Node) -> None:
        """Have the change of the map measured that an output gate looks at."""
        key = self._change_of(node)
        if key is not None and key not in self.changes:
            row = flat.StepRow(StepKind.CHANGE, self.maps[key[0]], details=key[1])
            self.changes[key] = append(self.description.steps, row)

    def _change_of(self, node: Node) -> tuple[str, Norm] | None:
        gate = self._output_gate(node)
        return None if gate is None else (node.inputs[0], NORMS[gate.norm.p])

    def _output_gate(self, node: Node) -> OutputNormGate | None:
        gate = self.plan.output_gates.get(node.name)
        if gate is not None and not isinstance(gate, OutputNormGate):
            raise BackendError(f"the back end cpu has no kernels for a {type(gate).__name__}", "use the back end reference")
        return gate

    def _gate_outputs(self, node: Node) -> None:
        key, gate = self._change_of(node), self._output_gate(node)
        if key is None or gate is None:
            return
        step = len(self.description.steps) - 1
        biased = node.activation is None and "bias" in node.consts
        bias = self.description.numbers.add(tables.bias_of(node, node.channels)) if biased else flat.NOWHERE
        row = flat.OutputGateRow(step, self.changes[key], gate.limit(1.0), *_scale(gate.scale), gate.block, bias)
        self.description.output_gates.append(row)
        self.output_gates[node.name] = step

    def _gate(self, node: Node, number: int) -> None:
        gate, description = self.plan.gates.get(node.name), self.description
        if gate is None:
            if node.op == "input":
                # Without a gate its readers still see only what differs: a gate of threshold 0.
                description.gates.append(flat.GateRow(number, 1))
        elif isinstance(gate, LearnedGate):
            weights = description.numbers.add(tables.array(gate.weight))
            row = append(description.learned_gates, flat.LearnedGateRow(weights, gate.bias, gate.magnitude))
            description.gates.append(flat.GateRow(number, gate.block, row))
        elif isinstance(gate, NormGate):
            smoothed = isinstance(gate, SmoothNormGate)
            description.gates.append(flat.GateRow(number, gate.block, flat.NOWHERE, gate.threshold, *_scale(gate.scale), smoothed))
        else:
            raise BackendError(f"the back end cpu has no kernels for a {type(gate).__name__}", "use the back end reference")

    # -- maps

    def _allocate(self, node: Node) -> int:
        """The number of a node's map, made when it is first needed: a part may come before the map that it lives in."""
        if node.name in self.maps:
            return self.maps[node.name]
        height, width = node.size
        if max(height, width) > LARGEST_EXTENT:
            raise BackendError(
                f"the map {node.name} has {height} x {width} pixels, and the back end cpu counts to {LARGEST_EXTENT}",
                "choose a smaller input, or --backend reference",
            )
        part = self.layout.parts.get(node.name)
        inside, offset = (flat.NOWHERE, 0) if part is None else (self._allocate(self.by_name[part.of]), part.offset)
        number = append(self.description.maps, flat.MapRow(height, width, node.channels, inside, offset))
        self.maps[node.name] = number
        if node.name not in self.layout.fallback:
            self._gate(node, number)
        return number

    # -- steps

    def _same(self, node: Node) -> list[Read]:
        return [(name, flat.SAME) for name in node.inputs]

    def _conv(self, node: Node) -> None:
        weight, attrs = node.consts["weight"], node.attrs
        window = tables.window_of(node, (weight.shape[2], weight.shape[3]))
        taps, weights = tables.convolution_taps(node)
        if is_depthwise(node, self.by_name[node.inputs[0]]):
            numbers = self.description.numbers
            row = flat.DepthwiseRow(numbers.add(weights[:, 0]), numbers.add(tables.bias_of(node, node.channels)))
            details = append(self.description.depthwise, row)
            self._step(StepKind.DEPTHWISE, node, [(node.inputs[0], window)], details, tables.activation_code(node.activation))
        else:
            self._convolution(node, window, attrs["stride"], (1, 1), attrs["groups"], [(taps, weights)])

    def _conv_transpose(self, node: Node) -> None:
        footprint = tables.transposed_footprint(node, self.by_name[node.inputs[0]], self.description)
        phases = tables.transposed_phases(node, node.channels)
        self._convolution(node, footprint, (1, 1), node.attrs["stride"], node.attrs["groups"], phases)

    def _linear(self, node: Node) -> None:
        weights = tables.array(node.consts["weight"].T.unsqueeze(0))
        self._convolution(node, flat.ANY, (1, 1), (1, 1), 1, [(np.zeros((1, 2), np.int32), weights)])

    def _convolution(
        self,
        node: Node,
        footprint: flat.FootprintRow,
        stride: tuple[int, int],
        period: tuple[int, int],
        groups: int,
        phases: Sequence[tuple[tables.Ints, tables.Floats]],
    ) -> None:
        description = self.description
        rows = [flat.PhaseRow(len(taps), description.integers.add(taps), description.numbers.add(weights)) for taps, weights in phases]
        bias = description.numbers.add(tables.bias_of(node, node.channels))
        row = flat.ConvolutionRow(*stride, *period, groups, extend(description.phases, rows), len(rows), bias)
        details = append(description.convolutions, row)
        self._step(StepKind.CONVOLUTION, node, [(node.inputs[0], footprint)], details, tables.activation_code(node.activation))

    def _chain(self, last: Node) -> None:
        chain = self.layout.chains[last.name]
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
                operands.append(self._map_operand(self.by_name[name], len(reads)))
                reads.append((self._origin(name).name, self._footprint_of(name, last)))
            return outside[name]

        for node in chain:
            numbers = [operand(name) for name in node.inputs]
            operation = OPERATIONS.get(node.op, Pointwise.COPY)
            if node.op == "affine":
                shifted = bool(node.consts["shift"].any())
                operation = Pointwise.MULTIPLY_ADD if shifted else Pointwise.MUL
                for key in ("scale", "shift") if shifted else ("scale",):
                    numbers.append(append(operands, self._constant_operand(node.consts[key], node)))
            links.append((operation, numbers, tables.activation_code(node.activation)))
        rows = []
        for operation, numbers, activation in _fused(links):
            final = [number if number >= 0 else len(operands) - 1 - number for number in numbers]
            final += [final[0]] * (3 - len(final))
            rows.append(flat.OperationRow(operation, final[0], final[1], final[2], *activation))
        description = self.description
        row = flat.PointwiseRow(extend(description.operands, operands), len(operands), extend(description.operations, rows), len(rows))
        self._step(StepKind.POINTWISE, last, reads, append(description.pointwise, row))

    def _origin(self, name: str) -> Node:
        """The node whose map a chain reads for a value."""
        resized = self.layout.enlarged.get(name)
        return self.by_name[name if resized is None else resized.inputs[0]]

    def _footprint_of(self, name: str, target: Node) -> flat.FootprintRow:
        if name in self.layout.enlarged:
            return tables.resize_footprint(self.by_name[name], self._origin(name), self.description)
        return flat.SAME if target.is_map else flat.ANY

    def _map_operand(self, source: Node, read: int) -> flat.OperandRow:
        origin = self._origin(source.name)
        if origin is source:
            return flat.OperandRow(read)
        rows, columns = (self.description.integers.add(tables.resize_axis(source, origin, axis)[0]) for axis in range(2))
        return flat.OperandRow(read, rows=rows, columns=columns)

    def _constant_operand(self, constant: Tensor, node: Node) -> flat.OperandRow:
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
        return flat.OperandRow(values=self.description.numbers.add(values), pixels=pixels, channels=channels)

    def _move(
        self, node: Node, reads: Sequence[Read], parts: Sequence[flat.PartRow], origin: tuple[int, int] = (0, 0), outside: float = 0.0
    ) -> None:
        row = flat.MoveRow(extend(self.description.parts, parts), len(parts), *origin, outside)
        self._step(StepKind.MOVE, node, reads, append(self.description.moves, row))

    def _concat(self, node: Node) -> None:
        parts, offset = [], 0
        for read, name in enumerate(node.inputs):
            part, channels = self.layout.parts.get(name), self.by_name[name].channels
            if part is None or part.of != node.name:
                parts.append(flat.PartRow(read, offset, channels, 0))
            offset += channels
        if parts:
            self._move(node, self._same(node), parts)
        else:
            self._step(StepKind.VIEW, node, self._same(node))

    def _channels(self, node: Node) -> None:
        if node.name in self.layout.parts and self.layout.parts[node.name].of == node.inputs[0]:
            self._step(StepKind.VIEW, node, self._same(node))
        else:
            first = self.description.integers.add(node.attrs["index"])
            self._move(node, self._same(node), [flat.PartRow(0, 0, node.channels, first, True)])

    def _resize(self, node: Node) -> None:
        source, numbers, integers = self.by_name[node.inputs[0]], self.description.numbers, self.description.integers
        bilinear = node.attrs["mode"] == "bilinear"
        (low_rows, high_rows, *row_weights), (low_columns, high_columns, *column_weights) = (
            tables.resize_axis(node, source, axis) for axis in range(2)
        )
        index = [integers.add(table) for table in (low_rows, high_rows, low_columns, high_columns)]
        weights = [numbers.add(table) for table in (*row_weights, *column_weights)]
        row = flat.ResizeRow(bilinear, index[0], index[1], index[2], index[3], weights[0], weights[1], weights[2], weights[3])
        footprint = tables.resize_footprint(node, source, self.description)
        self._step(StepKind.RESIZE, node, [(source.name, footprint)], append(self.description.resizes, row))

    def _pool(self, node: Node) -> None:
        window = tables.window_of(node, node.attrs["kernel"])
        row = flat.PoolRow(node.op == "max_pool", bool(node.attrs.get("count_include_pad", False)))
        self._step(StepKind.POOL, node, [(node.inputs[0], window)], append(self.description.pools, row))

    def _adaptive_pool(self, node: Node) -> None:
        source = self.by_name[node.inputs[0]]
        footprint = tables.adaptive_footprint(node, source, self.description)
        details = append(self.description.pools, flat.PoolRow(bool(node.attrs["maximum"]), False))
        self._step(StepKind.POOL, node, [(source.name, footprint)], details)

    def _global_mean(self, node: Node) -> None:
        self._step(StepKind.GLOBAL_MEAN, node, [(node.inputs[0], flat.ANY)])

    def _gather(self, node: Node) -> None:
        source, integers = node.attrs["source"], self.description.integers
        reads: list[Read] = []
        for number, name in enumerate(node.inputs):
            pixels = torch.where(source == number, node.attrs["pixel"], -1)
            reads.append((name, flat.FootprintRow(FootprintKind.PIXELS, rows=integers.add(pixels.numpy()))))
        row = flat.GatherRow(integers.add(source.numpy()), integers.add(node.attrs["channel"].numpy()))
        self._step(StepKind.GATHER, node, reads, append(self.description.gathers, row))

    def _layer_norm(self, node: Node) -> None:
        weights, bias = (
            self.description.numbers.add(tables.array(node.consts[key])) if key in node.consts else flat.NOWHERE
            for key in ("weight", "bias")
        )
        self._channelwise(node, flat.ChannelwiseRow(ChannelOperation.NORMALISE, node.attrs["epsilon"], weights, bias))

    def _channelwise(self, node: Node, row: flat.ChannelwiseRow) -> None:
        self._step(StepKind.CHANNELWISE, node, self._same(node), append(self.description.channelwise, row))

    def _attention(self, node: Node) -> None:
        attrs, integers, bias = node.attrs, self.description.integers, node.consts.get("bias")
        everything = [tables.group_footprint(node, self.by_name[name], self.description) for name in node.inputs[1:]]
        channels = (integers.add(attrs[key]) for key in ("queries", "keys", "values"))
        row = flat.AttentionRow(attrs["groups"], attrs["heads"], attrs["key_size"], attrs["value_size"], attrs["scale"], *channels)
        if bias is not None:
            places = (self.description.numbers.add(tables.array(bias)), len(bias), integers.add(attrs["bias_blocks"]))
            row = replace(row, bias=places[0], blocks=places[1], bias_blocks=places[2])
        reads = list(zip(node.inputs, (flat.SAME, *everything), strict=True))
        self._step(StepKind.ATTENTION, node, reads, append(self.description.attentions, row))

    def _publish(self, node: Node) -> None:
        self._move(node, self._same(node), [flat.PartRow(0, 0, node.channels, 0)])

    def _choice(self, node: Node) -> None:
        attrs, numbers = node.attrs, self.description.numbers
        places = (numbers.add(tables.array(node.consts[key])) for key in ("inner", "inner_bias", "outer", "outer_bias"))
        settings = (attrs["ratios"], attrs["reuse"], attrs["hysteresis"], attrs["least_stay"], attrs["longest_reuse"])
        row = flat.ChoiceRow(*settings, len(node.consts["inner"]), *places)
        reads = [(name, flat.ANY) for name in node.inputs]
        self.choices[node.name] = self._step(StepKind.CHOICE, node, reads, append(self.description.choices, row))

    def _select(self, node: Node) -> None:
        variants = []
        for places in node.attrs["parts"]:
            parts, channel = [], 0
            for read in places:
                count = self.by_name[node.inputs[read]].channels
                parts.append(flat.PartRow(read, channel, count, 0))
                channel += count
            variants.append(flat.VariantRow(extend(self.description.parts, parts), len(parts)))
        scale, shift = (
            self.description.numbers.add(tables.array(node.consts[key])) if key in node.consts else flat.NOWHERE
            for key in ("scale", "shift")
        )
        row = flat.SelectRow(extend(self.description.variants, variants), len(variants), scale, shift)
        self._step(StepKind.SELECT, node, self._same(node), append(self.description.selects, row))

    def _pad(self, node: Node) -> None:
        top, _, left, _ = node.attrs["pads"]
        # A pixel's shift is a window of one tap.
        window = flat.FootprintRow(FootprintKind.WINDOW, origin_y=-top, origin_x=-left)
        self._move(node, [(node.inputs[0], window)], [flat.PartRow(0, 0, node.channels, 0)], (-top, -left), node.attrs["value"])


def _scale(scale: float | None) -> tuple[bool, float]:
    """Whether a gate's scale is measured, and the one that is stored: 0, which lets every change through, where that is no number."""
    return (True, 0.0) if scale is None else (False, scale if math.isfinite(scale) else 0.0)


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
