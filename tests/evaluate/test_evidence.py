"""The upper limit of a loss: what frames show, what other blocks of them might, and what so few objects cannot."""

from __future__ import annotations

import numpy as np
import pytest

from skipvid.evaluate.bootstrap import LEAST_BLOCKS, resampled
from skipvid.evaluate.evidence import BLOCK_FRAMES, EXPECTED, EXPECTED_OBJECTS, HIGHEST_UNIT, LEVELS, SURE, at_most, expected, limit_blocks

MANY = 10**9
NOTHING = 0.0
NONE = np.zeros(0)


def test_there_is_an_expectation_for_each_level_and_it_rises() -> None:
    assert len(EXPECTED) == len(LEVELS) and list(EXPECTED) == sorted(EXPECTED) and EXPECTED[0] == 0


def test_without_resampling_the_limit_is_the_loss() -> None:
    assert at_most(0.4, NONE, MANY, NOTHING, False) == pytest.approx(0.4)
    assert at_most(0.4, np.array([np.nan]), MANY, NOTHING, False) == pytest.approx(0.4)


def test_the_limit_is_exceeded_by_a_tenth_of_the_draws_and_never_below_the_loss() -> None:
    draws = np.linspace(-1, 1, 1001)
    assert at_most(0.0, draws, MANY, NOTHING, False) == pytest.approx(2 * SURE - 1)
    assert at_most(0.95, draws, MANY, NOTHING, False) == pytest.approx(0.95)


def test_a_gain_of_accuracy_is_chance_but_one_of_agreement_is_steadiness() -> None:
    assert at_most(-0.7, NONE, MANY, NOTHING, True) == pytest.approx(0.7)
    assert at_most(-0.7, NONE, MANY, NOTHING, False) == pytest.approx(-0.7)


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_levels_of_a_preset_lose_what_they_lost_elsewhere(level: int) -> None:
    assert expected(level, 0.03) == expected(level, HIGHEST_UNIT) == pytest.approx(EXPECTED[level])


def test_levels_of_a_preset_that_was_calibrated_are_no_more_careful_than_they_are() -> None:
    """Half of twice the highest unit is that unit itself; sixteen times it says nothing of what is there."""
    assert expected(0, 2 * HIGHEST_UNIT) == pytest.approx(EXPECTED[LEVELS.index(1.0)])
    assert EXPECTED[-1] < expected(6, 2 * HIGHEST_UNIT) < 100 == expected(6, 4 * HIGHEST_UNIT)


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_objects_outweigh_what_other_cameras_lost(level: int) -> None:
    limits = [at_most(0.0, NONE, objects, EXPECTED[level], False) for objects in (0, EXPECTED_OBJECTS, MANY)]
    assert limits == pytest.approx([EXPECTED[level], EXPECTED[level] / 2, 0], abs=1e-5)


@pytest.mark.parametrize(("frames", "longest"), [(12, 2), (60, 8), (199, 25), (200, BLOCK_FRAMES), (5000, BLOCK_FRAMES)])
def test_few_frames_are_cut_into_as_many_blocks_as_an_interval_needs(frames: int, longest: int) -> None:
    blocks = limit_blocks(["clip"] * frames)
    assert max(map(len, blocks)) == longest and np.array_equal(np.concatenate(blocks), np.arange(frames))
    assert len(blocks) >= LEAST_BLOCKS - 2


def test_a_limit_from_resampled_blocks_holds_about_as_often_as_it_says() -> None:
    """Losses of independent frames around a true one of 1."""
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        losses = generator.normal(1, 3, 400)
        draws = resampled(lambda times, losses=losses: float(times @ losses / times.sum()), limit_blocks(["a"] * 400), 200)  # type: ignore[misc]
        held += at_most(float(losses.mean()), draws, MANY, NOTHING, False) >= 1
    assert 160 <= held <= 195  # 16 blocks make a percentile limit a little too low
