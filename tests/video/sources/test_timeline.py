"""The repaired clock on made-up stamps: what is a jump, what is none, and that all streams jump together."""

from __future__ import annotations

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
