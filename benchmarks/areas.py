"""What areas that are left out save, and whether anything is lost elsewhere: MACs, time of the network, AP50 of what is looked at.

    python benchmarks/areas.py DATA [--sequence NAME]... [--ignore AREA]... [--threshold T] [--threads N] [--write]

Both runs read the same frames, in turns. Detections and truths whose centre lies in what is left out count in neither. "There" is the share
of the MACs executed in what is left out when everything is looked at: what leaving it out can save at most, but for what its border saves.
"Gained": points of AP50, with the 95 % interval of a bootstrap over blocks of ten frames.
By default the shop windows and the wall of TownCentre are left out, and the trees beside the highway.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sequences import SEQUENCES, Sequence, as_found, load_frames
from tables import ResultTable, add_write_option

from skipvid.core.results import Frame, FrameResult
from skipvid.evaluate.bootstrap import blocks_of, bootstrap
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, centres_in, looked_at, read_area
from skipvid.tasks.detect_engine import DetectEngine, DetectStream
from skipvid.train.evaluate import Truth, average_precision
from skipvid.train.teachers import Found

SHOPS = "0,0 0.406,0 0.406,0.148 0.281,0.222 0.219,0.25 0,0.38"
WALL = "0.97,0.5 1,0.4 1,1 0.9,1 0.95,0.78"
TREES = "0,0 0.6,0 0.45,0.2 0.3,0.38 0.1,0.6 0,0.68"
DRAWS = 200
AREAS = {"TownCentre": (SHOPS, WALL), "highway": (TREES,)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--ignore", action="append", default=[])
    parser.add_argument("--sequence", action="append", choices=list(AREAS))
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=1000)
    add_write_option(parser)
    arguments = parser.parse_args()
    columns = (
        "clip",
        "frames",
        "looked at",
        "M MACs a gated frame",
        "MACs saved",
        "there",
        "network, ms (median)",
        "AP50 of what is looked at",
        "gained",
    )
    with ResultTable("areas", columns, arguments.write) as table:
        for name in arguments.sequence or AREAS:
            for row in _rows(arguments, next(each for each in SEQUENCES if each.name == name)):
                table.row(*row)


def _rows(arguments: argparse.Namespace, sequence: Sequence) -> Iterator[tuple[str, ...]]:
    """A row for everything, and one for what the areas leave."""
    images, truths = load_frames(arguments.data, sequence, arguments.frames)
    size = images[0].shape[:2]
    areas = Areas(ignore=tuple(read_area(text) for text in arguments.ignore or AREAS[sequence.name]))
    left_out = areas.left_out(*size)
    inside = [_inside(truth, left_out) for truth in truths]
    preset = load_preset(DEFAULT_DETECT)
    config = SkipConfig.of(preset, threads=arguments.threads)
    if arguments.threshold is not None:
        config = config.at(arguments.threshold)
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
    found_there: list[list[Found]] = []
    for name, found in results.items():
        gated = [one for one in found if not one.keyframe and one.cost is not None]
        macs = statistics.fmean(one.cost.macs for one in gated if one.cost is not None)
        dense = statistics.fmean(one.cost.dense_macs for one in gated if one.cost is not None)
        network = statistics.median(one.ms["model"] for one in gated)
        kept = [as_found(looked_at(one.detections, left_out), sequence) for one in found]
        found_there.append(kept)
        precision = average_precision(kept, inside)
        share = statistics.fmean(there[name]) / macs
        numbers = (f"{macs / 1e6:.1f}", f"{1 - macs / dense:.1%}", f"{share:.1%}", f"{network:.1f}", f"{100 * precision:.2f}")
        yield (sequence.name, str(len(images)), name, *numbers, _gained(*found_there, inside) if len(found_there) == 2 else "")


def _gained(everything: list[Found], without: list[Found], truths: list[Truth]) -> str:
    """Points of AP50, and their interval."""

    def precision(found: list[Found], times: NDArray[np.int64]) -> float:
        drawn = np.repeat(np.arange(len(found)), times)
        return 100 * average_precision([found[number] for number in drawn], [truths[number] for number in drawn])

    blocks = blocks_of([""] * len(truths), 10)
    gained = bootstrap(lambda times: precision(without, times) - precision(everything, times), blocks, DRAWS)
    return f"{gained.value:+.2f} ({gained.low:+.2f} to {gained.high:+.2f})"


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


def _inside(truth: Truth, left_out: np.ndarray) -> Truth:
    """Without the boxes whose centre is left out."""
    kept = ~centres_in(truth.boxes, left_out) if len(truth.boxes) else np.zeros(0, bool)
    return Truth(truth.boxes[kept], truth.ignore[kept])


if __name__ == "__main__":
    main()
