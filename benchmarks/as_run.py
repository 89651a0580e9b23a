"""Gates as they would be run on a camera that nobody tuned for, with and without noise taken out, beside today's.

    nice -n 19 python benchmarks/as_run.py --data DIR --keep FOLDER --write

Each way, a kind of gate with `--denoise none` or `auto`, is run at the highest of --choose up to which each of two sequences loses at most
GOAL points of AP50, and measured on the third, in turn. "Lost" is to the dense network on the same frames, unfiltered; "to today's gate"
to the preset without the filter. Intervals: 95 %, by bootstrap over blocks of 25 frames (15 of TownCentre), those of means over sequences
with draws that are independent of each other. One sequence is measured again under Gaussian noise of --sigma grey levels: it chooses
nothing, and is in no mean. --first leaves out the first frames of highway, which the filter's constants were looked at on.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from denoise import BLOCK, LOOKED_AT, changed, filtered
from gates_table import numbers
from measured_clips import FAINTEST, Passes, block_frames, detector, lost, measured, value_of, with_truth
from numpy.typing import NDArray
from tables import ResultTable, add_write_option, interval_text

from skipvid.evaluate.bootstrap import DRAWS, LEAST_BLOCKS, Interval, blocks_of, interval_of, resampled
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.run import Measure, main_measure
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine

GOAL = 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """A kind of gate, and what is done about noise."""

    gate: str
    denoise: str


TODAY = Way("norm", "none")


@dataclass(frozen=True, eq=False)
class Bench:
    """What passes are made with. levels: that are chosen from, factors on the preset's thresholds."""

    engine: DetectEngine
    passes: Passes
    levels: Sequence[float]
    _noisy: dict[str, bool] = field(default_factory=dict)

    def dense(self, on: Material) -> Seen:
        return self.passes.dense(self.engine, on)

    def gated(self, way: Way, level: float, on: Material) -> Seen:
        """Where the filter leaves all frames alone, one pass serves for both."""
        denoise = way.denoise if way.denoise == "none" or self._filters(on) else "none"
        return filtered(self.engine, on, denoise, level, self.passes, way.gate)

    def _filters(self, on: Material) -> bool:
        name = on.clips[0].name
        if name not in self._noisy:
            task = self.engine.task(denoise="auto")
            assert task.denoiser is not None
            for _, _, frame in on.frames():
                task.prepare(frame.picture)
            self._noisy[name] = task.denoiser.note is not None
        return self._noisy[name]

    def chosen(self, way: Way, on: Sequence[Material]) -> float | None:
        """The highest level up to which each of these loses no more than GOAL; None where one loses more at the lowest."""
        good = itertools.takewhile(lambda level: all(self._loss(way, level, each) <= GOAL for each in on), sorted(self.levels))
        return max(good, default=None)

    def _loss(self, way: Way, level: float, on: Material) -> float:
        dense = self.dense(on)
        return value_of(measured(on, dense, dense)) - value_of(measured(on, self.gated(way, level, on), dense))


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A statistic of all frames, and (DRAWS,) of each draw; NaN where there are too few blocks."""

    value: float
    draws: NDArray[np.float64]

    @classmethod
    def of(cls, statistic: Measure, groups: Sequence[str], seed: int) -> Drawn:
        blocks = blocks_of(groups, block_frames(len(groups), BLOCK))
        draws = resampled(statistic, blocks, DRAWS, seed) if len(blocks) >= LEAST_BLOCKS else np.full(DRAWS, math.nan)
        return cls(statistic(np.ones(len(groups), np.int64)), draws)


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """A way beside today's gate on a sequence: points lost to it, and the logarithm of how many times fewer MACs."""

    lost: Drawn
    saved: Drawn

    @classmethod
    def of(cls, material: Material, own: Seen, today: Seen, dense: Seen, seed: int) -> Beside:
        (_, mine), (_, theirs) = (main_measure(measured(material, each, dense)) for each in (own, today))
        labelled, frames = measured(material, dense, dense).groups, [material.clips[0].name] * len(material)
        return cls(
            Drawn.of(lambda times: theirs(times) - mine(times), labelled, seed),
            Drawn.of(lambda times: math.log((times @ today.macs) / (times @ own.macs)), frames, seed),
        )


