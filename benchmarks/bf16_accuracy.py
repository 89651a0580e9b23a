"""What half precision does to accuracy: bf16 against f32, dense and gated, on the same frames with the same thresholds.

    nice -n 19 python benchmarks/bf16_accuracy.py --data DIR --keep FOLDER --write

Three tables. `bf16-clips`: F1 at IoU 0.5 of what bf16 shows against what f32 shows, on every clip, and how far above three others that is.
The flicker floor is the F1 of the dense f32 network against itself under noise of one grey level. The floor of gated runs is the same with
gates: which pixels a gate opens depends on what it opened before, so that the least change of the picture leads to other gates, and another
result. So does the least change of thresholds, with no rounding at all: the third is gated f32 against itself with thresholds 1 % apart.
`bf16-ap`: AP50 of the three sequences with truth, alone and together (mean over persons and vehicles), with what bf16 loses to f32 run
alike, and gated bf16 to the dense f32 network. `bf16-poses`: the same in PCK@0.2 on JHMDB, true boxes, and what gated f32 loses to itself
under each draw of that noise. Intervals: 95 %, by bootstrap over 25 frames at a time, 5 in the first table, or over clips. On a
processor without bf16 arithmetic the figures are those of maps rounded to bf16.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measured_clips import FAINTEST, Passes, detector, every_video, lost, measured, persons, value_of, with_truth, without_truth
from numpy.typing import NDArray
from tables import ResultTable, add_write_option, interval_text

from skipvid.evaluate.bootstrap import Interval, blocks_of, bootstrap
from skipvid.evaluate.goal import with_noise
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.run import Pass, joined
from skipvid.evaluate.true_boxes import TrueBoxes
from skipvid.presets.preset import Preset, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.report import agreement
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.pose_engine import PoseEngine

PRECISIONS = ("f32", "bf16")
BLOCK = 25
FLICKER_BLOCK = 5
"""Clips of the first table are short: fewer than eight blocks give no interval."""
DRAWS = 3
"""Of the noise on gated runs; their floor is the F1 of all of them together."""
NEAR = (0.99, 1.01)
"""Thresholds, in times of the preset's, that gated f32 is compared with itself at."""

Way = tuple[str, int]
"""A precision, and whether it is gated; or "noise", and which draw."""


def counts(one: Seen, other: Seen) -> NDArray[np.int64]:
    """(frames, 2): twice the pairs of each frame, and what has a partner or has none in both."""
    found = [agreement(a, b) for a, b in zip(one.detections, other.detections, strict=True)]
    return np.array([(2 * each.tp, 2 * each.tp + each.fp + each.fn) for each in found], np.int64)


def f1(frames: NDArray[np.int64], times: NDArray[np.int64] | None = None) -> float:
    """Over all frames of `counts`; 1 where there is nothing in either. times: how often each frame counts."""
    pairs, every = frames.sum(0) if times is None else times @ frames
    return float(pairs / every) if every else 1.0


def detectors(preset: Preset, score: float) -> dict[str, DetectEngine]:
    """By precision. score: from which on detections are kept."""
    return {each: detector(preset, replace(SkipConfig.of(preset, threads=1), precision=each), score) for each in PRECISIONS}


def noisy(passes: Passes, engine: DetectEngine | PoseEngine, material: Material, sigma: float = 1.0) -> list[Seen]:
    """Gated, on frames with noise of so many grey levels, by draw."""
    return [passes.noisy(engine, material, with_noise(draw, sigma), f"noise {draw} of {sigma:g}", gated=True) for draw in range(DRAWS)]


