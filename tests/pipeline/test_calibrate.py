"""Calibration of whole engines on generated frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skipvid.core.errors import SkipvidError, SourceError, UsageError
from skipvid.core.results import Frame
from skipvid.pipeline.calibrate import Calibration, calibrate
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine


def clip(count: int, seed: int = 0) -> list[Frame]:
    """A block that wanders over a noisy background, with a little sensor noise."""
    random = np.random.default_rng(seed)
    background = random.integers(60, 200, (96, 128, 3))
    frames = []
    for index in range(count):
        image = background + random.normal(0, 2, background.shape)
        image[30:60, 10 + 4 * index : 40 + 4 * index] = 230
        frames.append(Frame(np.clip(image, 0, 255).astype(np.uint8), index, index / 25, "clip"))
    return frames


@pytest.fixture(scope="module")
def small(engine: DetectEngine) -> DetectEngine:
    """The tests' detector, for pictures of 128 pixels."""
    other = engine.regated(SkipConfig(threshold=0.05))
    other.preset = replace(engine.preset, image_size=128)
    return other


@pytest.fixture(scope="module")
def found(small: DetectEngine) -> Calibration:
    return calibrate(small, [clip(9), clip(9, seed=1)], most=12)


@pytest.mark.slow
def test_without_a_goal_as_much_is_saved_as_one_threshold_saves(found: Calibration) -> None:
    assert found.measured.saving == pytest.approx(found.before.saving, abs=0.02)
    assert 0 < found.measured.error < found.before.error


@pytest.mark.slow
def test_no_threshold_lies_below_the_floor(small: DetectEngine, found: Calibration) -> None:
    result = calibrate(small, [clip(8)], most=8, floor=0.04)
    assert min(result.thresholds.values()) == 0.04 > min(found.thresholds.values())
    assert result.measured.saving == pytest.approx(result.before.saving, abs=0.03)


@pytest.mark.slow
def test_the_material_is_shared_among_the_sources(found: Calibration) -> None:
    assert found.frames == 12


@pytest.mark.slow
def test_the_thresholds_differ_and_fit_the_network(small: DetectEngine, found: Calibration) -> None:
    assert len(set(found.thresholds.values())) > 20
    config = replace(small.model.config, threshold=found.threshold, thresholds=found.thresholds)
    assert small.regated(config).stream().process(clip(1)[0]).keyframe


@pytest.mark.parametrize(
    ("frames", "config", "error", "words"),
    [
        (4, SkipConfig(0.0), UsageError, "of the MACs cannot be saved on this material"),
        (0, SkipConfig(0.05), SourceError, "nothing was found"),
        (4, SkipConfig(gate="none"), UsageError, "gates of the kind 'none, accumulated' cannot be calibrated"),
        (4, SkipConfig(0.05, reference="previous", backend="reference"), UsageError, "'norm, previous' cannot be calibrated"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_done_is_said(small: DetectEngine, frames: int, config: SkipConfig, error: type[SkipvidError], words: str) -> None:
    with pytest.raises(error, match=words):
        calibrate(small.regated(config), [clip(frames)], most=4)
