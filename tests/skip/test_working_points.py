"""`SkipConfig.at`: calibrated thresholds as one dial. `SkipConfig.of`: the gates of a preset."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skipvid.core.errors import UsageError
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig

CALIBRATED = SkipConfig(0.1, block=4, thresholds={"conv2d": 0.05, "add": 0.2, "x": 0.0}, input_threshold=0.02)


def test_thresholds_of_single_maps_keep_their_proportion() -> None:
    half = CALIBRATED.at(0.05)
    assert half.thresholds == pytest.approx({"conv2d": 0.025, "add": 0.1, "x": 0.0})
    assert (half.threshold, half.input_threshold, half.block) == (0.05, pytest.approx(0.01), 4)


def test_zero_is_exact_for_every_map_and_has_no_way_back() -> None:
    exact = CALIBRATED.at(0)
    assert {exact.threshold, exact.input_threshold, *exact.thresholds.values()} == {0}
    assert exact.at(0.1).thresholds == {} and exact.at(0.1).input_threshold is None


@given(st.floats(1e-3, 10), st.floats(1e-3, 10))
def test_where_one_came_from_makes_no_difference(first: float, second: float) -> None:
    by_way, direct = CALIBRATED.at(first).at(second), CALIBRATED.at(second)
    assert by_way.thresholds == pytest.approx(direct.thresholds) and by_way.input_threshold == pytest.approx(direct.input_threshold)


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf")])
def test_a_working_point_that_is_none_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold is"):
        CALIBRATED.at(threshold)


def test_a_preset_brings_its_own_gates() -> None:
    own = {"threshold": 0.2, "gate": "norm-output", "block": 8, "dense_above": 0.4, "p": 2.0, "thresholds": {"x": 0.1}}
    preset = replace(load_preset("efficientdet-nano"), **own)
    config = SkipConfig.of(preset, threads=3)
    assert {name: getattr(config, name) for name in own} == own and config.threads == 3
