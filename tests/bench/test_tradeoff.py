"""The comparison at equal accuracy that benchmarks/gates_table.py prints."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from tradeoff import at_equal_gain, gain_at_equal_accuracy  # noqa: E402

CURVE = [(90.0, 1.0), (89.0, 2.0), (85.0, 8.0), (80.0, 16.0)]


def test_between_settings_the_gain_is_interpolated():
    assert gain_at_equal_accuracy(CURVE, 89.0) == 2.0
    assert gain_at_equal_accuracy(CURVE, 87.0) == pytest.approx(4.0)  # half-way in logarithms
    assert gain_at_equal_accuracy(CURVE, 86.0) == pytest.approx(2.0**2.5)


def test_beyond_the_settings_nothing_is_made_up():
    assert gain_at_equal_accuracy(CURVE, 70.0) == 16.0 and gain_at_equal_accuracy(CURVE, 90.5) is None


def test_a_setting_that_another_one_beats_does_not_count():
    assert gain_at_equal_accuracy([*CURVE, (84.0, 4.0)], 84.0) == gain_at_equal_accuracy(CURVE, 84.0)
    better = gain_at_equal_accuracy([*CURVE, (88.0, 10.0)], 87.0)
    assert better is not None and better > 10  # on the way from that setting to the next


def test_the_accuracy_at_a_gain_is_read_from_the_curve_and_never_beyond_it():
    assert at_equal_gain(CURVE, 4.0) == pytest.approx(87.0) and at_equal_gain(CURVE, 16.0) == 80.0
    assert at_equal_gain(CURVE, 0.9) is None and at_equal_gain(CURVE, 17.0) is None
