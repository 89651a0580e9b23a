"""Intervals: they hold the truth as often as they say, know when frames are alike, and call a tie a tie."""

from __future__ import annotations

import numpy as np
import pytest

from skipvid.evaluate.bootstrap import blocks_of, bootstrap


def test_blocks_stay_within_their_clip() -> None:
    blocks = blocks_of(["a"] * 5 + ["b"] * 3, 2)
    assert [block.tolist() for block in blocks] == [[0, 1], [2, 3], [4], [5, 6], [7]]
    assert [block.tolist() for block in blocks_of(["a"] * 5 + ["b"] * 3, 0)] == [[0, 1, 2, 3, 4], [5, 6, 7]]
    with pytest.raises(ValueError, match="block of -1 frames"):
        blocks_of(["a"], -1)


def test_an_interval_of_independent_values_holds_their_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(120):
        values = generator.normal(3, 1, 60)
        interval = bootstrap(lambda times, values=values: float(times @ values / times.sum()), blocks_of(["a"] * 60, 1), draws=300)
        held += interval.low <= 3 <= interval.high
    assert 105 <= held <= 120


def test_frames_that_are_alike_need_blocks_or_the_interval_is_too_narrow() -> None:
    values = np.repeat(np.random.default_rng(2).normal(0, 1, 20), 30)

    def width(length: int) -> float:
        interval = bootstrap(lambda times: float(times @ values / times.sum()), blocks_of(["a"] * 600, length), draws=400)
        return interval.high - interval.low

    assert width(30) > 4 * width(1)


def test_a_difference_within_its_interval_is_a_tie_and_a_clear_one_is_not() -> None:
    generator = np.random.default_rng(3)
    left = generator.normal(0, 1, 400)
    blocks = blocks_of(["a"] * 400, 10)
    same, worse = left + generator.normal(0, 0.1, 400), left - 0.5 + generator.normal(0, 0.1, 400)
    assert bootstrap(lambda times: float(times @ (same - left) / times.sum()), blocks, draws=300).tie
    assert not bootstrap(lambda times: float(times @ (worse - left) / times.sum()), blocks, draws=300).tie


@pytest.mark.parametrize("length", [0, 10])
def test_a_few_blocks_tell_nothing(length: int) -> None:
    interval = bootstrap(lambda times: float(times.sum()), blocks_of(["a"] * 40, length))
    assert interval.value == 40 and interval.low == -np.inf and interval.high == np.inf and interval.tie


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(50.0)
    blocks = blocks_of(["a"] * 50, 5)
    first = bootstrap(lambda times: float(times @ values / times.sum()), blocks, draws=100, seed=4)
    assert first == bootstrap(lambda times: float(times @ values / times.sum()), blocks, draws=100, seed=4)
