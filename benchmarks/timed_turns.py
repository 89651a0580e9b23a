"""Passes that take turns, so that whatever slows the machine down for a while meets them all; the options of such scripts."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tables import add_write_option

Result = TypeVar("Result")
Clock = Callable[[], float]


def in_turns(passes: Mapping[str, Callable[[], Result]], rounds: int, clock: Clock) -> dict[str, tuple[Result, float]]:
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


def timing_options(description: str | None, frames: int, threads: int) -> argparse.ArgumentParser:
    """A parser with what scripts have in common that time a network on the sequences. frames, threads: where nothing is said."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=frames, help="of each sequence")
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--processor", action="store_true", help="processor time, for a machine that others use, too")
    add_write_option(parser)
    return parser


def clock_of(options: argparse.Namespace) -> tuple[str, Clock]:
    """The clock that was asked for, and what it measures."""
    return ("processor", time.process_time) if options.processor else ("elapsed", time.perf_counter)
