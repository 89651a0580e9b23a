"""One operation of an ONNX network with what it reads: tensors of the picture, and constants, which are NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skipvid.core.errors import BackendError
from skipvid.skip.importers.onnx_file import Array, Op

Value = Tensor | Array
"""What a name stands for: a tensor where it depends on the input, an array where it does not (weights, sizes, what follows from them)."""

FLOAT_KINDS = {"float16", "float32", "float64", "bfloat16"}


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An operation about to be computed. values: by position; None for an input that is left out.

    parameter: the network's own tensor for a constant, by its name; None where it keeps none.
    """

    op: Op
    values: Sequence[Value | None]
    parameter: Callable[[str], Tensor | None]

    def __len__(self) -> int:
        return len(self.values)

    def has(self, position: int) -> bool:
        return position < len(self.values) and self.values[position] is not None

    def tensor(self, position: int) -> Tensor:
        """An input as a tensor; floating-point constants are float32."""
        value = self.values[position]
        if isinstance(value, Tensor):
            return value
        if value is None:
            raise self.refused(f"input {position + 1} is missing", "export the network again")
        own = self.parameter(self.op.inputs[position])
        return own if own is not None else as_tensor(value)

    def tensors(self) -> list[Tensor]:
        return [self.tensor(position) for position in range(len(self.values))]

    def array(self, position: int, what: str) -> Array:
        """An input that must be known beforehand. what: it is, for the message."""
        value = self.values[position]
        if isinstance(value, Tensor) or value is None:
            raise self.refused(
                f"its {what} is computed from the picture", "only sizes that follow from the picture's size can be converted"
            )
        return value

    def ints(self, position: int, what: str) -> list[int]:
        return [int(item) for item in self.array(position, what).reshape(-1)]

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.op.attributes.get(name, default)

    def text(self, name: str, default: str) -> str:
        value = self.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def refused(self, why: str, hint: str) -> BackendError:
        return BackendError(f"{self.op.title}: {why}", hint)


Operation = Callable[[Call], Tensor | Sequence[Tensor]]
Table = Mapping[str, Operation]


def as_tensor(value: Array) -> Tensor:
    """A constant as a tensor of its own."""
    if value.dtype.name in FLOAT_KINDS:
        value = np.asarray(value, np.float32)
    return torch.from_numpy(np.array(value))
