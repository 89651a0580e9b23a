"""What registered pictures look like: the network's picture, what was computed, and what was found, back on the frame.

    python benchmarks/motion_pictures.py --data DIR --out FOLDER [--motion canvas] [--frames 30] [--every 10]

A sequence with persons (PETS) and the clip of one person (JHMDB) are looked at through a window that shakes by 2 pixels of 640. Of every
so many frames there is one picture: the upper row with gates alone, the lower one with --motion. Left, what the network is given (of
poses: the person's window); in the middle, what was computed of the frame; right, boxes and keypoints on the frame.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from jhmdb import read_clips
from motion import COURSES, Image, made
from motion_poses import moved
from numpy.typing import NDArray
from sequences import SEQUENCES

from skipvid.core.results import Frame, FrameResult
from skipvid.evaluate.true_boxes import TrueBoxes
from skipvid.presets.preset import load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture
from skipvid.skip.session import Session
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.engine import Engine
from skipvid.tasks.people import PoseOptions
from skipvid.tasks.pose_engine import PoseEngine
from skipvid.video.draw import draw_result
from skipvid.video.draw.heat import activity_of, blend_heat

HEIGHT = 306
"""Of each panel, pixels."""


def pictures_of(engine: Engine) -> list[Image]:
    """A list that always holds the last picture which the engine's own network was given, by streams that begin from now on."""
    given: list[Image] = []
    make = engine.model.session

    def session() -> Session:
        own = make()
        maps = own.maps

        def recorded(*inputs: Picture) -> tuple[NDArray[np.float32], ...]:
            given[:] = [inputs[0].pixels.copy()]
            return maps(*inputs)

        own.maps = recorded
        return own

    engine.model.session = session
    return given


def panels(given: Image, result: FrameResult) -> Image:
    """(HEIGHT, …, 3): what the network saw, what was computed, what was found."""
    heat = blend_heat(result.frame.image, activity_of(result))
    found = draw_result(result, overlay="none")
    return np.hstack([cv2.resize(each, (round(each.shape[1] * HEIGHT / each.shape[0]), HEIGHT)) for each in (given, heat, found)])


def write(out: Path, name: str, engine: Engine, images: list[Image], ways: tuple[str, str], every: int) -> None:
    rows: dict[str, list[Image]] = {}
    for way in ways:
        engine.motion = way
        given, stream = pictures_of(engine), engine.stream()
        spent = dense = 0
        rows[way] = []
        for number, image in enumerate(images):
            result = stream.process(Frame(image, number, number / 25, name))
            assert result.cost is not None
            spent, dense = spent + result.cost.macs, dense + result.cost.dense_macs
            if number % every == every - 1:
                rows[way].append(panels(given[0], result))
        print(f"{name}, {way}: {dense / spent:.2f} times fewer MACs", *stream.notes)
    for number, pair in enumerate(zip(*rows.values(), strict=True), 1):
        cv2.imwrite(str(out / f"{name}-{number * every}.png"), np.vstack(pair))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--motion", default="canvas", help="what the lower row does")
    parser.add_argument("--course", default="shake 2", help="motion whose name holds this")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--every", type=int, default=10, help="frames from one picture to the next")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    course = next(course for course in COURSES if options.course in course.name)
    ways = ("none", options.motion)

    preset = load_preset("efficientdet-nano")
    detector = DetectEngine(preset, SkipConfig.of(preset), resolve_weights(preset).path)
    clip = made(SEQUENCES[0], course, options.data, options.frames)
    write(options.out, clip.name, detector, clip.frames, ways, options.every)

    preset = load_preset("hrnet-nano")
    engine = PoseEngine(preset, SkipConfig.of(preset), resolve_weights(preset).path, "", TrueBoxes(), PoseOptions(scene_cuts=False))
    person = moved(next(clip for clip in read_clips(options.data / "sequences" / "jhmdb") if clip.static), course)
    assert isinstance(engine.detector, TrueBoxes)
    engine.detector.clip = person.labelled
    write(options.out, "JHMDB", engine, [frame.image for frame in person.frames[: options.frames]], ways, options.every)


if __name__ == "__main__":
    main()
