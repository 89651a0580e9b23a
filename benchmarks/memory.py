"""Memory over a long video: the whole pipeline, sinks included, on a clip that is played again and again.

    python benchmarks/memory.py CLIP [--frames 5000] [--every 500] [--preset NAME] [--weights FILE]

Prints the resident memory every so many frames, and how much it grew after the first of them, when every buffer has been filled once.
A pose preset runs behind the bundled detector.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tables import ResultTable, add_write_option

from skipvid.core.results import Frame, FrameResult, RunHeader
from skipvid.pipeline.run import run
from skipvid.presets.preset import DEFAULT_DETECT, Preset, load_preset
from skipvid.presets.weights import Weights, resolve_weights
from skipvid.report import CostCsv, SummaryBuilder
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.pose_engine import PoseEngine
from skipvid.tasks.track import WEAK
from skipvid.video.draw import draw_result
from skipvid.video.sinks.open import open_sink
from skipvid.video.sources.base import Source
from skipvid.video.sources.open import open_source


class Repeated(Source):
    """A clip played in a loop until `frames` frames are delivered, with time going on."""

    def __init__(self, spec: str, frames: int) -> None:
        self._spec, self._frames = spec, frames
        with open_source(spec) as source:
            self.info = source.info

    def __iter__(self) -> Iterator[Frame]:
        count, offset = 0, 0.0
        while True:
            with open_source(self._spec) as source:
                for frame in source:
                    if count == self._frames:
                        return
                    last = offset + frame.time
                    yield replace(frame, index=count, time=last)
                    count += 1
            offset = last + 1 / (self.info.fps or 25)


def resident_mib() -> float:
    """Resident memory of this process, MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def load_engine(preset: Preset, weights: Weights) -> DetectEngine | PoseEngine:
    """The engine of a preset; for poses, behind the bundled detector."""
    config = SkipConfig.of(preset)
    if preset.task == "detect":
        return DetectEngine(preset, config, weights.path, weights.sha256)
    detector = load_preset(DEFAULT_DETECT)
    finder = DetectEngine(detector, SkipConfig.of(detector), resolve_weights(detector).path, score_threshold=WEAK * preset.score_threshold)
    return PoseEngine(preset, config, weights.path, weights.sha256, finder)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--preset", default=DEFAULT_DETECT)
    parser.add_argument("--weights")
    parser.add_argument("--threads", type=int)
    add_write_option(parser)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    preset = load_preset(options.preset)
    weights = resolve_weights(preset, options.weights)
    engine = load_engine(preset, weights)
    seen: list[float] = []

    def watch(result: FrameResult) -> None:
        if (result.frame.index + 1) % options.every == 0:
            seen.append(resident_mib())
            table.row(result.frame.index + 1, f"{seen[-1]:.1f}")

    table = ResultTable("memory", ("frames", "resident MiB"), options.write, f"{preset.name}, {engine.backend} back end, six sinks.")
    with tempfile.TemporaryDirectory() as folder, table, Repeated(options.clip, options.frames) as source:
        header = RunHeader(
            "bench",
            source.info,
            preset.name,
            "norm",
            preset.threshold,
            1,
            engine.backend,
            weights.sha256,
            "",
            keypoints=preset.keypoints,
        )
        targets = [
            open_sink(f"{folder}/{name}", header, None, draw_result) for name in ("a.mp4", "a.jsonl", "a.json", "a.csv", "a.coco.json")
        ]
        sinks = [*targets, CostCsv(Path(folder) / "cost.csv", header)]
        summary = run(source, engine.stream(), sinks, SummaryBuilder(header), watch)
    print(
        f"{summary.frames} frames, {engine.backend} back end: grew by {seen[-1] - seen[0]:+.1f} MiB after the first {options.every} frames"
    )


if __name__ == "__main__":
    main()
