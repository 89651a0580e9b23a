"""Accuracy at equal time of the whole command: gates at several levels of their thresholds, and what people do instead, by turns.

    python benchmarks/equal_time.py --data DIR --write

Instead: the dense network in every k-th frame, its boxes held in between, or moved with constant velocity. A pass opens the file, decodes,
runs the network and reads its boxes, as `skipvid detect --json` does, for all frames of a sequence. Each way makes one pass in turn, in
another order each round, so that whatever slows the machine down for a while meets all of them; the time of a way is the median over
rounds. "Gates at equal MACs" and "at equal time": AP50 of the preset's gates where they need as many MACs, or as much time, as the row;
interval by bootstrap over blocks of time. "Network ms": of a frame's time, from the decoded picture to the network's maps, scaling and
`--denoise auto` ("filtered") among it; beside it, how many times as fast as with the preset's gates. --processor: processor time of the
whole pass, for a machine that others use, too. All of it takes four minutes where nothing else runs.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from gates_table import numbers
from measured_clips import FAINTEST, detector, lost, measured, value_of, with_truth
from tables import ResultTable, interval_text
from timed_turns import clock_of, in_turns, timing_options
from tradeoff import at_equal_gain

from skipvid.core.results import Frame, FrameResult
from skipvid.evaluate.baselines import EveryKth
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.wrapped import WrappedStream
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Stream

BLOCK = 25

TODAY = "gates, level 1"


@dataclass(frozen=True, slots=True)
class Way:
    """level: of its gates; 0 = the dense network in all frames, None = in some of them. filtered: with `--denoise auto`.

    network_ms: by pass, mean of its frames.
    """

    name: str
    level: float | None
    start: Callable[[], Stream]
    filtered: bool = False
    network_ms: list[float] = field(default_factory=list)


def ways(engine: DetectEngine, levels: list[float], filtered: list[float], every: list[int]) -> list[Way]:
    """The dense network first."""
    config = engine.model.config
    found = [Way("dense", 0.0, engine.dense_stream)]
    for level in levels:
        found.append(Way(f"gates, level {level:g}", level, engine.regated(config.at(level * config.threshold)).stream))
    for level in filtered:
        gated = engine.regated(config.at(level * config.threshold))
        gated.use_denoising("auto")
        found.append(Way(f"gates, level {level:g}, filtered", level, gated.stream, filtered=True))
    for k in every:
        for moved in (False, True):
            name = f"every {k}: {'moved' if moved else 'held'}"
            found.append(Way(name, None, lambda k=k, moved=moved: EveryKth(engine.dense_stream(), k, moved)))  # type: ignore[misc]
    return found


class _Timed(WrappedStream):
    """A stream whose time up to the network's maps is written down, milliseconds by frame."""

    def __init__(self, inner: Stream, spent: list[float]) -> None:
        super().__init__(inner)
        self._spent = spent

    def process(self, frame: Frame) -> FrameResult:
        result = super().process(frame)
        self._spent.append(result.ms.get("preprocess", 0.0) + result.ms["model"])
        return result


def pass_of(way: Way, material: Material, dense_macs: int) -> Callable[[], Seen]:
    """What runs a way over all frames; its program is built here, before any time is taken."""
    _, _, frame = next(material.frames())
    way.start().process(frame)

    def run() -> Seen:
        spent: list[float] = []
        seen = Seen.of(material, lambda: _Timed(way.start(), spent), dense_macs)
        way.network_ms.append(statistics.mean(spent))
        return seen

    return run


def show(material: Material, engine: DetectEngine, options: argparse.Namespace, table: ResultTable) -> None:
    """The rows of one sequence."""
    _, _, frame = next(material.frames())
    macs = engine.dense_macs(frame.height, frame.width)
    chosen = ways(engine, options.levels, options.filtered, [int(k) for k in options.every])
    found = in_turns({way.name: pass_of(way, material, macs) for way in chosen}, options.rounds, clock_of(options)[1])
    dense, dense_seconds = found["dense"]
    outcomes = {name: measured(material, seen, dense) for name, (seen, _) in found.items()}
    gates = [way.name for way in chosen if way.level is not None and not way.filtered]
    network = {way.name: statistics.median(way.network_ms) for way in chosen}
    today = network.get(TODAY)
    by_macs = [(value_of(outcomes[name]), outcomes[name].fewer) for name in gates]
    by_time = [(value_of(outcomes[name]), dense_seconds / found[name][1]) for name in gates]
    for way in chosen:
        own, seconds = outcomes[way.name], found[way.name][1]
        equal = ["", ""]
        if way.level is None:
            values = at_equal_gain(by_macs, own.fewer), at_equal_gain(by_time, dense_seconds / seconds)
            equal = ["" if value is None else f"{value:.1f}" for value in values]
        loss = "" if way.name == "dense" else interval_text(lost(own, outcomes["dense"], BLOCK), 1)
        times = [f"{1000 * seconds / len(material):.1f}", f"{dense_seconds / seconds:.2f}×"]
        times += [f"{network[way.name]:.2f}", "" if today is None else f"{today / network[way.name]:.2f}×"]
        table.row(material.clips[0].name, way.name, f"{value_of(own):.1f}", loss, f"{own.fewer:.2f}×", *times, *equal)


def main() -> None:
    parser = timing_options(__doc__, frames=126, threads=1)
    parser.add_argument("--levels", type=numbers, default=[0.71, 1.0, 1.41, 2.0], help="factors on the preset's thresholds")
    parser.add_argument("--filtered", type=numbers, default=[1.41], help="levels that are run with --denoise auto, too")
    parser.add_argument("--every", type=numbers, default=[2, 3], help="dense in every so many frames")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    preset = load_preset(options.preset)
    engine = detector(preset, SkipConfig.of(preset, threads=options.threads), FAINTEST)
    columns = ["sequence", "way", "AP50", "lost (95 %)", "fewer MACs", "ms a frame", "times as fast"]
    columns += ["network ms", "times as fast as today's gate", "gates at equal MACs", "gates at equal time"]
    what = clock_of(options)[0]
    note = f"{preset.name}, {options.frames} frames, {options.rounds} rounds, {options.threads} threads, {what} time of the whole pass."
    with ResultTable("equal-time", columns, options.write, note) as table:
        for material in with_truth(options.data, options.frames).values():
            show(material, engine, options, table)


if __name__ == "__main__":
    main()
