"""Accuracy on cameras that nothing was chosen on: two sequences choose a threshold, the third measures it, in turn.

    nice -n 19 python benchmarks/left_out.py --data DIR --keep FOLDER --write

Two tables. `left-out`: a way to gate is tried at several levels of its thresholds. The highest level at which each of two sequences loses
at most GOAL points of AP50 is chosen (taken together, the longer one would outweigh the other); what the third one loses there, with its
bootstrap interval, is the row of the table. Beside it stand the preset as it is, and what people do instead: the dense network in every
k-th frame, its boxes held or moved. "Norm gates at equal MACs": AP50 of the preset's gates where their MACs are those of the row,
interpolated over logarithms (in time: equal_time.py).
`smooth`: how many times fewer MACs smoothed gates need than norm gates that agree as much with the dense network, on clips without truth
(benchmarks/tradeoff.py): AP50 on a hundred frames could not tell.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from gates_table import numbers
from measured_clips import FAINTEST, Passes, detector, every_video, lost, measured, value_of, with_truth, without_truth
from tables import ResultTable, add_write_option, interval_text
from tradeoff import at_equal_gain, gain_at_equal_accuracy

from skipvid.evaluate.baselines import EveryKth
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.run import Pass
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import as_tensors
from skipvid.skip.sensitivity import Sensitivity
from skipvid.tasks.detect_engine import DetectEngine

GOAL = 0.5
BLOCK = 25
SAMPLES = 4
"""Frames of each sequence that the sensitivity is measured on."""

LOSSES = (1.0, 2.0, 4.0)
"""Points of agreement with the dense network at which two kinds of gate are compared."""


@dataclass(frozen=True, slots=True)
class Way:
    """A kind of gate. of: the sequences that gave the thresholds of single maps their proportions; () = those of the preset."""

    name: str
    gate: str
    of: tuple[str, ...] = ()


class Bench:
    """The sequences, the clips without truth, and what was measured on them. levels: factors on a way's thresholds."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.preset = load_preset(options.preset)
        config = SkipConfig.of(self.preset, threads=1)
        self._faint, self._plain = (detector(self.preset, config, score) for score in (FAINTEST, self.preset.score_threshold))
        self.passes = Passes(options.keep)
        self.levels: list[float] = options.levels
        self.sequences = with_truth(options.data, options.frames)
        self.videos = without_truth(
            [spec for spec in every_video(options.data) if Path(spec).parent.name in options.folders], options.frames
        )
        self._proportions: dict[tuple[str, ...], dict[str, float]] = {}
        self._measured: dict[tuple[Way, float, int], Pass] = {}

    def engine(self, on: Material) -> DetectEngine:
        """Average precision needs faint detections; agreement is that of what would be shown."""
        return self._plain if on.labels is None else self._faint

    def seen(self, way: Way, level: float, on: Material) -> Seen:
        engine = self.engine(on)
        config = replace(engine.model.config, gate=way.gate)
        if way.of:
            config = replace(config, thresholds=self._thresholds(way.of))
        return self.passes.gated(engine.regated(config), on, level)

    def gated(self, way: Way, level: float, on: Material) -> Pass:
        key = way, level, id(on)
        if key not in self._measured:
            self._measured[key] = self.measured(on, self.seen(way, level, on))
        return self._measured[key]

    def dense(self, on: Material) -> Pass:
        key = Way("dense", "none"), 0.0, id(on)
        if key not in self._measured:
            self._measured[key] = self.measured(on, self.passes.dense(self.engine(on), on))
        return self._measured[key]

    def instead(self, every: int, moved: bool, on: Material) -> Seen:
        name = f"every {every}, {'moved' if moved else 'held'}"
        return self.passes.instead(self.engine(on), on, name, lambda: EveryKth(self.engine(on).dense_stream(), every, moved))

    def chosen(self, way: Way, on: Sequence[Material]) -> float | None:
        """The highest level up to which each of these sequences loses no more than GOAL; None where one loses more at the lowest."""
        good = None
        for level in sorted(self.levels):
            if any(value_of(self.dense(each)) - value_of(self.gated(way, level, each)) > GOAL for each in on):
                break
            good = level
        return good

    def curve(self, way: Way, on: Material) -> list[tuple[float, Pass]]:
        """(level, pass), the dense network first."""
        return [(0.0, self.dense(on)), *((level, self.gated(way, level, on)) for level in self.levels)]

    def measured(self, on: Material, seen: Seen) -> Pass:
        return measured(on, seen, self.passes.dense(self.engine(on), on))

    def _thresholds(self, of: tuple[str, ...]) -> dict[str, float]:
        if of not in self._proportions:
            sensitivity = Sensitivity(self._plain.model)
            for name in of:
                material = self.sequences[name]
                step = max(1, len(material) // SAMPLES)
                for number, _, frame in material.frames():
                    if number % step == 0:
                        sensitivity.add(*as_tensors((self._plain.task().prepare(frame.picture),)))
            self._proportions[of] = sensitivity.thresholds(self.preset.threshold)
        return self._proportions[of]


def show_left_out(bench: Bench, options: argparse.Namespace) -> None:
    columns = ["measured on", "way", "level", "AP50", "lost (95 %)", "fewer MACs", "norm gates at equal MACs"]
    note = f"{bench.preset.name}, {options.frames} frames; level: factor on the thresholds."
    with ResultTable("left-out", columns, options.write, note) as table:
        for name, material in bench.sequences.items():
            curve = bench.curve(Way("", "norm"), material)
            by_macs = [(value_of(own), own.fewer if level else 1.0) for level, own in curve]
            others = {other: each for other, each in bench.sequences.items() if other != name}
            for way, level, seen in rows(bench, material, others, options):
                own = bench.measured(material, seen)
                cells = ["", ""]
                if way != "dense":
                    at_equal = at_equal_gain(by_macs, own.fewer)
                    cells = [interval_text(lost(own, curve[0][1], BLOCK), 1), "" if at_equal is None else f"{at_equal:.1f}"]
                table.row(name, way, level, f"{value_of(own):.1f}", cells[0], f"{own.fewer:.2f}×", cells[1])


def rows(bench: Bench, left: Material, others: Mapping[str, Material], options: argparse.Namespace) -> Iterator[tuple[str, str, Seen]]:
    yield "dense", "", bench.passes.dense(bench.engine(left), left)
    yield "the preset", "1", bench.seen(Way("", "norm"), 1.0, left)
    for way in ways(options.gates, tuple(others), options.calibrate):
        level = bench.chosen(way, list(others.values()))
        if level is not None:
            yield way.name, f"{level:g}", bench.seen(way, level, left)
    for every in map(int, options.every):
        for moved in (False, True):
            yield f"every {every}: {'moved' if moved else 'held'}", "", bench.instead(every, moved, left)


def ways(gates: Sequence[str], others: tuple[str, ...], calibrates: bool) -> Iterator[Way]:
    """What is compared on a sequence that these `others` choose for."""
    for gate in gates:
        yield Way(f"{gate}, the preset's proportions", gate)
        if calibrates:
            yield Way(f"{gate}, calibrated on the others", gate, others)


def show_smooth(bench: Bench, options: argparse.Namespace) -> None:
    """Smoothed gates against norm gates."""
    columns = ["clip", *(f"{loss:g} lost: norm, smooth, ratio" for loss in LOSSES)]
    ratios: dict[float, list[float]] = {loss: [] for loss in LOSSES}
    note = f"{bench.preset.name}, {options.frames} frames; times fewer MACs than dense where so many points of agreement are lost."
    with ResultTable("smooth", columns, options.write, note) as table:
        for name, material in bench.videos.items():
            curves = [_agreement_by_macs(bench, Way("", gate), material) for gate in ("norm", "norm-smooth")]
            cells = []
            for loss in LOSSES:
                if not all(_reaches(curve, curves[0][0][0] - loss) for curve in curves):
                    cells.append("not lost")
                    continue
                gains = [gain_at_equal_accuracy(curve, curves[0][0][0] - loss) for curve in curves]
                assert gains[0] and gains[1], "the dense network is on every curve"
                ratios[loss].append(gains[1] / gains[0])
                cells.append(f"{gains[0]:.2f}×, {gains[1]:.2f}×, {gains[1] / gains[0]:.2f}")
            table.row(name[:40], *cells)
        table.row("geometric mean", *(f"{math.exp(statistics.fmean(map(math.log, each))):.2f}" if each else "" for each in ratios.values()))


def _reaches(curve: Sequence[tuple[float, float]], accuracy: float) -> bool:
    """Whether the setting with the largest gain has lost so much: else nothing is known of what could be gained there."""
    return max(curve, key=lambda point: point[1])[0] <= accuracy


def _agreement_by_macs(bench: Bench, way: Way, material: Material) -> list[tuple[float, float]]:
    return [(value_of(own), own.fewer if level else 1.0) for level, own in bench.curve(way, material)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=800, help="frames of each clip")
    parser.add_argument("--levels", type=numbers, default=[0.5, 0.71, 1.0, 1.41, 2.0], help="factors on the thresholds")
    parser.add_argument("--gates", nargs="*", default=["norm", "norm-smooth"], help="kinds whose level is chosen on two sequences")
    parser.add_argument("--every", type=numbers, default=[2, 3, 4], help="dense in every so many frames")
    parser.add_argument("--calibrate", action="store_true", help="measure thresholds calibrated on the two other sequences, too")
    parser.add_argument("--folders", nargs="*", default=["fixed", "sample_videos"], help="whose clips stand for cameras without truth")
    parser.add_argument("--only", choices=["left-out", "smooth"], help="leave the other table out")
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    bench = Bench(options)
    if options.only != "smooth":
        show_left_out(bench, options)
    if options.only != "left-out":
        show_smooth(bench, options)


if __name__ == "__main__":
    main()
