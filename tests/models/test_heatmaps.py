"""Decoding of heat maps: peaks that were drawn at known places, between pixels and at edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.models.heatmaps import COCO_TOLERANCES, decode_heatmaps


def peaks(
    points: list[tuple[float, float]], height: int = 64, width: int = 48, top: float = 0.9, sigma: float = 2.0
) -> NDArray[np.float32]:
    """One Gaussian per joint."""
    rows, columns = np.mgrid[:height, :width]
    maps = [top * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) for x, y in points]
    return np.array(maps, np.float32)


@given(st.floats(5, 42), st.floats(5, 58))
def test_dark_finds_a_gaussian_between_the_pixels(x: float, y: float) -> None:
    found = decode_heatmaps(peaks([(x, y)]))[0]
    assert found[:2] == pytest.approx((x, y), abs=0.05)
    assert 0.8 < found[2] <= 0.9


@given(st.floats(4, 43), st.floats(4, 59))
def test_a_quarter_offset_halves_the_error_of_the_highest_pixel(x: float, y: float) -> None:
    heat = peaks([(x, y)])
    for refine, worst in (("none", 0.51), ("quarter", 0.26)):
        assert np.abs(decode_heatmaps(heat, refine)[0, :2] - (x, y)).max() <= worst


@pytest.mark.parametrize("refine", ["dark", "quarter", "none"])
@pytest.mark.parametrize("corner", [(0, 0), (47, 0), (0, 63), (47, 63), (24, 0), (1, 1)])
def test_peaks_at_the_edge_stay_at_their_pixel(refine: str, corner: tuple[int, int]) -> None:
    found = decode_heatmaps(peaks([corner]), refine)[0]
    assert np.abs(found[:2] - corner).max() <= (1 if refine == "dark" else 0.25)
    assert found[2] == pytest.approx(0.9)


@pytest.mark.parametrize("refine", ["dark", "quarter"])
def test_maps_without_a_peak_give_finite_points_and_scores_within_bounds(refine: str) -> None:
    random = np.random.default_rng(0)
    heat = np.stack([np.zeros((64, 48)), np.full((64, 48), 3.0), random.normal(size=(64, 48)), np.full((64, 48), -1.0)]).astype(np.float32)
    found = decode_heatmaps(heat, refine)
    assert np.isfinite(found).all()
    assert (found[:, 2] >= 0).all() and (found[:, 2] <= 1).all()
    assert (found[:, :2] >= -1).all() and (found[:, :2] <= (48, 64)).all()


@pytest.mark.parametrize(("size", "sigma"), [((64, 48), 2.0), ((96, 72), 3.0)])
def test_dark_withstands_noise_better_than_the_highest_pixel(size: tuple[int, int], sigma: float) -> None:
    random = np.random.default_rng(0)
    errors: dict[str, list[float]] = {"dark": [], "none": []}
    for _ in range(40):
        point = random.uniform(12, 36, 2)
        heat = peaks([tuple(point)], *size, sigma=sigma) + random.normal(0, 0.02, (1, *size)).astype(np.float32)
        for refine, all_errors in errors.items():
            all_errors.append(float(np.linalg.norm(decode_heatmaps(heat, refine)[0, :2] - point)))
    assert np.mean(errors["dark"]) < 0.5 * np.mean(errors["none"])


@given(st.floats(12, 35), st.floats(12, 51))
def test_tolerances_leave_a_single_peak_where_it_is(x: float, y: float) -> None:
    found = decode_heatmaps(peaks([(x, y)] * 17), tolerances=COCO_TOLERANCES)
    assert np.abs(found[:, :2] - (x, y)).max() < 0.1
    assert (found[:, 2] == decode_heatmaps(peaks([(x, y)]))[0, 2]).all()


def test_with_tolerances_a_broad_rise_beats_a_higher_spike() -> None:
    heat = peaks([(12, 40)], sigma=3.0, top=0.4)
    heat[0, 10, 36] = 0.5
    assert decode_heatmaps(heat)[0, :2] == pytest.approx((36, 10), abs=1)
    found = decode_heatmaps(heat, tolerances=[0.06])[0]
    assert found[:2] == pytest.approx((12, 40), abs=0.1)
    assert found[2] == pytest.approx(0.5)
