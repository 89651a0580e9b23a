"""What half precision does to accuracy: bf16 against f32, dense and gated, on the same frames with the same thresholds.

    nice -n 19 python benchmarks/bf16_accuracy.py --data DIR --keep FOLDER --write

Three tables. `bf16-clips`: F1 at IoU 0.5 of what bf16 shows against what f32 shows, on every clip; the flicker floor is the F1 of the dense
f32 network against itself under noise of one grey level, and behind each figure stands how far above that it is. `bf16-ap`: AP50 of the
three sequences with truth, alone and together (mean over persons and vehicles), with what bf16 loses to f32 run alike, and gated bf16 to
the dense f32 network. `bf16-poses`: PCK@0.2 on JHMDB, true boxes. Intervals: 95 %, by bootstrap over 25 frames at a time, 5 in the first
table, or over clips. On a processor without bf16 arithmetic the figures are those of maps rounded to bf16.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measured_clips import FAINTEST, Passes, detector, every_video, lost, measured, persons, value_of, with_truth, without_truth
from numpy.typing import NDArray
from tables import ResultTable, add_write_option, interval_text

from skipvid.evaluate.bootstrap import blocks_of, bootstrap
from skipvid.evaluate.goal import with_noise
from skipvid.evaluate.material import Seen
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


def clips(options: argparse.Namespace) -> None:
    """What is shown, on every clip."""
    preset = load_preset(options.preset)
    engines, passes = detectors(preset, preset.score_threshold), Passes(options.keep)
    columns = ["clip", "frames", "flicker floor", "dense: bf16 to f32", "over the floor", "gated: bf16 to f32", "over the floor"]
    columns += ["gated f32 to dense", "gated bf16 to dense"]
    note = f"{preset.name}, threshold {preset.threshold:g}, score {preset.score_threshold:g}; bold: below the floor, and not by chance."
    below, surely = [0, 0], [0, 0]
    clips = [clip for clip in every_video(options.data) if re.search(options.clips, clip)]
    with ResultTable("bf16-clips", columns, options.write, note) as table:
        for name, material in without_truth(clips, options.frames).items():
            dense = {each: passes.dense(engine, material) for each, engine in engines.items()}
            gated = {each: passes.gated(engine, material) for each, engine in engines.items()}
            floor = counts(dense["f32"], passes.noisy(engines["f32"], material, with_noise()))
            cells = []
            for kind, found in enumerate((counts(dense["f32"], dense["bf16"]), counts(gated["f32"], gated["bf16"]))):
                over = bootstrap(partial(_over, found, floor), blocks_of([name] * len(material), FLICKER_BLOCK))
                missed = over.value < 0 and not over.tie
                below[kind] += over.value < 0
                surely[kind] += missed
                text = interval_text(over, 3)
                cells += [f"{f1(found):.3f}", f"**{text}**" if missed else text]
            losses = [f"{f1(counts(dense['f32'], gated[each])):.3f}" for each in PRECISIONS]
            table.row(name[:48], len(material), f"{f1(floor):.3f}", *cells, *losses)
        table.row("below the floor", "", "", "", below[0], "", below[1], "", "")
        table.row("of them not by chance", "", "", "", surely[0], "", surely[1], "", "")


def _over(found: NDArray[np.int64], floor: NDArray[np.int64], times: NDArray[np.int64]) -> float:
    return f1(found, times) - f1(floor, times)


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
        every: dict[tuple[str, bool], list[Pass]] = {}
        frames = 0
        for name, material in with_truth(options.data, options.sequence_frames).items():
            found = {}
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
    columns += ["MACs, gated f32", "gated bf16"]
    with ResultTable("bf16-poses", columns, options.write, "All 24 clips, true boxes, the presets' thresholds.") as table:
        for name in ("hrnet-nano", "tinypose_256x192"):
            preset = load_preset(name)
            weights = resolve_weights(preset, options.tinypose if name.startswith("tiny") else None)
            boxes = TrueBoxes()
            every: dict[tuple[str, bool], list[Pass]] = {}
            for each in PRECISIONS:
                config = replace(SkipConfig.of(preset, threads=1), precision=each)
                engine = PoseEngine(preset, config, weights.path, weights.sha256, detector=boxes)
                for material in persons(options.data, preset).values():
                    boxes.clip = material.clips[0]
                    dense = passes.dense(engine, material)
                    every.setdefault((each, False), []).append(measured(material, dense, dense))
                    every.setdefault((each, True), []).append(measured(material, passes.gated(engine, material), dense))
            table.row(name, *_cells({way: joined(outcomes) for way, outcomes in every.items()}, block=0))


def _cells(found: Mapping[tuple[str, bool], Pass], block: int = BLOCK) -> list[str]:
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
