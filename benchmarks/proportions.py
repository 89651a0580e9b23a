"""What other proportions of a preset's thresholds save: factors on those of groups of maps, on sequences with truth and clips without.

    nice -n 19 python benchmarks/proportions.py --data DIR --keep FOLDER --write

Factors are of the backbone's first strides (up to 8), its last ones, the pyramid and the heads, on the preset as it is. "Lost": points of
AP50, of the sequences, and of agreement with the dense network, the mean over clips without truth. "Fewer": MACs, of clips the geometric
mean. Rows "left out": of the factors at which both other sequences lose at most GOAL points, and clips agree no worse than with the first
factors by more than SLACK points, those that save most on the two; what stands there was measured on the third.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from denoise import LOOKED_AT, changed
from gates_table import numbers
from measured_clips import FAINTEST, Passes, detector, lost, measured, part_of, with_truth, without_truth
from oracle import plan_for, scaled
from tables import ResultTable, add_write_option, interval_text

from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.material import Material
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine

GOAL = 0.5
SLACK = 0.5
BLOCK = 25
FIRST_STRIDES = 8

CLIPS = ("videos/fixed/Alley.mp4", "videos/fixed/exercise.avi", "videos/fixed/pedestrian_survaillance.mp4",
         "videos/fixed/vehicle_survaillance.mp4", "videos/intel/night.mkv", "videos/intel/walk.mkv", "videos/intel/brother.mkv",
         "videos/intel/book.mkv", "videos/intel/sister.mkv", "videos/intel/again.mkv")  # fmt: skip
SAMPLES = ("plaza.mp4", "street.mp4", "exercise.mp4")

Factors = tuple[float, ...]
"""Of the first strides, the last ones, the pyramid, the heads."""


@dataclass(frozen=True, slots=True)
class Found:
    lost: Interval
    fewer: float


def factor_of(group: str, factors: Factors) -> float:
    first, last, pyramid, heads = factors
    if group.startswith("backbone/"):
        return first if int(group.removeprefix("backbone/")) <= FIRST_STRIDES else last
    return pyramid if group == "fpn" else heads


def measure(engine: DetectEngine, material: Material, factors: Factors, passes: Passes, filtered: bool = False) -> Found:
    """filtered: with `--denoise auto`."""
    _, _, frame = next(material.frames())
    gated = scaled(engine, plan_for(engine, frame), lambda group: factor_of(group, factors))
    if filtered:
        gated.use_denoising("auto")
    dense = passes.dense(engine, material)
    seen = passes.instead(gated, material, f"proportions {factors} {filtered} {engine.model.config!r}", gated.stream)
    outcome = measured(material, seen, dense)
    return Found(lost(outcome, measured(material, dense, dense), BLOCK), outcome.fewer)


def chosen(found: Mapping[Factors, Mapping[str, Found]], agreed: Mapping[Factors, float], others: Sequence[str]) -> Factors | None:
    """What two sequences and the clips choose for a third."""
    most = next(iter(agreed.values())) + SLACK
    good = [each for each in found if agreed[each] <= most and all(found[each][name].lost.value <= GOAL for name in others)]
    return max(good, key=lambda each: sum(math.log(found[each][name].fewer) for name in others), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=400, help="of each sequence at most; PETS09: 240")
    parser.add_argument("--clip-frames", type=int, default=150)
    parser.add_argument("--factors", type=numbers, nargs="+", required=True, help="four numbers each; the first are what is compared with")
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    preset, passes = load_preset(options.preset), Passes(options.keep)
    config = SkipConfig.of(preset, threads=1)
    engine, shown = detector(preset, config, FAINTEST), detector(preset, config, preset.score_threshold)
    sequences = with_truth(options.data, options.frames)
    sequences["PETS09"] = part_of(sequences["PETS09"], "the first 240", 0, 240)
    sequences["highway"] = changed(sequences["highway"], 0, LOOKED_AT)
    samples = Path(__file__).parents[1] / "sample_videos"
    clips = without_truth([*(str(options.data / clip) for clip in CLIPS), *(str(samples / clip) for clip in SAMPLES)], options.clip_frames)
    names = list(sequences)
    note = f"{preset.name}; factors on the thresholds of strides to {FIRST_STRIDES}, of later ones, of the pyramid, of the heads."
    columns = ["factors", *(f"{name} {what}" for name in names for what in ("lost (95 %)", "fewer")), "clips lost", "fewer"]
    found: dict[Factors, dict[str, Found]] = {}
    agreed: dict[Factors, float] = {}
    with ResultTable("proportions", columns, options.write, note) as table:
        for factors in (tuple(each) for each in options.factors):
            own = {name: measure(engine, each, factors, passes, name == "highway") for name, each in sequences.items()}
            others = [measure(shown, each, factors, passes) for each in clips.values()]
            found[factors], agreed[factors] = own, statistics.mean(each.lost.value for each in others)
            cells = [text for each in own.values() for text in (interval_text(each.lost, 1), f"{each.fewer:.2f}×")]
            fewer = statistics.geometric_mean(each.fewer for each in others)
            table.row(", ".join(f"{each:g}" for each in factors), *cells, f"{agreed[factors]:.2f}", f"{fewer:.2f}×")
        for name in names:
            best = chosen(found, agreed, [each for each in names if each != name])
            text = "none" if best is None else ", ".join(f"{each:g}" for each in best)
            cells = ["", ""] * len(names)
            if best is not None:
                at = 2 * names.index(name)
                cells[at : at + 2] = interval_text(found[best][name].lost, 1), f"{found[best][name].fewer:.2f}×"
            table.row(f"left out: {text}", *cells, "", "")


if __name__ == "__main__":
    main()
