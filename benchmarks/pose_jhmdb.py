"""Poses on JHMDB: accuracy against MACs, gated against dense, windows that stay against windows that follow.

Boxes: "truth" puts the true boxes in the detector's place, so that only the pose network is measured; "detector" runs the bundled one, with
the gates of its preset. PCK@0.2: a joint counts as found within 0.2 of the longer side of the person's box (the extent of the true
joints inside the frame); a person who was not found has found no joint. Joints: shoulders, hips, elbows, knees, wrists, ankles, and the
nose for JHMDB's face. MACs and the skip ratio (output pixels not computed) are the pose network's; they include each clip's first frame,
which is dense, and every change of window.

Thresholds "calibrated L" are `skipvid calibrate`'s thresholds of single maps at level L, from every other clip; each clip is measured with
those from the clips that it is not among. --lose adds rows where the level is left out, too. "By halves": each half of the clips is
measured at the highest of --levels up to which the other half's static clips, with their own thresholds, lose no more than so many points.
"By clips": each clip at the highest up to which all other static clips lose no more; of the clip itself nothing but its pictures has been
seen, by the thresholds of some of the others.

Windows: "sticky" as the product has them; "following" are placed anew around the box in every frame, as pose networks are usually run,
and go through one session, so that a gate compares what lies at the same place of the window.

  python benchmarks/pose_jhmdb.py --data DIR --weights tinypose_256x192_state_dict.pt [--preset FILE]
      [--boxes truth|detector] [--half even|odd] [--windows sticky|following] [--thresholds 0,0.03,0.06,0.1] [--levels 0.1,0.16]
      [--gate norm-smooth] [--lose 0.3]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jhmdb import Clip, read_clips
from numpy.typing import NDArray
from tables import ResultTable, add_write_option

from skipvid.core.costs import FrameCost
from skipvid.core.results import FrameResult
from skipvid.evaluate.bootstrap import bootstrap
from skipvid.evaluate.true_boxes import TrueBoxes
from skipvid.pipeline.calibrate import measure, record
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.crops import CropWindow, StickyRule
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PoseEngine
from skipvid.tasks.track import WEAK, iou_matrix

Gates = dict[str, tuple[SkipConfig, SkipConfig]]
"""By name; those of the even clips, and of the odd ones."""

CAMERAS = ("static", "moving")
MEASURES = {
    "pck": "PCK@0.2",
    "drop": "lost",
    "interval": "95 %",
    "agreement": "agreement",
    "skip_ratio": "skip ratio",
    "fewer_macs": "fewer MACs",
    "starts": "dense frames",
}
"""Columns of the CSV, and their headings."""

CALIBRATION_FRAMES = 4
"""Of each clip."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Of one clip. joints: their names. keypoints: (n, 17, 3), NaN where nobody was found. cost: of the pose network over the clip.
    starts: dense frames."""

    clip: Clip
    joints: tuple[str, ...]
    keypoints: NDArray[np.float32]
    cost: FrameCost | None
    starts: int

    @property
    def found(self) -> NDArray[np.float64]:
        return self.clip.found(self.keypoints, self.joints)


def through_engine(engine: PoseEngine, clip: Clip, dense: bool = False) -> Outcome:
    """One pass as `skipvid pose` does it; the person is the one who overlaps the true box most."""
    if isinstance(engine.detector, TrueBoxes):
        engine.detector.clip = clip.labelled
    stream = engine.dense_stream() if dense else engine.stream()
    keypoints, total, starts = [], None, 0
    for frame in clip.frames:
        result = stream.process(frame)
        keypoints.append(_best(result, clip.boxes[frame.index]))
        if result.cost is None:
            continue
        pose = FrameCost.of(tuple(layer for layer in result.cost.layers if layer.name.startswith("pose.")))
        starts += 0 < pose.dense_macs == pose.macs
        total = pose if total is None else total + pose
    return Outcome(clip, engine.preset.keypoints, np.array(keypoints), total, starts)


def _best(result: FrameResult, box: NDArray[np.float32]) -> NDArray[np.float32]:
    points = result.detections.keypoints
    assert points is not None
    overlap = iou_matrix(result.detections.boxes, box[None])[:, 0]
    return points[overlap.argmax()] if len(overlap) and overlap.max() > 0 else np.full((points.shape[1], 3), np.nan, np.float32)


def following(engine: PoseEngine, clip: Clip, dense: bool = False) -> Outcome:
    """One pass with a window around the true box of each frame, all through one session."""
    task, session = engine.task(), engine.model.session()
    keypoints, total = [], None
    for frame, box in zip(clip.frames, clip.boxes, strict=True):
        window = CropWindow.around(box, engine.input_size)
        prepared = task.prepare(frame.image, window)
        keypoints.append(task.decode(engine.model.dense_maps(prepared) if dense else session.maps(prepared), window))
        if not dense:
            total = session.cost if total is None else total + session.cost
    return Outcome(clip, engine.preset.keypoints, np.array(keypoints), total, 1)


def pck(outcomes: list[Outcome]) -> float:
    """Percentage of joints found."""
    return float(100 * np.nanmean(np.concatenate([outcome.found.ravel() for outcome in outcomes])))


def interval_of(reference: list[Outcome], outcomes: list[Outcome]) -> str:
    """Of what is lost, by bootstrap over clips."""
    sums = [np.array([(np.nansum(each.found), np.isfinite(each.found).sum()) for each in some]) for some in (reference, outcomes)]

    def lost(times: NDArray[np.int64]) -> float:
        theirs, mine = (100 * (times @ some[:, 0]) / (times @ some[:, 1]) for some in sums)
        return float(theirs - mine)

    found = bootstrap(lost, [np.array([number]) for number in range(len(outcomes))])
    return f"{found.low:.2f} … {found.high:.2f}"


def agreement(outcomes: list[Outcome], reference: list[Outcome]) -> float:
    """Percentage of keypoints that the dense network is sure of (score 0.3) within one heat map pixel (1/64 of a window's height) of it."""
    close = []
    for one, other in zip(outcomes, reference, strict=True):
        distance = np.linalg.norm(one.keypoints[..., :2] - other.keypoints[..., :2], axis=2) / (one.clip.sizes[:, None] * 1.5 / 64)
        close.append((distance <= 1)[other.keypoints[..., 2] >= 0.3])
    return float(100 * np.mean(np.concatenate(close)))


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    every = read_clips(arguments.data / "sequences" / "jhmdb")
    measured_ones = {"": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}[arguments.half]
    preset = load_preset(arguments.preset)
    options = PoseOptions(scene_cuts=False, rule=StickyRule(room=arguments.room))
    plain = SkipConfig(threads=arguments.threads, gate=arguments.gate)
    engine = PoseEngine(preset, plain, arguments.weights, detector=TrueBoxes(), options=options)
    run = through_engine if arguments.windows == "sticky" else following
    gates: Gates = {f"{t:g}": (replace(plain, threshold=t),) * 2 for t in arguments.thresholds}
    calibrated = _calibrated(engine, every, arguments.levels)
    gates |= calibrated
    if arguments.lose is not None:
        gates |= _chosen(run, engine, every, calibrated, arguments.lose)
    for path in [arguments.preset, *arguments.learned]:
        own = load_preset(path)
        if own.thresholds:
            gates[own.name] = (SkipConfig.of(own, threads=arguments.threads),) * 2
    clips = every[measured_ones]
    if arguments.half:  # all of them are measured with what belongs to their half
        gates = {name: (pair[arguments.half == "odd"],) * 2 for name, pair in gates.items()}
    if arguments.boxes == "detector":
        engine.detector = bundled_detector(options.score_threshold, arguments.threads)
    note = f"{preset.name}, gate {arguments.gate}, {arguments.boxes} boxes, {arguments.windows} windows."
    columns = ["threshold", *(f"{camera}: {name}" for camera in CAMERAS for name in MEASURES.values())]
    kind = "" if arguments.gate == "norm" else f"-{arguments.gate}"
    with ResultTable(f"poses-left-out-{preset.name}{kind}" if arguments.levels else "poses", columns, arguments.write, note) as table:
        rows = measured(run, engine, clips, gates, table, None if arguments.half else arguments.lose)
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _calibrated(engine: PoseEngine, clips: list[Clip], levels: list[float]) -> Gates:
    """Thresholds for the even clips from the odd ones, and the other way round. No labels are used but the boxes."""
    if not levels:
        return {}
    sensitivities = []
    for half in (1, 0):
        runs = []
        for clip in clips[half::2]:
            assert isinstance(engine.detector, TrueBoxes)
            engine.detector.clip = clip.labelled
            runs += record(engine, [clip.frames], CALIBRATION_FRAMES)
        sensitivities.append(measure(engine.model, runs))
    config = engine.model.config
    return {
        f"calibrated {level:g}": (
            replace(config, threshold=level, thresholds=sensitivities[0].thresholds(level)),
            replace(config, threshold=level, thresholds=sensitivities[1].thresholds(level)),
        )
        for level in levels
    }


def _chosen(run: Callable[..., Outcome], engine: PoseEngine, clips: list[Clip], calibrated: Gates, most: float) -> Gates:
    """The level for each half chosen on the other one, which sees nothing of it: neither for the thresholds nor for their level."""
    chosen = []
    for half in (0, 1):
        others = [clip for clip in clips[1 - half :: 2] if clip.static]
        dense = pck([run(engine, clip, dense=True) for clip in others])
        good = None
        for name, pair in calibrated.items():
            # What stands at `half` was learned on the others: here they are measured with their own.
            if dense - pck([run(engine.regated(pair[half]), clip) for clip in others]) > most:
                break
            good = name, pair[half]
        if good is None:
            raise SystemExit(f"no level loses at most {most:g} points on the {('odd', 'even')[half]} clips: give lower --levels")
        chosen.append(good)
    (even, for_even), (odd, for_odd) = chosen
    return {f"level left out by halves: {even.removeprefix('calibrated ')}, {odd.removeprefix('calibrated ')}": (for_even, for_odd)}


def bundled_detector(score_threshold: float, threads: int) -> DetectEngine:
    preset = load_preset(DEFAULT_DETECT)
    config = SkipConfig.of(preset, threads=threads)
    return DetectEngine(preset, config, resolve_weights(preset).path, score_threshold=WEAK * score_threshold, scene_cuts=False)


def measured(
    run: Callable[..., Outcome], engine: PoseEngine, clips: list[Clip], gates: Gates, table: ResultTable, most: float | None
) -> list[dict[str, Any]]:
    """A row for the dense network and for each way of gating, written as they come. most: as --lose."""
    dense = [run(engine, clip, dense=True) for clip in clips]
    rows = [_row("dense", dense, dense)]
    table.row(*rows[0].values())
    calibrated: dict[str, list[Outcome]] = {}
    for name, configs in gates.items():
        gated = [engine.regated(config) for config in configs]
        outcomes = [run(gated[number % 2], clip) for number, clip in enumerate(clips)]
        rows.append(_row(name, outcomes, dense))
        table.row(*rows[-1].values())
        if name.startswith("calibrated"):
            calibrated[name.removeprefix("calibrated ")] = outcomes
    if most is not None and calibrated:
        levels = [_level_for(number, dense, calibrated, most) for number in range(len(clips))]
        chosen = ", ".join(f"{level} of {levels.count(level)}" for level in calibrated if level in levels)
        rows.append(_row(f"level left out by clips: {chosen}", [calibrated[level][n] for n, level in enumerate(levels)], dense))
        table.row(*rows[-1].values())
    return rows


def _level_for(clip: int, dense: list[Outcome], calibrated: dict[str, list[Outcome]], most: float) -> str:
    """The level for a clip that all others choose. Raises SystemExit where none is good."""
    others = [number for number, outcome in enumerate(dense) if number != clip and outcome.clip.static]
    reference, good = pck([dense[number] for number in others]), None
    for level, outcomes in calibrated.items():
        if reference - pck([outcomes[number] for number in others]) > most:
            break
        good = level
    if good is None:
        raise SystemExit(f"no level loses at most {most:g} points: give lower --levels")
    return good


def _row(gate: str, outcomes: list[Outcome], reference: list[Outcome]) -> dict[str, Any]:
    row: dict[str, Any] = {"threshold": gate}
    for camera in CAMERAS:
        row |= {f"{camera}_{measure}": "" for measure in MEASURES}
        chosen = [index for index, outcome in enumerate(outcomes) if outcome.clip.static == (camera == "static")]
        part, base = [outcomes[index] for index in chosen], [reference[index] for index in chosen]
        costs = [outcome.cost for outcome in part if outcome.cost is not None]
        row[f"{camera}_pck"] = round(pck(part), 2)
        row[f"{camera}_drop"] = round(pck(base) - pck(part), 2)
        row[f"{camera}_interval"] = "" if outcomes is reference else interval_of(base, part)
        row[f"{camera}_agreement"] = round(agreement(part, base), 1)
        if costs:
            total = sum(costs[1:], costs[0])
            row[f"{camera}_skip_ratio"] = round(total.skip_ratio, 3)
            row[f"{camera}_fewer_macs"] = round(total.dense_macs / total.macs, 2)
            row[f"{camera}_starts"] = sum(outcome.starts for outcome in part)
    return row


def _numbers(text: str) -> list[float]:
    return [float(item) for item in text.split(",") if item]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/jhmdb")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--preset", default="tinypose_256x192")
    parser.add_argument("--thresholds", type=_numbers, default=[0, 0.03, 0.06, 0.1])
    parser.add_argument("--levels", type=_numbers, default=[], help="of calibrated thresholds, from low to high")
    parser.add_argument("--gate", choices=["norm", "norm-smooth"], default="norm")
    parser.add_argument("--lose", type=float, help="points that the clips which choose a level may lose")
    parser.add_argument("--learned", nargs="*", default=[], help="presets with thresholds, for the weights given")
    parser.add_argument("--half", choices=["even", "odd"], default="", help="measure only these clips: a preset was learned on the others")
    parser.add_argument("--boxes", choices=["truth", "detector"], default="truth")
    parser.add_argument("--windows", choices=["sticky", "following"], default="sticky", help="following: only with true boxes")
    parser.add_argument("--room", type=float, default=StickyRule().room, help="padding of a new window")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    add_write_option(parser)
    arguments = parser.parse_args()
    if arguments.boxes == "detector" and arguments.windows == "following":
        parser.error("--windows following is measured with true boxes")
    return arguments


if __name__ == "__main__":
    main()
