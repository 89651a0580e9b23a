"""The clocks of decoded frames by themselves: whatever stamps a file has, times rise, and say what can be known."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skipvid.video.sources.timing import ArrivalClock, PresentationClock

MILLISECOND, FINE = Fraction(1, 1000), Fraction(1, 90_000)


def times(clock: PresentationClock, stamps: list[int | None], tick: Fraction, decoding: bool = False) -> list[float]:
    frames: list[Any] = [SimpleNamespace(pts=None if decoding else stamp, dts=stamp if decoding else None) for stamp in stamps]
    origin = Fraction(next((stamp for stamp in stamps if stamp is not None), 0)) * tick
    return [clock.stamp(frame, tick, origin) for frame in frames]


@given(
    stamps=st.lists(st.none() | st.integers(-200, 5000), min_size=2, max_size=40),
    tick=st.sampled_from([MILLISECOND, FINE, Fraction(1, 25)]),
    rate=st.sampled_from([None, Fraction(25), Fraction(3000)]),
    decoding=st.booleans(),
)
def test_times_rise_whatever_the_stamps_are(stamps: list[int | None], tick: Fraction, rate: Fraction | None, decoding: bool) -> None:
    found = times(PresentationClock(rate), stamps, tick, decoding)
    assert all(one < other for one, other in zip(found, found[1:], strict=False))


@pytest.mark.parametrize("tick", [MILLISECOND, FINE])
def test_two_frames_with_one_stamp_lie_closer_than_their_neighbours(tick: Fraction) -> None:
    found = times(PresentationClock(Fraction(25)), [0, 40, 40, 40, 80], tick)
    assert found[0] == 0 and found[1] == float(40 * tick) and found[4] == float(80 * tick)
    assert found[1] < found[2] < found[3] < found[4]


def test_stamps_that_are_distances_apart_are_kept_as_they_are() -> None:
    assert times(PresentationClock(Fraction(25)), [100, 140, 190, 900], MILLISECOND) == [0.0, 0.04, 0.09, 0.8]


def test_a_rate_tells_frames_apart_that_the_clock_cannot() -> None:
    """3,000 pictures a second in a file that counts milliseconds."""
    found = times(PresentationClock(Fraction(3000)), [0, 0, 1, 1, 1, 2, 2], MILLISECOND)
    assert found == pytest.approx([k / 3000 for k in range(7)])


def test_after_a_jump_backwards_times_go_on_at_the_rate_and_keep_the_distances_that_follow() -> None:
    clock = PresentationClock(Fraction(25))
    assert times(clock, [1000, 1040, 100, 150, 190], MILLISECOND) == pytest.approx([0, 0.04, 0.08, 0.13, 0.17])
    assert clock.backward_jumps == 1


@pytest.mark.parametrize(("rate", "step"), [(Fraction(50), 0.02), (None, 0.04)])
def test_frames_without_stamps_follow_at_the_rate(rate: Fraction | None, step: float) -> None:
    assert times(PresentationClock(rate), [0, None, None, 200], MILLISECOND) == pytest.approx([0, step, 2 * step, 0.2])
    assert times(PresentationClock(rate), [None, None, None], MILLISECOND) == pytest.approx([0, step, 2 * step])


def test_frames_that_arrive_together_still_rise() -> None:
    clock = ArrivalClock()
    found = [clock.stamp(arrival) for arrival in (7.0, 7.0, 7.0, 7.5, 7.4)]
    assert found[0] == 0 and found[3] == pytest.approx(0.5)
    assert all(one < other for one, other in zip(found, found[1:], strict=False)) and found[2] < 1e-3
