"""How often `skipvid calibrate --max-drop` keeps its promise: calibrated on one half of a clip, measured on the other.

    nice -n 19 python benchmarks/promise.py --data DIR --keep FOLDER --write

The three sequences with truth are measured by AP50, the clips of --folders by agreement with the dense network against its flicker, as the
command does it. Each half of a clip is calibrated on once. "At most": the upper limit that is promised. "Kept": the other half loses no
more than the goal. "None": the command found nothing that it could promise. "By the mean": the level that the command would have chosen by
what is lost on the left-out blocks, without a limit, as a factor on the chosen one.

--later N measures the same calibrations on the N frames that follow on both halves, of clips that have so many.

--rules asks a smaller question, which needs few passes: if the level of the preset's own thresholds is chosen on one half of a clip without
truth, how often does the other half keep the goal? By what the chosen half may lose: the goal, or less.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import ge
from pathlib import Path

import torch
from gates_table import numbers
from measured_clips import FAINTEST, Passes, detector, every_video, half_of, lost, measured, part_of, value_of, with_truth, without_truth
from tables import ResultTable, add_write_option, interval_text

from skipvid.core.errors import UsageError
from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.evidence import BLOCK_FRAMES
from skipvid.evaluate.found import Found, Goal
from skipvid.evaluate.goal import calibrate_by_goal, with_noise
from skipvid.evaluate.material import Material, Seen
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.engine import Engine

SHARES = (1.0, 0.5, 0.0, -1.0)
"""Of the goal: what the half that a level is chosen on may lose."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a promise. lost: on the other half, points."""

    found: Found
    lost: Interval
    fewer: float


def measure(engine: Engine, own: Material, other: Material, goal: Goal, folder: Path, passes: Passes) -> Kept | None:
    """Calibrate on `own`, measure on `other`; None where nothing was promised."""
    try:
        found = calibrate_by_goal(engine, own, goal, keep=folder)
    except UsageError:
        return None
    gated = engine.regated(replace(engine.model.config, threshold=found.threshold, thresholds=found.thresholds))
    dense = passes.dense(engine, other)
    yardstick = dense if other.labels is not None else passes.noisy(engine, other, with_noise())
    theirs, mine = (measured(other, seen, dense) for seen in (yardstick, passes.gated(gated, other)))
    return Kept(found, lost(mine, theirs, BLOCK_FRAMES), mine.fewer)


def show_rules(engine: Engine, materials: Mapping[str, Material], goal: float, passes: Passes, options: argparse.Namespace) -> None:
    """A row for each rule, over all clips and both halves."""
    made, kept, fewer = ({share: list[float]() for share in SHARES} for _ in range(3))
    for material in materials.values():
        dense, noise = passes.dense(engine, material), passes.noisy(engine, material, with_noise())
        gated = [passes.gated(engine, material, level) for level in sorted(options.levels)]
        middle = len(material) // 2
        for own, other in ((slice(0, middle), slice(middle, None)), (slice(middle, None), slice(0, middle))):
            losses, measures = ([_lost(material, noise, each, dense, part) for each in gated] for part in (own, other))
            for share in SHARES:
                good = sum(1 for _ in itertools.takewhile(partial(ge, share * goal), losses))
                made[share].append(good > 0)
                if good:
                    kept[share].append(measures[good - 1] <= goal)
                    fewer[share].append(measured(material, gated[good - 1], dense, other).fewer)
    columns = ["the chosen half loses at most", "chosen", "the other half keeps the goal", "fewer MACs there, geometric mean"]
    levels = ", ".join(f"{level:g}" for level in options.levels)
    note = f"{engine.preset.name}, goal {goal:g} points, levels {levels}, {options.frames} frames."
    with ResultTable("promise-rules", columns, options.write, note) as table:
        for share in SHARES:
            mean = math.exp(statistics.fmean(map(math.log, fewer[share]))) if fewer[share] else math.nan
            chosen = f"{sum(made[share]):g} of {len(made[share])}"
            table.row(f"{share * goal:g}", chosen, f"{sum(kept[share]):g} of {len(kept[share])}", f"{mean:.2f}×")


def _lost(material: Material, noise: Seen, gated: Seen, dense: Seen, part: slice) -> float:
    reference, own = (measured(material, seen, dense, part) for seen in (noise, gated))
    return value_of(reference) - value_of(own)


