"""Turns that benchmarks/equal_time.py times passes in."""

import sys
from pathlib import Path

import numpy as np

from skipvid.evaluate.material import Seen

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from equal_time import in_turns  # noqa: E402

NOTHING = Seen([], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def test_ways_take_turns_in_another_order_each_round_and_one_slow_pass_does_not_count() -> None:
    now, order = [0.0], []
    durations = {"dense": iter([5.0, 5.0, 5.0]), "gates": iter([2.0, 90.0, 3.0])}

    def passing(name: str) -> Seen:
        order.append(name)
        now[0] += next(durations[name])
        return NOTHING

    found = in_turns({name: lambda name=name: passing(name) for name in durations}, 3, lambda: now[0])
    assert order == ["dense", "gates", "gates", "dense", "dense", "gates"]
    assert {name: seconds for name, (_, seconds) in found.items()} == {"dense": 5.0, "gates": 3.0}
