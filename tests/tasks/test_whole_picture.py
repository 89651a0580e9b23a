"""What areas save, measured: the frames that are run both ways, and that each way costs what it costs alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from moving_square import frames

from skipvid.core.results import Frame, FrameResult
from skipvid.skip.config import SkipConfig
from skipvid.tasks import whole_picture
from skipvid.tasks.areas import Areas, read_area
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.identities import FollowOptions

LEFT = read_area("0,0 80,0 80,90 0,90")


@pytest.fixture
def looking(engine: DetectEngine) -> Iterator[DetectEngine]:
    """Leaves out the left half. Everything moves there, and what the tests' frames have moves in the other."""
    gated = engine.regated(SkipConfig(threshold=0.03))
    gated.scene_cuts = False  # of all of the picture, it would find some
    gated.areas = Areas(ignore=(LEFT,))
    yield gated


def restless(count: int) -> list[Frame]:
    made = []
    for number, frame in enumerate(frames(count)):
        picture = frame.image.copy()
        picture[20:60, 10:60] = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        made.append(replace(frame, picture=picture, resumed=number == 4))
    return made


def run(stream: object, of: list[Frame]) -> list[FrameResult]:
    return [stream.process(frame) for frame in of]  # type: ignore[attr-defined]


def test_each_way_costs_what_it_costs_alone(looking: DetectEngine) -> None:
    """A lost connection, and so a keyframe, is among the frames."""
    measured = run(looking.measured_stream(), restless(9))
    with_areas = run(looking.stream(), restless(9))
    looking.areas = None
    without = run(looking.stream(), restless(9))
    assert [result.keyframe for result in measured] == [number in (0, 4) for number in range(9)]
    for number, (result, one, other) in enumerate(zip(measured, with_areas, without, strict=True)):
        assert one.cost is not None and other.cost is not None and result.cost is not None and result.cost.macs == one.cost.macs
        assert (result.areas is None) == (number in (0, 4))
        if result.areas is not None:
            assert (result.areas.macs, result.areas.whole_macs, result.areas.frames) == (one.cost.macs, other.cost.macs, 1)
            assert result.areas.ms == result.ms["model"] and result.areas.whole_ms > 0 and 0 < result.areas.saving <= 1


def test_frames_are_run_both_ways_in_stretches(looking: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first begins with the keyframe that the stream begins with; a later one's first frames do not count."""
    monkeypatch.setattr(whole_picture, "APART", 15)
    monkeypatch.setattr(whole_picture, "STRETCH", 6)
    monkeypatch.setattr(whole_picture, "WARM_UP", 2)
    of = [replace(frame, resumed=False) for frame in restless(23)]
    results = run(looking.stream(dense_every=1000), of)
    assert [number for number, result in enumerate(results) if result.areas is not None] == [1, 2, 3, 4, 5, 17, 18, 19, 20]
    plain = run(looking.stream(), of)
    for result, alone in zip(results, plain, strict=True):
        assert result.cost is not None and alone.cost is not None and result.cost.macs == alone.cost.macs
        assert np.array_equal(result.detections.boxes, alone.detections.boxes)


def test_a_detector_that_skips_frames_is_measured_where_it_runs(looking: DetectEngine) -> None:
    looking.follow = FollowOptions(detect_every=2)
    results = run(looking.stream(dense_every=40), restless(4))
    assert [result.areas is not None for result in results] == [False, False, True, False]


@pytest.mark.parametrize("why", ["no areas", "live", "no gates", "dense"])
def test_where_nothing_is_to_be_measured_there_is_no_second_run(why: str, looking: DetectEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipvid.tasks.detect_engine.WholePicture", lambda *arguments: 1 / 0)
    if why == "no areas":
        looking.areas = None
    if why == "no gates":
        looking = looking.regated(SkipConfig(gate="none"))
    stream = looking.dense_stream() if why == "dense" else looking.stream(0 if why == "live" else 40)
    assert all(result.areas is None for result in run(stream, restless(3)))


def test_areas_that_are_drawn_while_it_runs_are_measured_from_there_on(looking: DetectEngine) -> None:
    areas, looking.areas = looking.areas, None
    stream = looking.stream(dense_every=40)
    of = [replace(frame, resumed=False) for frame in restless(8)]
    assert all(result.areas is None for result in run(stream, of[:3]))
    stream.look_at(areas)
    assert [result.areas is not None for result in run(stream, of[3:6])] == [False, True, True]
    stream.look_at(None)
    assert all(result.areas is None for result in run(stream, of[6:]))
