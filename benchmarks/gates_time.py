"""How long the network takes with several kinds of gate, in turns on the same frames: for kinds that gates_table.py found equally accurate.

    python benchmarks/gates_time.py --data DIR --norm 0.045 --calibrated 0.089 --learned PRESET.yaml

Each kind has a stream of its own. They take turns after every BLOCK frames, in another order each time, so that whatever slows the machine
down for a while meets all of them, and most frames follow one of their own stream, as in use; the first of a turn, which finds the others'
maps in the caches, is not counted, nor is the first turn. Prints medians of the network's milliseconds and the ratio to the first kind, and
how many times fewer MACs than dense each kind needs. --processor: milliseconds of processor time, for a machine that others use, too.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from gates_table import make_engine, numbers
from numpy.typing import NDArray
from sequences import SEQUENCES, load_frames
from tables import ResultTable
from timed_turns import Clock, clock_of, timing_options

from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine

BLOCK = 12
"""Frames of a turn."""


def time_in_turns(
    engines: list[DetectEngine], images: list[NDArray[np.uint8]], clock: Clock = time.perf_counter
) -> list[tuple[float, float]]:
    """Of each engine's network: median milliseconds a frame, and how many times fewer MACs than dense."""
    tasks, sessions = [engine.task() for engine in engines], [engine.model.session() for engine in engines]
    times: list[list[float]] = [[] for _ in engines]
    macs, dense_macs = [0] * len(engines), [0] * len(engines)
    for turn, first in enumerate(range(0, len(images), BLOCK)):
        for place in range(len(engines)):
            number = (place + turn) % len(engines)
            for index, image in enumerate(images[first : first + BLOCK]):
                prepared = tasks[number].prepare(image)
                begin = clock()
                sessions[number](prepared)
                took = clock() - begin
                cost = sessions[number].cost
                macs[number], dense_macs[number] = macs[number] + cost.macs, dense_macs[number] + cost.dense_macs
                if turn and index:
                    times[number].append(1000 * took)
    fewer = [every / own for own, every in zip(macs, dense_macs, strict=True)]
    return list(zip(map(statistics.median, times), fewer, strict=True))


def main() -> None:
    parser = timing_options(__doc__, frames=600, threads=2)
    parser.add_argument("--norm", type=numbers, default=[0.045], help="thresholds of norm gates with one for all maps")
    parser.add_argument("--calibrated", type=numbers, default=[], help="thresholds of the preset's own, calibrated gates")
    parser.add_argument("--smooth", type=numbers, default=[], help="thresholds of smoothed gates in the preset's proportions")
    parser.add_argument("--learned", nargs="*", default=[], help="presets with learned thresholds")
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    base = load_preset(options.preset)
    own = SkipConfig.of(base, threads=options.threads)
    engines = {f"norm {t:g}": make_engine(base, SkipConfig(t, threads=options.threads)) for t in options.norm}
    engines |= {f"calibrated {t:g}": make_engine(base, own.at(t)) for t in options.calibrated}
    engines |= {f"smoothed {t:g}": make_engine(base, replace(own.at(t), gate="norm-smooth")) for t in options.smooth}
    for path in options.learned:
        learned = load_preset(path)
        engines[learned.name] = make_engine(learned, SkipConfig.of(learned, threads=options.threads))
    engines["dense"] = make_engine(base, SkipConfig(gate="none", threads=options.threads))
    columns = ["gate", *(f"{sequence.name} {what}" for sequence in SEQUENCES for what in ("ms", "times as fast", "fewer MACs"))]
    cells: dict[str, list[str]] = {name: [] for name in engines}
    for sequence in SEQUENCES:
        images, _ = load_frames(options.data, sequence, options.frames)
        found = time_in_turns(list(engines.values()), images, clock_of(options)[1])
        for name, (milliseconds, fewer) in zip(engines, found, strict=True):
            cells[name] += [f"{milliseconds:.2f}", f"{found[0][0] / milliseconds:.2f}×", f"{fewer:.2f}×"]
    note = f"{base.name}, {options.frames} frames, {options.threads} threads, {clock_of(options)[0]} time."
    with ResultTable("smooth-time" if options.smooth else "gates-time", columns, options.write, note) as table:
        for name, row in cells.items():
            table.row(name, *row)


if __name__ == "__main__":
    main()
