"""Patches are compared to the same bits by the extension and by NumPy, and bad arguments are refused by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shaking_camera import scene, seen

from skipvid.tasks.patches import (
    ARRIVED,
    LARGEST_CHANGE,
    SIDE,
    STEPS,
    Patches,
    find_by_numpy,
    find_patches,
    measure_by_numpy,
    measure_patches,
    sum_by_numpy,
    sum_changes,
)

native = pytest.mark.skipif(measure_patches is measure_by_numpy, reason="the extension was not compiled")
WAYS = [pytest.param(measure_patches, marks=native, id="extension"), pytest.param(measure_by_numpy, id="NumPy")]


def arguments(random: np.random.Generator, height: int, width: int, count: int, far: float) -> dict[str, Any]:
    centres = np.stack([random.integers(0, width, count), random.integers(0, height, count)], 1).astype(np.float32)
    return {
        "picture": random.integers(0, 256, (height, width + 3), np.uint8)[:, :width],
        "centres": centres,
        "moved": random.normal(0, far, (count, 2)).astype(np.float32),
        "levels": random.integers(0, 256, (count, SIDE**2), np.uint8),
        "descents": np.rint(random.normal(0, 0.1, (count, 2, SIDE**2)) * 2**20) / 2**20,
        "most": LARGEST_CHANGE,
        "out": np.full((count, 4), np.nan),
    }


@native
@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 9),
    st.sampled_from([0.0, 0.3, 9.0, 1e5, 1e9, np.nan]),
    st.integers(0, 5),
)
def test_both_give_the_same_bits(seed: int, height: int, width: int, count: int, far: float, rounds: int) -> None:
    given_ones = arguments(np.random.default_rng(seed), height, width, count, 0.0 if np.isnan(far) else far)
    if np.isnan(far):
        given_ones["moved"][::2] = np.nan
    measure_patches(*given_ones.values())
    other = given_ones | {"out": np.zeros((count, 4))}
    measure_by_numpy(*other.values())
    assert np.array_equal(given_ones["out"], other["out"])
    first = [given_ones[name] for name in ("picture", "centres", "levels", "descents")]
    found = []
    limits, chosen = np.random.default_rng(seed).uniform(0, 150, count), np.arange(count) % 3 > 0
    ways: list[Callable[..., None]] = [find_patches, find_by_numpy]
    for way in ways:
        moved, there = given_ones["moved"].copy(), np.zeros(count, np.bool_)
        way(*first, limits, rounds, ARRIVED, moved, there)
        found.append((moved, there))
    assert all(np.array_equal(one, two, equal_nan=True) for one, two in zip(*found, strict=True))
    picture, centres, levels, descents = first
    sums = [way(picture, centres, given_ones["moved"], levels, descents, chosen, LARGEST_CHANGE) for way in (sum_changes, sum_by_numpy)]
    assert sums[0] == sums[1] == np.rint(given_ones["out"][chosen, 3] * 81 * 1024).sum()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_measured_is_what_it_is_called(way: Callable[..., None]) -> None:
    """By OpenCV's linear interpolation, in steps of as many parts of a pixel."""
    given_ones = arguments(np.random.default_rng(3), 60, 80, 12, 2.0)
    way(*given_ones.values())
    steps = np.arange(SIDE, dtype=np.float32) - SIDE // 2
    for number, (centre, moved) in enumerate(zip(given_ones["centres"], given_ones["moved"], strict=True)):
        place = np.rint((centre + moved) * STEPS) / np.float32(STEPS)
        x, y = np.meshgrid(steps + place[0], steps + place[1])
        picture = given_ones["picture"].astype(np.float32)
        found = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel()
        rest = found.astype(np.float64) - given_ones["levels"][number]
        expected = [*(given_ones["descents"][number] @ rest), rest.std(), np.minimum(np.abs(rest), LARGEST_CHANGE).mean()]
        np.testing.assert_allclose(given_ones["out"][number], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"moved": np.zeros((4, 2), np.float32)},
        {"levels": np.zeros((5, 80), np.uint8)},
        {"descents": np.zeros((4, 2, 81))},
        {"out": np.zeros((4, 4))},
        {"most": 256},
        {"picture": np.zeros((0, 9), np.uint8)},
    ],
    ids=lambda wrong: " and ".join(wrong),
)
def test_what_does_not_fit_is_refused(way: Callable[..., None], wrong: dict[str, Any]) -> None:
    fitting = arguments(np.random.default_rng(0), 20, 20, 5, 1.0)
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())


@pytest.mark.parametrize("way", [pytest.param(find_patches, marks=native, id="extension"), pytest.param(find_by_numpy, id="NumPy")])
@pytest.mark.parametrize(
    "wrong",
    [
        {"moved": np.zeros((4, 2), np.float32)},
        {"limits": np.zeros(6)},
        {"out": np.zeros(4, np.bool_)},
        {"levels": np.zeros((5, 80), np.uint8)},
    ],
    ids=lambda wrong: " and ".join(wrong),
)
def test_what_does_not_fit_is_not_looked_for(way: Callable[..., None], wrong: dict[str, Any]) -> None:
    given_ones = arguments(np.random.default_rng(0), 20, 20, 5, 1.0)
    fitting = {name: given_ones[name] for name in ("picture", "centres", "levels", "descents")}
    fitting |= {"limits": np.ones(5), "rounds": 2, "arrived": 0.1, "moved": given_ones["moved"], "out": np.zeros(5, np.bool_)}
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())


@pytest.mark.parametrize("way", [pytest.param(sum_changes, marks=native, id="extension"), pytest.param(sum_by_numpy, id="NumPy")])
@pytest.mark.parametrize(
    "wrong",
    [{"chosen": np.zeros(4, np.bool_)}, {"most": 256}, {"moved": np.zeros((4, 2), np.float32)}],
    ids=lambda wrong: " and ".join(wrong),
)
def test_what_does_not_fit_is_not_summed_up(way: Callable[..., None], wrong: dict[str, Any]) -> None:
    given_ones = arguments(np.random.default_rng(0), 20, 20, 5, 1.0)
    fitting = {name: given_ones[name] for name in ("picture", "centres", "moved", "levels", "descents")}
    fitting |= {"chosen": np.ones(5, np.bool_), "most": LARGEST_CHANGE}
    assert way(*fitting.values()) > 0
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())


def test_patches_are_found_where_they_went() -> None:
    whole = scene()
    one, other = (np.asarray(cv2.cvtColor(seen(whole, *by), cv2.COLOR_BGR2GRAY), np.uint8) for by in ((0, 0), (1.4, -0.7)))
    corners = cv2.goodFeaturesToTrack(one[20:-20, 20:-20], 40, 0.01, 25)[:, 0] + 20
    patches = Patches(one, np.rint(corners).astype(np.float32))
    moved, found = patches.find(other, np.zeros((len(corners), 2), np.float32), 6)
    assert found.mean() > 0.8
    np.testing.assert_allclose(np.abs(moved[found]), np.broadcast_to([1.4, 0.7], moved[found].shape), atol=0.2)
    everywhere = np.full(len(corners), True)
    there, moved_on = (patches.are_still(picture, everywhere, 0.4) for picture in (one, other))
    assert there[0] and there[1].all() and not moved_on[0] and moved_on[1].mean() < 0.2
    assert patches.change(one, everywhere) == 0 and 0 < patches.change(other, found, moved) < 0.5 * patches.change(other, found)
