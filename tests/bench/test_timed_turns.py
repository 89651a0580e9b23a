"""Turns that benchmarks/equal_time.py times passes in."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from timed_turns import in_turns  # noqa: E402


def test_passes_take_turns_in_another_order_each_round_and_one_slow_pass_does_not_count() -> None:
    now, order = [0.0], []
    durations = {"dense": iter([5.0, 5.0, 5.0]), "gates": iter([2.0, 90.0, 3.0])}

    def passing(name: str) -> str:
        order.append(name)
        now[0] += next(durations[name])
        return f"{name} {len(order)}"

    found = in_turns({name: lambda name=name: passing(name) for name in durations}, 3, lambda: now[0])
    assert order == ["dense", "gates", "gates", "dense", "dense", "gates"]
    assert found == {"dense": ("dense 5", 5.0), "gates": ("gates 6", 3.0)}
