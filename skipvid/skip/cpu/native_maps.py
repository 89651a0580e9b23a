"""The maps of a native stream as PyTorch sees them, which computes some of the nodes between native steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipvid.skip.cpu._native import State
from skipvid.skip.ir.graph import Node


class NativeMaps:
    """The native maps of one stream, by name, for the nodes that PyTorch computes."""

    def __init__(self, core: State, maps: Mapping[str, int], by_name: Mapping[str, Node]) -> None:
        self._core, self._maps, self._by_name = core, maps, by_name

    def values(self, name: str) -> Tensor:
        return _copy(_as_tensor(self._core.rows(self._maps[name]), self._by_name[name]))

    def rows(self, name: str) -> Tensor:
        return _floats(self._core.rows(self._maps[name]))

    def take(self, name: str, rows: Tensor, limit: float) -> bool:
        return bool(self._core.take(self._maps[name], rows.numpy(), limit))

    def picked(self, name: str, pixels: NDArray[np.int32]) -> Tensor:
        rows = self._core.rows(self._maps[name])
        return _floats(rows[pixels // rows.shape[1], pixels % rows.shape[1]])

    def take_some(self, name: str, pixels: NDArray[np.int32], rows: Tensor, limit: float) -> bool:
        return bool(self._core.take_some(self._maps[name], pixels, rows.numpy(), limit))

    def any_changed(self, name: str) -> bool:
        return bool(self._core.any_changed(self._maps[name]))

    def changed(self, name: str) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self._core.changed(self._maps[name])
        return mask

    def write(self, name: str, value: Tensor, changed: NDArray[np.bool_]) -> None:
        self._core.set_changed(self._maps[name], changed)
        _as_tensor(self._core.rows(self._maps[name]), self._by_name[name]).copy_(value)

    def write_unchanged(self, name: str) -> None:
        self._core.set_changed(self._maps[name], np.zeros(self._by_name[name].size, np.bool_))


def _floats(rows: NDArray[Any]) -> Tensor:
    """On the same memory, or a copy where they are half precision."""
    tensor = torch.from_numpy(rows)
    return tensor if rows.dtype == np.float32 else tensor.view(torch.bfloat16).float()


def _copy(view: Tensor) -> Tensor:
    """A native map for PyTorch. Never the view itself: what PyTorch makes of it, a reshape say, is kept while the map's memory changes."""
    return view.to(torch.float32, memory_format=torch.contiguous_format, copy=True)


def _as_tensor(rows: NDArray[Any], node: Node) -> Tensor:
    tensor = torch.from_numpy(rows)
    if rows.dtype != np.float32:
        tensor = tensor.view(torch.bfloat16)
    return tensor.permute(2, 0, 1).unsqueeze(0) if node.is_map else tensor.view(node.shape)
