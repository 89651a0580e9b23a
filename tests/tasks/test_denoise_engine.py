"""Detection by a noisy camera: what is computed, and that the dense network and calm cameras see what they saw before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from moving_square import assert_same
from shaking_camera import scene, seen, shaken

from skipvid.core.results import Frame, FrameResult
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, read_area
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.moved import move_onto
from skipvid.tasks.picture_task import PictureTask


def noisy(count: int, sigma: float, start: int = 0) -> list[Frame]:
    """A camera at rest before which a square moves."""
    random = np.random.default_rng(start)
    frames = shaken(count, 0.0, start=start)
    return [replace(f, picture=np.clip(np.rint(f.image + random.normal(0, sigma, f.image.shape)), 0, 255).astype(np.uint8)) for f in frames]


def denoising(engine: DetectEngine, denoise: str) -> DetectEngine:
    chosen = engine.regated(engine.model.config)
    chosen.use_denoising(denoise)
    return chosen


def analysed(engine: DetectEngine, denoise: str, given: list[Frame]) -> list[FrameResult]:
    stream = denoising(engine, denoise).stream()
    return [stream.process(frame) for frame in given]


def share(results: list[FrameResult]) -> float:
    costs = [result.cost for result in results if result.cost is not None]
    return sum(cost.macs for cost in costs) / sum(cost.dense_macs for cost in costs)


def test_a_noisy_camera_costs_less_than_half_of_what_it_did(engine: DetectEngine) -> None:
    without, filtered = (share(analysed(engine, denoise, noisy(24, 4.0))[12:]) for denoise in ("none", "auto"))
    assert filtered < 0.5 * without


def test_a_calm_camera_has_the_same_bits(engine: DetectEngine) -> None:
    given = noisy(10, 0.0)
    for one, other in zip(analysed(engine, "auto", given), analysed(engine, "none", given), strict=True):
        assert_same(one.detections, other.detections)
        assert one.cost == other.cost


def test_the_preset_says_what_is_done_unless_something_else_is_said(random_weights: Path) -> None:
    engine = DetectEngine(replace(load_preset("efficientdet-nano"), denoise="auto"), SkipConfig(threshold=0.03), random_weights)
    assert engine.denoise_in_use == "auto"
    engine.use_denoising("none")
    assert engine.denoise_in_use == "none"
    engine.use_denoising(None)
    assert engine.denoise_in_use == "auto"
    assert engine.regated(engine.model.config.at(0.0)).denoise_in_use == "none"


def test_at_threshold_0_and_without_gates_nothing_is_filtered(engine: DetectEngine) -> None:
    given = noisy(12, 4.0)
    exact = engine.regated(engine.model.config.at(0.0))
    filtering, stream, dense = denoising(exact, "auto").stream(), exact.stream(), denoising(engine, "auto").dense_stream()
    for frame in given:
        one, other = filtering.process(frame), stream.process(frame)
        assert_same(one.detections, other.detections)
        assert_same(dense.process(frame).detections, other.detections)
    assert filtering.notes == dense.notes == ()


def test_a_stream_says_how_much_was_filtered(engine: DetectEngine) -> None:
    stream = denoising(engine, "auto").stream()
    for frame in noisy(16, 4.0):
        stream.process(frame)
    (note,) = stream.notes
    assert note.startswith("the camera is noisy") and note.endswith("of 16 frames")


@pytest.mark.parametrize("motion", ["none", "canvas"])
def test_areas_and_registered_pictures_are_filtered_too(engine: DetectEngine, motion: str) -> None:
    chosen = denoising(engine, "auto")
    chosen.areas = Areas(ignore=(read_area("0,0 0.2,0 0.2,0.2 0,0.2"),))
    chosen.use_motion(motion)
    stream = chosen.stream()
    results = [stream.process(frame) for frame in noisy(24, 4.0)]
    assert share(results[16:]) < 0.5


def test_a_frame_of_another_size_begins_anew(engine: DetectEngine) -> None:
    stream = denoising(engine, "auto").stream()
    for frame in noisy(12, 4.0):
        stream.process(frame)
    smaller = [replace(frame, picture=np.ascontiguousarray(frame.image[:240, :320])) for frame in noisy(3, 4.0, start=12)]
    assert [stream.process(frame).keyframe for frame in smaller][0]


def test_where_the_canvas_follows_a_pan_the_filter_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its means lie on the canvas as it was: mixed with a picture of the moved one they would show everything twice. Noise is drawn here,
    which a canvas leaves out."""
    monkeypatch.setattr("skipvid.tasks.canvas.draw_changes", move_onto)
    random, whole = np.random.default_rng(5), scene()
    panned = [seen(whole, 4.0 * number - 38.0) + random.normal(0, 4.0, (306, 544, 3)) for number in range(20)]
    given = [np.clip(np.rint(picture), 0, 255).astype(np.uint8) for picture in panned]
    plain, filtering = (PictureTask(load_preset("efficientdet-nano"), None, motion="shift", denoise=way) for way in ("none", "auto"))
    followed, filtered = 0, 0
    for picture in given:
        wanted, found = plain.prepare(picture).pixels.copy(), filtering.prepare(picture).pixels
        shift = plain.registration.seen.shift
        assert filtering.registration.seen.shift == shift
        if shift != (0, 0):
            followed += 1
            assert np.array_equal(found, wanted)
        else:
            filtered += not np.array_equal(found, wanted)
    assert followed and filtered > 5
