"""`python -m tools.render_samples --out sample_videos` renders the three clips shipped with skipvid; options make others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import SCENES, render_scene
from .encode import write_clip
from .truth import Annotation

SHIPPED = {"plaza": (78, 10.0, (960, 540)), "street": (60, 10.0, (960, 540)), "exercise": (44, 11.0, (1280, 720))}
"""Scene -> seed, seconds and size of the clips in sample_videos. Training must not use these seeds."""


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write WIDTHxHEIGHT, for example 960x540") from None
    if width % 2 or height % 2 or not 64 <= width <= 4096 or not 64 <= height <= 4096:
        raise argparse.ArgumentTypeError(f"{text}: H.264 needs even sides; use 64 to 4096 pixels")
    return width, height


def _reported(
    frames: Iterator[tuple[NDArray[np.uint8], list[Annotation]]], name: str, count: int
) -> Iterator[tuple[NDArray[np.uint8], list[Annotation]]]:
    for number, frame in enumerate(frames, start=1):
        if number % 25 == 0 or number == count:
            print(f"{name}: {number} of {count} frames", file=sys.stderr, flush=True)
        yield frame


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.render_samples", description=__doc__)
    parser.add_argument("--scene", choices=SCENES, action="append", help="what to render; repeat for several (default: all)")
    parser.add_argument("--seed", type=int, help="draws the whole scene (default: that of the shipped clip)")
    parser.add_argument("--seconds", type=float, help="length of a clip (default: that of the shipped clip)")
    parser.add_argument("--size", type=_size, metavar="WxH", help="pixels (default: that of the shipped clip)")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--quality", choices=("fast", "full"), default="full", help="fast: no motion blur (default: full)")
    parser.add_argument("--megabytes", type=float, default=2.7, help="size of a clip at most, about (default: 2.7)")
    parser.add_argument("--out", type=Path, default=Path("sample_videos"), help="folder for SCENE.mp4, .coco.json and .mot.txt")
    options = parser.parse_args(arguments)
    if options.seconds is not None and not 0.04 <= options.seconds <= 600:
        parser.error("--seconds must be between 0.04 and 600")
    if not 1 <= options.fps <= 120:
        parser.error("--fps must be between 1 and 120")
    if options.seed is not None and options.seed < 0:
        parser.error("--seed must not be negative")
    options.out.mkdir(parents=True, exist_ok=True)
    for scene in options.scene or SCENES:
        seed = SHIPPED[scene][0] if options.seed is None else options.seed
        seconds = options.seconds or SHIPPED[scene][1]
        count = max(round(seconds * options.fps), 1)
        frames = render_scene(scene, seed, options.size or SHIPPED[scene][2], count, options.fps, options.quality)
        path = options.out / f"{scene}.mp4"
        write_clip(path, _reported(frames, scene, count), options.fps, count / options.fps, options.megabytes)
        print(f"{path.resolve()}: seed {seed}, {count} frames, {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