def mean_texts(parts: Sequence[Beside]) -> tuple[str, str]:
    """Points lost, and times fewer MACs (a geometric mean): means over sequences, with their intervals."""
    losses, savings = (_mean(each) for each in ([part.lost for part in parts], [part.saved for part in parts]))
    factors = Interval(math.exp(savings.value), *(each if math.isinf(each) else math.exp(each) for each in (savings.low, savings.high)))
    return interval_text(losses, 1), interval_text(factors)


def _mean(parts: Sequence[Drawn]) -> Interval:
    return interval_of(float(np.mean([each.value for each in parts])), np.mean([each.draws for each in parts], axis=0))


def show(bench: Bench, sequences: Mapping[str, Material], noisy: Sequence[Material], ways: Sequence[Way], table: ResultTable) -> None:
    """noisy: sequences under noise, which are called as they are without, and something behind."""
    found: dict[Way, list[Beside]] = {way: [] for way in ways}
    for seed, material in enumerate([*sequences.values(), *noisy]):
        name, dense, today = material.clips[0].name, bench.dense(material), bench.gated(TODAY, 1.0, material)
        reference = measured(material, dense, dense)
        table.row(name, "dense", "", "", f"{value_of(reference):.1f}", "", "1.00×", "", "")
        others = [each for other, each in sequences.items() if not name.startswith(other)]
        rows = [("today's", TODAY, 1.0), *((way.gate, way, bench.chosen(way, others)) for way in ways)]
        for number, (gate, way, level) in enumerate(rows):
            if level is None:
                table.row(name, gate, way.denoise, "none", *[""] * 5)
                continue
            seen = bench.gated(way, level, material)
            own, compared = measured(material, seen, dense), Beside.of(material, seen, today, dense, seed)
            cells = [gate, way.denoise, f"{level:g}", f"{value_of(own):.1f}"]
            cells += [interval_text(lost(own, reference, BLOCK), 1), f"{own.fewer:.2f}×"]
            table.row(name, *cells, *(mean_texts([compared]) if number else ("", "")))
            if number and material not in noisy:
                found[way].append(compared)
    for way, parts in found.items():
        if len(parts) == len(sequences):
            table.row("mean of the sequences", way.gate, way.denoise, *[""] * 4, *mean_texts(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=800, help="of each sequence")
    parser.add_argument("--first", type=int, default=LOOKED_AT, help="frames of highway that are left out")
    parser.add_argument("--sigma", type=numbers, default=[4.0], help="noise added, grey levels")
    parser.add_argument("--noise-on", default="PETS09", help="sequence that noise is added to")
    parser.add_argument("--choose", type=numbers, default=[0.71, 1.0, 1.41, 2.0], help="levels that two sequences choose from")
    parser.add_argument("--gates", nargs="*", default=["norm", "norm-smooth"])
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    preset = load_preset(options.preset)
    engine = detector(preset, SkipConfig.of(preset, threads=1), FAINTEST)
    sequences = {
        name: changed(material, 0, options.first if name == "highway" else 0)
        for name, material in with_truth(options.data, options.frames).items()
    }
    noisy = [changed(sequences[options.noise_on], sigma, 0) for sigma in options.sigma]
    columns = ["sequence", "gate", "--denoise", "level", "AP50", "lost (95 %)", "fewer MACs", "lost to today's gate (95 %)"]
    columns += ["times fewer MACs than today's gate (95 %)"]
    note = f"{preset.name}, at most {options.frames} frames; levels {', '.join(f'{each:g}' for each in options.choose)}, goal {GOAL:g}."
    ways = [Way(gate, denoise) for gate in options.gates for denoise in ("none", "auto")]
    with ResultTable("as-run", columns, options.write, note) as table:
        show(Bench(engine, Passes(options.keep), options.choose), sequences, noisy, ways, table)


if __name__ == "__main__":
    main()
