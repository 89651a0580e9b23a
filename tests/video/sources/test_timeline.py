"""The repaired clock on made-up stamps: what is a jump, what is none, and that all streams jump together."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from skipvid.video.sources.timeline import Timeline

STEP = Fraction(1, 25)
DAY = 93_600  # 26 hours


def play(line: Timeline, key: str, stamps: list[float], step: Fraction = STEP) -> list[float]:
    times = []
    for stamp in stamps:
        seconds = Fraction(stamp).limit_denominator(90_000)
        times.append(float(seconds + line.offset(key, seconds, seconds, step)))
    return times


def even(count: int, start: float = 0.0, step: float = 0.04) -> list[float]:
    return [start + i * step for i in range(count)]


@pytest.mark.parametrize("by", [DAY, -DAY, 3600, -0.9, -(2**33) / 90_000])
@pytest.mark.parametrize("limit", [60.0, 600.0])
def test_stream_goes_on_after_a_jump(by: float, limit: float) -> None:
    line = Timeline(limit)
    assert play(line, "v", even(50, 5) + even(50, 7 + by)) == pytest.approx(even(100, 5), abs=1e-4)
    assert line.jumps == [(pytest.approx(7, abs=1e-4), pytest.approx(by, abs=0.001))]


@pytest.mark.parametrize("first", ["v", "a"])
def test_sound_and_pictures_jump_together(first: str) -> None:
    line, second = Timeline(60), "a" if first == "v" else "v"
    play(line, first, even(50))
    play(line, second, even(50, 0.01))
    assert play(line, first, even(50, DAY + 2)) == pytest.approx(even(50, 2), abs=1e-3)
    assert play(line, second, even(50, DAY + 2.01)) == pytest.approx(even(50, 2.01), abs=1e-3)
    assert len(line.jumps) == 1


@pytest.mark.parametrize("step", [3600.0, 86_400.0, 20.0])
@pytest.mark.parametrize("told", [True, False])
def test_rare_pictures_are_no_jumps(step: float, told: bool) -> None:
    line = Timeline(60)
    stamps = even(8, 0, step)
    assert play(line, "v", stamps, Fraction(step) if told else Fraction(0)) == stamps and not line.jumps


def test_gap_that_the_sound_bridges_is_none() -> None:
    line = Timeline(60)
    play(line, "v", even(50))
    play(line, "a", even(5000, 0, 0.1))
    assert play(line, "v", [499.0]) == [499.0] and not line.jumps


def test_pause_within_the_limit_is_kept() -> None:
    line = Timeline(60)
    stamps = even(50) + even(50, 30)
    assert play(line, "v", stamps) == pytest.approx(stamps) and not line.jumps


def test_slips_and_reordered_pictures_are_no_jumps() -> None:
    line = Timeline(600, ordered=False)
    stamps = [t for i in range(0, 80, 8) for t in (i * 0.04 + 0.32, *(i * 0.04 + 0.04 * k for k in (4, 2, 1, 3, 6, 5, 7)))]
    assert play(line, "v", stamps) == pytest.approx(stamps) and not line.jumps


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_what_is_counted_in_ticks_is_what_fractions_say(seed: int, ordered: bool) -> None:
    """Streams of pictures out of order, of sound, and without some of their stamps, which jump, stand still and leave gaps."""
    draw = random.Random(seed)
    exact, counting = Timeline(60, ordered, joins=True), Timeline(60, ordered, joins=True)
    ticks = {"v": Fraction(1, 90_000), "a": Fraction(1, 48_000), "coarse": Fraction(1, 7)}
    now, counted = dict.fromkeys(ticks, Fraction(0)), 0
    for _ in range(400):
        key = draw.choice(list(ticks))
        tick = ticks[key]
        now[key] += draw.choice([0, 0, STEP, STEP, STEP, STEP, 2 * STEP, STEP / 3, -STEP])
        if draw.random() < 0.01:
            now[key] += draw.choice([-3600, 3600, 70, -2, 2])
        dts = round(now[key] / tick)
        pts = dts + draw.choice([0, round(2 * STEP / tick), round(STEP / tick)])
        stamps = [None if draw.random() < 0.1 else stamp for stamp in (pts, dts)]
        seconds = [None if stamp is None else stamp * tick for stamp in stamps]
        found = counting.follow(key, *stamps, tick)
        counted += found is not None
        assert exact.offset(key, *seconds, STEP) == (counting.offset(key, *seconds, STEP) if found is None else found)
        if draw.random() < 0.05:
            for line in (exact, counting):
                line.keep(["v", "coarse"])
    assert counted > 20 and counting.jumps == exact.jumps and counting.now == exact.now
    for key in ticks:
        assert (counting.reach(key), counting.usual(key), counting.current(key)) == (exact.reach(key), exact.usual(key), exact.current(key))
