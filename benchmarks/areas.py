"""What areas that are left out save, and whether anything is lost elsewhere: MACs, time of the network, AP50 of what is looked at.

    python benchmarks/areas.py DATA [--sequence NAME]... [--ignore AREA]... [--threshold T] [--threads N]
        [--no-dense-frames] [--write]

Both runs read the same frames in turns, and count from the first to the last that has true boxes. By one rule for both, detections whose
centre lies in what is left out do not count; nor do true boxes whose centre does, be they found or not. In the last column, neither do
those that only reach into it: of them the network sees the part that is not left out. "Computed" is the share of the dense MACs over all
frames. Dense frames are keyframes, most of them there because more than dense_above of the MACs had been executed: where areas save, there
are fewer. "There" is the share of the MACs of gated frames that is executed in what is left out. "Gained": points of AP50, with the 95 %
interval of a bootstrap over blocks of ten frames. With `--no-dense-frames` gates decide about all frames but the first.
By default the shop windows and the wall of TownCentre are left out, and the trees beside the highway.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sequences import SEQUENCES, Sequence, as_found, load_frames
from tables import ResultTable, add_write_option, interval_text

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.evaluate.bootstrap import blocks_of, bootstrap
from skipvid.evaluate.matching import FrameMatches, match_boxes
from skipvid.evaluate.precision import PrecisionTable
from skipvid.evaluate.truth import FrameTruth
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, centres_in, looked_at, read_area
from skipvid.tasks.detect_engine import DetectEngine, DetectStream
from skipvid.train.evaluate import Truth

SHOPS = "0,0 0.406,0 0.406,0.148 0.281,0.222 0.219,0.25 0,0.38"
WALL = "0.97,0.5 1,0.4 1,1 0.9,1 0.95,0.78"
TREES = "0,0 0.6,0 0.45,0.2 0.3,0.38 0.1,0.6 0,0.68"
AREAS = {"TownCentre": (SHOPS, WALL), "highway": (TREES,)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--ignore", action="append", default=[])
    parser.add_argument("--sequence", action="append", choices=list(AREAS))
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-dense-frames", action="store_true", help="but for the first one")
    parser.add_argument("--frames", type=int, default=1000)
    add_write_option(parser)
    arguments = parser.parse_args()
    columns = (
        "clip",
        "frames",
        "looked at",
        "dense frames",
        "computed",
        "M MACs a gated frame",
        "there",
        "network, ms (median)",
        "AP50 of what is looked at",
        "gained",
        "gained, border aside",
    )
    with ResultTable("areas", columns, arguments.write) as table:
        for name in arguments.sequence or AREAS:
            for row in _rows(arguments, next(each for each in SEQUENCES if each.name == name)):
                table.row(*row)


def _rows(arguments: argparse.Namespace, sequence: Sequence) -> Iterator[tuple[str, ...]]:
    """A row for everything, and one for what the areas leave."""
    images, truths = load_frames(arguments.data, sequence, arguments.frames)
    size = images[0].shape[:2]
    known = [number for number, truth in enumerate(truths) if len(truth.boxes)]
    counted = slice(known[0], known[-1] + 1)
    areas = Areas(ignore=tuple(read_area(text) for text in arguments.ignore or AREAS[sequence.name]))
    left_out = areas.left_out(*size)
    wanted = [[_wanted(truth, left_out, reach) for truth in truths[counted]] for reach in (False, True)]
    preset = load_preset(DEFAULT_DETECT)
    config = SkipConfig.of(preset, threads=arguments.threads)
    if arguments.threshold is not None:
        config = config.at(arguments.threshold)
    if arguments.no_dense_frames:
        config = replace(config, dense_above=1.0)
    weights = resolve_weights(preset)
    engine = DetectEngine(preset, config, weights.path, weights.sha256, score_threshold=0.02)
    streams = {"everything": engine.stream()}
    engine.areas = areas
    streams[f"without {left_out.mean():.0%} of the picture"] = engine.stream()
    results: dict[str, list[FrameResult]] = {name: [] for name in streams}
    there: dict[str, list[float]] = {name: [] for name in streams}
    for index, image in enumerate(images):
        for name, stream in streams.items():
            result = stream.process(Frame(image, index, index / 25, sequence.name))
            results[name].append(result)
            if not result.keyframe:
                there[name].append(_macs_there(stream, result, left_out))
    before: list[PrecisionTable] = []
    for name, found in results.items():
        own = found[counted]
        costs = [one.cost for one in own if one.cost is not None]
        computed = sum(cost.macs for cost in costs) / sum(cost.dense_macs for cost in costs)
        gated = [one for one in own if not one.keyframe and one.cost is not None]
        macs = statistics.fmean(one.cost.macs for one in gated if one.cost is not None)
        network = statistics.median(one.ms["model"] for one in gated)
        tables = [PrecisionTable([_matched(*pair, sequence, left_out) for pair in zip(own, truth, strict=True)]) for truth in wanted]
        share = statistics.fmean(there[name]) / macs
        numbers = (str(len(own) - len(gated)), f"{computed:.1%}", f"{macs / 1e6:.1f}", f"{share:.1%}", f"{network:.1f}")
        precision = f"{_precision(tables[0], np.ones(len(own), np.int64)):.2f}"
        gained = [_gained(*pair, len(own)) for pair in zip(before, tables, strict=True)] if before else ["", ""]
        yield (sequence.name, str(len(own)), name, *numbers, precision, *gained)
        before = tables


def _matched(result: FrameResult, truth: FrameTruth, sequence: Sequence, left_out: NDArray[np.bool_]) -> FrameMatches:
    found = as_found(looked_at(result.detections, left_out), sequence)
    ones = np.ones(len(found), np.int64)
    return match_boxes(Detections(found.boxes, found.scores, ones, ("",) * len(ones)), truth, 1, np.array([0.5]))


def _precision(table: PrecisionTable, times: NDArray[np.int64]) -> float:
    return 100 * float(table.average_precision(times)[0])


def _gained(everything: PrecisionTable, without: PrecisionTable, frames: int) -> str:
    """Points of AP50, and their interval."""
    blocks = blocks_of([""] * frames, 10)
    return interval_text(bootstrap(lambda times: _precision(without, times) - _precision(everything, times), blocks))


def _macs_there(stream: DetectStream, result: FrameResult, left_out: NDArray[np.bool_]) -> float:
    """MACs that the last frame spent on outputs in what is left out, layers of one size after the other."""
    assert result.cost is not None
    masks = stream.computed((result.frame.height, result.frame.width))
    areas: dict[tuple[int, int], NDArray[np.float32]] = {}
    spent = 0.0
    for layer in result.cost.layers:
        mask = masks.get(layer.name)
        if mask is None or not mask.any():
            continue
        if mask.shape not in areas:
            areas[mask.shape] = cv2.resize(left_out.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_AREA)
        spent += layer.macs * float(areas[mask.shape][mask].sum()) / int(mask.sum())
    return spent


def _wanted(truth: Truth, left_out: NDArray[np.bool_], reach: bool) -> FrameTruth:
    """The true boxes; those whose centre is left out (reach: or any pixel) need not be found, and do not count where they are."""
    aside = truth.ignore.copy()
    if len(truth.boxes):
        aside |= centres_in(truth.boxes, left_out)
    if reach:
        corners = np.clip(truth.boxes, 0, np.tile(left_out.shape[::-1], 2)).astype(int)
        aside |= np.array([left_out[top : bottom + 1, left : right + 1].any() for left, top, right, bottom in corners], np.bool_)
    return FrameTruth(truth.boxes, np.ones(len(truth.boxes), np.int64), aside)


if __name__ == "__main__":
    main()
