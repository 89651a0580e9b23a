"""Accuracy on cameras that nothing was chosen on: two sequences choose a threshold, the third measures it, in turn.

    nice -n 19 python benchmarks/left_out.py --data DIR --keep FOLDER --write

A way to gate is tried at several levels of its thresholds. Of two sequences, the highest level at which neither loses more than GOAL
points of AP50 is chosen; what the third one loses there, with its bootstrap interval, is the row of the table. Beside it stand the preset
as it is, and what people do instead: the dense network in every k-th frame, its boxes held or moved. "The preset's norm gates at equal
MACs": their AP50 at the MACs of the row, interpolated over the logarithm of the MACs. --keep: what was measured is kept there, so that a
run goes on where another one ended.
"""

from __future__ import annotations

import argparse
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from gates_table import make_engine, numbers
from numpy.typing import NDArray
from sequences import SEQUENCES, load_frames
from sequences import Sequence as Material
from tables import ResultTable, add_write_option
from tradeoff import gain_at_equal_accuracy

from skipvid.core.results import Frame
from skipvid.evaluate.baselines import EveryKth
from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.run import Labels, Pass, compare, run_clip
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.presets.preset import Preset, load_preset
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import as_tensors
from skipvid.skip.sensitivity import Sensitivity
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Stream

GOAL = 0.5
BLOCK = 25
SAMPLES = 4
"""Frames of each sequence that the sensitivity is measured on."""


@dataclass(frozen=True, slots=True)
class Way:
    """A kind of gate. of: the sequences that gave the thresholds of single maps their proportions; () = those of the preset."""

    name: str
    gate: str
    of: tuple[str, ...] = ()


