"""The flat description of a native program: typed tables of numbers, and their bytes. It needs neither torch nor a network.

C++ defines the format (csrc/description.hpp says what each field means): the fields of the rows, their order and all codes are read from
the extension. Numbers that refer to a row of another table, or to a place among the constants, are -1 where there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.cpu._native import MAGIC, TABLES, VERSION, ActivationKind, ChannelOperation, Element, FootprintKind, Pointwise, StepKind

NAME_BYTES = 24
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class ProgramRow:
    values: int
    inputs: int
    element: Element


@dataclass(frozen=True, slots=True)
class MapRow:
    height: int
    width: int
    channels: int
    inside: int = NOWHERE
    offset: int = 0


@dataclass(frozen=True, slots=True)
class LearnedGateRow:
    weights: int
    bias: float
    magnitude: bool


@dataclass(frozen=True, slots=True)
class GateRow:
    map: int
    block: int
    learned: int = NOWHERE
    threshold: float = 0.0
    measured: bool = False
    scale: float = 1.0
    smoothed: bool = False


@dataclass(frozen=True, slots=True)
class OutputGateRow:
    step: int
    change: int
    limit: float
    measured: bool
    scale: float
    block: int
    bias: int = NOWHERE


@dataclass(frozen=True, slots=True)
class FootprintRow:
    kind: FootprintKind
    kernel_y: int = 1
    kernel_x: int = 1
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    origin_y: int = 0
    origin_x: int = 0
    row_taps: int = 0
    rows: int = NOWHERE
    column_taps: int = 0
    columns: int = NOWHERE


SAME = FootprintRow(FootprintKind.SAME)
ANY = FootprintRow(FootprintKind.ANY)


@dataclass(frozen=True, slots=True)
class ReadRow:
    map: int
    footprint: int


@dataclass(frozen=True, slots=True)
class StepRow:
    kind: StepKind
    map: int
    first_read: int = 0
    reads: int = 0
    details: int = NOWHERE
    activation: ActivationKind = ActivationKind.NONE
    a: float = 0.0
    b: float = 0.0
    guard: int = NOWHERE
    guard_number: int = 0


@dataclass(frozen=True, slots=True)
class ConvolutionRow:
    stride_y: int
    stride_x: int
    period_y: int
    period_x: int
    groups: int
    first_phase: int
    phases: int
    bias: int


@dataclass(frozen=True, slots=True)
class PhaseRow:
    taps: int
    offsets: int
    weights: int


@dataclass(frozen=True, slots=True)
class DepthwiseRow:
    weights: int
    bias: int


@dataclass(frozen=True, slots=True)
class PoolRow:
    maximum: bool
    count_padding: bool


@dataclass(frozen=True, slots=True)
class PointwiseRow:
    first_operand: int
    operands: int
    first_operation: int
    operations: int


@dataclass(frozen=True, slots=True)
class OperandRow:
    read: int = NOWHERE
    values: int = NOWHERE
    pixels: int = 0
    channels: int = 0
    rows: int = NOWHERE
    columns: int = NOWHERE


@dataclass(frozen=True, slots=True)
class OperationRow:
    operation: Pointwise
    first: int
    second: int
    third: int
    activation: ActivationKind
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class ResizeRow:
    bilinear: bool
    low_rows: int
    high_rows: int
    low_columns: int
    high_columns: int
    low_row_weights: int
    high_row_weights: int
    low_column_weights: int
    high_column_weights: int


@dataclass(frozen=True, slots=True)
class MoveRow:
    first_part: int
    parts: int
    origin_y: int = 0
    origin_x: int = 0
    outside: float = 0.0


@dataclass(frozen=True, slots=True)
class PartRow:
    read: int
    target: int
    count: int
    first: int
    listed: bool = False


@dataclass(frozen=True, slots=True)
class GatherRow:
    reads: int
    channels: int


@dataclass(frozen=True, slots=True)
class ChannelwiseRow:
    operation: ChannelOperation
    epsilon: float
    weights: int = NOWHERE
    bias: int = NOWHERE


@dataclass(frozen=True, slots=True)
class AttentionRow:
    groups: int
    heads: int
    key_size: int
    value_size: int
    scale: float
    query_channels: int
    key_channels: int
    value_channels: int
    bias: int = NOWHERE
    blocks: int = 0
    bias_blocks: int = NOWHERE


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    ratios: int
    reuse: bool
    hysteresis: float
    least_stay: int
    longest_reuse: int
    hidden: int
    inner: int
    inner_bias: int
    outer: int
    outer_bias: int


@dataclass(frozen=True, slots=True)
class SelectRow:
    first_variant: int
    variants: int
    scale: int = NOWHERE
    shift: int = NOWHERE


@dataclass(frozen=True, slots=True)
class VariantRow:
    first_part: int
    parts: int


@dataclass(frozen=True, slots=True)
class SegmentRow:
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class KeptRow:
    map: int


class Constants:
    """Numbers of one type, one behind the other; what is equal is kept once: heads that are shared have one set of weights."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: list[NDArray[Any]] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def add(self, values: NDArray[Any] | Sequence[int]) -> int:
        """The place of these numbers."""
        flat = np.ascontiguousarray(values, self.dtype).reshape(-1)
        key = hashlib.blake2b(flat.data, digest_size=16).digest()
        if key not in self._places:
            self._places[key] = self._size
            self._arrays.append(flat)
            self._size += flat.size
        return self._places[key]

    def values(self) -> NDArray[Any]:
        return np.concatenate([np.zeros(0, self.dtype), *self._arrays])


@dataclass(slots=True)
class Description:
    """What is handed to C++. The tables are appended to; a row's number is its place in its table."""

    inputs: int = 0
    element: Element = Element.F32
    maps: list[MapRow] = field(default_factory=list)
    learned_gates: list[LearnedGateRow] = field(default_factory=list)
    gates: list[GateRow] = field(default_factory=list)
    output_gates: list[OutputGateRow] = field(default_factory=list)
    footprints: list[FootprintRow] = field(default_factory=list)
    reads: list[ReadRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    convolutions: list[ConvolutionRow] = field(default_factory=list)
    phases: list[PhaseRow] = field(default_factory=list)
    depthwise: list[DepthwiseRow] = field(default_factory=list)
    pools: list[PoolRow] = field(default_factory=list)
    pointwise: list[PointwiseRow] = field(default_factory=list)
    operands: list[OperandRow] = field(default_factory=list)
    operations: list[OperationRow] = field(default_factory=list)
    resizes: list[ResizeRow] = field(default_factory=list)
    moves: list[MoveRow] = field(default_factory=list)
    parts: list[PartRow] = field(default_factory=list)
    gathers: list[GatherRow] = field(default_factory=list)
    channelwise: list[ChannelwiseRow] = field(default_factory=list)
    attentions: list[AttentionRow] = field(default_factory=list)
    choices: list[ChoiceRow] = field(default_factory=list)
    selects: list[SelectRow] = field(default_factory=list)
    variants: list[VariantRow] = field(default_factory=list)
    segments: list[SegmentRow] = field(default_factory=list)
    kept: list[KeptRow] = field(default_factory=list)
    integers: Constants = field(default_factory=lambda: Constants("<i4"))
    numbers: Constants = field(default_factory=lambda: Constants("<f4"))

    @property
    def program(self) -> list[ProgramRow]:
        """The table of one row that sums up the others."""
        return [ProgramRow(sum(m.height * m.width * m.channels for m in self.maps if m.inside == NOWHERE), self.inputs, self.element)]

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
