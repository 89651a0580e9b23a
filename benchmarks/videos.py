"""Gated against dense on every clip of a folder: MACs saved, agreement of the detections, and that nothing fails.

    python benchmarks/videos.py --data DIR [--threshold T] [--max-frames N] [--write]

DIR holds `videos/` and `sequences/`. Prints a Markdown table, a row per clip as soon as it is done. Agreement is F1 at IoU 0.5 of the
gated detections against the dense ones of the same frames; beside it stands the flicker floor: the F1 of the dense network against itself
on frames with noise that nobody sees (standard deviation 1 grey level). Times are medians of one run in which both networks take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tables import ResultTable, add_write_option

from skipvid.core.errors import SkipvidError
from skipvid.core.results import RunHeader
from skipvid.pipeline.compare import ComparedStream
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.report import Agreement, agreement
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions
from skipvid.video.sources.specs import expand_specs

COLUMNS = ("clip", "size", "frames", "MACs saved", "fewer", "F1 to dense", "flicker floor", "speed to dense")
FLOOR_EVERY = 5
"""The flicker floor is measured on every so many frames; it needs two more dense runs each."""


def clips(data: Path) -> list[str]:
    """Every video file below the folder, and every folder of pictures among its sequences."""
    videos = sorted(str(path) for path in data.rglob("*") if path.suffix.lower() in {".mp4", ".avi", ".mkv"})
    folders = sorted({str(path.parent) for path in (data / "sequences").rglob("*.jpg")})
    return [spec for spec in expand_specs(videos + folders) if "images" not in Path(spec).parts]


def measure(engine: DetectEngine, spec: str, max_frames: int | None) -> tuple[object, ...]:
    """One row of the table."""
    generator = np.random.default_rng(0)
    floor = Agreement()
    costs = []
    with open_source(spec, ReadOptions(max_frames=max_frames)) as source:
        header = RunHeader("bench", source.info, engine.preset.name, "norm", 0.0, 1, engine.backend, "", "")
        stream, dense = ComparedStream([engine], header), engine.dense_stream()
        ratios = []
        for number, frame in enumerate(source):
            result = stream.process(frame)
            assert result.cost is not None
            costs.append(result.cost)
            ratios.append(result.ms["dense_model"] / result.ms["model"])
            if number % FLOOR_EVERY == 0:
                noise = np.rint(generator.normal(0, 1, frame.image.shape))
                noisy = replace(frame, picture=np.clip(frame.image + noise, 0, 255).astype(np.uint8))
                floor += agreement(dense.process(frame).detections, dense.process(noisy).detections)
    macs, dense_macs = sum(cost.macs for cost in costs), sum(cost.dense_macs for cost in costs)
    saving, f1 = 1 - macs / dense_macs, stream.rows[0].f1
    name = Path(spec).parent.name + "/" + Path(spec).name
    size, fewer = f"{source.info.width}x{source.info.height}", f"{dense_macs / max(macs, 1):.1f}x"
    return name[:48], size, len(costs), f"{saving:.1%}", fewer, f"{f1:.3f}", f"{floor.f1:.3f}", f"{statistics.median(ratios):.2f}x"


def main() -> None:
    """Measure all clips; ends with exit code 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--threshold", type=float, help="instead of the preset's")
    parser.add_argument("--max-frames", type=int)
    parser.add_argument("--threads", type=int)
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    preset = load_preset(options.preset)
    weights = resolve_weights(preset)
    config = SkipConfig.of(preset, threads=options.threads or 0)
    if options.threshold is not None:
        config = config.at(options.threshold)
    engine = DetectEngine(preset, config, weights.path, weights.sha256)
    threads = options.threads or len(os.sched_getaffinity(0))
    note = f"{preset.name}, {config.gate} gate, threshold {config.threshold:g}, {engine.backend} back end, {threads} threads."
    failed = 0
    with ResultTable("videos", COLUMNS, options.write, note) as table:
        for spec in clips(options.data):
            try:
                table.row(*measure(engine, spec, options.max_frames))
            except SkipvidError as error:
                failed += 1
                table.row(Path(spec).name, f"failed: {error}", *("",) * (len(COLUMNS) - 2))
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
