"""Would a stream do well to choose the level of its thresholds itself, while it runs? Put together from passes at each level.

    nice -n 19 python benchmarks/online_level.py --data DIR --keep FOLDER --write

In some frames, ever more seldom up to one in --every, the dense network runs beside the gated one. Its result is the frame's, both are
counted, and the two are compared: the difference is 1 − Σ 2 · IoU · (smaller score) over pairs of detections / Σ of all scores, faint ones
among them, so that few frames tell it. From the mean of the last comparisons at a level, older ones counting less and less, the level is
lowered where it exceeds a limit and raised where it stays below BELOW of that. Only what was seen before a frame decides about it.

The limit is the highest of --limits up to which two sequences together lose at most GOAL points of AP50; the third is measured, in turn.
Passes at one level stand for the frames at this level, as if the stream had always been at it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gates_table import numbers
from measured_clips import FAINTEST, Passes, detector, lost, measured, value_of, with_truth
from tables import ResultTable, add_write_option, interval_text

from skipvid.core.results import Detections
from skipvid.evaluate.material import SAME, Material, Seen
from skipvid.evaluate.run import joined
from skipvid.presets.preset import load_preset
from skipvid.report.agreement import box_iou
from skipvid.skip.config import SkipConfig

GOAL = 0.5
BLOCK = 25
BELOW = 0.8
FIRST = 6
"""Frames to the first comparison; doubled from one to the next."""
FADE = 0.75
"""What is left of the weight of a comparison when the next one comes."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """A sequence, what was found densely and at each level, and how far each level was from dense: (frames, 2) weights, by level."""

    material: Material
    dense: Seen
    gated: Mapping[float, Seen]
    differences: Mapping[float, list[tuple[float, float]]]


def shared(dense: Detections, found: Detections) -> tuple[float, float]:
    """(weight of what is alike, weight of all)."""
    overlaps = box_iou(found.boxes, dense.boxes)
    overlaps[found.category_ids[:, None] != dense.category_ids[None]] = -1
    same = 0.0
    for row in np.argsort(-found.scores, kind="stable") if len(dense) else ():
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= SAME:
            same += 2 * float(min(found.scores[row], dense.scores[best]) * overlaps[row, best])
            overlaps[:, best] = -1
    return same, float(dense.scores.sum() + found.scores.sum())


def differences_of(dense: Seen, seen: Seen) -> list[tuple[float, float]]:
    """Of each frame, as in `shared`."""
    return [shared(one, other) for one, other in zip(dense.detections, seen.detections, strict=True)]


def online(each: Sequence, limit: float, every: int) -> tuple[Seen, Counter[float]]:
    """The pass of a stream that chooses, and how many frames it spent at each level."""
    levels = sorted(each.gated)
    now, gap, since, same, whole, compared = levels.index(1.0), FIRST, 0, 0.0, 0.0, 0
    found, macs, spent = [], [], Counter[float]()
    dense_macs = int(each.dense.dense_macs[0])
    for number in range(len(each.material)):
        level = levels[now]
        gated = each.gated[level]
        spent[level] += 1
        since += 1
        if since < gap:
            found.append(gated.detections[number])
            macs.append(int(gated.macs[number]))
            continue
        since, gap = 0, min(2 * gap, every)
        found.append(each.dense.detections[number])
        macs.append(int(gated.macs[number]) + dense_macs)
        alike, all_of_it = each.differences[level][number]
        same, whole, compared = FADE * same + alike, FADE * whole + all_of_it, compared + 1
        difference = 1 - same / whole if whole else 0.0
        step = -1 if difference > limit else 1 if difference < BELOW * limit else 0
        if compared >= 2 and whole and 0 <= now + step < len(levels) and step:
            now, same, whole, compared = now + step, 0.0, 0.0, 0
    return Seen(found, np.array(macs), each.dense.dense_macs, each.dense.ms), spent


def chosen_limit(others: list[Sequence], limits: list[float], every: int) -> float | None:
    good = None
    for limit in sorted(limits):
        own = joined([measured(each.material, online(each, limit, every)[0], each.dense) for each in others])
        if value_of(joined([measured(each.material, each.dense, each.dense) for each in others])) - value_of(own) > GOAL:
            break
        good = limit
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=800, help="frames of each sequence")
    parser.add_argument("--levels", type=numbers, default=[0.71, 1.0, 1.41, 2.0, 2.83], help="factors on the thresholds, 1 among them")
    parser.add_argument("--limits", type=numbers, default=[0.16, 0.2, 0.24, 0.28, 0.32, 0.36, 0.4], help="of the difference")
    parser.add_argument("--every", type=int, default=50, help="frames from one comparison to the next, in the end")
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    preset, passes = load_preset(options.preset), Passes(options.keep)
    engine = detector(preset, SkipConfig.of(preset, threads=1), FAINTEST)
    sequences = {}
    for name, material in with_truth(options.data, options.frames).items():
        dense = passes.dense(engine, material)
        gated = {level: passes.gated(engine, material, level) for level in options.levels}
        differences = {level: differences_of(dense, seen) for level, seen in gated.items()}
        sequences[name] = Sequence(material, dense, gated, differences)
    columns = ["measured on", "way", "AP50", "lost (95 %)", "fewer MACs", "difference to dense", "frames at each level"]
    note = f"{preset.name}, at most {options.frames} frames, a comparison in {options.every} frames in the end."
    with ResultTable("online-level", columns, options.write, note) as table:
        for name, each in sequences.items():
            reference = measured(each.material, each.dense, each.dense)
            rows = {f"level {level:g}": (seen, "") for level, seen in each.gated.items()}
            limit = chosen_limit([other for key, other in sequences.items() if key != name], options.limits, options.every)
            if limit is not None:
                seen, spent = online(each, limit, options.every)
                rows[f"chosen while running, limit {limit:g}"] = (seen, ", ".join(f"{level:g}: {spent[level]}" for level in sorted(spent)))
            for way, (seen, levels) in rows.items():
                own = measured(each.material, seen, each.dense)
                pairs = np.array(differences_of(each.dense, seen)).sum(0)
                cells = [f"{value_of(own):.1f}", interval_text(lost(own, reference, BLOCK), 1), f"{own.fewer:.2f}×"]
                table.row(name, way, *cells, f"{1 - pairs[0] / pairs[1]:.2f}", levels)


if __name__ == "__main__":
    main()
