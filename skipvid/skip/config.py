"""How a network is gated: the settings of `convert`, checked where they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from skipvid.core.errors import UsageError
from skipvid.core.gate_kinds import KINDS
from skipvid.skip.gates.registry import kind_for

if TYPE_CHECKING:
    from skipvid.skip.gates.learned import LearnedGate

REFERENCES = ("accumulated", "previous")
BLOCKS = (1, 2, 4, 8, 16)
BACKENDS = ("cpu", "reference")
PRECISIONS = ("f32", "bf16")
NORMS: Mapping[str, float] = {"1": 1.0, "2": 2.0, "inf": math.inf}
"""The p of a norm by its name."""


class StoredSettings(Protocol):
    """What a file of settings says about gates: fields of SkipConfig by the same names. A preset is one."""

    @property
    def threshold(self) -> float: ...
    @property
    def gate(self) -> str: ...
    @property
    def block(self) -> int: ...
    @property
    def reference(self) -> str: ...
    @property
    def thresholds(self) -> Mapping[str, float]: ...
    @property
    def scales(self) -> Mapping[str, float]: ...
    @property
    def p(self) -> float: ...
    @property
    def input_threshold(self) -> float | None: ...
    @property
    def dense_above(self) -> float: ...
    @property
    def precision(self) -> str: ...


@dataclass(frozen=True, slots=True)
class SkipConfig:
    """How a network is gated.

    threshold: τ ≥ 0, in units of each map's mean |activation|; 0 computes whatever changed at all.
    gate: "norm" (a norm gate on every map that feeds a layer), "norm-smooth" (likewise, by the mean change around a pixel), "norm-output"
    (on every layer, for its outputs), "gumbel" (learned gates, given as `learned_gates` by the parameter path of their layer), or "none"
    for dense; any kind of skipvid.core.gate_kinds.
    p: of output-norm gates, 1, 2 or inf. input_threshold: τ of the norm gates that stand before output gates, None = a tenth of τ.
    block: gates open in blocks of block x block pixels, one of 1, 2, 4, 8, 16.
    backend: "cpu" (native kernels), "reference" (plain PyTorch), or "auto": the first of them that can be used here.
    threads: for the back end "cpu", 0 = one per core.
    reference: "accumulated": changes are measured against what was last published, so that none is lost; "previous": against the last
    frame, as in the paper (norm gates only, on the back end "reference").
    refresh: a keyframe every so many frames, 0 = never. dense_above: after a gated frame that executed more than this share of the
    MACs some keyframes follow, because gates then cost more time than they save; 1 = never, as always with the reference "previous".
    thresholds, scales: calibrated values, of single maps, or of single layers for "norm-output" and "previous".
    precision: of maps and weights, "f32", "bf16" (half the memory; see skipvid.skip.ir.precision), or "auto": bf16 where the processor
    multiplies it (AMX-BF16, AVX512-BF16).

    Raises UsageError for a value out of its range.
    """

    threshold: float = 0.03
    gate: str = "norm"
    block: int = 1
    backend: str = "auto"
    threads: int = 0
    reference: str = "accumulated"
    refresh: int = 0
    dense_above: float = 0.75
    thresholds: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    p: float = 1.0
    input_threshold: float | None = None
    learned_gates: Mapping[str, LearnedGate] = field(default_factory=dict)
    precision: str = "f32"

    @classmethod
    def of(cls, stored: StoredSettings, *, threads: int = 0, learned_gates: Mapping[str, LearnedGate] | None = None) -> SkipConfig:
        """The gates that a preset asks for, with what no preset holds. Other fields change by `dataclasses.replace`."""
        return cls(
            threshold=stored.threshold,
            gate=stored.gate,
            block=stored.block,
            threads=threads,
            reference=stored.reference,
            dense_above=stored.dense_above,
            thresholds=stored.thresholds,
            scales=stored.scales,
            p=stored.p,
            input_threshold=stored.input_threshold,
            learned_gates=learned_gates or {},
            precision=stored.precision,
        )

    def at(self, threshold: float) -> SkipConfig:
        """The same gates at another working point: those of single maps, and `input_threshold`, change in proportion.

        There is no proportion to a threshold of 0: from there on all maps get `threshold`. Raises UsageError for one out of its range.
        """
        if not self.threshold:
            return replace(self, threshold=threshold, thresholds={}, input_threshold=None)
        factor = threshold / self.threshold
        return replace(
            self,
            threshold=threshold,
            thresholds={name: factor * value for name, value in self.thresholds.items()},
            input_threshold=None if self.input_threshold is None else factor * self.input_threshold,
        )

    def __post_init__(self) -> None:
        for meaning, threshold in (("threshold", self.threshold), ("input_threshold", self.input_threshold)):
            if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
                raise UsageError(f"{meaning} is {threshold}", "it must be a number of 0 or more, e.g. 0.03")
        if not 0 <= self.dense_above <= 1:
            raise UsageError(f"dense_above is {self.dense_above}", "it must be a share from 0 to 1")
        for kind, values in (("threshold", self.thresholds), ("scale", self.scales)):
            for map_name, number in values.items():
                if not (math.isfinite(number) and number >= 0):
                    raise UsageError(f"the {kind} of map {map_name} is {number}", "it must be a number of 0 or more")
        for name, value, allowed in (
            ("gate", self.gate, tuple(KINDS)),
            ("block", self.block, BLOCKS),
            ("backend", self.backend, ("auto", *BACKENDS)),
            ("reference", self.reference, REFERENCES),
            ("p", self.p, tuple(NORMS.values())),
            ("precision", self.precision, ("auto", *PRECISIONS)),
        ):
            if value not in allowed:
                raise UsageError(f"{name} is {value!r}", f"it must be one of {', '.join(str(item) for item in allowed)}")
        for name, number, meaning in (
            ("refresh", self.refresh, "a number of frames, or 0 for never"),
            ("threads", self.threads, "0 or more"),
        ):
            if number < 0:
                raise UsageError(f"{name} is {number}", f"it must be {meaning}")
        if self.precision == "bf16" and self.reference == "previous":
            # Its outputs are sums of changes over all frames: what is rounded in one would never be made good.
            raise UsageError("the precision is bf16, and the reference is 'previous'", "it works in f32 only: --precision f32")
        kind_for(self).check(self)
