"""A graph in the making: what the values of an exported network have become so far, and how nodes are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node as FxNode

from skipvid.skip.importers.element_types import FLOATS, first_of, in_float32, own_type
from skipvid.skip.ir.graph import MapArgument, Node

aten = torch.ops.aten

SHAPED_AS = aten.reshape_as.default
LAYOUT_FREE: dict[Any, Any] = {aten.view.default: aten.reshape.default, aten._unsafe_view.default: aten.reshape.default}
"""A view depends on strides, which our values, unlike torch's, do not promise (identities such as clone are dropped)."""


class Translation:
    """values: by FX node the name of a map of ours, or a constant. paths: by id of a parameter's tensor its path.

    nodes: by name, each behind those that it reads.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.paths: dict[int, str] = {}
        self.nodes: dict[str, Node] = {}

    def value(self, argument: Any) -> Any:
        """What an FX argument stands for: the name of a map (str), a constant, or a list of them."""
        if isinstance(argument, FxNode):
            return self.values[argument.name]
        if isinstance(argument, list | tuple):
            return [self.value(item) for item in argument]
        return argument

    def is_map(self, argument: Any) -> bool:
        return isinstance(argument, FxNode) and isinstance(self.values[argument.name], str)

    def is_native_map(self, fx: FxNode) -> bool:
        """Whether an operation works point by point on a map that a native step computes."""
        node = self.nodes[self.value(fx.args[0])]
        return node.is_map and node.op != "aten" and node.shape == tuple(fx.meta["val"].shape)

    def is_float(self, fx: FxNode) -> bool:
        """Whether all tensors that an operation reads and computes are float32 here, as our own operations expect."""
        read = [self.value(item) for item in fx.all_input_nodes]
        types = [self.nodes[value].dtype if isinstance(value, str) else own_type(value) for value in read]
        return all(dtype == torch.float32 for dtype in (*types, own_type(first_of(fx.meta["val"]))))

    def constant(self, argument: Any) -> Tensor | None:
        """The numbers of a constant tensor; None where it is none."""
        value = self.value(argument)
        return value.float() if isinstance(value, Tensor) else None

    def emit(self, fx: FxNode, op: str, inputs: Sequence[Any], **fields: Any) -> str:
        """Add the node that stands for an FX node. inputs: FX arguments. fields: of the node. Returns its name."""
        names = tuple(self.value(item) for item in inputs)
        value = first_of(fx.meta["val"])
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        return self.add(Node(fx.name, op, names, shape, **fields))

    def add(self, node: Node) -> str:
        """Returns its name."""
        self.nodes[node.name] = node
        return node.name

    def aten(self, fx: FxNode) -> str:
        """Any other operation, kept as it is. Maps among its arguments become inputs, constants are closed over."""
        inputs: list[str] = []
        if fx.target is SHAPED_AS and self.is_map(fx.args[0]):  # of the other tensor only the shape counts
            shape = tuple(fx.meta["val"].shape)
            attrs = {"target": aten.reshape.default, "args": (MapArgument(0), list(shape)), "kwargs": {}, "item": None}
            name = self.value(fx.args[0])
            return self.add(Node(fx.name, "aten", (name,), shape, attrs, dtype=self.nodes[name].dtype))

        def bind(item: FxNode) -> Any:
            value = self.values[item.name]
            if not isinstance(value, str):
                return value.float() if isinstance(value, Tensor) and value.dtype in FLOATS else value
            inputs.append(value)
            return MapArgument(len(inputs) - 1)

        args, kwargs = torch.fx.node.map_arg((fx.args, fx.kwargs), bind)
        attrs = {"target": LAYOUT_FREE.get(fx.target, fx.target), "args": in_float32(args), "kwargs": in_float32(kwargs), "item": None}
        value = fx.meta["val"]
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        return self.add(Node(fx.name, "aten", tuple(inputs), shape, attrs, dtype=own_type(first_of(value))))
