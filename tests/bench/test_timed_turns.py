"""Turns that benchmarks/equal_time.py times passes in."""

import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from timed_turns import Clock, clock_of, in_turns, timing_options  # noqa: E402


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


@pytest.mark.parametrize(
    ("words", "what", "clock"), [([], "elapsed", time.perf_counter), (["--processor"], "processor", time.process_time)]
)
def test_scripts_that_time_share_options_and_name_their_clock(words: list[str], what: str, clock: Clock) -> None:
    options = timing_options("", frames=250, threads=2).parse_args(["--data", "folder", *words])
    assert (options.frames, options.threads, options.preset) == (250, 2, "efficientdet-nano")
    assert clock_of(options) == (what, clock)
