"""PyTorch's share of a program: nodes without a native kernel, run between native segments, and what of them is remembered.

Nothing is copied or run where no input changed, and point-wise operations run on the changed pixels alone. A value is remembered only where
a later frame may need it: where a native step, a gate or a caller reads it, and where it may stay while another input of one of its readers
changes. All others live from their making to their last reader: in a transformer, nearly all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.footprint import SPARSE_OPS, footprint
from skipvid.skip.ir.graph import Node
from skipvid.skip.ir.positions import MOVING
from skipvid.skip.plan import Plan
from skipvid.skip.reference.executor import Masks, ReferenceState, advance, start
from skipvid.skip.reference.operations import evaluate, evaluate_anyhow
from skipvid.skip.reference.pointwise import on_rows

_SOME, _NONE = torch.ones(1, 1, 1, 1, dtype=torch.bool, device="cpu"), torch.zeros(1, 1, 1, 1, dtype=torch.bool, device="cpu")


class NativeMaps(Protocol):
    """What is read and written of the native maps of one stream, by the names of their nodes."""

    def values(self, name: str) -> Tensor:
        """A copy of the map, (1, C, H, W) or of its shape in the network."""

    def rows(self, name: str) -> Tensor:
        """The map, (H, W, C) float32, in its own memory where that is of floats."""

    def take(self, name: str, rows: Tensor, limit: float) -> bool:
        """Write those rows, (H · W, C) float32, whose sum of |change| exceeds the limit. Returns whether any does."""

    def picked(self, name: str, pixels: NDArray[np.int32]) -> Tensor:
        """The rows of some pixels, counted row by row: (pixels, C) float32."""

    def take_some(self, name: str, pixels: NDArray[np.int32], rows: Tensor, limit: float) -> bool:
        """As `take`, rows for some pixels alone; the others have not changed."""

    def any_changed(self, name: str) -> bool:
        """Whether any pixel may differ from the frame before, as readers see it."""

    def changed(self, name: str) -> NDArray[np.bool_]:
        """Which may, (H, W)."""

    def write(self, name: str, value: Tensor, changed: NDArray[np.bool_]) -> None:
        """Write a map that PyTorch has computed. changed: (H, W)."""

    def write_unchanged(self, name: str) -> None:
        """Say that such a map has not changed."""


class FallbackState(ReferenceState):
    """written: maps that the native side has been told a change of, and not yet that there is none any more."""

    def __init__(self) -> None:
        super().__init__()
        self.written: set[str] = set()


class FallbackNodes:
    """Runs the fallback nodes of a plan. names: of those nodes. mapped: of them, those that native steps read."""

    def __init__(self, plan: Plan, names: Collection[str], mapped: Collection[str]) -> None:
        self.plan, self.names, self._mapped = plan, names, mapped
        self._by_name = plan.graph.by_name
        own = [node for node in plan.graph if node.name in names]
        self._compared = {node.name for node in own if node.op == "input" or node.name in (plan.gates.keys() | plan.graph.output_names)}
        self._compared.update(mapped)
        consumers = plan.graph.consumers()
        self._taken = {node.name for node in own if self._is_taken(node, consumers[node.name])}
        self.remembered = (self._compared | self._staying(own)) - self._taken
        self._moves = {node.name for node in own if node.op == "aten" and node.attrs["target"] in MOVING} - self._compared
        self._lent = self._lendable(consumers)
        self._last_read = _last_read(own, self.remembered)
        self.everything = {name: _SOME.expand(1, 1, *self._by_name[name].size) for name in names}
        self.unchanged = Masks({name: self._none(name) for name in names}, {name: self._none(name) for name in names})

    def _staying(self, own: list[Node]) -> set[str]:
        """Values that may stay while one of their readers is run again: it depends on more than they do."""
        sources: dict[str, frozenset[str]] = {}
        for node in own:
            read = [frozenset((name,)) if self._cuts(name) else sources[name] for name in node.inputs]
            sources[node.name] = frozenset().union(*read)
        return {name for node in own for name in node.inputs if not self._cuts(name) and sources[name] != sources[node.name]}

    def _is_taken(self, node: Node, readers: list[Node]) -> bool:
        """Whether the native side compares a value with what it holds of it, so that nothing need be remembered here."""
        gate = self.plan.gates.get(node.name)
        plain = gate is None or (type(gate) is NormGate and gate.block == 1)
        inside = node.name in self.plan.graph.output_names or any(reader.name in self.names for reader in readers)
        return node.op in {"token_map", "pointwise"} and node.is_map and plain and not inside

    def _lendable(self, consumers: Mapping[str, list[Node]]) -> set[str]:
        """Nodes that read a native map in its place: nothing that may share its memory is remembered."""

        def passes(node: Node) -> bool:
            if node.name in self.remembered:
                return False
            return all(passes(reader) for reader in consumers[node.name] if reader.name in self.names and _may_share(reader))

        return {name for name in self.names if self._by_name[name].op == "tokens" and passes(self._by_name[name])}

    @property
    def remembered_bytes(self) -> int:
        """What is remembered of one stream."""
        nodes = [self._by_name[name] for name in self.remembered]
        return sum(math.prod(node.shape) * node.dtype.itemsize for node in nodes)

    def _cuts(self, name: str) -> bool:
        """Whether changes of a value are found out pixel by pixel, so that its readers depend on it and not on what it is made of."""
        return name not in self.names or name in self._compared

    def _none(self, name: str) -> Tensor:
        return _NONE.expand(1, 1, *self._by_name[name].size)

    @torch.no_grad()
    def run(self, node: Node, given: Tensor | None, state: FallbackState, native: NativeMaps, keyframe: bool, masks: Masks) -> None:
        """Bring one node up to date. given: the new value of an input. masks: those of its fallback inputs are read, its own are added."""
        changed = [self._changed(name, node, native, masks) for name in node.inputs]
        if given is None and not (keyframe or any(changed)):
            masks.computed[node.name] = masks.changed[node.name] = self.unchanged.changed[node.name]
        else:
            if node.name in self._taken and node.op == "pointwise" and not keyframe:
                self._take_pixels(node, state, native, masks)
                return
            if not self._reads_rows(node):
                for name in node.inputs:
                    self._value(name, state, native)
            if node.name in self._taken and not keyframe:
                self._take(node, state, native, masks)
                return
            if node.name in self._compared:
                if self._reads_rows(node):
                    self._value(node.inputs[0], state, native)
                run_node = start if keyframe else advance
                run_node(self.plan, node, given, state, masks)  # layers with an output gate are never fallback
            else:
                state.values[node.name] = self._evaluated(node, state.values, native)
                masks.computed[node.name] = masks.changed[node.name] = _SOME.expand(1, 1, *node.size)
        if node.name in self._mapped:
            self._hand_over(node.name, state, native, masks.changed[node.name])
        for name in self._last_read.get(node.name, ()):
            state.values.pop(name, None)

    def _take(self, node: Node, state: FallbackState, native: NativeMaps, masks: Masks) -> None:
        """Have the native side compare a map of tokens with what it holds."""
        rows = self._evaluated(node, state.values, native).permute(0, 2, 3, 1).reshape(-1, node.channels).contiguous()
        some = native.take(node.name, rows, self._limit(node, state, 0.0))
        self._taken_over(node, some, _SOME.expand(1, 1, *node.size), state, masks)

    def _take_pixels(self, node: Node, state: FallbackState, native: NativeMaps, masks: Masks) -> None:
        """Compute a point-wise operation on changed pixels alone, and have the native side compare them with what it holds."""
        region = footprint(node, [masks.changed[name] for name in node.inputs])
        pixels = region[0, 0].flatten().nonzero()[:, 0].numpy().astype(np.int32)
        rows = [self._rows(name, pixels, state, native) for name in node.inputs]
        # Without a gate each computed pixel counts as changed, whatever it was before.
        some = native.take_some(node.name, pixels, on_rows(node, rows), self._limit(node, state, -1.0))
        self._taken_over(node, some, region, state, masks)

    def _rows(self, name: str, pixels: NDArray[np.int32], state: FallbackState, native: NativeMaps) -> Tensor:
        """What some pixels of a map read: their rows of another one, or the only one."""
        own = pixels if self._by_name[name].size != (1, 1) else np.zeros(1, np.int32)
        if name not in self.names:
            return native.picked(name, own)
        return self._value(name, state, native)[0].flatten(1).T[torch.from_numpy(own).long()]

    def _limit(self, node: Node, state: FallbackState, ungated: float) -> float:
        """The sum of |change| above which a pixel is published."""
        gate = self.plan.gates.get(node.name)
        return ungated if gate is None else gate.limit(state.scales[node.name]) * node.channels

    def _taken_over(self, node: Node, some: bool, computed: Tensor, state: FallbackState, masks: Masks) -> None:
        (state.written.add if some else state.written.discard)(node.name)
        masks.computed[node.name] = computed
        masks.changed[node.name] = computed if some else self.unchanged.changed[node.name]
        for name in self._last_read.get(node.name, ()):
            state.values.pop(name, None)

    def _reads_rows(self, node: Node) -> bool:
        return node.op == "tokens" and node.inputs[0] not in self.names

    def _evaluated(self, node: Node, values: Mapping[str, Tensor], native: NativeMaps) -> Tensor:
        """A node's value as it is stored. What only moves numbers is not copied, so that in every frame it lies in the same order."""
        if self._reads_rows(node):
            rows, order = native.rows(node.inputs[0]).flatten(0, 1), node.attrs["order"]
            if order is None and node.name not in self._lent:
                rows = rows.clone()
            return self.plan.stored(node, (rows if order is None else rows[order]).reshape(node.shape))
        return self.plan.stored(node, (evaluate_anyhow if node.name in self._moves else evaluate)(node, values))

    def _changed(self, name: str, reader: Node, native: NativeMaps, masks: Masks) -> bool:
        """Whether an input changed; which pixels of it did is looked up only where the reader's own mask follows from that."""
        if name not in self.names:
            some = native.any_changed(name)
            if some and reader.op in SPARSE_OPS:
                mask = native.changed(name)
                masks.changed[name] = torch.from_numpy(mask).view(1, 1, *mask.shape)
            else:
                masks.changed[name] = (_SOME if some else _NONE).expand(1, 1, *self._by_name[name].size)
            return some
        return bool(masks.changed[name].any())

    def _value(self, name: str, state: FallbackState, native: NativeMaps) -> Tensor:
        """A value that a node reads, made again where it was not worth remembering."""
        if name not in state.values:
            node = self._by_name[name]
            if name not in self.names:
                state.values[name] = native.values(name)
            else:
                sources = {} if self._reads_rows(node) else {source: self._value(source, state, native) for source in node.inputs}
                state.values[name] = self._evaluated(node, sources, native)
        return state.values[name]

    def _hand_over(self, name: str, state: FallbackState, native: NativeMaps, changed: Tensor) -> None:
        if bool(changed.any()):
            native.write(name, state.values[name], np.ascontiguousarray(changed[0, 0].numpy()))
            state.written.add(name)
        elif name in state.written:
            native.write_unchanged(name)
            state.written.remove(name)

    def forget_passing(self, state: FallbackState) -> None:
        """Drop what the last frame has left behind, having failed half-way."""
        for name in state.values.keys() - self.remembered:
            del state.values[name]

    @torch.no_grad()
    def run_dense(self, node: Node, values: dict[str, Tensor], native: NativeMaps) -> None:
        """Compute one node without memory. values: what PyTorch has computed so far, or been given; what nobody reads any more goes."""
        if not self._reads_rows(node):
            for name in node.inputs:
                if name not in values:
                    values[name] = native.values(name)
        if node.op == "input":
            values[node.name] = self.plan.stored(node, values[node.name])
        else:
            values[node.name] = self._evaluated(node, values, native)
        if node.name in self._mapped:
            native.write(node.name, values[node.name], np.ones(node.size, np.bool_))
        for name in self._last_read.get(node.name, ()):
            values.pop(name, None)


def _may_share(node: Node) -> bool:
    """Whether an operation's result may lie in the memory of what it reads."""
    if node.op != "aten":
        return node.op in {"tokens", "token_map"}
    schema = getattr(node.attrs["target"], "_schema", None)
    return schema is None or any(result.alias_info is not None for result in schema.returns)


def _last_read(own: list[Node], remembered: Collection[str]) -> Mapping[str, list[str]]:
    """By node, the values that it is the last fallback node to read, and that nobody remembers; its own where no such node reads it."""
    last = {node.name: node.name for node in own}
    last.update({name: node.name for node in own for name in node.inputs})
    found: dict[str, list[str]] = {}
    for name, reader in last.items():
        if name not in remembered:
            found.setdefault(reader, []).append(name)
    return found
