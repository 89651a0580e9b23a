"""Motions are guessed and fitted to the same bits by the extension and by NumPy, and bad arguments are refused by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipvid.tasks.fitting import Fit, fit_by_numpy, fit_similarity, guess_by_numpy, guess_patches

native = pytest.mark.skipif(fit_similarity is fit_by_numpy, reason="the extension was not compiled")
FITS = [pytest.param(fit_similarity, marks=native, id="extension"), pytest.param(fit_by_numpy, id="NumPy")]
GUESSES = [pytest.param(guess_patches, marks=native, id="extension"), pytest.param(guess_by_numpy, id="NumPy")]


@native
@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 70), st.sampled_from([0.0, 0.3, 40.0, 3e4, 1e9]), st.booleans())
def test_both_give_the_same_bits(seed: int, count: int, far: float, one_place: bool) -> None:
    random = np.random.default_rng(seed)
    at = np.repeat(random.integers(0, 4000, (1, 2)), count, 0) if one_place else random.integers(0, 4000, (count, 2))
    at = at.astype(np.float32)
    to = (at + random.normal(0, far, at.shape)).astype(np.float32)
    chosen = random.random(count) < 0.7
    chosen[random.integers(count)] = True
    assert fit_similarity(at, to, chosen) == fit_by_numpy(at, to, chosen)
    guesses = np.full((2, count, 2), np.nan, np.float32)
    for way, out in zip((guess_patches, guess_by_numpy), guesses, strict=True):
        way(to, at, chosen, 4, out)
    assert np.array_equal(guesses[0], guesses[1])


@pytest.mark.parametrize("way", FITS)
def test_a_similarity_is_found_again(way: Callable[..., Any]) -> None:
    random = np.random.default_rng(1)
    at = random.integers(0, 600, (40, 2)).astype(np.float32)
    a, b, dx, dy = 1.01, 0.02, 3.25, -7.5
    to = np.stack([a * at[:, 0] - b * at[:, 1] + dx, b * at[:, 0] + a * at[:, 1] + dy], 1).astype(np.float32)
    chosen = np.arange(40) % 4 > 0
    to[~chosen] += 90
    fit = Fit(*way(at, to, chosen))
    assert fit.number == 30 and (fit.width, fit.height) == tuple(np.ptp(at[chosen], axis=0))
    assert fit.a == pytest.approx(a, abs=1e-5) and fit.b == pytest.approx(b, abs=1e-5)
    assert fit.to_x - (fit.a * fit.x - fit.b * fit.y) == pytest.approx(dx, abs=0.01)
    assert fit.to_y - (fit.b * fit.x + fit.a * fit.y) == pytest.approx(dy, abs=0.01)


@pytest.mark.parametrize("way", GUESSES)
def test_what_most_moved_by_is_added_to_the_last_motion(way: Callable[..., None]) -> None:
    last = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 9]], np.float32)
    found = (last + [[2, -1], [2, -1], [40, 40], [3, -2], [-70, 8]]).astype(np.float32) / 4
    out = np.empty_like(last)
    way(found, last, np.array([True, True, True, True, False]), 4, out)
    assert np.array_equal(out, last + np.array([2.5, -1], np.float32))


@pytest.mark.parametrize("way", FITS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"to": np.zeros((4, 2), np.float32)},
        {"to": np.full((5, 2), np.nan, np.float32)},
        {"chosen": np.zeros(5, np.bool_)},
        {"chosen": np.ones(4, np.bool_)},
    ],
    ids=str,
)
def test_a_fit_of_what_does_not_fit_is_refused(way: Callable[..., Any], wrong: dict[str, Any]) -> None:
    fitting = {"at": np.zeros((5, 2), np.float32), "to": np.zeros((5, 2), np.float32), "chosen": np.ones(5, np.bool_)}
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())


@pytest.mark.parametrize("way", GUESSES)
@pytest.mark.parametrize(
    "wrong", [{"last": np.zeros((4, 2), np.float32)}, {"chosen": np.zeros(5, np.bool_)}, {"out": np.zeros((6, 2), np.float32)}], ids=str
)
def test_a_guess_of_what_does_not_fit_is_refused(way: Callable[..., Any], wrong: dict[str, Any]) -> None:
    fitting: dict[str, Any] = {"found": np.zeros((5, 2), np.float32), "last": np.zeros((5, 2), np.float32), "chosen": np.ones(5, np.bool_)}
    fitting |= {"scale": 4, "out": np.zeros((5, 2), np.float32)}
    way(*fitting.values())
    with pytest.raises(ValueError):
        way(*(fitting | wrong).values())