def clips(options: argparse.Namespace) -> None:
    """What is shown, on every clip."""
    preset = load_preset(options.preset)
    engines, passes = detectors(preset, preset.score_threshold), Passes(options.keep)
    columns = ["clip", "frames", "flicker floor", "dense: bf16 to f32", "over the floor", "floor of gated runs", "gated: bf16 to f32"]
    columns += ["over the floor of gated runs", "over the flicker floor", "gated f32, thresholds 1 % apart", "bf16 over that"]
    columns += ["gated f32 to dense", "gated bf16 to dense"]
    note = f"{preset.name}, threshold {preset.threshold:g}, score {preset.score_threshold:g}, gated runs under {DRAWS} draws of noise "
    note += f"of {options.noise:g} grey levels; bold: below the floor, and not by chance."
    every: list[list[NDArray[np.int64]]] = []
    names: list[str] = []
    below, surely = [0] * 4, [0] * 4
    specs = [clip for clip in every_video(options.data) if re.search(options.clips, clip)]
    with ResultTable("bf16-clips", columns, options.write, note) as table:
        for name, material in without_truth(specs, options.frames).items():
            dense = {each: passes.dense(engine, material) for each, engine in engines.items()}
            gated = {each: passes.gated(engine, material) for each, engine in engines.items()}
            found = [counts(dense["f32"], passes.noisy(engines["f32"], material, with_noise()))]
            found.append(counts(dense["f32"], dense["bf16"]))
            found.append(np.sum([counts(gated["f32"], each) for each in noisy(passes, engines["f32"], material, options.noise)], axis=0))
            found.append(counts(gated["f32"], gated["bf16"]))
            near = [passes.gated(engines["f32"], material, level) for level in NEAR]
            found.append(np.sum([counts(gated["f32"], each) for each in near], axis=0))
            found += [counts(dense["f32"], gated[each]) for each in PRECISIONS]
            for number, over in enumerate(_clip_row(table, name, found, [name] * len(material), FLICKER_BLOCK)):
                below[number] += over.value < 0
                surely[number] += _missed(over)
            every.append(found)
            names += [name] * len(material)
        if len(every) > 1:
            _clip_row(table, "together", [np.concatenate(each) for each in zip(*every, strict=True)], names, 0)
        for title, (one, two, three, four) in (("clips below the floor", below), ("of them not by chance", surely)):
            table.row(title, "", "", "", one, "", "", two, three, "", four, "", "")


def _clip_row(table: ResultTable, name: str, found: Sequence[NDArray[np.int64]], groups: Sequence[str], block: int) -> list[Interval]:
    """A row, and what it says over floors. found: `counts` in the order of the columns. block: as in `blocks_of`."""
    floor, dense, gated_floor, gated, near, *to_dense = found
    pairs = ((dense, floor), (gated, gated_floor), (gated, floor), (gated, near))
    over = [bootstrap(partial(_over, *pair), blocks_of(groups, block)) for pair in pairs]
    texts = [f"**{interval_text(each, 3)}**" if _missed(each) else interval_text(each, 3) for each in over]
    values = [f"{f1(each):.3f}" for each in (floor, dense, gated_floor, gated, near, *to_dense)]
    table.row(name[:48], len(groups), *values[:2], texts[0], *values[2:4], *texts[1:3], values[4], texts[3], *values[5:])
    return over


def _over(found: NDArray[np.int64], floor: NDArray[np.int64], times: NDArray[np.int64]) -> float:
    return f1(found, times) - f1(floor, times)


def _missed(over: Interval) -> bool:
    return over.value < 0 and not over.tie