class Bench:
    """The three sequences, and what was measured on them. levels: factors on a way's thresholds."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.preset: Preset = load_preset(options.preset)
        self.engine: DetectEngine = make_engine(self.preset, SkipConfig.of(self.preset, threads=options.threads))
        self.keep: Path | None = options.keep
        self.most: int = options.frames
        self.calibrates: bool = options.calibrate
        self.levels: list[float] = options.levels
        self.every: list[int] = [int(k) for k in options.every]
        self.frames: dict[str, list[NDArray[np.uint8]]] = {}
        self.clips: dict[str, LabelledClip] = {}
        self.labels = {each.name: Labels(each.categories, merged=True) for each in SEQUENCES}
        for each in SEQUENCES:
            images, truths = load_frames(options.data, each, options.frames)
            found = {
                number: FrameTruth(truth.boxes, np.full(len(truth.boxes), each.categories[0], np.int64), truth.ignore)
                for number, truth in enumerate(truths)
            }
            self.frames[each.name], self.clips[each.name] = images, LabelledClip(each.name, each.clip, found)
        self._proportions: dict[tuple[str, ...], dict[str, float]] = {}

    def config(self, way: Way, level: float) -> SkipConfig:
        own = self.engine.model.config
        if way.of:
            own = replace(own, thresholds=self._thresholds(way.of))
        return replace(own.at(level * own.threshold), gate=way.gate)

    def gated(self, way: Way, level: float, on: str) -> Pass:
        config = self.config(way, level)
        return self._kept(f"{way.gate} {'+'.join(way.of)} {level:g} {on}", lambda: self._run(on, self.engine.regated(config).stream()))

    def dense(self, on: str) -> Pass:
        return self._kept(f"dense {on}", lambda: self._run(on, self.engine.dense_stream()))

    def skipping(self, every: int, moved: bool, on: str) -> Pass:
        return self._kept(f"every {every} {moved} {on}", lambda: self._run(on, EveryKth(self.engine.dense_stream(), every, moved)))

    def chosen(self, way: Way, on: Sequence[str]) -> float | None:
        """The highest level at which none of these sequences loses more than GOAL; None where all lose more."""
        good = [level for level in self.levels if all(self.lost(self.gated(way, level, each), each) <= GOAL for each in on)]
        return max(good, default=None)

    def lost(self, own: Pass, on: str) -> float:
        times = np.ones(len(own.groups), np.int64)
        return self.dense(on).measures()["AP50"](times) - own.measures()["AP50"](times)

    def _run(self, on: str, stream: Stream) -> Pass:
        outcome, images = Pass(on), self.frames[on]
        frames = (Frame(image, number, number / 25, on) for number, image in enumerate(images))
        height, width = images[0].shape[:2]
        run_clip(outcome, stream, frames, self.clips[on], self.labels[on], self.engine.dense_macs(height, width))
        return outcome

    def _kept(self, name: str, run: Callable[[], Pass]) -> Pass:
        about = f"{self.preset.name} {self.most} {name}".replace(" ", "_")
        path = None if self.keep is None else self.keep / f"{about}.pickle"
        if path is not None and path.exists():
            kept: Pass = pickle.loads(path.read_bytes())
            return kept
        outcome = run()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(outcome))
        return outcome

    def _thresholds(self, of: tuple[str, ...]) -> dict[str, float]:
        if of not in self._proportions:
            sensitivity = Sensitivity(self.engine.model)
            for name in of:
                images = self.frames[name]
                for image in images[:: max(1, len(images) // SAMPLES)]:
                    sensitivity.add(*as_tensors((self.engine.task().prepare(image),)))
            self._proportions[of] = sensitivity.thresholds(self.preset.threshold)
        return self._proportions[of]


def ways(others: tuple[str, ...], calibrates: bool) -> Iterator[Way]:
    """What is compared on a sequence that these `others` choose for."""
    for gate in ("norm", "norm-smooth"):
        yield Way(f"{gate}, the preset's proportions", gate)
    if calibrates:
        for gate in ("norm", "norm-smooth"):
            yield Way(f"{gate}, calibrated on the others", gate, others)


def at_equal_macs(curve: Sequence[tuple[float, float]], fewer: float) -> float | None:
    """AP50 where a curve of (AP50, fewer) comes to `fewer`, interpolated over its logarithm; None outside of the curve."""
    points = sorted(curve, key=lambda point: point[1])
    for (low_ap, low), (high_ap, high) in zip(points, points[1:], strict=False):
        if low <= fewer <= high:
            share = math.log(fewer / low) / math.log(high / low) if high > low else 0.0
            return low_ap + share * (high_ap - low_ap)
    return None


def text(interval: Interval) -> str:
    return f"{interval.value:.1f}" if math.isinf(interval.low) else f"{interval.value:.1f} ({interval.low:.1f} … {interval.high:.1f})"


def show(bench: Bench, target: Path | None) -> None:
    columns = ["measured on", "way", "level", "AP50", "lost (95 %)", "fewer MACs", "the preset's norm gates at equal MACs"]
    note = f"{bench.preset.name}; level: factor on the thresholds, the highest at which neither of the other two loses more than {GOAL:g}."
    with ResultTable("left-out", columns, target, note) as table:
        for left in SEQUENCES:
            others = tuple(each.name for each in SEQUENCES if each is not left)
            curve = curve_of(bench, Way("", "norm"), left)
            for name, level, own in rows(bench, left, others):
                found = compare(own, bench.dense(left.name), BLOCK, 1000)["AP50"]
                equal = at_equal_macs(curve, own.fewer)
                lost = "" if name == "dense" else text(found.lost)
                beside = "" if equal is None or name == "dense" else f"{equal:.1f}"
                table.row(left.name, name, level, f"{found.value.value:.1f}", lost, f"{own.fewer:.2f}×", beside)
    print("\nfewer MACs of norm-smooth against norm, the preset's proportions, at an equal loss of AP50")
    for left in SEQUENCES:
        dense = bench.dense(left.name).measures()["AP50"](np.ones(len(bench.dense(left.name).groups), np.int64))
        plain, smooth = (curve_of(bench, Way("", gate), left) for gate in ("norm", "norm-smooth"))
        for loss in (0.5, 1.0, 2.0, 4.0):
            gains = [gain_at_equal_accuracy(curve, dense - loss) for curve in (plain, smooth)]
            factor = f"{gains[1] / gains[0]:.2f}" if gains[0] and gains[1] else "unknown"
            print(f"{left.name}, {loss:g} lost: {factor} ({', '.join(f'{gain:.2f}x' for gain in gains if gain)})")


def curve_of(bench: Bench, way: Way, on: Material) -> list[tuple[float, float]]:
    found = [(0.0, bench.dense(on.name)), *((level, bench.gated(way, level, on.name)) for level in bench.levels)]
    times = np.ones(len(found[0][1].groups), np.int64)
    return [(each.measures()["AP50"](times), each.fewer if level else 1.0) for level, each in found]


def rows(bench: Bench, left: Material, others: tuple[str, ...]) -> Iterator[tuple[str, str, Pass]]:
    yield "dense", "", bench.dense(left.name)
    yield "the preset", "1", bench.gated(Way("", "norm"), 1.0, left.name)
    for way in ways(others, bench.calibrates):
        level = bench.chosen(way, others)
        if level is not None:
            yield way.name, f"{level:g}", bench.gated(way, level, left.name)
    for every in bench.every:
        for moved in (False, True):
            yield f"every {every}: {'moved' if moved else 'held'}", "", bench.skipping(every, moved, left.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=800, help="frames of each sequence")
    parser.add_argument("--levels", type=numbers, default=[0.7, 1.0, 1.2, 1.4, 1.8, 2.2, 2.8], help="factors on the thresholds")
    parser.add_argument("--every", type=numbers, default=[2, 3, 4], help="dense in every so many frames")
    parser.add_argument("--calibrate", action="store_true", help="measure thresholds calibrated on the two other sequences, too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    show(Bench(options), options.write)


if __name__ == "__main__":
    main()
