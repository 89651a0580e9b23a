"""AP50 with and without gates where there is no truth: the bundled detector's teachers stand in for it, on frames nothing was chosen on.

    nice -n 19 python benchmarks/teacher_truth.py --data DIR --keep FOLDER --write

Two larger detectors, looking at the picture and its mirror image, say what there is: boxes of a score of SURE or
more are objects, fainter ones count neither as found nor as false. That is no truth, but it is the same for both sides, and unlike
agreement with the dense network it can be found better by gates than without them. All classes are taken as one.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measured_clips import FAINTEST, Passes, detector, lost, measured, part_of, value_of, without_truth
from oracle import plan_for, scaled
from proportions import BLOCK, CLIPS
from proportions_time import factor_of
from tables import ResultTable, add_write_option, interval_text

from skipvid.evaluate.labels import Labels
from skipvid.evaluate.material import Material
from skipvid.evaluate.truth import FrameTruth, LabelledClip
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.train.mix import load_mix, open_teacher
from skipvid.train.samples import CATEGORY_IDS
from skipvid.train.teachers import Teacher

SURE, FAINT = 0.4, 0.15
"""Mean scores over all looks from which a box is an object, and from which it is left aside."""

CHOSEN_ON = 150
"""Frames at the beginning of proportions.CLIPS by whose agreement the preset's level was set."""

OTHERS = {"videos/intel/one-by-one-person-detection.mp4": 60, "videos/moving/bikes.mp4": 0, "videos/moving/test_video_structuralize.mp4": 0}
"""Clips that had no say, and their first frame here. In the others that there are the teachers see nothing: cars from above."""

MIX = Path(__file__).parents[1] / "docs" / "efficientdet-nano.mix.yaml"

BEFORE = (1 / 2.83 / 0.85, 1 / 1.41 / 0.85, 1 / 0.85, 1 / 0.85, 1 / 1.7, 1 / 1.7, 1 / 0.85)
"""Factors that make of the preset's thresholds those before 28 November 2026."""


def labelled(material: Material, teacher: Teacher, folder: Path | None) -> Material:
    """The clip with what the teachers see in it, kept below the folder."""
    (clip,) = material.clips
    path = None if folder is None else folder / f"teachers {clip.name.replace('/', ' ')}.npz"
    if path is None or not path.is_file():
        rows = []
        for number, _, frame in material.frames():
            found = teacher.detect(frame.image)
            rows += [(number, *box, score, which) for box, score, which in zip(found.boxes, found.scores, found.classes, strict=True)]
        table = np.array(rows, np.float64).reshape(-1, 7)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, table=table)
    else:
        table = np.load(path)["table"]
    table = table[table[:, 5] >= FAINT]
    with material.opened(clip) as frames:
        indices = [frame.index for frame in frames]
    truths = {index: _truth(table[table[:, 0] == number]) for number, index in enumerate(indices)}
    return Material.read([LabelledClip(clip.name, clip.source, truths)], material.opened, Labels(CATEGORY_IDS, merged=True))


def _truth(rows: np.ndarray) -> FrameTruth:
    categories = np.array(CATEGORY_IDS, np.int64)[rows[:, 6].astype(np.int64)]
    return FrameTruth(rows[:, 1:5].astype(np.float32), categories, rows[:, 5] < SURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with videos/ and weights/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=150, help="of each clip at most")
    parser.add_argument("--keep", type=Path, help="folder for passes and labels that were made")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    preset, passes = load_preset(options.preset), Passes(options.keep)
    teacher = open_teacher(load_mix(MIX, options.data), tiles=False)
    assert teacher is not None
    engine = detector(preset, SkipConfig.of(preset, threads=1), FAINTEST)
    firsts = {clip: CHOSEN_ON for clip in CLIPS if clip.startswith("videos/fixed/")} | OTHERS
    ways = {"the preset": (1.0,) * 7, "with the thresholds before": BEFORE}
    columns = ["clip", "frames", "objects", "dense AP50", *(f"{way}: {what}" for way in ways for what in ("lost (95 %)", "fewer MACs"))]
    note = f"{preset.name}; teachers in place of a truth, boxes of {SURE} and more."
    every: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with ResultTable("teacher-truth", columns, options.write, note) as table:
        for clip, first in firsts.items():
            (whole,) = without_truth([str(options.data / clip)], first + options.frames).values()
            material = labelled(part_of(whole, f"from {first}", first, options.frames), teacher, options.keep)
            dense = passes.dense(engine, material)
            reference = measured(material, dense, dense)
            _, _, frame = next(material.frames())
            cells = []
            for way, factors in ways.items():
                gated = scaled(engine, plan_for(engine, frame), partial(factor_of, factors=factors))
                outcome = measured(material, passes.gated(gated, material), dense)
                loss = lost(outcome, reference, BLOCK)
                every[way].append((loss.value, outcome.fewer))
                cells += [interval_text(loss, 1), f"{outcome.fewer:.2f}×"]
            table.row("/".join(Path(clip).parts[-2:]), len(material), material.objects(dense), f"{value_of(reference):.1f}", *cells)
        means = [np.array(each) for each in every.values()]
        cells = [text for each in means for text in (f"{each[:, 0].mean():.2f}", f"{np.exp(np.log(each[:, 1]).mean()):.2f}×")]
        table.row("mean", "", "", "", *cells)


if __name__ == "__main__":
    main()
