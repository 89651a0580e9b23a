"""Passes that take turns, so that whatever slows the machine down for a while meets all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")


def in_turns(passes: Mapping[str, Callable[[], Result]], rounds: int, clock: Callable[[], float]) -> dict[str, tuple[Result, float]]:
    """By name: what the last pass returned, and the median over rounds of its seconds. The order moves on by one in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    results: dict[str, Result] = {}
    names = list(passes)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            begin = clock()
            results[name] = passes[name]()
            seconds[name].append(clock() - begin)
    return {name: (results[name], statistics.median(seconds[name])) for name in names}
