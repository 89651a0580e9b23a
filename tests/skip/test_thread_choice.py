"""All threads or one: what is faster is found, kept, and given up when it no longer is; looking costs little."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from skipvid.skip.thread_choice import EDGE, SHORTEST, TRIAL, ThreadChoice


class Clock:
    """Two cores of which a share is used."""

    def __init__(self, busy: float = 0.5) -> None:
        self.busy = busy
        self._passed = self._used = 0.0

    def __call__(self) -> tuple[float, float]:
        return self._passed, self._used

    def tick(self, seconds: float) -> None:
        self._passed += 2 * seconds
        self._used += 2 * seconds * self.busy


def ways(choice: ThreadChoice, frames: int, seconds: Callable[[bool, int], float], clock: Clock | None = None) -> list[bool]:
    """How the frames were computed. seconds: of a frame, alone or not."""
    taken = []
    for frame in range(frames):
        taken.append(choice.alone)
        spent = seconds(taken[-1], frame)
        if clock is not None:
            clock.tick(spent)
        choice.took(spent)
    return taken


def test_a_second_thread_is_not_used_where_other_work_keeps_the_cores_busy() -> None:
    clock = Clock(0.95)
    choice = ThreadChoice(clock)
    taken = ways(choice, 500, lambda alone, _: 1.5 if alone else 1.0, clock)
    assert sum(taken[4 + TRIAL :]) > 0.9 * len(taken[4 + TRIAL :])
    clock.busy = 0.5
    assert sum(ways(choice, 2000, lambda alone, _: 1.5 if alone else 1.0, clock)[500:]) < 0.05 * 1500


@pytest.mark.parametrize("faster_alone", [False, True])
def test_the_faster_way_is_taken_and_trials_are_few(faster_alone: bool) -> None:
    taken = ways(ThreadChoice(Clock()), 2000, lambda alone, _: 1.0 if alone == faster_alone else 1.5)
    wrong = sum(alone != faster_alone for alone in taken[10:])
    assert wrong <= 8 * TRIAL // 2, "some 2 % of the frames, in eight trials"


def test_frames_of_very_different_work_do_not_mislead() -> None:
    work = [1.0, 1.1, 5.0, 4.8, 0.9, 1.0, 3.0]
    taken = ways(ThreadChoice(Clock()), 700, lambda alone, frame: work[frame % len(work)] * (0.6 if alone else 1.0))
    assert sum(taken[100:]) > 0.9 * 600


def test_a_way_that_met_more_work_by_chance_is_not_taken_for_the_slower_one() -> None:
    """Frames whose work differs between the middle of each trial and its edges, for which one thread would be right or wrong."""
    choice, taken = ThreadChoice(Clock()), []
    for _ in range(600):
        alone, trying = choice.alone, choice.trying
        work = 2.0 if trying and alone else 1.0
        taken.append(alone)
        choice.took(work * (1.0 if alone else 1.3), work)
    assert sum(taken[30:]) > 0.9 * 570


def test_a_change_of_the_load_is_noticed() -> None:
    taken = ways(ThreadChoice(Clock()), 1500, lambda alone, frame: 1.0 if alone == (frame >= 500) else 2.0)
    assert sum(taken[400:460]) <= 2 * EDGE and sum(taken[-60:]) >= 60 - TRIAL


def test_more_threads_must_save_a_tenth_of_the_time() -> None:
    level, worth = (ways(ThreadChoice(Clock()), 300, lambda alone, _, slower=slower: slower if alone else 1.0) for slower in (1.02, 1.2))
    assert sum(level[SHORTEST:]) > 0.8 * len(level[SHORTEST:]) and sum(worth) < 0.15 * len(worth)


@pytest.mark.parametrize("first", [1.0, 2.0])
def test_ways_that_are_about_worth_each_other_are_not_exchanged(first: float) -> None:
    choice = ThreadChoice(Clock())
    before = ways(choice, SHORTEST, lambda alone, _: first if alone else 1.5)[-1]
    after = ways(choice, 10 * SHORTEST, lambda alone, _: 1.0 if alone else 0.9)
    assert sum(way != before for way in after) < 0.1 * len(after)


@pytest.mark.parametrize("told", [False, True])
def test_how_busy_frames_of_another_kind_keep_the_cores_counts_for_nothing(told: bool) -> None:
    clock = Clock()
    choice, alone = ThreadChoice(clock), []
    for _ in range(120):
        clock.busy = 1.0  # two of the other kind, computed by all threads
        clock.tick(24.0)
        if told:
            choice.interrupted()
        for _ in range(2):
            clock.busy = 0.5
            alone.append(choice.alone)
            spent = 1.5 if alone[-1] else 1.0
            clock.tick(spent)
            choice.took(spent)
    assert (sum(alone[TRIAL:]) < 0.3 * len(alone)) == told


def test_one_thread_is_soon_tried_against_all_where_the_load_is_another() -> None:
    choice = ThreadChoice(Clock())
    ways(choice, 700, lambda alone, _: 1.0 if alone else 1.5)
    choice.reconsider()
    assert not all(ways(choice, TRIAL, lambda alone, _: 1.5 if alone else 1.0))
    assert sum(ways(choice, 25, lambda alone, _: 1.5 if alone else 1.0)) <= EDGE
    choice.reconsider()
    assert not any(ways(choice, 8, lambda alone, _: 1.5 if alone else 1.0)), "all threads need not be tried anew"
