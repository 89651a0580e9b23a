"""The rows of a native program's tables: their fields are those that C++ names, and csrc/description.hpp says what each means.

Numbers that refer to a row of another table, or to a place among the constants, are -1 where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from skipvid.skip.cpu._native import ActivationKind, ChannelOperation, Element, FootprintKind, Pointwise, StepKind

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