def _wanted(spec: str, clips: Sequence[str] | None) -> bool:
    return clips is None or "/".join(Path(spec).parts[-2:]) in clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--max-drop", type=float, default=0.5)
    parser.add_argument("--frames", type=int, default=240, help="of each clip, both halves")
    parser.add_argument("--folders", nargs="*", default=["fixed", "sample_videos"], help="whose clips stand for cameras without truth")
    parser.add_argument("--clips", nargs="*", help="only those of this name, e.g. PETS09 fixed/Alley.mp4")
    parser.add_argument("--table", default="promise", help="place of RESULTS.md that the main table belongs to [default: promise]")
    parser.add_argument("--keep", type=Path, required=True, help="folder for passes that were measured")
    parser.add_argument("--later", type=int, default=0, help="measure on so many frames after both halves; clips without truth")
    parser.add_argument("--rules", action="store_true", help="choose among levels of the preset's thresholds alone")
    parser.add_argument("--levels", type=numbers, default=[0.71, 1.0, 1.41, 2.0], help="of --rules")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    preset, goal = load_preset(options.preset), Goal("drop", options.max_drop)
    faint = detector(preset, SkipConfig.of(preset, threads=1), FAINTEST)
    plain = detector(preset, SkipConfig.of(preset, threads=1), preset.score_threshold)
    chosen = [spec for spec in every_video(options.data) if Path(spec).parent.name in options.folders and _wanted(spec, options.clips)]
    if options.rules:
        return show_rules(plain, without_truth(chosen, options.frames), goal.value, Passes(options.keep), options)
    if options.later:
        return show_later(plain, without_truth(chosen, options.frames + options.later), goal, Passes(options.keep), options)
    labelled = {name: each for name, each in with_truth(options.data, options.frames).items() if _wanted(name, options.clips)}
    materials = {**labelled, **without_truth(chosen, options.frames)}
    columns = ["clip", "calibrated on", "by", "objects", "threshold", "lost (95 %)", "at most", "fewer MACs", "by the mean"]
    columns += ["the other half loses (95 %)", "fewer MACs", "kept"]
    passes, kept, fewer = Passes(options.keep), list[bool](), list[float]()
    note = f"{preset.name}, at most {goal.value:g} points, {options.frames} frames of each clip."
    with ResultTable(options.table, columns, options.write, note) as table:
        for name, material in materials.items():
            engine = plain if material.labels is None else faint
            halves = [half_of(material, number) for number in range(2)]
            for number, own in enumerate(halves):
                folder = options.keep / f"promise {name} {options.frames} {number}".replace("/", "_")
                result = measure(engine, own, halves[1 - number], goal, folder, passes)
                place = ("first half", "second half")[number]
                if result is None:
                    table.row(name[:40], place, "AP50" if material.labels else "agreement", *["none"] * 9)
                    continue
                found = result.found
                kept.append(result.lost.value <= goal.value)
                fewer.append(result.fewer)
                cells = [str(found.objects), f"{found.threshold:g}", interval_text(found.promised.lost), f"{found.promised.at_most:.2f}"]
                cells += [f"{found.promised.fewer:.2f}×", f"{_by_the_mean(found, goal):.2g}", interval_text(result.lost)]
                table.row(name[:40], place, found.measure, *cells, f"{result.fewer:.2f}×", "yes" if kept[-1] else "**no**")
        mean = math.exp(statistics.fmean(map(math.log, fewer))) if fewer else math.nan
        table.row(
            "all", "", "", "", "", "", f"{len(kept)} made", "", "", "", f"{mean:.2f}× (geometric mean)", f"{sum(kept)} of {len(kept)}"
        )


def show_later(engine: Engine, materials: Mapping[str, Material], goal: Goal, passes: Passes, options: argparse.Namespace) -> None:
    """A row for each half of a clip, whose promise is measured on frames after both."""
    columns = ["clip", "calibrated on", "threshold", "at most", "the frames after both halves lose (95 %)", "fewer MACs", "kept"]
    note = f"{engine.preset.name}, at most {goal.value:g} points, {options.later} frames after the first {options.frames}."
    kept = list[bool]()
    with ResultTable("promise-later", columns, options.write, note) as table:
        for name, material in materials.items():
            if len(material) < options.frames + options.later:
                continue
            both = part_of(material, "beginning", 0, options.frames)
            # Named as their passes are kept.
            both = replace(both, clips=[replace(both.clips[0], name=material.clips[0].name)])
            after = part_of(material, f"from frame {options.frames}", options.frames, options.later)
            for number in range(2):
                folder = options.keep / f"promise {name} {options.frames} {number}".replace("/", "_")
                result = measure(engine, half_of(both, number), after, goal, folder, passes)
                if result is None:
                    continue
                kept.append(result.lost.value <= goal.value)
                cells = [f"{result.found.threshold:g}", f"{result.found.promised.at_most:.2f}", interval_text(result.lost)]
                half = ("first half", "second half")[number]
                table.row(name[:40], half, *cells, f"{result.fewer:.2f}×", "yes" if kept[-1] else "**no**")
        table.row("all", "", "", "", "", "", f"{sum(kept)} of {len(kept)}")


def _by_the_mean(found: Found, goal: Goal) -> float:
    """The highest level up to which no more is lost than the goal on the left-out blocks, over the chosen one."""
    good = list(itertools.takewhile(lambda point: point.lost.value <= goal.value, found.frontier))
    return (good[-1] if good else found.promised).level / found.promised.level


if __name__ == "__main__":
    main()
