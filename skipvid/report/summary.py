"""The sums and medians of a run, in memory that does not grow with the number of frames."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.results import AreaCost, FrameResult, RunHeader, RunSummary
from skipvid.report.agreement import Agreement, MapAgreement


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The saving of a stretch of a run: index of its first frame, number of frames and of keyframes among them, fraction of MACs saved."""

    frame: int
    frames: int
    saving: float
    keyframes: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Skip against dense: the same network on the same frames and back end.

    dense_ms: median milliseconds of the dense network for a frame. agreement: of the detections with the dense ones, or None where they
    were not compared. bound_usage: the largest |X - published X| / (threshold * scale) that was met on any map; over 1 would be a bug.
    maps: agreement of the class maps with the dense ones, for a task that finds these.
    """

    dense_ms: float
    agreement: Agreement | None = None
    bound_usage: float | None = None
    maps: MapAgreement | None = None


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """One run of a sweep over thresholds. ms, dense_ms: medians of the network alone. f1: against the dense detections, or None.
    mean_iou: of class maps with the dense ones, or None."""

    threshold: float
    saving: float
    skip_ratio: float
    ms: float
    dense_ms: float
    f1: float | None = None
    mean_iou: float | None = None

    @property
    def same(self) -> float | None:
        """How far the results are the dense ones: F1, or mean IoU."""
        return self.f1 if self.mean_iou is None else self.mean_iou

    @property
    def speedup(self) -> float:
        return self.dense_ms / self.ms if self.ms > 0.0 else 0.0

    @classmethod
    def of(cls, summary: RunSummary, comparison: Comparison) -> ThresholdRow:
        """The row of one run. Raises ValueError where the run had no gates."""
        if summary.cost is None:
            raise ValueError("a run without gates has no place in a sweep over thresholds")
        f1 = None if comparison.agreement is None else comparison.agreement.f1
        cost, model_ms = summary.cost, summary.median_ms.get("model", 0.0)
        mean_iou = None if comparison.maps is None else comparison.maps.mean_iou
        return cls(summary.header.threshold, cost.saving, cost.skip_ratio, model_ms, comparison.dense_ms, f1, mean_iou)


class Median:
    """The median of a stream of numbers: exact up to `capacity` of them, then of every 2nd, every 4th, ... from the whole stream."""

    def __init__(self, capacity: int = 8192) -> None:
        self._capacity = capacity + capacity % 2
        self._kept: list[float] = []
        self._stride = 1
        self._seen = 0

    def add(self, value: float) -> None:
        if self._seen % self._stride == 0:
            if len(self._kept) == self._capacity:
                self._kept = self._kept[::2]
                self._stride *= 2
            self._kept.append(value)
        self._seen += 1

    @property
    def value(self) -> float:
        """Raises statistics.StatisticsError before the first number."""
        return statistics.median(self._kept)


class SummaryBuilder:
    """Takes in the results of one run over one source and makes its RunSummary."""

    def __init__(self, header: RunHeader, curve_points: int = 1024) -> None:
        self._header = header
        self._frames = self._keyframes = self._detections = 0
        self._medians: dict[str, Median] = {}
        self._cost: FrameCost | None = None
        self._areas = _AreaSums()
        self._counts: dict[str, dict[str, dict[str, int]]] = {}
        self._curve = _Curve(curve_points)

    def add(self, result: FrameResult, extra_ms: Mapping[str, float] | None = None) -> None:
        """Take in one frame. extra_ms: milliseconds of phases after the engine ("draw", "write"). Costs are summed by network and layer."""
        self._frames += 1
        self._keyframes += result.keyframe
        self._detections += len(result.detections)
        for timings in (result.ms, extra_ms or {}):
            for phase, ms in timings.items():
                self._medians.setdefault(phase, Median()).add(ms)
        if result.cost is not None:
            self._cost = result.cost if self._cost is None else self._cost + result.cost
            self._curve.add(result.frame.index, result.cost.dense_macs, result.cost.macs, result.keyframe)
        for count in result.counts:
            kinds = self._counts.setdefault(count.name, {})
            for kind in count.totals:
                kinds.setdefault(kind, {})
        for event in result.events:
            labels = self._counts.setdefault(event.count, {}).setdefault(event.kind, {})
            labels[event.label] = labels.get(event.label, 0) + 1
        if result.areas is not None:
            self._areas.add(result.areas)

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """The saving over the run, in at most `curve_points` stretches; empty without gates."""
        return self._curve.points

    def build(self, wall_seconds: float, *, dropped: int = 0, problems: Iterable[str] = (), interrupted: bool = False) -> RunSummary:
        """The summary of what was added so far."""
        return RunSummary(
            header=self._header,
            frames=self._frames,
            keyframes=self._keyframes,
            detections=self._detections,
            wall_seconds=wall_seconds,
            median_ms={phase: median.value for phase, median in self._medians.items()},
            cost=self._cost,
            dropped=dropped,
            problems=tuple(problems),
            interrupted=interrupted,
            areas=self._areas.total,
            counts=self._counts,
        )


def stage_costs(cost: FrameCost) -> list[LayerCost]:
    """The layers' costs added up by stage, in the order in which the stages begin; `name` is the stage's.

    Gates beside the layers follow as the stage "other gates", so that the stages add up to the total.
    """
    other = [LayerCost("other gates", "", "", 0, 0, 0, 0, gate_ops=cost.other_gate_ops)] if cost.other_gate_ops else []
    return [*cost.by_stage, *other]


def total_cost(cost: FrameCost) -> LayerCost:
    """All layers, and the gates beside them, as one row named "total"."""
    return replace(cost.sums, name="total", stage="")


def cost_fields(cost: LayerCost) -> dict[str, int | float]:
    """The numbers of a cost under the names that CSV and JSON give them; there "macs" are all that were executed, gate_macs included."""
    return {
        "dense_macs": cost.dense_macs,
        "macs": cost.macs + cost.gate_macs,
        "gate_macs": cost.gate_macs,
        "gate_ops": cost.gate_ops,
        "outputs": cost.outputs,
        "active": cost.active,
        "saving": cost.saving,
        "skip_ratio": cost.skip_ratio,
    }


class _AreaSums:
    """What areas saved, over the frames in which it was measured."""

    def __init__(self) -> None:
        self._frames = self._macs = self._whole_macs = 0
        self._ms, self._whole_ms = Median(), Median()

    def add(self, cost: AreaCost) -> None:
        self._frames += cost.frames
        self._macs += cost.macs
        self._whole_macs += cost.whole_macs
        self._ms.add(cost.ms)
        self._whole_ms.add(cost.whole_ms)

    @property
    def total(self) -> AreaCost | None:
        if not self._frames:
            return None
        return AreaCost(self._macs, self._whole_macs, self._ms.value, self._whole_ms.value, self._frames)


class _Curve:
    """MACs over the run in at most `capacity` stretches of equal length, which doubles when they are full."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity + capacity % 2
        self._length = 1
        # [first frame's index, frames, dense MACs, executed MACs, keyframes] of each stretch
        self._stretches: list[list[int]] = []

    def add(self, index: int, dense: int, macs: int, keyframe: bool) -> None:
        if self._stretches and self._stretches[-1][1] < self._length:
            stretch = self._stretches[-1]
            stretch[1:] = [stretch[1] + 1, stretch[2] + dense, stretch[3] + macs, stretch[4] + keyframe]
            return
        if len(self._stretches) == self._capacity:
            pairs = zip(self._stretches[::2], self._stretches[1::2], strict=True)
            self._stretches = [[a[0], *(x + y for x, y in zip(a[1:], b[1:], strict=True))] for a, b in pairs]
            self._length *= 2
        self._stretches.append([index, 1, dense, macs, int(keyframe)])

    @property
    def points(self) -> tuple[CurvePoint, ...]:
        return tuple(
            CurvePoint(index, frames, 1.0 - macs / dense if dense else 0.0, keyframes)
            for index, frames, dense, macs, keyframes in self._stretches
        )
