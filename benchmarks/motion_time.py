"""How long the motion estimate takes, beside moving the picture and the network: under a minute, for a quiet machine.

    python benchmarks/motion_time.py --data DIR [--frames 100]

Frames of a fixed camera through a window that stands, shakes by 2 pixels of 640, or rolls; milliseconds by the clock, the median of all
frames. A new anchor is what `--motion canvas` takes for its first frame, and where the camera comes to rest elsewhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from motion import COURSES, seen_through
from sequences import SEQUENCES, load_frames
from tables import ResultTable

from skipvid.tasks.displaced import Source, source_of
from skipvid.tasks.motion import MotionEstimator
from skipvid.tasks.moved import move_onto
from skipvid.tasks.similarity import STANDSTILL

WIDTH = 544
"""Of the network's picture, pixels: what larger frames are scaled to before they are registered."""


def timed(run: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What it returns, and the milliseconds that it took."""
    begin = time.perf_counter()
    result = run(*arguments)
    return result, 1e3 * (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()
    columns = ["clip", "motion", "size", "patches", "estimate, ms", "moving the picture, ms", "new anchor, ms"]
    with ResultTable("motion_time", columns, None, "Medians by the clock.") as table:
        for sequence in SEQUENCES:
            images, _ = load_frames(options.data, sequence, options.frames)
            for course in COURSES:
                if not course.name.startswith(("still", "shake 2", "roll")):
                    continue
                frames = [image for image, _ in seen_through(course, images)]
                height, width = frames[0].shape[:2]
                sources: list[Source | None] = [None] * len(frames)
                if width > WIDTH:
                    size = (WIDTH, round(height * WIDTH / width))
                    sources = [source_of(frame, size[::-1]) for frame in frames]
                    frames = [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) for frame in frames]
                estimator, canvas = MotionEstimator(), frames[0].copy()
                anchors = [timed(estimator.anchor, frames[0])[1] for _ in range(5)]
                estimates, moves = [], []
                for frame, source in zip(frames[1:], sources[1:], strict=True):
                    motion, took = timed(estimator.estimate, frame)
                    estimates.append(took)
                    if motion is not None and motion is not STANDSTILL:
                        moves.append(timed(move_onto, canvas, frame, motion, source)[1])
                size_text = f"{frames[0].shape[1]}×{frames[0].shape[0]}"
                moved = f"{np.median(moves):.2f}" if moves else ""
                cells = (f"{np.median(estimates):.2f}", moved, f"{np.median(anchors):.2f}")
                table.row(sequence.name, course.name, size_text, str(estimator.patches), *cells)


if __name__ == "__main__":
    main()
