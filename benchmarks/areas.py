"""What areas that are left out save, and whether anything is lost elsewhere: MACs, time of the network, AP50 of what is looked at.

    python benchmarks/areas.py DATA [--ignore AREA]... [--sequence TownCentre] [--threshold T] [--threads N] [--write]

Both runs read the same frames, in turns. Detections and truths whose centre lies in what is left out count in neither. By default the shop
windows and the wall of TownCentre are left out.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
from sequences import SEQUENCES, as_found, load_frames
from tables import ResultTable, add_write_option

from skipvid.core.results import Frame
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.areas import Areas, centres_in, looked_at, read_area
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.train.evaluate import Truth, average_precision

SHOPS = "0,0 0.406,0 0.406,0.148 0.281,0.222 0.219,0.25 0,0.38"
WALL = "0.97,0.5 1,0.4 1,1 0.9,1 0.95,0.78"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--ignore", action="append", default=[])
    parser.add_argument("--sequence", default="TownCentre")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=1000)
    add_write_option(parser)
    arguments = parser.parse_args()
    sequence = next(each for each in SEQUENCES if each.name == arguments.sequence)
    images, truths = load_frames(arguments.data, sequence, arguments.frames)
    areas = Areas(ignore=tuple(read_area(text) for text in arguments.ignore or [SHOPS, WALL]))
    left_out = areas.left_out(*images[0].shape[:2])
    inside = [_inside(truth, left_out) for truth in truths]
    preset = load_preset(DEFAULT_DETECT)
    config = SkipConfig.of(preset, threads=arguments.threads)
    if arguments.threshold is not None:
        config = config.at(arguments.threshold)
    weights = resolve_weights(preset)
    engine = DetectEngine(preset, config, weights.path, weights.sha256, score_threshold=0.02)
    streams = {"everything": engine.stream()}
    engine.areas = areas
    streams["without the areas"] = engine.stream()
    results = {name: [] for name in streams}
    for index, image in enumerate(images):
        for name, stream in streams.items():
            results[name].append(stream.process(Frame(image, index, index / 25, sequence.name)))
    columns = ("looked at", "M MACs a gated frame", "MACs saved", "network, ms (median)", "AP50 of what is looked at")
    share = f"{left_out.mean():.0%} of the picture left out"
    with ResultTable(
        "areas", columns, arguments.write, f"{sequence.name}, {len(images)} frames, threshold {config.threshold:g}, {share}."
    ) as table:
        for name, found in results.items():
            gated = [one for one in found if not one.keyframe and one.cost is not None]
            macs = statistics.fmean(one.cost.macs for one in gated if one.cost is not None)
            dense = statistics.fmean(one.cost.dense_macs for one in gated if one.cost is not None)
            network = statistics.median(one.ms["model"] for one in gated)
            kept = [as_found(looked_at(one.detections, left_out), sequence) for one in found]
            precision = average_precision(kept, inside)
            table.row(name, f"{macs / 1e6:.1f}", f"{1 - macs / dense:.1%}", f"{network:.1f}", f"{100 * precision:.2f}")


def _inside(truth: Truth, left_out: np.ndarray) -> Truth:
    """Without the boxes whose centre is left out."""
    kept = ~centres_in(truth.boxes, left_out) if len(truth.boxes) else np.zeros(0, bool)
    return Truth(truth.boxes[kept], truth.ignore[kept])


if __name__ == "__main__":
    main()
