"""Runs the operations that a graph keeps as torch has them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from skipvid.skip.ir.graph import MapArgument, Node


def call(node: Node, inputs: list[Tensor]) -> Any:
    """Run an `aten` node on the values of its inputs. Returns a tensor, or whatever the operation returns."""

    def bind(item: Any) -> Any:
        if isinstance(item, MapArgument):
            return inputs[item]
        if isinstance(item, list | tuple):
            return type(item)(bind(part) for part in item) if not hasattr(item, "_fields") else item
        return item

    result = node.attrs["target"](*(bind(item) for item in node.attrs["args"]), **{k: bind(v) for k, v in node.attrs["kwargs"].items()})
    return result if node.attrs["item"] is None else result[node.attrs["item"]]
