"""Gated against dense: whose results count, who is compared with whom, and what is left out of the gates' maps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.results import Detections, Frame, FrameResult, RunHeader, SourceInfo
from skipvid.pipeline.compare import ComparedStream

HEADER = RunHeader("report", SourceInfo("test", 8, 6), "p", "norm", 0.0, 1, "reference", "", "0")


def objects(number: int) -> Detections:
    """So many objects far apart, the first ones the same in every set."""
    boxes = np.array([[10 * k, 0, 10 * k + 5, 5] for k in range(number)], np.float32).reshape(number, 4)
    return Detections(boxes, np.full(number, 0.9, np.float32), np.ones(number, np.int64), ("person",) * number)


class Stream:
    """Finds so many objects in every frame, in so many milliseconds."""

    def __init__(self, number: int, ms: float, cost: FrameCost | None) -> None:
        self._number, self._ms, self._cost = number, ms, cost

    def look_ahead(self, frame: Frame) -> None:
        """Nothing."""

    def process(self, frame: Frame) -> FrameResult:
        return FrameResult(frame, objects(self._number), frame.index % 2 == 0, {"model": self._ms + frame.index}, self._cost)

    def computed(self, size: tuple[int, int]) -> dict[str, Any]:
        return {"layer": size}


class Engine:
    def __init__(self, threshold: float, number: int, spent: int) -> None:
        self.model: Any = SimpleNamespace(config=SimpleNamespace(threshold=threshold))
        self._number = number
        self._cost = FrameCost.of([LayerCost("conv", "s", "conv", 1000, spent, 10, spent // 100)])

    def measured_stream(self) -> Stream:
        return Stream(self._number, 10.0, self._cost)

    def dense_stream(self) -> Stream:
        return Stream(4, 40.0, None)


class Maps:
    """In place of GateMaps."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []

    def add(self, image: Any, boxes: Any, masks: dict[str, Any]) -> None:
        self.taken.append((len(boxes), masks["layer"]))


@pytest.fixture
def maps() -> Maps:
    return Maps()


@pytest.fixture
def compared(maps: Maps) -> ComparedStream:
    engines: Any = [Engine(0.02, 3, 400), Engine(0.05, 5, 100)]
    stream = ComparedStream(engines, HEADER, maps)  # type: ignore[arg-type]
    for index in range(5):
        result = stream.process(Frame(np.zeros((6, 8, 3), np.uint8), index, index / 25, "test"))
        assert len(result.detections) == 3 and result.cost is not None and result.cost.macs == 400
        assert result.ms == {"model": 10.0 + index, "dense_model": 40.0 + index}
    return stream


def test_dense_is_the_reference_that_gated_results_are_measured_against(compared: ComparedStream) -> None:
    first = compared.comparison
    assert first.dense_ms == 42.0 and first.agreement is not None
    assert (first.agreement.tp, first.agreement.fp, first.agreement.fn) == (15, 0, 5)


def test_every_engine_has_a_row_of_its_own(compared: ComparedStream) -> None:
    rows = [(row.threshold, row.saving, row.ms, row.dense_ms, row.f1) for row in compared.rows]
    assert rows == [
        (0.02, pytest.approx(0.6), 12.0, 42.0, pytest.approx(6 / 7)),
        (0.05, pytest.approx(0.9), 12.0, 42.0, pytest.approx(8 / 9)),
    ]
    assert [point.saving for point in compared.curve] == pytest.approx([0.6] * 5)


def test_keyframes_say_nothing_about_gates(compared: ComparedStream, maps: Maps) -> None:
    assert maps.taken == [(4, (6, 8))] * 2  # of five frames, three are keyframes; boxes are the dense ones