def precision(options: argparse.Namespace) -> None:
    """AP50 of the sequences with truth."""
    preset = load_preset(options.preset)
    engines, passes = detectors(preset, FAINTEST), Passes(options.keep)
    columns = [
        "sequence",
        "frames",
        "AP50, dense f32",
        "dense bf16 loses",
        "gated f32",
        "gated bf16 loses",
        "to dense f32",
        "MACs, gated f32",
        "gated bf16",
    ]
    with ResultTable("bf16-ap", columns, options.write, f"{preset.name}, threshold {preset.threshold:g}.") as table:
        every: dict[Way, list[Pass]] = {}
        frames = 0
        for name, material in with_truth(options.data, options.sequence_frames).items():
            found: dict[Way, Pass] = {}
            for each, engine in engines.items():
                dense = passes.dense(engine, material)
                found[each, False] = measured(material, dense, dense)
                found[each, True] = measured(material, passes.gated(engine, material), dense)
            for way, outcome in found.items():
                every.setdefault(way, []).append(outcome)
            frames += len(found["f32", False].groups)
            table.row(name, len(found["f32", False].groups), *_cells(found))
        table.row("together", frames, *_cells({way: joined(outcomes) for way, outcomes in every.items()}))


def poses(options: argparse.Namespace) -> None:
    """The table of the pose networks."""
    passes = Passes(options.keep)
    columns = ["network", "PCK@0.2, dense f32", "dense bf16 loses", "gated f32", "gated bf16 loses", "to dense f32"]
    columns += ["gated f32 under noise loses", "MACs, gated f32", "gated bf16"]
    with ResultTable("bf16-poses", columns, options.write, "All 24 clips, true boxes, the presets' thresholds.") as table:
        for name in ("hrnet-nano", "tinypose_256x192"):
            preset = load_preset(name)
            weights = resolve_weights(preset, options.tinypose if name.startswith("tiny") else None)
            boxes = TrueBoxes()
            every: dict[Way, list[Pass]] = {}
            for each in PRECISIONS:
                config = replace(SkipConfig.of(preset, threads=1), precision=each)
                engine = PoseEngine(preset, config, weights.path, weights.sha256, detector=boxes)
                for material in persons(options.data, preset).values():
                    boxes.clip = material.clips[0]
                    dense = passes.dense(engine, material)
                    every.setdefault((each, False), []).append(measured(material, dense, dense))
                    every.setdefault((each, True), []).append(measured(material, passes.gated(engine, material), dense))
                    if each == "f32":
                        for draw, seen in enumerate(noisy(passes, engine, material)):
                            every.setdefault(("noise", draw), []).append(measured(material, seen, dense))
            found = {way: joined(outcomes) for way, outcomes in every.items()}
            *cells, f32_macs, bf16_macs = _cells(found, block=0)
            spoilt = [value_of(found["f32", True]) - value_of(found["noise", draw]) for draw in range(DRAWS)]
            table.row(name, *cells, ", ".join(f"{each:.2f}" for each in spoilt), f32_macs, bf16_macs)


def _cells(found: Mapping[Way, Pass], block: int = BLOCK) -> list[str]:
    cells = []
    for gated in (False, True):
        f32, bf16 = (found[each, gated] for each in PRECISIONS)
        cells += [f"{value_of(f32):.2f}", interval_text(lost(bf16, f32, block))]
    cells.append(interval_text(lost(found["bf16", True], found["f32", False], block)))
    return [*cells, *(f"{found[each, True].fewer:.2f}×" for each in PRECISIONS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/, videos/ and weights/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--clips", default="", metavar="REGEX", help="of the first table [default: all]")
    parser.add_argument("--frames", type=int, default=100, help="of each clip of the first table")
    parser.add_argument("--noise", type=float, default=1.0, metavar="LEVELS", help="grey levels, for the floor of gated runs [default: 1]")
    parser.add_argument("--tinypose", help="weights of PP-TinyPose [default: below weights/]")
    parser.add_argument("--sequence-frames", type=int, help="of each sequence with truth [default: all]")
    parser.add_argument("--only", choices=["clips", "ap", "poses"], help="leave the other tables out")
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    options.tinypose = options.tinypose or str(options.data / "weights" / "tinypose_torch" / "tinypose_256x192_state_dict.pt")
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    for name, show in (("ap", precision), ("poses", poses), ("clips", clips)):
        if options.only in (None, name):
            show(options)


if __name__ == "__main__":
    main()
