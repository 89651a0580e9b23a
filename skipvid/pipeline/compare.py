"""Gated against dense on the same frames, in one run: what `skipvid report` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skipvid.core.results import Frame, FrameResult, RunHeader
from skipvid.report import (
    Agreement,
    Comparison,
    CurvePoint,
    MapAgreement,
    SummaryBuilder,
    ThresholdRow,
    agreement,
    map_agreement,
)
from skipvid.report.summary import Median
from skipvid.tasks.detect_engine import DetectEngine, DetectStream
from skipvid.tasks.segment_engine import SegmentEngine, SegmentStream
from skipvid.video.draw import GateMaps


class ComparedStream:
    """Runs every frame through the dense network and through gated sessions of several thresholds, in turns, and keeps score.

    engines: the same network with different gates; the results of the first one count. Taking turns within a frame lets whatever slows the
    machine down meet all of them alike. gate_maps: takes in what the first engine's gates let through.
    """

    def __init__(self, engines: Sequence[DetectEngine | SegmentEngine], header: RunHeader, gate_maps: GateMaps | None = None) -> None:
        self._gate_maps = gate_maps
        self._dense = engines[0].dense_stream()
        self._dense_ms = Median()
        self._runs = [(engine.measured_stream(), SummaryBuilder(header)) for engine in engines]
        self._thresholds = [engine.model.config.threshold for engine in engines]
        self._agreements = [Agreement() for _ in engines]
        self._maps: list[MapAgreement] | None = [MapAgreement() for _ in engines] if isinstance(engines[0], SegmentEngine) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the first engine's stream says of itself."""
        return self._runs[0][0].notes

    @property
    def problems(self) -> tuple[str, ...]:
        """What the first engine's results lack."""
        return self._runs[0][0].problems

    def look_ahead(self, frame: Frame) -> None:
        """As Stream.look_ahead: pictures are prepared once for all engines."""
        self._dense.look_ahead(frame)

    def process(self, frame: Frame) -> FrameResult:
        """The first engine's result; its times name the dense network's, too."""
        dense = self._dense.process(frame)
        self._dense_ms.add(dense.ms["model"])
        first: FrameResult | None = None
        for number, (stream, builder) in enumerate(self._runs):
            result = stream.process(frame)
            builder.add(result)
            if self._maps is None:
                self._agreements[number] += agreement(dense.detections, result.detections)
            elif dense.class_map is not None and result.class_map is not None:
                self._maps[number] += map_agreement(dense.class_map, result.class_map)
            if first is None:
                first = result
                self._take_masks(stream, frame, dense, result)
        assert first is not None
        return replace(first, ms={**first.ms, "dense_model": dense.ms["model"]})

    def _take_masks(self, stream: DetectStream | SegmentStream, frame: Frame, dense: FrameResult, result: FrameResult) -> None:
        if self._gate_maps is not None and not result.keyframe:
            self._gate_maps.add(frame.image, dense.detections.boxes, stream.computed((frame.height, frame.width)))

    @property
    def comparison(self) -> Comparison:
        """The first engine against dense."""
        return self._comparison(0)

    @property
    def rows(self) -> list[ThresholdRow]:
        """One row for each engine."""
        rows = []
        for number, ((_, builder), threshold) in enumerate(zip(self._runs, self._thresholds, strict=True)):
            row = ThresholdRow.of(builder.build(0.0), self._comparison(number))
            rows.append(replace(row, threshold=threshold))
        return rows

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """The first engine's saving over the run."""
        return self._runs[0][1].curve

    def _comparison(self, number: int) -> Comparison:
        if self._maps is None:
            return Comparison(self._dense_ms.value, self._agreements[number])
        return Comparison(self._dense_ms.value, maps=self._maps[number])
