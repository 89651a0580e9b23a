"""The flat description of a native program: typed tables of numbers, and their bytes. It needs neither torch nor a network.

C++ defines the format (csrc/description.hpp says what each field means): the fields of the rows (`rows.py`), their order and all codes are
read from the extension.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.cpu import rows as flat
from skipvid.skip.cpu._native import MAGIC, TABLES, VERSION, Element

NAME_BYTES = 24


class Constants:
    """Numbers of one type, one behind the other; what is equal is kept once: heads that are shared have one set of weights."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: list[NDArray[Any]] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def add(self, values: NDArray[Any] | Sequence[int]) -> int:
        """The place of these numbers."""
        own = np.ascontiguousarray(values, self.dtype).reshape(-1)
        key = hashlib.blake2b(own.data, digest_size=16).digest()
        if key not in self._places:
            self._places[key] = self._size
            self._arrays.append(own)
            self._size += own.size
        return self._places[key]

    def values(self) -> NDArray[Any]:
        return np.concatenate([np.zeros(0, self.dtype), *self._arrays])


@dataclass(slots=True)
class Description:
    """What is handed to C++. The tables are appended to; a row's number is its place in its table."""

    inputs: int = 0
    element: Element = Element.F32
    maps: list[flat.MapRow] = field(default_factory=list)
    learned_gates: list[flat.LearnedGateRow] = field(default_factory=list)
    gates: list[flat.GateRow] = field(default_factory=list)
    output_gates: list[flat.OutputGateRow] = field(default_factory=list)
    footprints: list[flat.FootprintRow] = field(default_factory=list)
    reads: list[flat.ReadRow] = field(default_factory=list)
    steps: list[flat.StepRow] = field(default_factory=list)
    convolutions: list[flat.ConvolutionRow] = field(default_factory=list)
    phases: list[flat.PhaseRow] = field(default_factory=list)
    depthwise: list[flat.DepthwiseRow] = field(default_factory=list)
    pools: list[flat.PoolRow] = field(default_factory=list)
    pointwise: list[flat.PointwiseRow] = field(default_factory=list)
    operands: list[flat.OperandRow] = field(default_factory=list)
    operations: list[flat.OperationRow] = field(default_factory=list)
    resizes: list[flat.ResizeRow] = field(default_factory=list)
    moves: list[flat.MoveRow] = field(default_factory=list)
    parts: list[flat.PartRow] = field(default_factory=list)
    gathers: list[flat.GatherRow] = field(default_factory=list)
    channelwise: list[flat.ChannelwiseRow] = field(default_factory=list)
    attentions: list[flat.AttentionRow] = field(default_factory=list)
    choices: list[flat.ChoiceRow] = field(default_factory=list)
    selects: list[flat.SelectRow] = field(default_factory=list)
    variants: list[flat.VariantRow] = field(default_factory=list)
    segments: list[flat.SegmentRow] = field(default_factory=list)
    kept: list[flat.KeptRow] = field(default_factory=list)
    integers: Constants = field(default_factory=lambda: Constants("<i4"))
    numbers: Constants = field(default_factory=lambda: Constants("<f4"))

    @property
    def program(self) -> list[flat.ProgramRow]:
        """The table of one row that sums up the others."""
        values = sum(m.height * m.width * m.channels for m in self.maps if m.inside == flat.NOWHERE)
        return [flat.ProgramRow(values, self.inputs, self.element)]

    def to_bytes(self) -> bytes:
        """All tables, in the order and with the fields that C++ names."""
        chunks = [MAGIC, VERSION.to_bytes(8, "little")]
        for table, fields in TABLES.items():
            rows = [tuple(getattr(row, name) for name, _ in fields) for row in getattr(self, table)]
            chunks += _section(table, np.array(rows, np.dtype(list(fields))))
        for name, constants in (("integers", self.integers), ("numbers", self.numbers)):
            chunks += _section(name, constants.values())
        return b"".join(chunks)


def _section(name: str, rows: NDArray[Any]) -> list[bytes]:
    head = name.encode().ljust(NAME_BYTES, b"\0") + rows.itemsize.to_bytes(8, "little") + len(rows).to_bytes(8, "little")
    return [head, rows.tobytes(), bytes(-rows.nbytes % 8)]


def read_table(description: bytes, name: str) -> NDArray[Any]:
    """A table of a description that C++ has accepted, one row an element."""
    at = len(MAGIC) + 8
    while True:
        title = description[at : at + NAME_BYTES].rstrip(b"\0").decode()
        size, count = (int.from_bytes(description[at + NAME_BYTES + 8 * i : at + NAME_BYTES + 8 * (i + 1)], "little") for i in range(2))
        at += NAME_BYTES + 16
        if title == name:
            return np.frombuffer(description, np.dtype(list(TABLES[name])), count, at)
        at += size * count + -(size * count) % 8


def append(table: list[Any], row: Any) -> int:
    """Add a row to a table; returns its number."""
    table.append(row)
    return len(table) - 1


def extend(table: list[Any], rows: Sequence[Any]) -> int:
    """Add rows to a table; returns the number of the first."""
    table.extend(rows)
    return len(table) - len(rows)
